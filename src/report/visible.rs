//! What may be shown: nothing in a file or a name may steer the terminal, or the log, that it is shown in.

use std::fmt::Write as _;
use std::io::{self, Write};

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::{Formatter, PrettyFormatter};

/// A text with a sign in the place of each character that steers instead of being seen. It is one line.
pub(super) fn visible(text: &str) -> String {
    // Nearly all are of ASCII, and have no controls.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.to_owned();
    }
    visible_chars(text).collect()
}

/// The characters of a text as [`visible`] shows them, one for one.
pub(super) fn visible_chars(text: &str) -> impl Iterator<Item = char> {
    let mut before = None;
    let mut rest = text.chars();
    std::iter::from_fn(move || {
        let character = rest.next()?;
        let joins = is_joiner(character) && shapes(before) && shapes(rest.clone().next());
        before = Some(character);
        Some(if joins { character } else { visible_char(character) })
    })
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
        hidden if is_hidden(hidden) || is_joiner(hidden) => char::REPLACEMENT_CHARACTER,
        seen => seen,
    }
}

/// U+200C and U+200D, which change the letters or emoji beside them in some scripts, and hide beside others.
fn is_joiner(character: char) -> bool {
    matches!(character, '\u{200c}' | '\u{200d}')
}

/// Whether a character may change beside a joiner. None of the scripts before Arabic (Latin, Greek, Cyrillic, Armenian,
/// Hebrew) does; modifiers of emoji and variation selectors occur between the two that are joined.
fn shapes(character: Option<char>) -> bool {
    character.is_some_and(|character| {
        character >= '\u{600}' && !is_joiner(character) && !(is_hidden(character) && character != '\u{fe0f}')
    })
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

/// Whether a character above ASCII is not seen, but changes how others are, or hides in names: controls, line ends, characters
/// that turn the direction of a text, noncharacters, and all of `Default_Ignorable_Code_Point` (Unicode 14.0,
/// `DerivedCoreProperties.txt`; unassigned ones included) but the two joiners.
fn is_hidden(character: char) -> bool {
    matches!(character,
        '\u{80}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{fff9}'..='\u{fffb}' | '\u{fdd0}'..='\u{fdef}'
        // Default_Ignorable_Code_Point, in its order.
        | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
        || u32::from(character) & 0xfffe == 0xfffe
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
        for text in ["", "zürich ⎈ 日本語 👩‍💻", "e\u{301}", "می‌خواهم", "क्‍ष"]
        {
            assert_eq!(visible(text), text);
        }
    }

    #[test]
    fn what_hides_in_a_name_is_shown_as_a_sign() {
        let hidden = [
            '\u{ad}',
            '\u{34f}',
            '\u{115f}',
            '\u{1160}',
            '\u{17b4}',
            '\u{180e}',
            '\u{180f}',
            '\u{200b}',
            '\u{2064}',
            '\u{2065}',
            '\u{3164}',
            '\u{fe00}',
            '\u{fe0f}',
            '\u{ffa0}',
            '\u{fff0}',
            '\u{1bca0}',
            '\u{1d173}',
            '\u{e0000}',
            '\u{e0041}',
            '\u{e007f}',
            '\u{e0100}',
            '\u{e01ef}',
            '\u{e0fff}',
            '\u{fdd0}',
            '\u{1fffe}',
            '\u{10ffff}',
        ];
        for hidden in hidden {
            assert_eq!(visible(&format!("pod{hidden}info")), "pod\u{fffd}info", "{hidden:?}");
        }
        for joined in
            ["pod\u{200d}info", "под\u{200c}инфо", "\u{200d}", "日\u{200d}\u{200d}本", "日\u{200d}a"]
        {
            assert!(visible(joined).contains('\u{fffd}'), "{joined:?}");
        }
    }

    #[test]
    fn characters_are_shown_one_for_one() {
        let text = "a\u{200d}b👩‍💻\u{ad}\n";
        assert_eq!(visible_chars(text).count(), text.chars().count());
    }

    #[test]
    fn json_says_the_same_without_raw_controls() {
        let text: String =
            ('\0'..='\u{2100}').filter(|one| !is_joiner(*one)).chain("\u{feff}\u{e0041}😀".chars()).collect();
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
