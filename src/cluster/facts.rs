//! What the cluster says about itself, kept current by watches and ready for every review.
//!
//! Each fact is watched for itself, so that one that cannot be had (no right, no such CRD, no API server) takes nothing
//! from the others. What was heard stays in use while the API server is away; that it may be old is told.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use tokio::sync::watch;

use super::ca_bundle::Kind;
use super::conditions::Webhook;
use super::watch::Trouble;
use crate::policy::{Facts, Flux};

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fact {
    /// The CRD of HelmRelease: what is served, and what the schemas ask for.
    HelmReleaseCrd,
    /// The CRDs of the sources: which versions are served.
    OciRepositoryCrd,
    /// See above.
    HelmChartCrd,
    /// See above.
    ExternalArtifactCrd,
    /// See above.
    HelmRepositoryCrd,
    /// The modes that namespaces ask for.
    Namespaces,
    /// Which sources there are.
    OciRepositories,
    /// See above.
    HelmCharts,
    /// See above.
    ExternalArtifacts,
    /// The version of the API server.
    KubernetesVersion,
    /// The conditions under which the API server calls us. No review is judged by them.
    MutateConditions,
    /// See above.
    ValidateConditions,
}

/// How it stands with one fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It is not known yet, and nothing is known to be wrong.
    Waiting,
    /// It is known, and changes come by themselves; what is known, in a few words.
    Synced(String),
    /// It is not to be had at the moment; why, and whether something older is used in its place.
    Troubled(Trouble, bool),
}

/// How it stands with all facts.
#[derive(Debug, Clone)]
pub struct Status {
    states: [State; Fact::ALL.len()],
    /// By kind; `None` is not known.
    webhooks: [Option<Arc<[Webhook]>>; 2],
    /// How many namespaces ask for a mode in words that are none.
    pub unknown_modes: usize,
}

/// The facts of the moment, fed by the watches.
#[derive(Debug)]
pub struct Store {
    facts: RwLock<Facts>,
    status: watch::Sender<Status>,
}

// === impl Fact ===

impl Fact {
    /// Every fact, in the order of the declaration.
    pub const ALL: [Self; 12] = [
        Self::HelmReleaseCrd,
        Self::OciRepositoryCrd,
        Self::HelmChartCrd,
        Self::ExternalArtifactCrd,
        Self::HelmRepositoryCrd,
        Self::Namespaces,
        Self::OciRepositories,
        Self::HelmCharts,
        Self::ExternalArtifacts,
        Self::KubernetesVersion,
        Self::MutateConditions,
        Self::ValidateConditions,
    ];

    /// The facts by which it is decided which Flux there is.
    pub const CRDS: [Self; 5] = [
        Self::HelmReleaseCrd,
        Self::OciRepositoryCrd,
        Self::HelmChartCrd,
        Self::ExternalArtifactCrd,
        Self::HelmRepositoryCrd,
    ];

    /// The conditions of our configuration of a kind.
    pub const fn of_conditions(kind: Kind) -> Self {
        match kind {
            Kind::Mutating => Self::MutateConditions,
            Kind::Validating => Self::ValidateConditions,
        }
    }

    /// The facts that releases are judged by.
    pub fn judged_by() -> impl Iterator<Item = Self> {
        let others = Kind::ALL.map(Self::of_conditions);
        Self::ALL.into_iter().filter(move |fact| !others.contains(fact))
    }

    /// As it is reported and counted.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HelmReleaseCrd => "crd-helmreleases",
            Self::OciRepositoryCrd => "crd-ocirepositories",
            Self::HelmChartCrd => "crd-helmcharts",
            Self::ExternalArtifactCrd => "crd-externalartifacts",
            Self::HelmRepositoryCrd => "crd-helmrepositories",
            Self::Namespaces => "namespaces",
            Self::OciRepositories => "ocirepositories",
            Self::HelmCharts => "helmcharts",
            Self::ExternalArtifacts => "externalartifacts",
            Self::KubernetesVersion => "kubernetes-version",
            Self::MutateConditions => "prefilter-mutate",
            Self::ValidateConditions => "prefilter-validate",
        }
    }

    /// What is done where it cannot be had; `in_use` is something older.
    pub const fn instead(self, in_use: bool) -> &'static str {
        match (self, in_use) {
            (Self::MutateConditions | Self::ValidateConditions, true) => "comparing what it was before",
            (Self::MutateConditions | Self::ValidateConditions, false) => "whether it fits is not known",
            (Self::KubernetesVersion, true) => "reporting what held before",
            (Self::KubernetesVersion, false) => "reporting what holds for any version",
            (_, true) => "judging by what it was before",
            (_, false) => "judging by the request alone",
        }
    }
}

