//! JUnit XML, as CI systems read it: a suite for each file, a case for each finding, and for what is in order.
//!
//! There is no standard. What Ant's schema asks for is what everybody reads, so that schema is kept to: one failure for
//! a case, and no attributes of our own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{self, Write};

use time::UtcDateTime;
use time::macros::format_description;

use super::place::{Places, file_name};
use super::rule::{NOT_JUDGED, UNREADABLE};
use super::visible::{escaped, visible, visible_lines};
use super::words::whereabouts;
use super::{Diagnostic, Excerpts, Grade, Location, Object, Report};

/// How JUnit XML is written.
#[derive(Debug, Clone, Copy)]
pub struct JunitOptions {
    /// When the check ran.
    pub timestamp: UtcDateTime,
    /// From which grade on a finding is a failure; what is below is said in the suite's output.
    pub fail_on: Option<Grade>,
}

/// The suite of what is about no file and no namespace.
const UNNAMED: &str = "chartgate";

/// The cases of one file, or of the live objects of one namespace.
#[derive(Default)]
struct Suite {
    cases: Vec<Case>,
    /// The names that they have.
    names: BTreeSet<String>,
    /// What is said without being a failure.
    said: String,
}

struct Case {
    name: String,
    outcome: Outcome,
}

enum Outcome {
    Passed,
    Failed(Complaint),
    Errored(Complaint),
    Skipped(Complaint),
}

struct Complaint {
    message: String,
    rule: &'static str,
    text: String,
}

/// Tells a report as JUnit XML.
pub fn write(
    report: &Report,
    excerpts: &dyn Excerpts,
    options: &JunitOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut suites = suites(report, excerpts, options.fail_on);
    if suites.is_empty() {
        suites.insert(UNNAMED.to_owned(), Suite::default());
    }
    // Several CI systems take a suite without a case for a run that broke.
    for suite in suites.values_mut().filter(|suite| suite.cases.is_empty()) {
        suite.add("nothing fails", Outcome::Passed);
    }
    writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>")?;
    for (id, (name, suite)) in suites.iter().enumerate() {
        suite.write(id, name, options.timestamp, out)?;
    }
    writeln!(out, "</testsuites>")
}

/// What there is to say, by the suite in which it is said.
fn suites(report: &Report, excerpts: &dyn Excerpts, fail_on: Option<Grade>) -> BTreeMap<String, Suite> {
    let mut places = Places::new(excerpts);
    let mut suites = BTreeMap::<String, Suite>::new();
    let mut failed = BTreeSet::new();
    for diagnostic in &report.diagnostics {
        let suite_name = suite_name(diagnostic.location, diagnostic.object.as_ref(), excerpts);
        let suite = suites.entry(suite_name.clone()).or_default();
        let complaint = Complaint::of(diagnostic, &mut places);
        let outcome = match diagnostic.rule {
            NOT_JUDGED => Outcome::Skipped(complaint),
            _ if fail_on.is_none_or(|least| diagnostic.grade < least) => {
                suite.said += &complaint.text;
                continue;
            }
            UNREADABLE => Outcome::Errored(complaint),
            _ => Outcome::Failed(complaint),
        };
        failed.insert((suite_name, diagnostic.object.clone()));
        suite.add(&case_name(diagnostic), outcome);
    }
    for judged in &report.judged {
        let name = suite_name(judged.location, Some(&judged.object), excerpts);
        if !failed.contains(&(name.clone(), Some(judged.object.clone()))) {
            suites.entry(name).or_default().add(&judged.object.to_string(), Outcome::Passed);
        }
    }
    suites
}

fn suite_name(location: Option<Location>, object: Option<&Object>, excerpts: &dyn Excerpts) -> String {
    let name = match (location, object) {
        (Some(location), _) => visible(file_name(excerpts.path(location.span.file()))),
        (None, Some(object)) => visible(&object.namespace),
        (None, None) => String::new(),
    };
    if name.trim().is_empty() { UNNAMED.to_owned() } else { name }
}

