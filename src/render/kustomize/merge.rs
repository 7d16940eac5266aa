//! Strategic merge patches, as kustomize merges custom resources: maps merge, lists replace, null deletes.

use super::printing::{Reading, settled_scalar, words};
use crate::json::Kind;
use crate::yaml::{Entry, Key, Node, Scalar, Span, Str, Value, boolean, repeated};

/// The key of a map in a patch that says what the map is for.
pub(super) const DIRECTIVE: &str = "$patch";

/// Why a patch does not fit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misfit {
    /// Where in the patch.
    pub(super) at: Span,
    /// What is wrong.
    pub(super) message: String,
}

/// What becomes of a value.
enum Outcome<'a> {
    Keep,
    Set(Node<'a>),
    Clear,
}

/// Where a value of a patch comes to where there was none to merge with.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// In a map that was there.
    New,
    /// In place of a map that it replaces.
    Replaced,
    /// In a map that is new itself.
    Nested,
}

enum Directive {
    Merge,
    Replace,
    Delete,
}

/// An object with a patch merged into it; `None` where the patch deletes it.
pub(super) fn merged<'a>(object: &Node<'a>, patch: &Node<'a>) -> Result<Option<Node<'a>>, Misfit> {
    Ok(match merge(object, patch)? {
        Outcome::Keep => Some(object.clone()),
        Outcome::Set(node) => Some(node),
        Outcome::Clear => None,
    })
}

fn merge<'a>(old: &Node<'a>, patch: &Node<'a>) -> Result<Outcome<'a>, Misfit> {
    match (old.kind(), patch.kind()) {
        (_, Kind::Null) => Ok(Outcome::Clear),
        (Kind::Null, Kind::Object) => Ok(match added(patch, Place::New)? {
            Some(node) => Outcome::Set(node.in_place_of(old)),
            None => Outcome::Clear,
        }),
        (Kind::Object, Kind::Object) if patch.is_elided() => Ok(Outcome::Set(patched(old))),
        (Kind::Object, Kind::Object) => merge_maps(old, patch),
        (Kind::Null, _) | (Kind::Array, Kind::Array) => {
            Ok(Outcome::Set(without_duplicates(patch)?.clone().in_place_of(old)))
        }
        (was @ (Kind::Object | Kind::Array), is) | (was, is @ (Kind::Object | Kind::Array)) => Err(Misfit {
            at: patch.at,
            message: format!("the patch sets {} where there is {}", words(is), words(was)),
        }),
        _ => {
            let mut new = patch.clone().in_place_of(old);
            // kustomize keeps the quotes of what was there, so that anything is a text in them. What needs none loses them without.
            if let (Value::Scalar(new), Some(old)) = (&mut new.value, old.scalar()) {
                new.plain = old.plain && (new.plain || is_word(new));
            }
            Ok(Outcome::Set(new))
        }
    }
}

fn merge_maps<'a>(old: &Node<'a>, patch: &Node<'a>) -> Result<Outcome<'a>, Misfit> {
    match directive(patch)? {
        Directive::Delete => return Ok(Outcome::Clear),
        Directive::Replace => {
            return Ok(match added(patch, Place::Replaced)? {
                Some(node) => Outcome::Set(node.in_place_of(old)),
                None => Outcome::Clear,
            });
        }
        // Whatever it is, something else was merged into it.
        Directive::Merge if old.is_elided() => return Ok(Outcome::Set(patched(old))),
        Directive::Merge => {}
    }
    // Of a key that is there twice, kustomize takes the first where it merges maps.
    let repeated = repeated(patch.entries());
    let is_new = |(index, entry): &(usize, &Entry<'a>)| {
        old.get(&entry.key.text).is_none() && repeated.binary_search(index).is_err()
    };
    let new = patch.entries().iter().enumerate().filter(is_new).count();
    let mut entries = Vec::with_capacity(old.entries().len() + new);
    for entry in old.entries() {
        let outcome = match patch.get(&entry.key.text) {
            Some(patch) => merge(&entry.value, patch)?,
            None => scrub(&entry.value),
        };
        match outcome {
            Outcome::Keep => entries.push(entry.clone()),
            Outcome::Clear => {}
            Outcome::Set(value) => {
                let key = patch.entry(&entry.key.text).unwrap_or(entry).key.clone();
                // A map that something was merged into is still the one that it was.
                let key = if value.at == entry.value.at { entry.key.clone() } else { key };
                entries.push(Entry { key, value });
            }
        }
    }
    for (_, Entry { key, value }) in patch.entries().iter().enumerate().filter(is_new) {
        if key.text != DIRECTIVE
            && let Some(value) = added(value, Place::New)?
        {
            entries.push(Entry { key: key.clone(), value });
        }
    }
    Ok(Outcome::Set(with_entries(old, entries)))
}

