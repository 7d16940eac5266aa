//! How a text looks in the YAML that kustomize-controller prints, as far as a substitution can tell.
//!
//! Quotes that YAML does not need are gone by then, so `"${PORT}"` becomes a number, and `${LIST}` may become a list.

use std::borrow::Cow;
use std::sync::Arc;

use crate::yaml::{self, Entry, Key, Mapping, Node, Scalar, Sequence, Span, Value};

/// Whether a text with a variable in it is printed without quotes, and on one line.
pub(super) fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    let is_followed_by_space = |at: usize| bytes.get(at + 1).is_none_or(|next| *next == b' ');
    let starts_like_something_else = match first {
        b' ' | b'#' | b',' | b'[' | b']' | b'{' | b'}' | b'&' | b'*' | b'!' | b'|' | b'>' | b'\'' | b'"'
        | b'%' | b'@' | b'`' => true,
        b'-' | b'?' | b':' => is_followed_by_space(0),
        _ => text.starts_with("---") || text.starts_with("..."),
    };
    !starts_like_something_else
        && !text.starts_with("---")
        && *last != b' '
        && !text.contains(char::is_control)
        && !bytes.iter().enumerate().any(|(at, byte)| match byte {
            b':' => is_followed_by_space(at),
            b'#' => at > 0 && bytes[at - 1] == b' ',
            _ => false,
        })
}

/// What a text means that stands without quotes: as the value of a key, or as an item of a list. Nothing, where it is no YAML there.
pub(super) fn read<'a>(text: &str, is_item: bool, at: Span) -> Option<Node<'a>> {
    let plain = |text: &str| {
        Some(Node {
            value: Value::Scalar(Scalar { text: text.to_owned().into(), plain: true }),
            at,
            over: None,
        })
    };
    let text = text.trim_matches(' ');
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    if text.bytes().all(is_word) && !text.starts_with(['-', '.']) {
        return plain(text);
    }
    let document = if is_item { format!("- {text}\n") } else { format!("k: {text}\n") };
    let root = yaml::documents(&document, at.file).into_iter().next()?.ok()?;
    match &root.value {
        Value::Sequence(sequence) if is_item && sequence.items.len() == 1 => {
            Some(moved(&sequence.items[0], at))
        }
        Value::Mapping(mapping) if !is_item && mapping.entries.len() == 1 => {
            Some(moved(&mapping.entries[0].value, at))
        }
        _ => None,
    }
}

/// The same value as if it stood somewhere else, with texts of its own.
fn moved<'a>(node: &Node<'_>, at: Span) -> Node<'a> {
    let own = |text: &Cow<'_, str>| Cow::Owned(text.clone().into_owned());
    let value = match &node.value {
        Value::Scalar(scalar) => Value::Scalar(Scalar { text: own(&scalar.text), plain: scalar.plain }),
        Value::Sequence(sequence) => {
            let items = sequence.items.iter().map(|item| moved(item, at)).collect();
            Value::Sequence(Arc::new(Sequence { items, flow: sequence.flow }))
        }
        Value::Mapping(mapping) => {
            let entries = mapping.entries.iter().map(|Entry { key, value }| Entry {
                key: Key { text: own(&key.text), at },
                value: moved(value, at),
            });
            Value::Mapping(Arc::new(Mapping {
                entries: entries.collect(),
                flow: mapping.flow,
                elided: mapping.elided,
            }))
        }
    };
    Node { value, at, over: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Span = Span { file: 0, start: 1, end: 2 };

    #[test]
    fn quotes_stay_only_where_yaml_needs_them() {
        for plain in ["${A}", "a ${A} b", "oci://${A}:1", "a#${A}", "-${A}", "x{${A}}", "ä${A}"] {
            assert!(is_plain(plain), "{plain}");
        }
        for quoted in [
            "", " ${A}", "${A} ", "${A}: b", "${A}:", "${A} # b", "'${A}'", "- ${A}", "{${A}}", "a\n${A}",
            "---${A}", "a\t${A}",
        ] {
            assert!(!is_plain(quoted), "{quoted}");
        }
    }

    #[test]
    fn what_is_put_in_is_read_again() {
        let json = |text: &str, is_item| {
            let mut json = Vec::new();
            read(text, is_item, AT)?.write_json(&mut json);
            Some(String::from_utf8(json).unwrap())
        };
        for (text, said) in [
            ("8080", "8080"),
            ("true", "true"),
            ("", "null"),
            (" a ", "\"a\""),
            ("-1", "-1"),
            ("[a, {b: 1}]", r#"["a",{"b":1}]"#),
            ("\"00\"", "\"00\""),
            ("a # b", "\"a\""),
            ("oci://x/y:1", "\"oci://x/y:1\""),
        ] {
            assert_eq!(json(text, false).as_deref(), Some(said), "{text}");
            assert_eq!(json(text, true).as_deref(), Some(said), "{text}");
        }
        assert_eq!(json("a: b", false), None);
        assert_eq!(json("a: b", true).as_deref(), Some(r#"{"a":"b"}"#));
        assert_eq!(read("[a]", false, AT).unwrap().items()[0].at, AT);
    }
}
