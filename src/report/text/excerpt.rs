//! The lines of a file that a finding is about, with marks under them.

use std::io::{self, Write};
use std::ops::Range;

use super::cut::Cut;
use crate::report::paint::{Paint, Style};
use crate::report::place::{Place, Places};
use crate::report::visible::visible;
use crate::report::{Grade, Location, Related};

/// How many lines of a place that takes several are shown; of more, the first ones and the last.
const MAX_LINES: usize = 6;

/// A place to be marked.
pub(super) struct Mark<'a> {
    place: Place<'a>,
    /// What is said of it; nothing where the headline does.
    label: String,
    /// Whether it is what the finding is about.
    main: bool,
}

/// Writes what one finding is about.
pub(super) struct Excerpt<'p, 'a> {
    pub(super) places: &'p mut Places<'a>,
    pub(super) paint: Paint,
    /// What the main mark's colour tells.
    pub(super) grade: Grade,
    pub(super) width: usize,
    /// How many columns the line numbers take.
    pub(super) gutter: usize,
    /// Whether something is said below.
    pub(super) followed: bool,
}

/// What a file may begin with that is no part of its text.
const BYTE_ORDER_MARK: char = '\u{feff}';

// === impl Mark ===

impl<'a> Mark<'a> {
    pub(super) fn main(location: Location, places: &mut Places<'a>) -> Self {
        Self { place: places.seen(location), label: String::new(), main: true }
    }

    pub(super) fn related(related: &Related, places: &mut Places<'a>) -> Self {
        let Related { location, what } = related;
        Self { place: places.seen(*location), label: visible(what), main: false }
    }

    pub(super) fn last_line(&self) -> usize {
        self.place.end.line
    }

    fn is_one_line(&self) -> bool {
        self.place.start.line == self.place.end.line
    }
}

// === impl Excerpt ===

