//! JSON for programs: a format of its own, which changes only together with its version. docs/report.md describes it.

use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::place::{Place, Places};
use super::visible::write_json;
use super::{Diagnostic, Edit, Excerpts, Grade, Object, Related, Report, SuggestedFix, Summary};
use crate::yaml::Position;

/// The version of the format: it rises when a reader of the one before may stumble.
pub const VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    tool: Tool,
    findings: Findings<'a>,
    summary: Counts,
}

/// All findings, each made when it is written.
struct Findings<'a> {
    diagnostics: &'a [Diagnostic],
    places: RefCell<Places<'a>>,
}

#[derive(Serialize)]
struct Tool {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
struct Finding<'a> {
    rule: &'static str,
    level: &'static str,
    what: &'a str,
    why: &'a str,
    help: &'a str,
    fingerprint: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<ObjectName<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    field: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<Range<'a>>,
    related: Vec<RelatedRange<'a>>,
    ways: &'a [Vec<Arc<str>>],
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<Change<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ObjectName<'a> {
    api_version: &'a str,
    kind: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    namespace: &'a str,
    name: &'a str,
}

#[derive(Serialize)]
struct Range<'a> {
    path: &'a str,
    start: Point,
    end: Point,
}

#[derive(Serialize)]
struct Point {
    line: usize,
    column: usize,
    offset: usize,
}

#[derive(Serialize)]
struct RelatedRange<'a> {
    what: &'a str,
    location: Range<'a>,
}

#[derive(Serialize)]
struct Change<'a> {
    what: &'a str,
    edits: Vec<Replacement<'a>>,
}

#[derive(Serialize)]
struct Replacement<'a> {
    location: Range<'a>,
    text: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Counts {
    errors: usize,
    warnings: usize,
    notes: usize,
    fixable: usize,
    files: usize,
    releases: usize,
    unreached: usize,
    not_judged: usize,
    ignored: usize,
}

/// Tells a report as JSON.
pub fn write(report: &Report, excerpts: &dyn Excerpts, out: &mut dyn Write) -> io::Result<()> {
    let places = RefCell::new(Places::new(excerpts));
    let document = Document {
        version: VERSION,
        tool: Tool { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") },
        findings: Findings { diagnostics: &report.diagnostics, places },
        summary: Counts::of(report),
    };
    write_json(&document, out)
}

// === impl Findings ===

impl Serialize for Findings<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let findings = self.diagnostics.iter();
        serializer.collect_seq(findings.map(|it| Finding::of(it, &mut self.places.borrow_mut())))
    }
}

// === impl Finding ===

impl<'a> Finding<'a> {
    fn of(diagnostic: &'a Diagnostic, places: &mut Places<'a>) -> Self {
        let Diagnostic {
            rule,
            grade,
            what,
            why,
            help,
            object,
            field,
            location,
            related,
            ways,
            fix,
            fingerprint,
            unfixed: _,
        } = diagnostic;
        let related = related.iter().map(|Related { location, what }| RelatedRange {
            what,
            location: Range::of(&places.of(*location)),
        });
        Self {
            rule,
            level: grade.as_str(),
            what,
            why,
            help,
            fingerprint,
            object: object.as_ref().map(ObjectName::of),
            field,
            related: related.collect(),
            location: location.map(|location| Range::of(&places.of(location))),
            ways,
            fix: fix.as_ref().map(|fix| Change::of(fix, places)),
        }
    }
}

// === impl ObjectName ===

impl<'a> ObjectName<'a> {
    fn of(object: &'a Object) -> Self {
        let Object { api_version, kind, namespace, name } = object;
        Self { api_version, kind, namespace, name }
    }
}

// === impl Range ===

impl<'a> Range<'a> {
    fn of(place: &Place<'a>) -> Self {
        let point = |Position { line, column }, offset| Point { line, column, offset };
        Self {
            path: place.path,
            start: point(place.start, place.bytes.start),
            end: point(place.end, place.bytes.end),
        }
    }
}

// === impl Change ===

impl<'a> Change<'a> {
    fn of(fix: &'a SuggestedFix, places: &mut Places<'a>) -> Self {
        let SuggestedFix { what, edits, .. } = fix;
        let edits = edits
            .iter()
            .map(|Edit { span, text }| Replacement { location: Range::of(&places.of((*span).into())), text });
        Self { what, edits: edits.collect() }
    }
}

// === impl Counts ===

impl Counts {
    fn of(report: &Report) -> Self {
        let Summary { files, releases, unreached, not_judged, ignored } = report.summary;
        Self {
            errors: report.count(Grade::Error),
            warnings: report.count(Grade::Warning),
            notes: report.count(Grade::Note),
            fixable: report.fixable(),
            files,
            releases,
            unreached,
            not_judged,
            ignored,
        }
    }
}
