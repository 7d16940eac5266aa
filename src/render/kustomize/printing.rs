//! What becomes of values when kustomize writes and reads them again.

use std::sync::Arc;

use super::generators;
use super::metadata::with_texts;
use super::resource::Resource;
use crate::json::Kind;
use crate::yaml::{Entry, Node, Scalar, Str, Value, boolean, number, timestamp};

/// A way to read scalars that are written without quotes.
#[derive(Clone, Copy)]
pub(super) enum Reading {
    /// As kustomize reads objects: YAML 1.2 with the numbers and dates of 1.1. `yes` is a text.
    Objects,
    /// The same for what it writes as JSON and reads again, after which every text is in quotes.
    Lists,
    /// As kustomize reads its own file and JSON patches: YAML 1.1. `yes` and `y` are booleans.
    Patches,
}

/// What somebody who writes YAML calls a kind of value.
pub(super) fn words(kind: Kind) -> &'static str {
    match kind {
        Kind::Null => "nothing",
        Kind::Boolean => "a boolean",
        Kind::Number => "a number",
        Kind::String => "a text",
        Kind::Array => "a list",
        Kind::Object => "a map",
    }
}

/// An object as kustomize prints it; nothing where it is for kustomize alone, or where not all is known of which a hash comes behind its name.
pub(super) fn printed(mut resource: Resource<'_>) -> Option<Resource<'_>> {
    if resource.generated.needs_hash {
        if resource.generated.is_partial {
            return None;
        }
        generators::add_hash(&mut resource);
    }
    if resource.is_local() {
        return None;
    }
    if resource.node.at(&["metadata", "annotations"]).is_some() {
        resource.node = with_texts(&resource.node, &["annotations"]);
    }
    if let Some(node) = settled(&resource.node, Reading::Objects) {
        resource.node = node;
    }
    Some(resource)
}

/// A tree in which every scalar is written so that it can be read in one way only; nothing if it is such a tree already.
pub(super) fn settled<'a>(node: &Node<'a>, reading: Reading) -> Option<Node<'a>> {
    let value = match &node.value {
        Value::Scalar(scalar) => Value::Scalar(settled_scalar(scalar, reading)?),
        Value::Sequence(items) => {
            let (index, first) = first_settled(items, |item| settled(item, reading))?;
            let mut items = Arc::clone(items);
            let own = Arc::make_mut(&mut items);
            own[index] = first;
            for item in &mut own[index + 1..] {
                if let Some(new) = settled(item, reading) {
                    *item = new;
                }
            }
            Value::Sequence(items)
        }
        Value::Mapping(entries) => {
            let (index, first) = first_settled(entries, |entry| settled(&entry.value, reading))?;
            let mut entries = Arc::clone(entries);
            let own = Arc::make_mut(&mut entries);
            own[index].value = first;
            for Entry { value, .. } in &mut own[index + 1..] {
                if let Some(new) = settled(value, reading) {
                    *value = new;
                }
            }
            Value::Mapping(entries)
        }
        Value::Elided { .. } => return None,
    };
    Some(Node { value, at: node.at, over: node.over.clone() })
}

fn first_settled<'a, T>(items: &[T], settled: impl Fn(&T) -> Option<Node<'a>>) -> Option<(usize, Node<'a>)> {
    items.iter().enumerate().find_map(|(index, item)| Some((index, settled(item)?)))
}

/// A scalar that is read in one way only; nothing if it is such a one already.
pub(super) fn settled_scalar<'a>(scalar: &Scalar<'a>, reading: Reading) -> Option<Scalar<'a>> {
    if !scalar.plain {
        return None;
    }
    let text = &*scalar.text;
    let is = |word: &str| (text != word).then(|| Scalar { text: Str::from(word.to_owned()), plain: true });
    let quoted = || Some(Scalar { text: scalar.text.clone(), plain: false });
    let otherwise = || if matches!(reading, Reading::Lists) { quoted() } else { None };
    match text.as_bytes().first() {
        Some(b'0'..=b'9' | b'+' | b'-' | b'.') => match number(text) {
            Some(number) => is(&number),
            None if scalar.kind() == Kind::Number => quoted(),
            None => match (timestamp(text), reading) {
                (Some(time), Reading::Objects | Reading::Lists) => {
                    Some(Scalar { text: Str::from(time), plain: false })
                }
                (Some(_), Reading::Patches) => quoted(),
                (None, _) => otherwise(),
            },
        },
        None | Some(b'~' | b'n' | b'N') if scalar.kind() == Kind::Null => is("null"),
        Some(b'y' | b'Y' | b'n' | b'N' | b'o' | b'O' | b't' | b'T' | b'f' | b'F') => {
            match (boolean(text), reading) {
                (Some(value), _) if matches!(text.len(), 4 | 5) => is(value),
                (Some(value), Reading::Patches) => is(value),
                (Some(_), Reading::Objects | Reading::Lists) => quoted(),
                (None, _) => otherwise(),
            }
        }
        _ => otherwise(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    fn read(text: &str, reading: Reading) -> String {
        let node = yaml::documents(text, 0).remove(0).unwrap();
        let mut json = Vec::new();
        settled(&node, reading).unwrap_or(node).write_json(&mut json);
        String::from_utf8(json).unwrap()
    }

    #[test]
    fn reads_scalars_as_kustomize_does() {
        let text = "[yes, Off, True, ~, NULL, 'yes', 0o17, 010, 08, 1_000, 0b11, 0x1f, 1.50, 2020-01-31, 2020-02-30, 1.2.3, -7, +3]";
        assert_eq!(
            read(text, Reading::Objects),
            r#"["yes","Off",true,null,null,"yes",15,8,8.0,1000,3,31,1.50,"2020-01-31T00:00:00Z","2020-02-30","1.2.3",-7,3]"#
        );
        assert_eq!(
            read("[yes, Off, n, 010, 2020-01-31]", Reading::Patches),
            r#"[true,false,false,8,"2020-01-31"]"#
        );
    }

    #[test]
    fn leaves_alone_what_can_be_read_in_one_way_only() {
        let node = yaml::documents("{a: [x, 1, true, null], b: 'yes'}", 0).remove(0).unwrap();
        assert!(settled(&node, Reading::Objects).is_none());
    }
}