impl<'a> Excerpt<'_, 'a> {
    /// Writes the lines of all marks: those of one file together, the file of the first mark first.
    pub(super) fn write(&mut self, marks: &[Mark<'a>], out: &mut dyn Write) -> io::Result<()> {
        let mut rest: Vec<_> = marks.iter().collect();
        let mut arrow = "-->";
        while let Some(first) = rest.first().copied() {
            let (mut block, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(|mark| {
                let together = first.is_one_line() && mark.is_one_line();
                std::ptr::eq(*mark, first) || together && mark.place.file == first.place.file
            });
            rest = others;
            self.heading(arrow, &first.place, out)?;
            arrow = ":::";
            if self.places.text(first.place.file).is_empty() {
                self.labels(&block, out)?;
                continue;
            }
            self.row("", "", out)?;
            if first.is_one_line() {
                block.sort_by_key(|mark| (mark.place.start.line, !mark.main, mark.place.bytes.start));
                self.lines(&block, out)?;
            } else {
                self.several(first, out)?;
            }
            if self.followed || !rest.is_empty() {
                self.row("", "", out)?;
            }
        }
        Ok(())
    }

    fn heading(&self, arrow: &str, place: &Place<'_>, out: &mut dyn Write) -> io::Result<()> {
        let arrow = self.paint.paint(Style::Frame, arrow);
        writeln!(out, "{:gutter$}{arrow} {}:{}", "", visible(place.path), place.start, gutter = self.gutter)
    }

    /// What is said of places in a file whose text is not known, or which has none.
    fn labels(&self, marks: &[&Mark<'_>], out: &mut dyn Write) -> io::Result<()> {
        marks.iter().filter(|mark| !mark.label.is_empty()).try_for_each(|mark| {
            writeln!(
                out,
                "{:gutter$} {} {}",
                "",
                self.paint.paint(Style::Frame, "="),
                mark.label,
                gutter = self.gutter
            )
        })
    }

    /// Marks within lines, in the order of the lines. What lies between two of them is folded.
    fn lines(&mut self, marks: &[&Mark<'_>], out: &mut dyn Write) -> io::Result<()> {
        let mut last = None;
        for same in marks.chunk_by(|left, right| left.place.start.line == right.place.start.line) {
            let number = same[0].place.start.line;
            match last.map(|last| number - last) {
                Some(2) => self.line(same[0].place.file, number - 1, &[], out)?,
                Some(3..) => writeln!(out, "{}", self.paint.paint(Style::Frame, "..."))?,
                _ => {}
            }
            self.line(same[0].place.file, number, same, out)?;
            last = Some(number);
        }
        Ok(())
    }

    /// A line, and below it its marks.
    fn line(&mut self, file: u32, number: usize, marks: &[&Mark<'_>], out: &mut dyn Write) -> io::Result<()> {
        let ranges: Vec<_> = marks.iter().map(|mark| mark.place.bytes.clone()).collect();
        let cut = self.cut((file, number), &ranges, 0);
        self.row(&number.to_string(), &cut.text, out)?;
        for (mark, columns) in marks.iter().zip(cut.marks) {
            let sign = if mark.main { "^" } else { "-" };
            let said = format!("{} {}", sign.repeat(columns.len()), mark.label);
            let said = self.paint.paint(self.style(mark), said.trim_end());
            self.row("", &format!("{:start$}{said}", "", start = columns.start), out)?;
        }
        Ok(())
    }

    /// A mark over several lines, with a bar beside them.
    fn several(&mut self, mark: &Mark<'_>, out: &mut dyn Write) -> io::Result<()> {
        let (first, last) = (mark.place.start.line, mark.place.end.line);
        let style = self.style(mark);
        let bar = self.paint.paint(style, "|");
        for number in first..=last {
            if last - first >= MAX_LINES && (first + MAX_LINES - 2..last).contains(&number) {
                if number == first + MAX_LINES - 2 {
                    self.row("", &format!("{bar} ..."), out)?;
                }
                continue;
            }
            let bar = if number == first { self.paint.paint(style, "/") } else { bar.clone() };
            let cut = self.cut((mark.place.file, number), &[], 2);
            self.row(&number.to_string(), format!("{bar} {}", cut.text).trim_end(), out)?;
        }
        let end = mark.place.bytes.end;
        let cut = self.cut((mark.place.file, last), std::slice::from_ref(&(end..end)), 2);
        let sign = if mark.main { "^" } else { "-" };
        let said = format!("|{}{sign} {}", "_".repeat(cut.marks[0].start.max(1)), mark.label);
        self.row("", &self.paint.paint(style, said.trim_end()), out)
    }

    /// A line of the file in which marks were found, as it fits beside the gutter and what else is beside it.
    fn cut(&mut self, (file, number): (u32, usize), marks: &[Range<usize>], beside: usize) -> Cut {
        let columns = self.width.saturating_sub(self.gutter + " | ".len() + beside);
        let lines = self.places.lines(file);
        let (line, start) = (lines.line(number), lines.start(number));
        let unmarked = line.trim_start_matches(BYTE_ORDER_MARK);
        let (start, line) = (start + line.len() - unmarked.len(), unmarked);
        let marks: Vec<_> = marks
            .iter()
            .map(|mark| {
                let within = |byte: usize| byte.saturating_sub(start).min(line.len());
                within(mark.start)..within(mark.end)
            })
            .collect();
        Cut::of(line, &marks, columns)
    }

    fn style(&self, mark: &Mark<'_>) -> Style {
        if mark.main { Style::of(self.grade) } else { Style::Frame }
    }

    /// The gutter, and what stands beside it.
    fn row(&self, number: &str, text: &str, out: &mut dyn Write) -> io::Result<()> {
        let gutter = self.paint.paint(Style::Frame, &format!("{number:>width$} |", width = self.gutter));
        if text.is_empty() { writeln!(out, "{gutter}") } else { writeln!(out, "{gutter} {text}") }
    }
}
