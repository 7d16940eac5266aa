//! What becomes of values when kustomize writes and reads them again.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use super::metadata::with_texts;
use super::resource::Resource;
use crate::json::Kind;
use crate::yaml::{Entry, Node, Scalar, Value};

/// The annotation of what is for kustomize alone.
const LOCAL_CONFIG: &str = "config.kubernetes.io/local-config";

/// A way to read scalars that are written without quotes.
#[derive(Clone, Copy)]
pub(super) enum Reading {
    /// As kustomize reads objects: YAML 1.2 with the numbers and times of 1.1. `yes` is a text.
    Objects,
    /// As kustomize reads its own file and JSON patches: YAML 1.1. `yes` is a boolean.
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

/// An object as kustomize prints it; nothing where it is for kustomize alone.
pub(super) fn printed<'a>(resource: &Resource<'a>) -> Option<Resource<'a>> {
    let annotations = resource.node.at(&["metadata", "annotations"]);
    let local = annotations.and_then(|annotations| annotations.get(LOCAL_CONFIG));
    if local.is_some_and(|local| local.scalar().is_none_or(|scalar| scalar.text != "false")) {
        return None;
    }
    let mut resource = resource.clone();
    if annotations.is_some() {
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
        Value::Sequence(sequence) => {
            let (index, first) = first_settled(&sequence.items, |item| settled(item, reading))?;
            let mut sequence = sequence.as_ref().clone();
            sequence.items[index] = first;
            for item in &mut sequence.items[index + 1..] {
                if let Some(new) = settled(item, reading) {
                    *item = new;
                }
            }
            Value::Sequence(Arc::new(sequence))
        }
        Value::Mapping(mapping) => {
            let (index, first) = first_settled(&mapping.entries, |entry| settled(&entry.value, reading))?;
            let mut mapping = mapping.as_ref().clone();
            mapping.entries[index].value = first;
            for Entry { value, .. } in &mut mapping.entries[index + 1..] {
                if let Some(new) = settled(value, reading) {
                    *value = new;
                }
            }
            Value::Mapping(Arc::new(mapping))
        }
    };
    Some(Node { value, at: node.at, over: node.over.clone() })
}

fn first_settled<'a, T>(items: &[T], settled: impl Fn(&T) -> Option<Node<'a>>) -> Option<(usize, Node<'a>)> {
    items.iter().enumerate().find_map(|(index, item)| Some((index, settled(item)?)))
}

/// A scalar that is read in one way only; nothing if it is such a one already.
fn settled_scalar<'a>(scalar: &Scalar<'a>, reading: Reading) -> Option<Scalar<'a>> {
    if !scalar.plain {
        return None;
    }
    let text = &*scalar.text;
    let plain = |text: &str| Some(Scalar { text: Cow::Owned(text.to_owned()), plain: true });
    let word = || Some(Scalar { text: scalar.text.clone(), plain: false });
    match (text.as_bytes().first(), reading) {
        (None | Some(b'~'), _) if matches!(text, "" | "~") => plain("null"),
        (Some(b'N' | b'n'), _) if text.eq_ignore_ascii_case("null") && scalar.kind() == Kind::Null => {
            if text == "null" { None } else { plain("null") }
        }
        (Some(b'y' | b'Y' | b'n' | b'N' | b'o' | b'O' | b't' | b'T' | b'f' | b'F'), _)
            if scalar.kind() == Kind::Boolean =>
        {
            let is_old = !matches!(text.len(), 4 | 5);
            match reading {
                Reading::Objects if is_old => word(),
                _ if matches!(text, "true" | "false") => None,
                _ => plain(
                    if matches!(text.as_bytes()[0], b't' | b'T' | b'y' | b'Y')
                        || text.eq_ignore_ascii_case("on")
                    {
                        "true"
                    } else {
                        "false"
                    },
                ),
            }
        }
        (Some(b'0'..=b'9' | b'+' | b'-' | b'.'), _) => match number(text) {
            Some(number) if number == text => None,
            Some(number) => plain(&number),
            None => match reading {
                Reading::Objects => time(text)
                    .map(|time| Scalar { text: Cow::Owned(time), plain: false })
                    .or_else(|| if scalar.kind() == Kind::Number { word() } else { None }),
                Reading::Patches if scalar.kind() == Kind::Number => word(),
                Reading::Patches => None,
            },
        },
        _ => None,
    }
}

/// What the YAML reader of kustomize takes for a number, as JSON has it.
fn number(text: &str) -> Option<String> {
    let digits: Cow<'_, str> =
        if text.contains('_') { Cow::Owned(text.replace('_', "")) } else { Cow::Borrowed(text) };
    let (sign, unsigned) = match digits.as_bytes().first()? {
        b'-' => ("-", &digits[1..]),
        b'+' => ("", &digits[1..]),
        _ => ("", &*digits),
    };
    let whole = |digits: &str, base: u32| {
        let is_unsigned = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_unsigned.then(|| u64::from_str_radix(digits, base).ok()).flatten().map(|it| format!("{sign}{it}"))
    };
    let prefix = unsigned.get(..2).unwrap_or_default();
    match prefix {
        "0x" | "0X" => return whole(&unsigned[2..], 16),
        "0b" | "0B" => return whole(&unsigned[2..], 2),
        "0o" | "0O" => return whole(&unsigned[2..], 8),
        _ => {}
    }
    if unsigned.bytes().all(|byte| byte.is_ascii_digit()) && !unsigned.is_empty() {
        let is_octal = unsigned.len() > 1 && unsigned.starts_with('0');
        if !is_octal {
            return Some(format!("{sign}{unsigned}"));
        }
        if let Some(number) = whole(&unsigned[1..], 8) {
            return Some(number);
        }
    }
    let is_float = unsigned.bytes().next().is_some_and(|byte| byte.is_ascii_digit() || byte == b'.')
        && unsigned.bytes().any(|byte| byte.is_ascii_digit())
        && unsigned.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    let value: f64 = if is_float { unsigned.parse().ok()? } else { return None };
    value.is_finite().then(|| {
        let written = serde_json::from_str::<serde_json::Number>(&digits).is_ok();
        if written { digits.clone().into_owned() } else { format!("{sign}{value:?}") }
    })
}

/// What the YAML reader of kustomize takes for a time, as it writes it.
fn time(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let is_date = |part: &[u8]| {
        part.len() == 10
            && part
                .iter()
                .enumerate()
                .all(|(at, byte)| if matches!(at, 4 | 7) { *byte == b'-' } else { byte.is_ascii_digit() })
    };
    let date = bytes.get(..10).filter(|part| is_date(part))?;
    let number = |range: std::ops::Range<usize>| {
        date[range].iter().fold(0_u32, |sum, digit| sum * 10 + u32::from(digit - b'0'))
    };
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    let is_leap = (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
    let days = match month {
        2 => 28 + u32::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if day == 0 || day > days {
        return None;
    }
    if bytes.len() == 10 {
        let mut time = text.to_owned();
        write!(time, "T00:00:00Z").expect("writing to memory cannot fail");
        return Some(time);
    }
    None
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
            r#"[true,false,"n",8,"2020-01-31"]"#
        );
    }

    #[test]
    fn leaves_alone_what_can_be_read_in_one_way_only() {
        let node = yaml::documents("{a: [x, 1, true, null], b: 'yes'}", 0).remove(0).unwrap();
        assert!(settled(&node, Reading::Objects).is_none());
    }
}
