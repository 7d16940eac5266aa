//! A release as it is told: what it is made from, who applies it, who owns which field, and what was found.

use std::sync::Arc;

use super::{Blocker, Next, Outcome, Phase};
use crate::helmrelease::{Field, HelmRelease, ManagedFields};
use crate::policy::{Level, Mode, fields_owned, is_inline};

/// A HelmRelease of the cluster, judged.
#[derive(Debug, Clone)]
pub struct Release {
    /// `metadata.namespace`.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Box<str>,
    /// The version of the API at which it was judged: that at which its applier writes it, if that is served.
    pub version: Arc<str>,
    /// The mode in force for it.
    pub mode: Mode,
    /// Where its chart comes from.
    pub source: Source,
    /// Who applies it, where `metadata.managedFields` tell.
    pub applier: Option<Arc<Applier>>,
    /// The Flux Kustomization that applies it, as `namespace/name`, where its labels tell.
    pub kustomization: Option<Arc<str>>,
    /// Who owns fields below `spec.chart` and `spec.chartRef`, in the order of `metadata.managedFields`.
    pub owners: Vec<Owner>,
    /// How far its migration is.
    pub phase: Phase,
    /// What keeps it from the next phase; nothing where only the next commit does.
    pub blockers: Vec<Blocker>,
    /// What the rules found, in their order.
    pub findings: Vec<Finding>,
    /// What the next apply of the same manifest comes to, if chartgate enforces; nothing where it is not worth a word. Most
    /// releases of a cluster are like that, and there may be many.
    pub next: Option<Box<Next>>,
}

/// Where the chart of a release comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// `spec.chart`.
    Chart,
    /// `spec.chartRef`.
    ChartRef,
    /// `spec.chart` of kind OCIRepository (Flux 2.10): helm-controller makes the OCIRepository itself.
    Inline,
    /// Neither is set.
    None,
    /// Both are set, whole or in part.
    Both,
}

/// The manager that applies a release, by `metadata.managedFields`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Applier {
    /// The field manager.
    pub manager: Arc<str>,
    /// Whether it uses server-side apply; else it replaces or patches the object.
    pub applies: bool,
    /// The version of the API at which it did (`v2beta1`).
    pub version: Arc<str>,
}

/// A field manager, and what it owns below `spec.chart` and `spec.chartRef`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Its name.
    pub manager: Arc<str>,
    /// `Apply` or `Update`.
    pub operation: Arc<str>,
    /// The version of the API of its entry.
    pub version: Arc<str>,
    /// When it last changed its fields (RFC 3339), if that is known.
    pub time: Option<Box<str>>,
    /// The index of its entry in `metadata.managedFields`.
    pub index: usize,
    /// The fields in dotted form.
    pub fields: Arc<[Box<str>]>,
}

/// What a rule found in a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule's id.
    pub rule: &'static str,
    /// How bad it is.
    pub level: Level,
    /// The field, as the API server writes it.
    pub field: Box<str>,
    /// What is wrong, in one line without a full stop.
    pub what: Box<str>,
    /// Why that matters.
    pub why: Box<str>,
    /// What to do.
    pub help: Box<str>,
    /// Whether enforcing denies every change of the release's spec for it. What is stored may be applied again as it is.
    pub denies: bool,
    /// Whether `/mutate` puts it right.
    pub is_patched: bool,
}

// === impl Release ===

impl Release {
    /// Whether the next apply of the same manifest passes, if chartgate enforces.
    pub fn outcome(&self) -> Outcome {
        self.next.as_ref().map_or(Outcome::Allowed, |next| next.outcome)
    }
}

// === impl Source ===

impl Source {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Chart, Self::ChartRef, Self::Inline, Self::Both, Self::None];

    /// The name in reports: `chart`, `chartRef`, `inline`, `both`, `none`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chart => "chart",
            Self::ChartRef => "chartRef",
            Self::Inline => "inline",
            Self::None => "none",
            Self::Both => "both",
        }
    }

    pub(super) fn of(release: &HelmRelease<'_>) -> Self {
        match (release.chart().is_absent(), release.chart_ref().is_absent()) {
            (false, false) => Self::Both,
            (false, true) if release.chart().set().is_some_and(is_inline) => Self::Inline,
            (false, true) => Self::Chart,
            (true, false) => Self::ChartRef,
            (true, true) => Self::None,
        }
    }
}

/// What enters `owners`: the fields below `spec.chart` and `spec.chartRef`.
pub(super) fn source_fields(entry: &ManagedFields<'_>) -> Vec<String> {
    [&["spec", "chart"][..], &["spec", "chartRef"]]
        .into_iter()
        .flat_map(|path| fields_owned(entry, path))
        .collect()
}

/// A text of the object, or nothing where it is of another type.
pub(super) fn text<'f>(field: &'f Field<std::borrow::Cow<'_, str>>) -> &'f str {
    field.text().unwrap_or_default()
}
