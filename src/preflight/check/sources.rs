//! The versions of sources: what of them the chosen Flux serves.

use std::collections::BTreeMap;

use super::Criteria;
use super::release::{fix_or_reason, grade, object_of, ways};
use crate::policy::{Flux, Level, SOURCE_GROUP, find_rule};
use crate::preflight::files::Files;
use crate::preflight::fix::{self, Scope};
use crate::preflight::place;
use crate::render::ends::{End, Kind, Object, Rendered};
use crate::report::Diagnostic;
use crate::yaml::Span;

/// The rule that speaks, as it does about releases.
const RULE: &str = "deprecated-api-version";

/// A source at a version that is on its way out, or out already, and all ends that print it.
struct Found<'r, 'a> {
    object: &'r Object<'a>,
    ends: Vec<&'r End<'a>>,
    by_version: Vec<Span>,
}

/// The findings about the versions of sources, each manifest once.
pub(super) fn versions(
    rendered: &Rendered<'_>,
    criteria: Criteria<'_>,
    files: &Files<'_>,
) -> Vec<Diagnostic> {
    let mut found: BTreeMap<Span, Found<'_, '_>> = BTreeMap::new();
    for end in &rendered.ends {
        for object in &end.objects {
            if level(object, criteria).is_some() {
                let place = place::of(&object.node, "/apiVersion");
                let new = || Found { object, ends: Vec::new(), by_version: Vec::new() };
                let known = found.entry(place).or_insert_with(new);
                known.ends.push(end);
                known.by_version.extend(&object.found_by);
            }
        }
    }
    found.into_iter().filter_map(|(at, found)| diagnostic(at, found, criteria, files)).collect()
}

/// How bad the version of a source is: a warning where it is deprecated, which it is from the day on that there is v1.
fn level(object: &Object<'_>, criteria: Criteria<'_>) -> Option<Level> {
    if object.kind == Kind::HelmRelease {
        return None;
    }
    let version = object.version();
    let served = criteria.facts.serving("").source_versions(object.kind.name());
    let newest = *served.first()?;
    if served.contains(&version) {
        (newest == "v1" && version != newest).then_some(Level::Warning)
    } else {
        Some(Level::Error)
    }
}

fn diagnostic(
    at: Span,
    found: Found<'_, '_>,
    criteria: Criteria<'_>,
    files: &Files<'_>,
) -> Option<Diagnostic> {
    let Found { object, ends, by_version: mut found_by } = found;
    let level = level(object, criteria)?;
    let grade = grade(RULE, level, criteria)?;
    let installed = criteria.facts.serving("");
    let newest = *installed.source_versions(object.kind.name()).first()?;
    let (kind, version) = (object.kind.name(), object.version());
    let rule = find_rule(RULE)?;
    let (what, why) = match level {
        Level::Error => {
            let brought = Flux::all().find(|flux| flux.source_versions(kind).any(|served| served == version));
            let newer = brought.filter(|brought| installed.flux().is_some_and(|flux| *brought > flux));
            let what = match newer {
                Some(brought) => {
                    format!("{kind} {version:?} comes with Flux {brought}; {installed} has none")
                }
                None => format!("{kind} {version:?} is not served by {installed}"),
            };
            (what, "the API server has no such resource; kubectl and Flux report \"no matches for kind\".")
        }
        Level::Warning | Level::Note => {
            (format!("{kind} {version} is deprecated: set apiVersion to {newest}"), rule.why)
        }
    };
    found_by.sort_unstable();
    found_by.dedup();
    let scope =
        Scope { object: &object.node, found_by: &found_by, settings: criteria.settings, installed, files };
    let (fix, unfixed) = fix_or_reason(criteria.fixes.then(|| fix::to_version(&scope, newest)).flatten());
    Some(Diagnostic {
        why: why.into(),
        help: format!(
            "set apiVersion: {SOURCE_GROUP}/{newest}, or name the Flux of your cluster with --flux."
        )
        .into(),
        object: Some(object_of(&object.node)),
        field: "apiVersion".to_owned(),
        location: Some(at.into()),
        ways: ends.into_iter().flat_map(ways).collect(),
        fix,
        unfixed,
        ..Diagnostic::new(RULE, grade, what)
    })
}
