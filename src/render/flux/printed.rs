//! How a text looks in the YAML that kustomize-controller prints, as far as a substitution can tell.
//!
//! Quotes that YAML does not need are gone by then, so `"${PORT}"` becomes a number, and `${LIST}` may become a list.

use std::fmt::Write as _;

use crate::json::Kind;
use crate::yaml::{self, Node, Scalar, Span, Value};

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Without quotes.
    Plain,
    /// In single quotes.
    Single,
    /// In double quotes.
    Double,
    /// Line by line in a block.
    Literal,
}

/// Where a text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It is a key.
    Key,
    /// It is the value of a key.
    Value,
    /// It is an item of a list.
    Item,
}

/// How kustomize-controller writes a text with a variable in it.
pub(super) fn style(text: &str, place: Place) -> Style {
    if is_plain(text) {
        return Style::Plain;
    }
    let has_special = text.contains(|it: char| it != '\n' && !is_printable(it));
    if text.contains('\n') {
        let is_block = place != Place::Key && !has_special && !text.ends_with(' ') && !text.contains(" \n");
        return if is_block { Style::Literal } else { Style::Double };
    }
    if has_special { Style::Double } else { Style::Single }
}

fn is_printable(it: char) -> bool {
    !it.is_control() && it != '\u{feff}' || it == '\u{85}'
}

/// A text in a style, as it stands behind the key `k` at the start of a line.
pub(super) fn written(text: &str, style: Style) -> String {
    match style {
        Style::Plain => text.to_owned(),
        Style::Single => format!("'{}'", text.replace('\'', "''")),
        Style::Double => {
            let mut written = String::from("\"");
            for it in text.chars() {
                match it {
                    '"' => written.push_str("\\\""),
                    '\\' => written.push_str("\\\\"),
                    '\n' => written.push_str("\\n"),
                    '\t' => written.push_str("\\t"),
                    it if is_printable(it) => written.push(it),
                    it => write!(written, "\\U{:08X}", u32::from(it)).expect("memory can be written"),
                }
            }
            written.push('"');
            written
        }
        Style::Literal => {
            let hint = if text.starts_with([' ', '\n']) { "2" } else { "" };
            let chomps = match text.strip_suffix('\n') {
                None => "-",
                Some(rest) if rest.is_empty() || rest.ends_with('\n') => "+",
                Some(_) => "",
            };
            let mut written = format!("|{hint}{chomps}");
            for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
                let indent = if line.is_empty() { "" } else { "  " };
                write!(written, "\n{indent}{line}").expect("memory can be written");
            }
            written
        }
    }
}

/// Whether what variables become can change how a block is read: at its start, where the indent is told, and at its end, which may get lost.
pub(super) fn is_open_block(text: &str) -> bool {
    let mut lines = text.lines().filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    first.starts_with('$') || lines.next_back().is_some_and(|last| last.starts_with('$'))
}

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

/// What a text means as it is written: as the value of a key, or as an item of a list. Nothing, where it is no YAML there, or none that JSON has a word for.
pub(super) fn read<'a>(text: &str, place: Place, at: Span) -> Option<Node<'a>> {
    let plain = |text: &str| {
        Some(Node {
            value: Value::Scalar(Scalar { text: text.to_owned().into(), plain: true }),
            at,
            over: None,
        })
    };
    let trimmed = text.trim_matches(' ');
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    if trimmed.bytes().all(is_word) && !trimmed.starts_with(['-', '.']) {
        return plain(trimmed);
    }
    let is_item = place == Place::Item;
    let document = if is_item { format!("- {text}\n") } else { format!("k: {text}\n") };
    let root = yaml::documents(&document, at.file()).into_iter().next()?.ok()?;
    let node = match &root.value {
        Value::Sequence(items) if is_item && items.len() == 1 => moved(&items[0], at),
        Value::Mapping(entries) if !is_item && entries.len() == 1 => moved(&entries[0].value, at),
        _ => return None,
    };
    is_json(&node).then_some(node)
}