/// A map that something was merged into, of which nobody asks what it came to.
fn patched<'a>(old: &Node<'a>) -> Node<'a> {
    Node { value: Value::Elided { is_map: true, is_patched: true, leaves: None }, ..old.clone() }
}

fn with_entries<'a>(node: &Node<'a>, entries: Vec<Entry<'a>>) -> Node<'a> {
    Node { value: Value::Mapping(entries.into()), at: node.at, over: node.over.clone() }
}

/// What a value of a patch is where there was none: without nulls and directives, except in lists. `None` where nothing is left to add.
fn added<'a>(patch: &Node<'a>, place: Place) -> Result<Option<Node<'a>>, Misfit> {
    match patch.kind() {
        Kind::Null => return Ok(None),
        _ if patch.is_elided() => return Ok(Some(patch.clone())),
        Kind::Object => {}
        _ if patch.scalar().is_some_and(is_old_boolean) => return Ok(Some(quoted(patch))),
        _ => return Ok(Some(without_duplicates(patch)?.clone())),
    }
    let directive = directive(patch);
    let is_known = match (place, directive) {
        (Place::New | Place::Nested, Ok(Directive::Delete)) => return Ok(None),
        (Place::Nested, Err(misfit)) => return Err(misfit),
        (_, directive) => directive.is_ok(),
    };
    let mut entries: Vec<Entry<'a>> = Vec::with_capacity(patch.entries().len());
    // kustomize overlooks a directive that it does not know in a map that is new.
    let repeated = repeated(patch.entries());
    let of_patch = patch.entries().iter().enumerate();
    for (index, entry) in of_patch.filter(|(_, entry)| !is_known || entry.key.text != DIRECTIVE) {
        let Entry { key, value } = entry;
        if repeated.binary_search(&index).is_ok() {
            // Where the first is gone, this one stays as it is written.
            if entries.iter().any(|entry| entry.key == *key) {
                return Err(duplicate(key));
            }
            entries.push(Entry { key: key.clone(), value: without_duplicates(value)?.clone() });
        } else if let Some(value) = added(value, Place::Nested)? {
            entries.push(Entry { key: key.clone(), value });
        }
    }
    Ok(Some(with_entries(patch, entries)))
}

/// A value that goes into an object as it is, unless a key is there twice in it.
fn without_duplicates<'n, 'a>(node: &'n Node<'a>) -> Result<&'n Node<'a>, Misfit> {
    if node.scalar().is_some() {
        return Ok(node);
    }
    match node.duplicate_keys().first() {
        Some(key) => Err(duplicate(key)),
        None => Ok(node),
    }
}

/// kustomize (5.8) copies both, and stops where it reads the object again.
fn duplicate(key: &Key<'_>) -> Misfit {
    let message = format!("the key {:?} is there twice in a value that the patch adds as it is", key.text);
    Misfit { at: key.at, message }
}

/// A value that no patch names. kustomize drops what is left empty all the same, except in lists; a null that is written out stays.
fn scrub<'a>(node: &Node<'a>) -> Outcome<'a> {
    match &node.value {
        Value::Scalar(scalar) if scalar.plain && scalar.text.is_empty() => Outcome::Clear,
        Value::Scalar(scalar) if is_old_boolean(scalar) => Outcome::Set(quoted(node)),
        Value::Mapping(entries) => {
            let mut left: Option<Vec<Entry<'a>>> = None;
            for (index, entry) in entries.iter().enumerate() {
                let outcome = scrub(&entry.value);
                if !matches!(outcome, Outcome::Keep) && left.is_none() {
                    left = Some(entries[..index].to_vec());
                }
                let Some(left) = &mut left else { continue };
                match outcome {
                    Outcome::Keep => left.push(entry.clone()),
                    Outcome::Set(value) => left.push(Entry { key: entry.key.clone(), value }),
                    Outcome::Clear => {}
                }
            }
            left.map_or(Outcome::Keep, |entries| Outcome::Set(with_entries(node, entries)))
        }
        _ => Outcome::Keep,
    }
}

/// Whether it is a text, but a boolean for YAML 1.1: `yes`, `off`. kustomize puts such values in quotes wherever it merges something.
fn is_old_boolean(scalar: &Scalar<'_>) -> bool {
    scalar.plain && !matches!(scalar.text.len(), 4 | 5) && boolean(&scalar.text).is_some()
}

fn quoted<'a>(node: &Node<'a>) -> Node<'a> {
    let text = node.scalar().map(|scalar| scalar.text.clone()).unwrap_or_default();
    Node { value: Value::Scalar(Scalar { text, plain: false }), at: node.at, over: node.over.clone() }
}

