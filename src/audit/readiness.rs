//! How far the move of a release from `spec.chart` to `spec.chartRef` is, and what keeps it from the next step.
//!
//! The move takes two commits: first the version of the API, with the chart kept, then the reference. Between them the
//! entry of the applier in `metadata.managedFields` must have come to the new version, and nobody else may own a part of
//! `spec.chart`, or that part stays behind when the applier drops it. The versions of a release that has moved still
//! matter: one that is gone from the CRD refuses every apply.

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
    /// With a chartRef, or with a chart of kind OCIRepository, which needs no move.
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
    /// Entries at another version than v2, in their order.
    pub(super) behind: Vec<Behind<'r>>,
    /// Whether `managedFields` has no entry at all.
    pub(super) is_unowned: bool,
    /// An annotation that follows the version, and is at v2 already.
    pub(super) annotated: Option<&'r str>,
    /// Whether the cluster serves v2.
    pub(super) serves_current: bool,
    /// Whether Flux applies it with force, so that a refused apply deletes it.
    pub(super) is_forced: bool,
    /// The rules that would deny the removal of an entry of `metadata.managedFields`, by its index.
    pub(super) let_go: &'r dyn Fn(usize) -> Vec<&'static str>,
}

/// An entry of `metadata.managedFields` that is at another version than v2.
pub(super) struct Behind<'r> {
    pub(super) manager: &'r str,
    pub(super) version: &'r str,
    pub(super) applies: bool,
    /// Whether the cluster serves that version.
    pub(super) served: bool,
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
            Self::Moved => "moved to chartRef, or to an inline OCIRepository",
            Self::Broken => "neither or both of chart and chartRef",
        }
    }
}

// === impl Facts ===

impl Facts<'_> {
    /// The phase, and what is in the way of the next one.
    pub(super) fn phase(&self) -> (Phase, Vec<Blocker>) {
        let applied_at = self.applier.map_or(self.version, |applier| &applier.version);
        let old = (applied_at != CURRENT).then(|| self.old_version(applied_at));
        match self.source {
            Source::None | Source::Both => (Phase::Broken, Vec::new()),
            Source::ChartRef | Source::Inline => {
                (Phase::Moved, old.into_iter().chain(self.left_behind()).collect())
            }
            // The commit is the next step; entries of other managers that are behind matter before the move. A version
            // that is gone matters at once.
            Source::Chart if old.is_some() => {
                (Phase::OldVersion, self.force().into_iter().chain(old).chain(self.gone()).collect())
            }
            Source::Chart => {
                let mut blockers: Vec<_> =
                    self.unowned().into_iter().chain(self.left_behind()).chain(self.other_owners()).collect();
                if !blockers.is_empty() {
                    blockers.splice(..0, self.force());
                }
                (if blockers.is_empty() { Phase::Ready } else { Phase::Behind }, blockers)
            }
        }
    }

    fn old_version(&self, version: &str) -> Blocker {
        let manager = self.applier.map_or("whoever applies it", |applier| &applier.manager);
        let what = format!("{manager} applies it at {version}");
        if !self.serves_current {
            let help = format!("upgrade Flux to 2.3 or newer, which serves {CURRENT}");
            return Blocker { what, help };
        }
        let manifest = self.manifest();
        let keep = if self.source == Source::Chart { ", and keep spec.chart" } else { "" };
        let annotation = match self.annotated {
            None => "where chartgate does not fill in annotations, change any annotation with it".to_owned(),
            Some(key) => format!(
                "the annotation {key} is {CURRENT} already, so where chartgate does not enforce, change another annotation \
                 with it"
            ),
        };
        let help = format!(
            "commit: set apiVersion to helm.toolkit.fluxcd.io/{CURRENT} in {manifest}{keep}; {annotation}, or nothing is \
             applied"
        );
        Blocker { what, help }
    }

    /// Entries at another version than v2. That of the applier itself moves with its next apply at v2, unless that is refused.
    fn left_behind(&self) -> Option<Blocker> {
        let own = |behind: &Behind<'_>| {
            behind.applies
                && self.applier.is_some_and(|applier| applier.applies && *applier.manager == *behind.manager)
        };
        self.gone()
            .or_else(|| Self::told("managedFields are behind", self.behind.iter().filter(|it| !own(it))))
    }

    /// Entries at a version that is gone from the CRD.
    fn gone(&self) -> Option<Blocker> {
        let gone = self.behind.iter().filter(|behind| !behind.served);
        Self::told("managedFields name a version that is gone, so every apply is refused", gone)
    }

    fn told<'b>(what: &str, behind: impl Iterator<Item = &'b Behind<'b>>) -> Option<Blocker> {
        let behind: Vec<_> =
            behind.map(|Behind { manager, version, .. }| format!("{manager} at {version}")).collect();
        (!behind.is_empty()).then(|| Blocker {
            what: format!("{what}: {}", behind.join(", ")),
            help:
                "run flux migrate (CLI of Flux 2.7.1 or newer): it brings every entry to the current version"
                    .to_owned(),
        })
    }

    /// Nobody owns the chart, as after an update that made the API server drop the entries (Kubernetes up to 1.36, where one of
    /// them was at a version that is gone). The next server-side apply gives everything to `before-first-apply`, which keeps it.
    fn unowned(&self) -> Option<Blocker> {
        self.is_unowned.then(|| Blocker {
            what: "managedFields are empty, so a manifest without spec.chart does not remove it".to_owned(),
            help: format!(
                "commit: change any annotation in {}, and keep spec.chart, so that its fields get an owner again",
                self.manifest()
            ),
        })
    }

    /// Force blocks the move only where something else does: a premature move is refused, and then deletes the release.
    fn force(&self) -> Option<Blocker> {
        let by = self.kustomization.map_or_else(String::new, |by| format!(" of the Kustomization {by}"));
        self.is_forced.then(|| Blocker {
            what: "Flux applies it with force: a move that is refused deletes the release".to_owned(),
            help: format!(
                "commit: remove spec.force{by}, and kustomize.toolkit.fluxcd.io/force from the object, until the move is done"
            ),
        })
    }

    fn manifest(&self) -> String {
        self.kustomization.map_or_else(
            || "the manifest".to_owned(),
            |by| format!("the manifest that the Kustomization {by} applies"),
        )
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
            let denied = (self.let_go)(owner.index);
            let help = if denied.is_empty() {
                format!(
                    "kubectl patch helmrelease {} -n {} --type=json -p {}",
                    crate::policy::word(self.name),
                    crate::policy::word(self.namespace),
                    crate::policy::word(&patch.to_string()),
                )
            } else {
                format!(
                    "first fix what {} reports; chartgate denies any patch until then",
                    denied.join(" and ")
                )
            };
            Blocker { what: format!("{} owns {}", owner.manager, fields.join(", ")), help }
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
            Phase::Broken | Phase::Moved => {
                self.findings.iter().find(|finding| finding.denies).map(|finding| &*finding.help)
            }
            Phase::OldVersion | Phase::Behind => None,
        }
    }
}