/// What a text means as it is written for a key: numbers and booleans become the texts that JSON has for them. Nothing, where it is no key.
pub(super) fn read_key(text: &str) -> Option<String> {
    let document = format!("{text}: x\n");
    let root = yaml::documents(&document, 0).into_iter().next()?.ok()?;
    let [entry] = root.entries() else { return None };
    let plain = !text.trim_start().starts_with(['\'', '"']);
    let key = Scalar { text: entry.key.text.clone(), plain };
    match key.kind() {
        Kind::Null => None,
        Kind::Boolean => yaml::boolean(&key.text).map(str::to_owned),
        Kind::Number => yaml::number(&key.text).map(std::borrow::Cow::into_owned),
        _ => Some(key.text.to_string()),
    }
}

/// Whether JSON has a word for all of it.
fn is_json(node: &Node<'_>) -> bool {
    match &node.value {
        Value::Scalar(scalar) => !(scalar.plain && yaml::is_endless(&scalar.text)),
        Value::Sequence(items) => items.iter().all(is_json),
        Value::Mapping(entries) => entries.iter().all(|entry| is_json(&entry.value)),
        Value::Elided { .. } => true,
    }
}

/// The same value as if it stood somewhere else, with texts of its own.
fn moved<'a>(node: &Node<'_>, at: Span) -> Node<'a> {
    node.moved(&|_| at, &|text, _| text.clone().into_shared())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> Span {
        Span::new(0, 1, 2)
    }

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
        let json = |text: &str, place| {
            let mut json = Vec::new();
            read(text, place, at())?.write_json(&mut json);
            Some(String::from_utf8(json).unwrap())
        };
        for (text, said) in [
            ("8080", "8080"),
            ("true", "true"),
            ("", "null"),
            (" a ", "\"a\""),
            ("-1", "-1"),
            ("010", "8"),
            ("y", "true"),
            ("[a, {b: 1}]", r#"["a",{"b":1}]"#),
            ("\"00\"", "\"00\""),
            ("a # b", "\"a\""),
            ("oci://x/y:1", "\"oci://x/y:1\""),
        ] {
            assert_eq!(json(text, Place::Value).as_deref(), Some(said), "{text}");
            assert_eq!(json(text, Place::Item).as_deref(), Some(said), "{text}");
        }
        assert_eq!(json("a: b", Place::Value), None);
        assert_eq!(json(".inf", Place::Value), None);
        assert_eq!(json("a: b", Place::Item).as_deref(), Some(r#"{"a":"b"}"#));
        assert_eq!(read("[a]", Place::Value, at()).unwrap().items()[0].at, at());
    }

    #[test]
    fn quotes_and_blocks_are_read_as_they_are_written() {
        for (text, place, how, as_written) in [
            ("a: ${A}", Place::Value, Style::Single, "'a: ${A}'"),
            ("- 'x ${A}", Place::Value, Style::Single, "'- ''x ${A}'"),
            ("\t${A}\\", Place::Value, Style::Double, r#""\t${A}\\""#),
            ("a\n${A}", Place::Value, Style::Literal, "|-\n  a\n  ${A}"),
            (" a\n\n${A}\n\n", Place::Value, Style::Literal, "|2+\n   a\n\n  ${A}\n"),
            ("a \n${A}", Place::Value, Style::Double, r#""a \n${A}""#),
            ("a\n${A}", Place::Key, Style::Double, r#""a\n${A}""#),
        ] {
            assert_eq!(style(text, place), how, "{text:?}");
            assert_eq!(written(text, how), as_written);
            assert_eq!(read(as_written, Place::Value, at()).unwrap().text(), Some(text), "{as_written}");
        }
        assert!(is_open_block("${A}\nx\n") && is_open_block("x\n${A}\n") && !is_open_block("a\n${A}\nb\n"));
    }

    #[test]
    fn a_key_is_a_text_in_the_end() {
        for (text, key) in [
            ("a", Some("a")),
            ("010", Some("8")),
            ("y", Some("true")),
            ("'y'", Some("y")),
            ("~", None),
            ("a: b", None),
        ] {
            assert_eq!(read_key(text).as_deref(), key, "{text}");
        }
    }
}