/// Whether a text is one without quotes, too, so that kustomize writes none.
pub(super) fn is_word(scalar: &Scalar<'_>) -> bool {
    let text = &*scalar.text;
    let plain = Scalar { text: Str::from(text), plain: true };
    let is_time =
        text.len() > 10 && text.as_bytes()[4] == b'-' && text.as_bytes()[..4].iter().all(u8::is_ascii_digit);
    let starts_as_another = text.starts_with(|first: char| ",[]{}#&*!|>'\"%@`".contains(first))
        || (text.starts_with(['-', '?', ':']) && text[1..].starts_with([' ', '\t']));
    let holds_a_mark =
        text.contains(": ") || text.contains(" #") || text.ends_with(':') || text.trim() != text;
    let is_empty = text.is_empty();
    if is_empty || is_time || starts_as_another || holds_a_mark || text.contains(char::is_control) {
        return false;
    }
    plain.kind() == Kind::String && settled_scalar(&plain, Reading::Patches).is_none()
}

fn directive(patch: &Node<'_>) -> Result<Directive, Misfit> {
    let Some(value) = patch.get(DIRECTIVE) else { return Ok(Directive::Merge) };
    match value.scalar().map(|scalar| &*scalar.text) {
        Some("merge") => Ok(Directive::Merge),
        Some("replace") => Ok(Directive::Replace),
        Some("delete") => Ok(Directive::Delete),
        _ => Err(Misfit { at: value.at, message: "$patch takes merge, replace or delete".to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    fn one(text: &str, file: u32) -> Node<'_> {
        yaml::documents(text, file).remove(0).unwrap()
    }

    fn json(node: &Node<'_>) -> String {
        let mut json = Vec::new();
        node.write_json(&mut json);
        String::from_utf8(json).unwrap()
    }

    fn patched(object: &str, patch: &str) -> String {
        merged(&one(object, 0), &one(patch, 1)).unwrap().map_or_else(String::new, |node| json(&node))
    }

    #[test]
    fn maps_merge_and_lists_replace_and_null_deletes() {
        let object = "{a: {x: 1, y: 2}, b: [1, 2], c: 3, d: 4}";
        let patch = "{a: {y: 3, z: 4}, b: [3], c: null, e: {f: null, g: 1}}";
        assert_eq!(patched(object, patch), r#"{"a":{"x":1,"y":3,"z":4},"b":[3],"d":4,"e":{"g":1}}"#);
    }

    #[test]
    fn directives_replace_and_delete_maps() {
        assert_eq!(patched("{a: {x: 1}, b: 1}", "{a: {$patch: replace, y: 2}}"), r#"{"a":{"y":2},"b":1}"#);
        assert_eq!(patched("{a: {x: 1}, b: 1}", "{a: {$patch: delete}}"), r#"{"b":1}"#);
        assert_eq!(patched("{a: {x: 1}}", "{a: {$patch: merge, y: 2}}"), r#"{"a":{"x":1,"y":2}}"#);
        assert_eq!(patched("{a: 1}", "{$patch: delete}"), "");
        let misfit = merged(&one("{a: {}}", 0), &one("{a: {$patch: retain}}", 1)).unwrap_err();
        assert_eq!(misfit.message, "$patch takes merge, replace or delete");
    }

    #[test]
    fn what_was_in_quotes_stays_a_text() {
        assert_eq!(patched("{a: '', b: 1, c: x}", "{a: 5, b: '5', c: 5}"), r#"{"a":"5","b":"5","c":5}"#);
    }

    #[test]
    fn an_unknown_directive_is_overlooked_only_in_a_map_that_is_new() {
        assert_eq!(patched("{}", "{a: {$patch: wrong}}"), r#"{"a":{"$patch":"wrong"}}"#);
        assert!(merged(&one("{}", 0), &one("{a: {b: {$patch: wrong}}}", 1)).is_err());
    }

    #[test]
    fn what_is_left_empty_goes_and_a_null_that_is_written_stays() {
        assert_eq!(patched("a:\nb: ~\nc:\n  d:\ne: 1\n", "{e: 2}"), r#"{"b":null,"c":{},"e":2}"#);
    }

    #[test]
    fn another_kind_of_value_is_refused() {
        let misfit = merged(&one("{a: {b: 1}}", 0), &one("{a: 5}", 1)).unwrap_err();
        assert_eq!(
            (misfit.at.start(), &*misfit.message),
            (4, "the patch sets a number where there is a map")
        );
    }

    #[test]
    fn a_value_knows_what_it_took_the_place_of() {
        let object = one("{a: {x: 1, y: 2}}", 0);
        let merged = merged(&object, &one("{a: {y: 3}}", 1)).unwrap().unwrap();
        let y = merged.at(&["a", "y"]).unwrap();
        assert_eq!((y.at.file(), y.over.as_deref().unwrap().at), (1, object.at(&["a", "y"]).unwrap().at));
        assert_eq!(merged.at(&["a", "x"]).unwrap().at.file(), 0);
    }
}
