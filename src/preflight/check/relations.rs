//! What documents have to do with each other: releases with their sources, sources with those that use them.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::{HashMap, HashSet};

use super::{Criteria, plain};
use crate::policy::{CHART_REF_KINDS, Facts, Names};
use crate::preflight::place;
use crate::render::ends::{End, EndKind, Kind, Object, Rendered};
use crate::render::flux::is_opaque;
use crate::render::{Note, Reason};
use crate::report::rule::{DUPLICATE_SOURCE, UNUSED_HELM_REPOSITORY};
use crate::report::{Diagnostic, Grade, Related};
use crate::yaml::Span;

/// A source by kind, namespace and name.
type Id<'r> = (Kind, &'r str, &'r str);

/// What the sources of all files come to.
#[derive(Debug)]
pub(super) struct Relations {
    /// The facts with all sources that are known: those of the files, beside those of a cluster that is asked.
    with_sources: Facts,
    /// The same facts without any source, for those releases whose source may be where nobody looked.
    without_sources: Facts,
    /// Whether what belongs together can be in the files.
    has_folders: bool,
    /// Whether a cluster is asked for its sources.
    is_asked: bool,
}

impl Relations {
    pub(super) fn of(rendered: &Rendered<'_>, has_folders: bool, criteria: Criteria<'_>) -> Self {
        let facts = criteria.facts;
        let is_asked = facts.source_versions.is_some();
        let with = |sources| Facts { sources, ..facts.clone() };
        Self {
            with_sources: with(sources(rendered, is_asked.then_some(&facts.sources))),
            without_sources: with(BTreeMap::new()),
            has_folders,
            is_asked,
        }
    }

    /// What a release of an end is judged by. Its source is only missed where its name is known and it can be nowhere else: nothing of the end was
    /// left out or refused, and a file that nobody names says nothing about what there is beside it, but to a cluster.
    pub(super) fn facts_for(&self, end: &End<'_>, release: &Object<'_>) -> &Facts {
        let is_left_out = |note: &Note| note.reason.is_failure() || note.reason == Reason::Remote;
        let is_whole = !end.notes.iter().any(is_left_out);
        let knows_all = self.is_asked || (self.has_folders && end.kind != EndKind::File);
        if is_whole && knows_all && !release.has_open_chart {
            &self.with_sources
        } else {
            &self.without_sources
        }
    }

    /// The findings about sources.
    pub(super) fn diagnostics(&self, rendered: &Rendered<'_>) -> Vec<Diagnostic> {
        let (mut found, unused) = rayon::join(
            || duplicates(rendered),
            || if self.has_folders { unused(rendered) } else { Vec::new() },
        );
        found.extend(unused);
        found
    }
}

/// The names of all sources, by kind. A kind is left out where a name is filled in elsewhere, or the cluster that is asked does not tell it:
/// nobody knows what is missing then.
fn sources(
    rendered: &Rendered<'_>,
    live: Option<&BTreeMap<&'static str, Names>>,
) -> BTreeMap<&'static str, Names> {
    let none = || CHART_REF_KINDS.iter().map(|kind| (*kind, Names::new())).collect();
    let mut known = live.cloned().unwrap_or_else(none);
    let mut open = BTreeSet::new();
    for object in rendered.ends.iter().flat_map(|end| &end.objects) {
        let kind = object.kind.name();
        let Some(names) = known.get_mut(kind) else { continue };
        let namespace = object.namespace().unwrap_or_default();
        if is_opaque(object.name()) || is_opaque(namespace) {
            open.insert(kind);
        }
        match names.get_mut(namespace) {
            Some(names) if names.contains(object.name()) => {}
            Some(names) => _ = names.insert(object.name().into()),
            None => _ = names.insert(namespace.into(), [object.name().into()].into()),
        }
    }
    known.retain(|kind, _| !open.contains(kind));
    known
}

fn id_of<'r>(object: &'r Object<'_>) -> Id<'r> {
    (object.kind, object.namespace().unwrap_or_default(), object.name())
}

