//! The places that keep kustomize or Flux from building an end, and those that cannot be rendered here.

use foldhash::HashSet;
use rayon::prelude::*;

use super::plain;
use super::release::ways;
use super::unread::Unread;
use crate::preflight::fix;
use crate::render::ends::{End, EndKind, Rendered};
use crate::render::{Note, Reason, Tree, is_kustomization};
use crate::report::rule::{BUILD_FAILS, NOT_APPLIED, NOT_JUDGED, PATCH_LOST, STRICT_DECODING, UNREADABLE};
use crate::report::{Diagnostic, Excerpts, Grade, Location};

/// How the ends are built.
#[derive(Debug, Default)]
pub(super) struct Builds<'r, 'a> {
    /// What makes a build fail, or lose something, each place once.
    pub(super) failures: Vec<Failure<'r, 'a>>,
    /// The places that could not be rendered, each once.
    pub(super) not_rendered: Vec<&'r Note>,
}

/// A place that makes builds fail, or lose something.
#[derive(Debug)]
pub(super) struct Failure<'r, 'a> {
    note: &'r Note,
    rule: &'static str,
    grade: Grade,
    /// The ends that are built with it.
    ends: Vec<&'r End<'a>>,
}

/// How the ends of a tree are built. A document that cannot be read is reported already, and not again; and nobody builds a kustomization
/// file that is a template.
pub(super) fn of<'r, 'a>(rendered: &'r Rendered<'a>, unread: &Unread, tree: &Tree<'_>) -> Builds<'r, 'a> {
    let of_kustomize = |location: &Location| is_kustomization(tree.file_of(location.span).path);
    let templates = unread.templates.iter().filter_map(|it| it.location).filter(of_kustomize);
    let reported: HashSet<Location> =
        unread.faults.iter().filter_map(|it| it.location).chain(templates).collect();
    let ends = rendered.ends.iter().enumerate();
    let mut notes: Vec<_> = ends.flat_map(|(end, it)| it.notes.iter().map(move |note| (note, end))).collect();
    notes.par_sort_unstable();
    notes.dedup();
    let has_flux = rendered.has_flux();
    let mut builds = Builds::default();
    for same in notes.chunk_by(|(one, _), (other, _)| one == other) {
        let note = same[0].0;
        let goes_on = matches!(note.reason, Reason::Lost | Reason::Lenient);
        let rule = match note.reason {
            Reason::Lost => Some(PATCH_LOST),
            Reason::Dropped => Some(NOT_APPLIED),
            Reason::Lenient => Some(STRICT_DECODING),
            // What is here is beyond the limits, so it counts as what cannot be read.
            Reason::TooMuch => Some(UNREADABLE),
            reason => reason.is_failure().then_some(BUILD_FAILS),
        };
        let Some(rule) = rule else {
            builds.not_rendered.push(note);
            continue;
        };
        if reported.contains(&note.at.into()) {
            continue;
        }
        let ends: Vec<_> = same.iter().map(|(_, end)| &rendered.ends[*end]).collect();
        // Where there are Flux Kustomizations, a folder that none of them leads to reaches no cluster.
        let is_reached = !has_flux || ends.iter().any(|end| end.kind != EndKind::Folder);
        let grade = if is_reached && !goes_on { Grade::Error } else { Grade::Warning };
        builds.failures.push(Failure { note, rule, grade, ends });
    }
    builds
}

/// The finding about a place that makes builds fail, or lose something.
pub(super) fn failure(
    Failure { note, rule, grade, ends }: Failure<'_, '_>,
    files: &dyn Excerpts,
) -> Diagnostic {
    Diagnostic {
        what: note.message.clone(),
        location: Some(note.at.into()),
        ways: ends.into_iter().flat_map(ways).collect(),
        fix: note.mend.as_deref().and_then(|mend| fix::mended(mend, files)),
        ..plain(rule, grade)
    }
}

/// The finding about a place that could not be rendered.
pub(super) fn left_out(note: &Note) -> Diagnostic {
    Diagnostic {
        what: note.message.clone(),
        location: Some(note.at.into()),
        ..plain(NOT_JUDGED, Grade::Note)
    }
}
