//! How far the move of a release from `spec.chart` to `spec.chartRef` is, and what keeps it from the next step.
//!
//! The move takes two commits: first the version of the API, with the chart kept, then the reference. Between them the
//! entry of the applier in `metadata.managedFields` must have come to the new version, and nobody else may own a part of
//! `spec.chart`, or that part stays behind when the applier lets go of it.

use super::release::Release;
use super::{Applier, Owner, Source};

/// The version of HelmRelease that the move ends at.
pub(super) const CURRENT: &str = "v2";

/// How far a release is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Applied at a version before v2.
    OldVersion,
    /// At v2 with a chart, and something is left behind: an entry at an older version, or another owner below
    /// `spec.chart`.
    Behind,
    /// At v2 with a chart: the next commit may move it.
    Ready,
    /// With a chartRef.
    Moved,
    /// With neither, or with both: it is to be put right first.
    Broken,
}

/// What keeps a release from the next phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocker {
    /// What is in the way, in one line without a full stop.
    pub what: String,
    /// The one command or commit that takes it away.
    pub help: String,
}

/// What is known of a release before its phase is.
pub(super) struct Facts<'r> {
    pub(super) namespace: &'r str,
    pub(super) name: &'r str,
    pub(super) source: Source,
    pub(super) version: &'r str,
    pub(super) applier: Option<&'r Applier>,
    pub(super) kustomization: Option<&'r str>,
    pub(super) owners: &'r [Owner],
    /// Managers whose entry is at another version than v2, with that version, in the order of the entries.
    pub(super) behind: Vec<(&'r str, &'r str)>,
    /// Whether the cluster serves v2.
    pub(super) serves_current: bool,
}

// === impl Phase ===

impl Phase {
    /// All of them, from the first to the last.
    pub const ALL: [Self; 5] = [Self::Broken, Self::OldVersion, Self::Behind, Self::Ready, Self::Moved];

    /// As it is told: `0`, `1b`, `1`, `2`, `broken`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OldVersion => "0",
            Self::Behind => "1b",
            Self::Ready => "1",
            Self::Moved => "2",
            Self::Broken => "broken",
        }
    }

    /// What it means, in a few words.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::OldVersion => "applied at a version before v2",
            Self::Behind => "at v2, but something of before is left behind",
            Self::Ready => "at v2 with a chart: the next commit may replace spec.chart by spec.chartRef",
            Self::Moved => "moved to chartRef",
            Self::Broken => "neither or both of chart and chartRef",
        }
    }
}

// === impl Facts ===

impl Facts<'_> {
    /// The phase, and what is in the way of the next one.
    pub(super) fn phase(&self) -> (Phase, Vec<Blocker>) {
        match self.source {
            Source::None | Source::Both => (Phase::Broken, Vec::new()),
            Source::ChartRef => (Phase::Moved, Vec::new()),
            Source::Chart => {
                let applied_at = self.applier.map_or(self.version, |applier| &applier.version);
                if applied_at != CURRENT {
                    return (Phase::OldVersion, vec![self.old_version(applied_at)]);
                }
                let blockers: Vec<_> = self.left_behind().chain(self.other_owners()).collect();
                (if blockers.is_empty() { Phase::Ready } else { Phase::Behind }, blockers)
            }
        }
    }

    fn old_version(&self, version: &str) -> Blocker {
        let manager = self.applier.map_or("whoever applies it", |applier| &applier.manager);
        let what = format!("{manager} applies it at {version}");
        let help = if self.serves_current {
            let manifest = self.kustomization.map_or_else(
                || "the manifest".to_owned(),
                |by| format!("the manifest that the Kustomization {by} applies"),
            );
            format!(
                "commit: set apiVersion to helm.toolkit.fluxcd.io/{CURRENT} in {manifest}, and keep spec.chart; where \
                 chartgate does not fill in annotations, change any annotation with it, or nothing is applied"
            )
        } else {
            format!("upgrade Flux to 2.3 or newer, which serves {CURRENT}")
        };
        Blocker { what, help }
    }

    fn left_behind(&self) -> impl Iterator<Item = Blocker> {
        let behind = self.behind.iter().map(|(manager, version)| format!("{manager} at {version}"));
        let behind: Vec<_> = behind.collect();
        let what = format!("managedFields are behind: {}", behind.join(", "));
        let help =
            "run flux migrate (CLI of Flux 2.7.1 or newer): it brings every entry to the current version";
        (!behind.is_empty()).then(|| Blocker { what, help: help.to_owned() }).into_iter()
    }

    /// Who else owns something below `spec.chart`. The one command lets go of it: the value stays, owned by the applier or by
    /// nobody, and goes together with the chart.
    fn other_owners(&self) -> impl Iterator<Item = Blocker> {
        let applier = self.applier.map(|applier| &*applier.manager);
        let others = self.owners.iter().filter(move |owner| {
            applier.is_some_and(|applier| applier != &*owner.manager)
                && owner.fields.iter().any(|field| field.starts_with("spec.chart."))
        });
        others.map(|owner| {
            let fields = owner.fields.iter().filter(|field| field.starts_with("spec.chart."));
            let fields: Vec<_> = fields.map(|field| &**field).collect();
            let at = format!("/metadata/managedFields/{}", owner.index);
            let patch = serde_json::json!([
                {"op": "test", "path": format!("{at}/manager"), "value": &*owner.manager},
                {"op": "test", "path": format!("{at}/operation"), "value": &*owner.operation},
                {"op": "remove", "path": at},
            ]);
            Blocker {
                what: format!("{} owns {}", owner.manager, fields.join(", ")),
                help: format!(
                    "kubectl patch helmrelease {} -n {} --type=json -p {}",
                    crate::policy::word(self.name),
                    crate::policy::word(self.namespace),
                    crate::policy::word(&patch.to_string()),
                ),
            }
        })
    }
}

// === impl Release ===

impl Release {
    /// The one command or commit that brings it to the next phase; nothing where it is at the last.
    pub fn next_step(&self) -> Option<&str> {
        if let Some(blocker) = self.blockers.first() {
            return Some(&blocker.help);
        }
        match self.phase {
            Phase::Ready => Some(
                "commit: replace spec.chart by spec.chartRef, in the base and in every overlay and patch; chartgate check shows \
                 whether something still sets spec.chart",
            ),
            Phase::Broken => {
                self.findings.iter().find(|finding| finding.denies).map(|finding| &*finding.help)
            }
            Phase::Moved | Phase::OldVersion | Phase::Behind => None,
        }
    }
}