// === impl State ===

impl State {
    /// Whether what is used is what the cluster has.
    pub const fn is_synced(&self) -> bool {
        matches!(self, Self::Synced(_))
    }
}

// === impl Status ===

impl Status {
    /// How it stands with a fact.
    pub fn of(&self, fact: Fact) -> &State {
        &self.states[fact as usize]
    }

    /// What is wrong with a fact, if something is.
    pub fn trouble(&self, fact: Fact) -> Option<String> {
        match self.of(fact) {
            State::Troubled(trouble, _) => Some(trouble.to_string()),
            State::Waiting | State::Synced(_) => None,
        }
    }

    /// Whether nothing that releases are judged by is still to come.
    pub fn is_settled(&self) -> bool {
        Fact::judged_by().all(|fact| {
            // The sources of a kind are not asked for before their CRD was read.
            let crd = match fact {
                Fact::OciRepositories => Some(Fact::OciRepositoryCrd),
                Fact::HelmCharts => Some(Fact::HelmChartCrd),
                Fact::ExternalArtifacts => Some(Fact::ExternalArtifactCrd),
                _ => None,
            };
            *self.of(fact) != State::Waiting || crd.is_some_and(|crd| self.trouble(crd).is_some())
        })
    }

    /// The webhooks of our configuration of a kind, once it was asked for; none where it is not there.
    pub fn webhooks(&self, kind: Kind) -> Option<&[Webhook]> {
        self.webhooks[kind as usize].as_deref()
    }
}

// === impl Store ===

impl Store {
    /// Nothing is known yet, and the cluster is to be asked; `flux` is assumed until the live CRD was read.
    pub fn new(flux: Flux) -> Self {
        Self::holding(Facts { source_versions: Some([].into()), ..Facts::of(flux) })
    }

    /// No cluster is asked: `flux` is all that is known.
    pub fn alone(flux: Flux) -> Self {
        Self::holding(Facts::of(flux))
    }

    fn holding(facts: Facts) -> Self {
        let waiting =
            Status { states: Fact::ALL.map(|_| State::Waiting), webhooks: [None, None], unknown_modes: 0 };
        Self { facts: RwLock::new(facts), status: watch::Sender::new(waiting) }
    }

    /// The facts, for the length of one review.
    pub fn read(&self) -> RwLockReadGuard<'_, Facts> {
        // What a writer that panicked left behind is what was heard last.
        self.facts.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes with every change of how it stands.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Takes up what was heard. Reviews wait meanwhile, so `change` does nothing but put data in place.
    pub(super) fn write<T>(&self, change: impl FnOnce(&mut Facts) -> T) -> T {
        change(&mut self.facts.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes how it stands with a fact, and logs it where that is news.
    pub(super) fn note(&self, fact: Fact, state: State) {
        self.status.send_if_modified(|status| {
            let before = &mut status.states[fact as usize];
            if *before == state {
                return false;
            }
            match (&*before, &state) {
                (State::Synced(_), State::Synced(what)) => {
                    tracing::debug!(fact = fact.as_str(), "the cluster has {what}");
                }
                (_, State::Synced(what)) => {
                    tracing::info!(fact = fact.as_str(), "the cluster has {what}");
                }
                // A wait that is over before it was worth a word, and the same trouble in other words.
                (_, State::Waiting) => {}
                (State::Troubled(before, _), State::Troubled(now, _)) if before.kind == now.kind => {}
                (_, State::Troubled(trouble, in_use)) => {
                    let instead = fact.instead(*in_use);
                    tracing::warn!(fact = fact.as_str(), "cannot watch a fact, {instead}: {trouble}");
                }
            }
            *before = state;
            true
        });
    }

    pub(super) fn note_webhooks(&self, kind: Kind, webhooks: Arc<[Webhook]>) {
        self.status.send_if_modified(|status| {
            let before = &mut status.webhooks[kind as usize];
            let is_news = before.as_ref() != Some(&webhooks);
            *before = Some(webhooks);
            is_news
        });
    }

    pub(super) fn note_unknown_modes(&self, count: usize) {
        self.status.send_if_modified(|status| {
            let is_news = status.unknown_modes != count;
            status.unknown_modes = count;
            is_news
        });
    }
}
