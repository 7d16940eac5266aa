//! What may be shown: nothing in a file or a name may steer the terminal, or the log, that it is shown in.

use std::fmt::Write as _;
use std::io::{self, Write};

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::{Formatter, PrettyFormatter};

/// A text with a sign in the place of each character that steers instead of being seen. It is one line.
pub(super) fn visible(text: &str) -> String {
    text.chars().map(visible_char).collect()
}

/// The lines of a text, each as [`visible`] shows it.
pub(super) fn visible_lines(text: &str) -> impl Iterator<Item = String> {
    text.lines().map(visible)
}

/// The character itself, or the sign that stands for it: `␛` for ESC, and U+FFFD for what has none.
pub(super) fn visible_char(character: char) -> char {
    match character {
        '\u{7f}' => '\u{2421}',
        control if control < ' ' => {
            char::from_u32(u32::from(control) + 0x2400).expect("the signs of the controls are in one row")
        }
        hidden if is_hidden(hidden) => char::REPLACEMENT_CHARACTER,
        seen => seen,
    }
}

/// A line as XML or HTML, in a text or an attribute. What is not visible may not be in XML 1.0 either.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in visible(text).chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A JSON text with an escape in the place of each character that JSON lets stand raw and that steers a terminal.
pub(super) fn safe_json(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for character in json.chars() {
        // Of ASCII, serde_json leaves DEL alone raw in a text, and writes line feeds between them.
        if character == '\u{7f}' || is_hidden(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(character);
        }
    }
    safe
}

/// Writes a value as JSON for people, a line feed behind it, as [`safe_json`] has it: piece by piece, so that it is never in memory as a
/// whole.
pub(super) fn write_json(value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    value.serialize(&mut Serializer::with_formatter(&mut *out, Safe(PrettyFormatter::new())))?;
    out.write_all(b"\n")
}

/// The pretty format, with escapes for what steers.
struct Safe(PrettyFormatter<'static>);

impl Formatter for Safe {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        // Nearly all are ASCII, of which DEL alone is to be escaped here.
        if fragment.bytes().all(|byte| byte < 0x7f) {
            return writer.write_all(fragment.as_bytes());
        }
        writer.write_all(safe_json(fragment).as_bytes())
    }

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

/// A JSON text that may stand within a `<script>` of HTML: the same, and without any `<`, so that no text in it ends the
/// script or begins a comment (`</script`, `<!--`).
pub(super) fn script_json(json: &str) -> String {
    // Outside of texts JSON has no such character.
    safe_json(json).replace('<', "\\u003c")
}

/// Whether a character above ASCII is not seen, but changes how others are: controls, line ends, what turns the
/// direction of a text, marks without width that hide in names, tags, and what is no character at all.
fn is_hidden(character: char) -> bool {
    matches!(character,
        '\u{80}'..='\u{9f}' | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}'
        | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_is_shown_as_a_sign() {
        assert_eq!(visible("a\u{1b}[31mb\r\n\t\0\u{7f}"), "a␛[31mb␍␊␉␀␡");
        assert_eq!(visible("\u{9b}2J \u{202e}abc \u{feff}"), "\u{fffd}2J \u{fffd}abc \u{fffd}");
    }

    #[test]
    fn what_is_seen_stays() {
        for text in ["", "zürich ⎈ 日本語 👩‍💻", "e\u{301}"] {
            assert_eq!(visible(text), text);
        }
    }

    #[test]
    fn json_says_the_same_without_raw_controls() {
        let text: String = ('\0'..='\u{2100}').chain("\u{feff}\u{e0041}😀".chars()).collect();
        let json = safe_json(&serde_json::to_string_pretty(&vec![&text]).unwrap());
        assert!(
            !json.chars().any(|character| character != '\n' && visible_char(character) != character),
            "{json}"
        );
        assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), [text.as_str()]);

        let value = serde_json::json!({ "\u{feff}": [text, {}, [], [1, null]], "b": { "c": true } });
        let mut written = Vec::new();
        write_json(&value, &mut written).unwrap();
        assert_eq!(String::from_utf8(written).unwrap(), format!("{}\n", safe_json(&format!("{value:#}"))));
    }

    #[test]
    fn json_in_a_script_says_the_same_and_cannot_end_it() {
        let text = "</script><!--<script>\u{2028}\\u003c\\";
        let json = script_json(&serde_json::to_string(&[text]).unwrap());
        assert!(!json.contains('<') && !json.contains('\u{2028}'), "{json}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), [text]);
    }
}
