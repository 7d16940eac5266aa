//! Text for people: what is wrong, the lines where it is, how that comes to be rendered, why it matters, what to do.

mod cut;
mod excerpt;

use std::io::{self, Write};

use unicode_width::UnicodeWidthStr;

pub use super::paint::Colour;
use super::paint::{Paint, Style};
use super::place::Places;
use super::visible::{visible, visible_lines};
use super::words::{commands, summary, whereabouts};
use super::{Diagnostic, Excerpts, Report};
use excerpt::{Excerpt, Mark};

/// How text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextOptions {
    /// Whether it is coloured.
    pub colour: Colour,
    /// How many columns a line may take. Only what cannot be broken (a path, a headline) takes more.
    pub width: usize,
    /// Whether each finding is one line, and there is no summary.
    pub quiet: bool,
}

/// The columns of a line where nothing is known of a terminal.
pub const DEFAULT_WIDTH: usize = 120;

/// The fewest columns in which an excerpt still shows something.
const MIN_WIDTH: usize = 40;

impl Default for TextOptions {
    fn default() -> Self {
        Self { colour: Colour::Never, width: DEFAULT_WIDTH, quiet: false }
    }
}

/// Tells a report as text.
pub fn write(
    report: &Report,
    excerpts: &dyn Excerpts,
    options: &TextOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    let TextOptions { colour, width, quiet } = *options;
    let paint = Paint::new(colour);
    let mut places = Places::new(excerpts);
    for diagnostic in &report.diagnostics {
        if quiet {
            let at = whereabouts(diagnostic, &mut places);
            let colon = if at.is_empty() { "" } else { ": " };
            writeln!(out, "{at}{colon}{}", headline(diagnostic, paint))?;
        } else {
            block(diagnostic, &mut places, paint, width.max(MIN_WIDTH), out)?;
        }
    }
    if quiet { Ok(()) } else { writeln!(out, "{}", paint.paint(Style::Strong, &summary(report))) }
}

/// `error[partial-chart]: spec.chart.spec.version is set beside spec.chartRef`
fn headline(diagnostic: &Diagnostic, paint: Paint) -> String {
    let Diagnostic { rule, grade, what, .. } = diagnostic;
    let label = paint.paint(Style::of(*grade), &format!("{}[{rule}]", grade.as_str()));
    format!("{label}{}", paint.paint(Style::Strong, &format!(": {}", visible(what))))
}

/// Everything about one finding, and an empty line.
fn block(
    diagnostic: &Diagnostic,
    places: &mut Places<'_>,
    paint: Paint,
    width: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    writeln!(out, "{}", headline(diagnostic, paint))?;
    let mut marks = Vec::new();
    marks.extend(diagnostic.location.map(|location| Mark::main(location, places)));
    marks.extend(diagnostic.related.iter().map(|related| Mark::related(related, places)));
    let gutter = marks.iter().map(Mark::last_line).max().unwrap_or(0).to_string().len();
    let notes = notes(diagnostic);
    let followed = !notes.is_empty();
    Excerpt { places, paint, grade: diagnostic.grade, width, gutter, followed }.write(&marks, out)?;
    for (name, text) in notes {
        note(name, &text, gutter, paint, width, out)?;
    }
    writeln!(out)
}

/// What is said below the excerpt, with its names.
fn notes(diagnostic: &Diagnostic) -> Vec<(&'static str, String)> {
    let Diagnostic { object, why, help, fix, .. } = diagnostic;
    let mut notes = Vec::new();
    notes.extend(object.as_ref().map(|object| ("object", visible(&object.to_string()))));
    notes.extend(diagnostic.rendered().map(|way| ("rendered", visible(&way))));
    notes.extend((!why.is_empty()).then(|| ("why", why.to_string())));
    notes.extend((!help.is_empty()).then(|| ("fix", help.to_string())));
    notes.extend(fix.as_ref().map(|fix| ("--fix", fix.what.clone())));
    notes
}

fn note(
    name: &str,
    text: &str,
    gutter: usize,
    paint: Paint,
    width: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    let indent = gutter + " = : ".len() + name.len();
    let mut said = Vec::<String>::new();
    for line in visible_lines(text) {
        match said.last_mut() {
            Some(last) if commands(&line) => last.extend(["␊", &line]),
            _ => said.push(line),
        }
    }
    let mut lines = said.iter().flat_map(|line| wrapped(line, width.saturating_sub(indent)));
    let sign = paint.paint(Style::Frame, "=");
    let name = paint.paint(Style::Strong, &format!("{name}:"));
    writeln!(out, "{:gutter$} {sign} {name} {}", "", lines.next().unwrap_or_default())?;
    lines.try_for_each(|line| writeln!(out, "{:indent$}{line}", ""))
}

/// A line, broken between words so that each part fits into so many columns where its words do. No part becomes a
/// command.
fn wrapped(line: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in line.split(' ') {
        let last = lines.last_mut().expect("there is always a last line");
        if !last.is_empty() && !commands(word) && last.width() + 1 + word.width() > columns {
            lines.push(word.to_owned());
        } else {
            if !last.is_empty() {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn breaks_between_words_alone() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("one two three", 6), ["one", "two", "three"]);
        assert_eq!(wrapped("日本 語", 6), ["日本", "語"]);
        assert_eq!(wrapped("unbreakable", 3), ["unbreakable"]);
        assert_eq!(wrapped("", 3), [""]);
        assert_eq!(wrapped("one ::error::x", 3), ["one ::error::x"]);
    }
}