/// What a case is called, in every run alike, so that CI systems recognise it: no line is named.
fn case_name(diagnostic: &Diagnostic) -> String {
    let Diagnostic { rule, object, field, .. } = diagnostic;
    let mut name = (*rule).to_owned();
    if let Some(object) = object {
        name = format!("{object}: {name}");
    }
    if !field.is_empty() {
        name = format!("{name} at {field}");
    }
    name
}

// === impl Suite ===

impl Suite {
    /// Adds a case, under a name that no other case of the suite has.
    fn add(&mut self, name: &str, outcome: Outcome) {
        let numbered = (2..).map(|number| format!("{name} ({number})"));
        let mut names = std::iter::once(name.to_owned()).chain(numbered);
        let free = names.find(|name| !self.names.contains(name)).expect("some number is free");
        self.names.insert(free.clone());
        self.cases.push(Case { name: free, outcome });
    }

    fn count(&self, which: impl Fn(&Outcome) -> bool) -> usize {
        self.cases.iter().filter(|case| which(&case.outcome)).count()
    }

    fn write(&self, id: usize, name: &str, timestamp: UtcDateTime, out: &mut dyn Write) -> io::Result<()> {
        let timestamp = timestamp
            .format(format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]"))
            .map_err(io::Error::other)?;
        let name = escaped(name);
        writeln!(
            out,
            "  <testsuite id=\"{id}\" package=\"chartgate\" name=\"{name}\" timestamp=\"{timestamp}\" hostname=\"localhost\" \
             tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"0\">\n    <properties/>",
            self.cases.len(),
            self.count(|outcome| matches!(outcome, Outcome::Failed(_))),
            self.count(|outcome| matches!(outcome, Outcome::Errored(_))),
            self.count(|outcome| matches!(outcome, Outcome::Skipped(_))),
        )?;
        for Case { name: case, outcome } in &self.cases {
            let case = escaped(case);
            write!(out, "    <testcase classname=\"{name}\" name=\"{case}\" time=\"0\"")?;
            outcome.write(out)?;
        }
        writeln!(
            out,
            "    <system-out>{}</system-out>\n    <system-err/>\n  </testsuite>",
            escaped_lines(&self.said)
        )
    }
}

// === impl Outcome ===

impl Outcome {
    /// The rest of a case.
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let (element, complaint) = match self {
            Self::Passed => return writeln!(out, "/>"),
            Self::Failed(complaint) => ("failure", complaint),
            Self::Errored(complaint) => ("error", complaint),
            Self::Skipped(complaint) => ("skipped", complaint),
        };
        let Complaint { message, rule, text } = complaint;
        write!(out, ">\n      <{element} message=\"{}\"", escaped(message))?;
        if element != "skipped" {
            write!(out, " type=\"{}\"", escaped(rule))?;
        }
        writeln!(out, ">{}</{element}>\n    </testcase>", escaped_lines(text))
    }
}

// === impl Complaint ===

impl Complaint {
    fn of(diagnostic: &Diagnostic, places: &mut Places<'_>) -> Self {
        let Diagnostic { rule, grade, what, why, help, related, .. } = diagnostic;
        let at = whereabouts(diagnostic, places);
        let colon = if at.is_empty() { "" } else { ": " };
        let mut text = format!("{at}{colon}{}[{rule}]: {}\n", grade.as_str(), visible(what));
        for related in related {
            let place = places.of(related.location);
            let _ = writeln!(text, "{}:{}: {}", visible(place.path), place.start, visible(&related.what));
        }
        let rendered = visible(&diagnostic.rendered().unwrap_or_default());
        for (name, said) in [("Rendered", &*rendered), ("Why", why), ("Fix", help)] {
            if !said.is_empty() {
                let _ = writeln!(text, "{name}: {said}");
            }
        }
        Self { message: what.clone(), rule, text }
    }
}

/// Several lines as XML.
fn escaped_lines(text: &str) -> String {
    visible_lines(text).map(|line| escaped(&line) + "\n").collect()
}
