//! What could not be read.

use std::collections::BTreeSet;
use std::iter::successors;

use super::plain;
use crate::preflight::collect::Collected;
use crate::render::{File, Tree, folder_of};
use crate::report::rule::UNREADABLE;
use crate::report::{Diagnostic, Grade, Location};
use crate::yaml::{Error, Lines, Span};

/// The findings, and how many templates there are, which are no YAML before Helm has filled them in.
pub(super) fn all(collected: &Collected, tree: &Tree<'_>) -> (Vec<Diagnostic>, usize) {
    let charts = collected.charts();
    let mut templates = 0;
    let mut found = Vec::new();
    for file in tree.files() {
        for error in file.documents().iter().filter_map(|document| document.as_ref().err()) {
            if is_template(file, error, &charts) {
                templates += 1;
                break;
            }
            let start = u32::try_from(error.offset).unwrap_or(u32::MAX);
            let span = Span { file: file.id, start, end: start };
            found.push(unreadable(error.message.clone(), span));
        }
    }
    let first = u32::try_from(collected.sources.len()).unwrap_or(u32::MAX);
    for (file, unreadable_file) in (first..).zip(&collected.unreadable) {
        found.push(unreadable(format!("the file {}", unreadable_file.why), Span { file, start: 0, end: 0 }));
    }
    (found, templates)
}

/// Whether a file is one that a program makes YAML of: it stands in a Helm chart, or is no YAML because of a template. That a text somewhere
/// in it has `{{` says nothing: the values of many releases do.
fn is_template(file: &File<'_>, error: &Error, charts: &BTreeSet<String>) -> bool {
    let mut folders =
        successors(Some(file.folder()), |folder| (!folder.is_empty()).then(|| folder_of(folder)));
    let lines = Lines::of(file.text);
    let number = lines.position(error.offset).line;
    let has_mark = |number: usize| ["{{", "{%"].iter().any(|mark| lines.line(number).contains(mark));
    folders.any(|folder| charts.contains(folder)) || (number.saturating_sub(1)..=number).any(has_mark)
}

fn unreadable(what: String, span: Span) -> Diagnostic {
    Diagnostic { what, location: Some(Location { span }), ..plain(UNREADABLE, Grade::Error) }
}
