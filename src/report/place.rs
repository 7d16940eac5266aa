//! From spans to what people and tools call a place.

use std::collections::BTreeMap;
use std::ops::Range;

use super::{Excerpts, Location};
use crate::yaml::{Lines, Position};

/// How many files' lines are remembered. Findings come file by file, with places in a few others.
const MAX_FILES: usize = 64;

/// Where files are looked into; the lines of one are found once, as long as it is not left for many others.
pub(super) struct Places<'a> {
    excerpts: &'a dyn Excerpts,
    lines: BTreeMap<u32, Lines<'a>>,
}

/// A place, as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place<'a> {
    /// The file's number.
    pub(super) file: u32,
    /// The file's path, as the user knows it.
    pub(super) path: &'a str,
    /// The bytes, which are there and hold whole characters.
    pub(super) bytes: Range<usize>,
    /// Where they begin.
    pub(super) start: Position,
    /// Where the first character after them is.
    pub(super) end: Position,
}

/// A path without the `./` that a walk from here begins it with: other tools compare it with names of their own.
pub(super) fn file_name(path: &str) -> &str {
    path.strip_prefix("./").unwrap_or(path)
}

// === impl Places ===

impl<'a> Places<'a> {
    pub(super) fn new(excerpts: &'a dyn Excerpts) -> Self {
        Self { excerpts, lines: BTreeMap::new() }
    }

    /// Finds a place. A span that reaches past the end of the text, or into a character, is cut there.
    pub(super) fn of(&mut self, location: Location) -> Place<'a> {
        let span = location.span;
        let text = self.text(span.file());
        let end = text.floor_char_boundary(span.end() as usize);
        let start = text.floor_char_boundary((span.start() as usize).min(end));
        let path = self.excerpts.path(span.file());
        let lines = self.lines(span.file());
        Place {
            file: span.file(),
            path,
            bytes: start..end,
            start: lines.position(start),
            end: lines.position(end),
        }
    }

    /// Finds a place without the white space at its end: a block in YAML reaches up to what follows it, and nobody means
    /// that.
    pub(super) fn seen(&mut self, location: Location) -> Place<'a> {
        let whole = self.of(location);
        let kept = self.text(whole.file)[whole.bytes.clone()].trim_end().len();
        if kept == 0 {
            return whole;
        }
        let bytes = whole.bytes.start..whole.bytes.start + kept;
        Place { end: self.lines(whole.file).position(bytes.end), bytes, ..whole }
    }

    /// The text of a file.
    pub(super) fn text(&self, file: u32) -> &'a str {
        self.excerpts.text(file)
    }

    /// The lines of a file.
    pub(super) fn lines(&mut self, file: u32) -> &Lines<'a> {
        let excerpts = self.excerpts;
        if self.lines.len() >= MAX_FILES && !self.lines.contains_key(&file) {
            self.lines.clear();
        }
        self.lines.entry(file).or_insert_with(|| Lines::of(excerpts.text(file)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::Span;

    struct Text(&'static str);

    impl Excerpts for Text {
        fn path(&self, _: u32) -> &'static str {
            "a.yaml"
        }

        fn text(&self, _: u32) -> &'static str {
            self.0
        }
    }

    /// Where a span begins and ends, and where it is seen to end.
    fn told(text: &'static str, start: u32, end: u32) -> [String; 3] {
        let (text, location) = (Text(text), Location { span: Span::new(0, start, end) });
        let mut places = Places::new(&text);
        let (whole, seen) = (places.of(location), places.seen(location));
        [whole.start, whole.end, seen.end].map(|position| position.to_string())
    }

    #[test]
    fn what_lies_outside_of_the_text_is_cut() {
        assert_eq!(told("a: ö\n", 3, 5), ["1:4", "1:5", "1:5"]);
        assert_eq!(told("a: ö\n", 4, 4), ["1:4", "1:4", "1:4"], "within a character");
        assert_eq!(told("a: ö\n", 9, 99), ["2:1", "2:1", "2:1"]);
        assert_eq!(told("a: ö\n", 3, 1), ["1:2", "1:2", "1:2"]);
    }

    #[test]
    fn a_block_is_seen_without_the_lines_below_it() {
        assert_eq!(told("a:\n  b: 1\n\n# c\n", 0, 11), ["1:1", "4:1", "2:7"]);
        assert_eq!(told(" \n ", 0, 3), ["1:1", "2:2", "2:2"], "of white space alone all is seen");
    }
}
