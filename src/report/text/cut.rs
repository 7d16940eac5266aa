//! A line of a file as it fits on a screen.

use std::ops::Range;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::report::visible::{visible_char, visible_chars};

/// What a tab is shown as. YAML allows none where lines are indented, so no stop has to be met.
const TAB: &str = "    ";

/// A line, or the part of it around a mark, with nothing in it that steers a terminal.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// What is shown, with an ellipsis where something is not.
    pub(super) text: String,
    /// The columns, from 0, under which each mark is.
    pub(super) marks: Vec<Range<usize>>,
}

impl Cut {
    /// Cuts a line to so many columns. The marks are ranges of its bytes; the first one stays in sight.
    pub(super) fn of(line: &str, marks: &[Range<usize>], columns: usize) -> Self {
        let focus = marks.first().cloned().unwrap_or_default();
        let window = window(line, &focus, columns);
        let mut text = String::new();
        if window.start > 0 {
            text.push('…');
        }
        // From bytes of the line to bytes of the text.
        let mut offsets = Vec::new();
        let shown = &line[window.clone()];
        for ((at, character), seen) in shown.char_indices().zip(visible_chars(shown)) {
            offsets.push((window.start + at, text.len()));
            match character {
                '\t' => text.push_str(TAB),
                _ => text.push(seen),
            }
        }
        let end = text.len();
        let column = |byte: usize| {
            let index = offsets.partition_point(|(at, _)| *at < byte);
            text[..offsets.get(index).map_or(end, |(_, offset)| *offset)].width()
        };
        let marks = marks.iter().map(|mark| {
            let start = column(mark.start);
            start..column(mark.end).max(start + 1)
        });
        let marks = marks.collect();
        if window.end < line.len() {
            text.push('…');
        }
        Self { text, marks }
    }
}

/// The bytes of a line that fit into so many columns with an ellipsis at either end: all, or those around the focus.
fn window(line: &str, focus: &Range<usize>, columns: usize) -> Range<usize> {
    if fitting(line.chars(), columns).bytes == line.len() {
        return 0..line.len();
    }
    let columns = columns.saturating_sub(2);
    let (before, after) = line.split_at(line.floor_char_boundary(focus.start));
    // A third of the room is for what leads to the focus, and more where what follows is short.
    let wanted = fitting(after.chars(), columns * 2 / 3).columns;
    let lead = fitting(before.chars().rev(), columns - wanted);
    let follow = fitting(after.chars(), columns - lead.columns);
    before.len() - lead.bytes..before.len() + follow.bytes
}

/// How much fits.
struct Fitting {
    bytes: usize,
    columns: usize,
}

/// How much of a text fits into so many columns. Marks without width take none, so their number has a limit of its own.
fn fitting(text: impl Iterator<Item = char>, columns: usize) -> Fitting {
    let mut fitting = Fitting { bytes: 0, columns: 0 };
    for character in text.take(4 * columns) {
        let width = match character {
            '\t' => TAB.len(),
            other => visible_char(other).width().unwrap_or(0),
        };
        if fitting.columns + width > columns {
            break;
        }
        fitting.columns += width;
        fitting.bytes += character.len_utf8();
    }
    fitting
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line as shown, and the marks below it.
    fn shown(line: &str, marks: &[&str], columns: usize) -> String {
        let ranges = marks.iter().map(|mark| {
            let start = line.find(mark).unwrap();
            start..start + mark.len()
        });
        let Cut { text, marks } = Cut::of(line, &ranges.collect::<Vec<_>>(), columns);
        assert!(text.width() <= columns, "{text}");
        let rows = marks.iter().map(|mark| format!("\n{}{}", " ".repeat(mark.start), "^".repeat(mark.len())));
        text + &rows.collect::<String>()
    }

    #[test]
    fn marks_stand_under_what_they_mark() {
        insta::assert_snapshot!(shown("name: podinfo", &["podinfo"], 40), @r"
        name: podinfo
              ^^^^^^^
        ");
        insta::assert_snapshot!(shown("日本語: 東京 # x", &["東京", "x"], 40), @r"
        日本語: 東京 # x
                ^^^^
                       ^
        ");
        insta::assert_snapshot!(shown("a:\tb\u{1b}[0mc", &["b", "c"], 40), @r"
        a:    b␛[0mc
              ^
                   ^
        ");
    }

    #[test]
    fn a_long_line_is_cut_around_its_first_mark() {
        let line = format!("{} here {}", "a".repeat(500), "b".repeat(500));
        insta::assert_snapshot!(shown(&line, &["here"], 40), @r"
        …aaaaaaaaaaaa here bbbbbbbbbbbbbbbbbbbb…
                      ^^^^
        ");
        insta::assert_snapshot!(shown(&line[..505], &["here"], 40), @r"
        …aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa here
                                           ^^^^
        ");
        insta::assert_snapshot!(shown(&line, &["aaa"], 40), @r"
        aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…
        ^^^
        ");
    }

    #[test]
    fn a_million_marks_without_width_are_cut_too() {
        let Cut { text, .. } = Cut::of(&"e\u{301}".repeat(1_000_000), &[0..1, 1..3], 40);
        assert!(text.len() < 1_000, "{}", text.len());
    }
}