/// The place of an object: its name.
fn place_of(object: &Object<'_>) -> Span {
    place::of(&object.node, "/metadata/name")
}

/// Sources that two Flux Kustomizations of one cluster apply from two manifests.
fn duplicates(rendered: &Rendered<'_>) -> Vec<Diagnostic> {
    let mut seen: HashMap<(Span, Id<'_>), Span> = HashMap::default();
    let mut told: BTreeMap<(Span, Span), Diagnostic> = BTreeMap::new();
    for end in rendered.ends.iter().filter(|end| end.kind == EndKind::Kustomization) {
        let clusters: BTreeSet<_> = end.ways.iter().filter_map(|way| Some(way.steps.first()?.at)).collect();
        for object in end.objects.iter().filter(|object| object.kind != Kind::HelmRelease) {
            let id = id_of(object);
            if id.2.is_empty() || is_opaque(id.1) || is_opaque(id.2) {
                continue;
            }
            let place = place_of(object);
            for cluster in &clusters {
                let first = *seen.entry((*cluster, id)).or_insert(place);
                if first != place {
                    told.entry((first, place)).or_insert_with(|| duplicate(object, first));
                }
            }
        }
    }
    told.into_values().collect()
}

fn duplicate(object: &Object<'_>, first: Span) -> Diagnostic {
    let told = super::release::object_of(&object.node);
    Diagnostic {
        what: format!("{told} is described by another manifest of the same cluster, too"),
        related: vec![Related { location: first.into(), what: "it is described here first".to_owned() }],
        location: Some(place_of(object).into()),
        object: Some(told),
        field: "metadata.name".to_owned(),
        ..plain(DUPLICATE_SOURCE, Grade::Warning)
    }
}

/// The `HelmRepository` objects that no release and no `HelmChart` refers to.
fn unused(rendered: &Rendered<'_>) -> Vec<Diagnostic> {
    let objects = || rendered.ends.iter().flat_map(|end| &end.objects);
    // The namespaces in which a name is used; empty for one that is not told.
    let mut used: HashMap<&str, HashSet<&str>> = HashMap::default();
    for object in objects() {
        let reference = match object.kind {
            Kind::HelmRelease => object.node.at(&["spec", "chart", "spec", "sourceRef"]),
            Kind::HelmChart => object.node.at(&["spec", "sourceRef"]),
            _ => None,
        };
        let Some(reference) = reference else { continue };
        let name = reference.text_of(&["name"]).unwrap_or_default();
        let namespace = reference.text_of(&["namespace"]).or(object.namespace()).unwrap_or_default();
        // A name that is filled in elsewhere may be any.
        if is_opaque(name) || object.has_open_chart {
            return Vec::new();
        }
        used.entry(name).or_default().insert(if is_opaque(namespace) { "" } else { namespace });
    }
    let is_used = |object: &Object<'_>| {
        let (_, namespace, name) = id_of(object);
        is_opaque(name)
            || used.get(name).is_some_and(|used| {
                // One of the two names no namespace, or one that is filled in elsewhere.
                used.contains(namespace) || used.contains("") || namespace.is_empty() || is_opaque(namespace)
            })
    };
    let mut told: BTreeMap<Span, Diagnostic> = BTreeMap::new();
    let mut in_use: BTreeSet<Span> = BTreeSet::new();
    for object in objects().filter(|object| object.kind == Kind::HelmRepository) {
        let place = place_of(object);
        if is_used(object) {
            in_use.insert(place);
        } else {
            told.entry(place).or_insert_with(|| nobody_uses(object));
        }
    }
    // One manifest that several clusters apply is of use if one of them uses it.
    told.into_iter().filter(|(place, _)| !in_use.contains(place)).map(|(_, diagnostic)| diagnostic).collect()
}

fn nobody_uses(object: &Object<'_>) -> Diagnostic {
    let told = super::release::object_of(&object.node);
    Diagnostic {
        what: format!("nothing here refers to {told}"),
        location: Some(place_of(object).into()),
        object: Some(told),
        field: "metadata.name".to_owned(),
        ..plain(UNUSED_HELM_REPOSITORY, Grade::Note)
    }
}
