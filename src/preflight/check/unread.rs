//! What could not be read.

use std::collections::BTreeSet;
use std::iter::successors;

use memchr::{memchr, memrchr_iter};

use super::plain;
use crate::preflight::collect::{Collected, Why};
use crate::render::ends::Use;
use crate::render::{File, Tree, folder_of, is_kustomization};
use crate::report::rule::{BUILD_FAILS, NOT_JUDGED, UNREADABLE};
use crate::report::{Diagnostic, Grade, Location};
use crate::yaml::{Error, RefusedBy, Span};

/// What is no YAML.
#[derive(Debug, Default)]
pub(super) struct Unread {
    /// What should be.
    pub(super) faults: Vec<Diagnostic>,
    /// Links to what is not there, where Flux leaves links out.
    pub(super) dangling: Vec<Diagnostic>,
    /// The keys that are there twice, which kustomize takes in a patch.
    pub(super) duplicate_keys: Vec<Diagnostic>,
    /// What becomes YAML when a program has filled it in, such as a template of Helm: one note for each file.
    pub(super) templates: Vec<Diagnostic>,
}

/// What could not be read of the files that matter.
pub(super) fn all(collected: &Collected, tree: &Tree<'_>) -> Unread {
    let mut unread = of_files(collected, tree.files().iter().filter(|file| file.stands_alone()));
    let first = u32::try_from(collected.files().len()).unwrap_or(u32::MAX);
    for (file, unreadable_file) in (first..).zip(collected.unread()) {
        let what = format!("the file {}", unreadable_file.why);
        let span = Span::new(file, 0, 0);
        if collected.has_flux && matches!(unreadable_file.why, Why::Dangling) {
            unread.dangling.push(dangling(what, span));
        } else {
            unread.faults.push(faulty(UNREADABLE, what, span));
        }
    }
    unread
}

/// What could not be read of the others, which are read once something that is rendered names them. A kustomization file is read to learn what it names,
/// whether or not something builds it.
pub(super) fn named(collected: &Collected, tree: &Tree<'_>, uses: &[Use]) -> Unread {
    let is_aside = |file: &File<'_>| collected.file(file.id as usize).is_some_and(|source| source.is_aside);
    let is_unused = |file: &File<'_>| is_aside(file) && uses[file.id as usize] == Use::Unreached;
    let files = tree.files().iter().filter(|file| !file.stands_alone() && file.is_read());
    of_files(collected, files.filter(|file| !is_unused(file)))
}

fn of_files<'f, 'a: 'f>(collected: &Collected, files: impl Iterator<Item = &'f File<'a>>) -> Unread {
    let charts = collected.charts();
    let mut unread = Unread::default();
    for file in files {
        for error in file.documents().iter().filter_map(|document| document.as_ref().err()) {
            let span = Span::of(file.id, error.offset..error.offset);
            if is_template(file, error, &charts) {
                unread.templates.push(template(error, span));
                break;
            }
            // Of what has nothing to do with Kubernetes, it is enough that it is YAML.
            if error.refused_by != RefusedBy::Everyone && file.stands_alone() && !holds_objects(file) {
                continue;
            }
            let rule = if error.refused_by == RefusedBy::Kustomize { BUILD_FAILS } else { UNREADABLE };
            let fault = faulty(rule, error.message.clone(), span);
            if error.is_duplicate_key { &mut unread.duplicate_keys } else { &mut unread.faults }.push(fault);
        }
    }
    unread
}

/// Whether a file looks as if it held objects of Kubernetes, or is one of kustomize's own.
fn holds_objects(file: &File<'_>) -> bool {
    let is_field = |line: &str| line.starts_with("apiVersion:") || line.contains("\"apiVersion\"");
    is_kustomization(file.path) || file.text.lines().any(is_field)
}

// === impl Unread ===

impl Unread {
    /// Counts a key that is there twice as a fault, but in a file that is a patch or the like: what becomes of it there is a note of its build.
    pub(super) fn settle(&mut self, uses: &[Use]) {
        let is_fault = |fault: &Diagnostic| {
            fault.location.is_none_or(|it| uses[it.span.file() as usize] != Use::Fragment)
        };
        self.faults.extend(self.duplicate_keys.drain(..).filter(is_fault));
    }

    pub(super) fn extend(&mut self, more: Self) {
        self.faults.extend(more.faults);
        self.dangling.extend(more.dangling);
        self.duplicate_keys.extend(more.duplicate_keys);
        self.templates.extend(more.templates);
    }
}

/// Whether a file is one that a program makes YAML of: it stands in a Helm chart, or is no YAML because of a template. That a text somewhere
/// in it has `{{` says nothing: the values of many releases do.
fn is_template(file: &File<'_>, error: &Error, charts: &BTreeSet<String>) -> bool {
    let mut folders =
        successors(Some(file.folder()), |folder| (!folder.is_empty()).then(|| folder_of(folder)));
    // The line at which it shows, and the one before it.
    let offset = file.text.floor_char_boundary(error.offset);
    let (before, behind) = file.text.split_at(offset);
    let start = memrchr_iter(b'\n', before.as_bytes()).nth(1).map_or(0, |at| at + 1);
    let end = offset + memchr(b'\n', behind.as_bytes()).unwrap_or(behind.len());
    let lines = &file.text[start..end];
    folders.any(|folder| charts.contains(folder)) || ["{{", "{%"].iter().any(|mark| lines.contains(mark))
}

fn faulty(rule: &'static str, what: String, span: Span) -> Diagnostic {
    Diagnostic { what, location: Some(Location { span }), ..plain(rule, Grade::Error) }
}

fn dangling(what: String, span: Span) -> Diagnostic {
    Diagnostic {
        what,
        why: "source-controller leaves symbolic links out of artifacts.".into(),
        help: "remove the link, or put the file in its place.".into(),
        location: Some(Location { span }),
        ..plain(NOT_JUDGED, Grade::Note)
    }
}

fn template(error: &Error, span: Span) -> Diagnostic {
    Diagnostic {
        what: format!("a template, which is no YAML before it is filled in: {error}"),
        why: "only the program that it is written for knows what comes of it.".into(),
        help: "check what that program prints: helm template CHART | chartgate check -".into(),
        location: Some(Location { span }),
        ..plain(NOT_JUDGED, Grade::Note)
    }
}
