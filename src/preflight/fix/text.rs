//! Where lines, values and comments of a text end.

use crate::yaml::{Form, Pair, Style, Written};

/// The end of the line that a byte is on, before its line end.
pub(super) fn line_end(text: &str, at: usize) -> usize {
    text[at..].find(['\n', '\r']).map_or(text.len(), |length| at + length)
}

/// The start of the line that a byte is on. A byte-order mark is no part of it.
pub(super) fn line_start(text: &str, at: usize) -> usize {
    let start = text[..at].rfind(['\n', '\r']).map_or(0, |end| end + 1);
    if text[start..].starts_with('\u{feff}') { start + '\u{feff}'.len_utf8() } else { start }
}

/// The start of the line after the one that ends at a byte.
pub(super) fn next_line(text: &str, end: usize) -> usize {
    end + ["\r\n", "\n", "\r"].iter().find(|it| text[end..].starts_with(**it)).map_or(0, |it| it.len())
}

/// The line end at a byte; where the text ends there, the one that its other lines have.
pub(super) fn line_break(text: &str, at: usize) -> &'static str {
    let from = if at == text.len() { line_end(text, 0) } else { at };
    match text.as_bytes().get(from..) {
        Some([b'\r', b'\n', ..]) => "\r\n",
        Some([b'\r', ..]) => "\r",
        _ => "\n",
    }
}

/// Whether a text is nothing but white space, or that and a comment.
pub(super) fn is_blank_or_comment(text: &str) -> bool {
    let rest = text.trim_start();
    // A `#` without a space before it is no comment.
    rest.is_empty() || (rest.starts_with('#') && rest.len() < text.len())
}

/// The byte after an entry: after its value, or after its colon where nothing follows.
pub(super) fn end_of(text: &str, pair: &Pair<'_>) -> usize {
    let key = pair.key.at.end() as usize;
    let value = &pair.value;
    if value.at.start() == value.at.end() && value.text() == Some("") {
        return colon(text, key).map_or(key, |colon| colon + 1).max(value.at.end() as usize);
    }
    end_of_value(text, value)
}

/// The byte of the colon behind a key, if nothing but white space is in between.
pub(super) fn colon(text: &str, key_end: usize) -> Option<usize> {
    let rest = &text[key_end..];
    let space = rest.len() - rest.trim_start_matches([' ', '\t']).len();
    rest[space..].starts_with(':').then_some(key_end + space)
}

fn end_of_value(text: &str, value: &Written<'_>) -> usize {
    let (start, end) = (value.at.start() as usize, value.at.end() as usize);
    match &value.form {
        Form::Scalar(_, Style::Block) => end_of_block(text, start, end),
        Form::Mapping { entries, flow: false } => entries.last().map_or(end, |last| end_of(text, last)),
        Form::Sequence { items, flow: false } => items.last().map_or(end, |last| end_of_value(text, last)),
        Form::Scalar(..) | Form::Alias | Form::Mapping { .. } | Form::Sequence { .. } => end,
    }
}

/// The end of a block scalar: empty lines behind it belong to it only where its header keeps them (`|+`).
fn end_of_block(text: &str, start: usize, end: usize) -> usize {
    let header = text[..start].trim_end().rsplit(['\n', '\r']).next().unwrap_or_default();
    let header = header.split(" #").next().unwrap_or_default().trim_end();
    let keeps = header.trim_end_matches(|letter: char| letter.is_ascii_digit()).ends_with('+');
    let body = &text[start..end];
    if keeps {
        let body = body.strip_suffix('\n').unwrap_or(body);
        return start + body.strip_suffix('\r').unwrap_or(body).len();
    }
    start + body.trim_end_matches([' ', '\t', '\n', '\r']).len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::Layout;

    #[test]
    fn a_comment_has_a_space_before_it() {
        assert!(is_blank_or_comment("") && is_blank_or_comment("  # x") && is_blank_or_comment(" \t"));
        assert!(!is_blank_or_comment("# x") && !is_blank_or_comment(" x"));
    }

    #[test]
    fn knows_the_line_ends_of_a_file() {
        assert_eq!(line_break("a\r\nb", 1), "\r\n");
        assert_eq!(line_break("a\r\nb", 4), "\r\n");
        assert_eq!(line_break("a", 1), "\n");
        assert_eq!(line_start("\u{feff}a", 4), 3);
    }

    #[test]
    fn an_entry_ends_with_what_belongs_to_it() {
        for (text, entry) in [
            ("a: 1 # c\n", "a: 1"),
            ("a:   # c\n# d\n", "a:"),
            ("a: |\n  x\n\n\n", "a: |\n  x"),
            ("a: |+ # c\n  x\n\n", "a: |+ # c\n  x\n"),
            ("a:\n  - b: 1\n    c: [2]\n# d\n", "a:\n  - b: 1\n    c: [2]"),
            ("a: [1, 2]\n\n", "a: [1, 2]"),
            ("{a: 2, b: 1}", "{a: 2, b: 1"),
        ] {
            let layout = Layout::of(text, 0);
            let key = crate::yaml::documents(text, 0).remove(0).unwrap();
            let first = layout.value_of_key(key.entries().last().unwrap().key.at).unwrap();
            assert_eq!(&text[..end_of(text, first.pair().unwrap())], entry, "{text:?}");
        }
    }
}
