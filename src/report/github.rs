//! Workflow commands of GitHub Actions: each finding becomes an annotation at its line.

use std::borrow::Cow;
use std::io::{self, Write};

use super::place::{Place, Places, file_name};
use super::visible::{visible, visible_lines};
use super::words::summary;
use super::{Diagnostic, Excerpts, Grade, Report};

/// Tells a report as workflow commands, and a last line for those who read the log.
///
/// GitHub shows no more than ten annotations of a grade for a step, so the worst come first.
pub fn write(report: &Report, excerpts: &dyn Excerpts, out: &mut dyn Write) -> io::Result<()> {
    let mut places = Places::new(excerpts);
    let mut diagnostics: Vec<_> = report.diagnostics.iter().collect();
    diagnostics.sort_by_key(|diagnostic| std::cmp::Reverse(diagnostic.grade));
    for diagnostic in diagnostics {
        writeln!(out, "{}", command(diagnostic, &mut places))?;
    }
    writeln!(out, "chartgate: {}", summary(report))
}

/// `::error file=app.yaml,line=1,endLine=1,col=3,endColumn=7,title=partial-chart::what%0Awhy`
fn command(diagnostic: &Diagnostic, places: &mut Places<'_>) -> String {
    let name = match diagnostic.grade {
        Grade::Error => "error",
        Grade::Warning => "warning",
        Grade::Note => "notice",
    };
    let mut properties = Vec::new();
    if let Some(location) = diagnostic.location {
        properties.extend(position(&places.seen(location)));
    }
    properties.push(("title", format!("chartgate: {}", diagnostic.rule)));
    let properties: Vec<_> =
        properties.into_iter().map(|(name, value)| format!("{name}={}", property(&value))).collect();
    format!("::{name} {}::{}", properties.join(","), data(&message(diagnostic)))
}

/// Where it is. Columns are said only where begin and end are in one line: for others GitHub has no use.
fn position(place: &Place<'_>) -> Vec<(&'static str, String)> {
    let mut position = vec![
        ("file", visible(file_name(place.path))),
        ("line", place.start.line.to_string()),
        ("endLine", place.end.line.to_string()),
    ];
    if place.start.line == place.end.line {
        position.push(("col", place.start.column.to_string()));
        position.push(("endColumn", place.end.column.to_string()));
    }
    position
}

fn message(diagnostic: &Diagnostic) -> String {
    let Diagnostic { what, why, help, object, .. } = diagnostic;
    let mut lines = vec![visible(what)];
    if let Some(object) = object {
        let way = diagnostic.rendered().map(|way| format!(", rendered {way}")).unwrap_or_default();
        lines.push(visible(&format!("{object}{way}")));
    }
    for (name, text) in [("Why", why), ("Fix", help)] {
        lines.extend(
            visible_lines(text)
                .enumerate()
                .map(|(index, line)| if index == 0 { format!("{name}: {line}") } else { line }),
        );
    }
    lines.join("\n")
}

/// The text of a command.
fn data(text: &str) -> Cow<'_, str> {
    escaped(text, &['%', '\r', '\n'])
}

/// The value of a property, which commas and colons would end.
fn property(text: &str) -> Cow<'_, str> {
    escaped(text, &['%', '\r', '\n', ':', ','])
}

fn escaped<'a>(text: &'a str, special: &[char]) -> Cow<'a, str> {
    if !text.contains(special) {
        return text.into();
    }
    let escape = |character: char| match character {
        special_one if special.contains(&special_one) => format!("%{:02X}", u32::from(special_one)),
        other => other.to_string(),
    };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_the_runner_reads_back() {
        assert_eq!(data("100% a:b,c\r\n::error::x"), "100%25 a:b,c%0D%0A::error::x");
        assert_eq!(property("100% a:b,c\r\n"), "100%25 a%3Ab%2Cc%0D%0A");
        assert_eq!(data("%0A"), "%250A");
    }
}
