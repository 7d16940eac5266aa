//! From bytes to what an editor shows.

use std::fmt;

use memchr::memchr2_iter;

/// Where the lines of a text begin.
#[derive(Debug, Clone)]
pub struct Lines<'a> {
    text: &'a str,
    /// The byte offset of the first byte of each line.
    starts: Vec<usize>,
}

/// A place in a text, as editors count: both from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

// === impl Lines ===

impl<'a> Lines<'a> {
    /// Finds the lines of a text. They end with `\n`, `\r\n` or, as YAML has it, a lone `\r`.
    pub fn of(text: &'a str) -> Self {
        let bytes = text.as_bytes();
        let ends = memchr2_iter(b'\n', b'\r', bytes)
            .filter(|at| bytes[*at] == b'\n' || bytes.get(at + 1) != Some(&b'\n'));
        let starts = std::iter::once(0).chain(ends.map(|at| at + 1)).collect();
        Self { text, starts }
    }

    /// The place of a byte. An offset past the end, or inside a character, is the end or that character.
    pub fn position(&self, offset: usize) -> Position {
        let line = self.starts.partition_point(|start| *start <= offset);
        let before = &self.text.as_bytes()[self.starts[line - 1]..offset.min(self.text.len())];
        // A byte of the form 10xxxxxx continues a character.
        let characters = before.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
        // A byte-order mark takes no room on the screen.
        let invisible = usize::from(line == 1 && before.starts_with("\u{feff}".as_bytes()));
        Position { line, column: characters - invisible + 1 }
    }

    /// A line by its number, without its end; empty where there is none.
    pub fn line(&self, number: usize) -> &'a str {
        let Some(start) = number.checked_sub(1).and_then(|index| self.starts.get(index)) else { return "" };
        let end = self.starts.get(number).copied().unwrap_or(self.text.len());
        self.text[*start..end].trim_end_matches(['\n', '\r'])
    }

    /// The byte offset at which a line begins; the end of the text where there is no such line.
    pub fn start(&self, number: usize) -> usize {
        let start = number.checked_sub(1).and_then(|index| self.starts.get(index));
        start.copied().unwrap_or(self.text.len())
    }

    /// How many lines there are; what follows the last line end counts, even if it is empty.
    pub fn count(&self) -> usize {
        self.starts.len()
    }
}

// === impl Position ===

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_lines_and_characters_from_one() {
        let lines = Lines::of("ä: ö\nb\r\nc\rd");
        let places = [(0, "1:1"), (2, "1:2"), (6, "1:5"), (7, "2:1"), (10, "3:1"), (12, "4:1"), (99, "4:2")];
        for (offset, place) in places {
            assert_eq!(lines.position(offset).to_string(), place, "byte {offset}");
        }
        assert_eq!([1, 2, 3, 4, 5, 0].map(|number| lines.line(number)), ["ä: ö", "b", "c", "d", "", ""]);
    }

    #[test]
    fn a_byte_order_mark_takes_no_column() {
        assert_eq!(Lines::of("\u{feff}a: 1").position(3).to_string(), "1:1");
    }
}
