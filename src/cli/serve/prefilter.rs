//! Whether the prefilter in our webhook configurations fits the settings in force, compared with every change of either.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::settings::InForce;
use crate::cluster::ca_bundle::{CONFIGURATION, Kind};
use crate::cluster::facts::{Fact, State, Status, Store};
use crate::prefilter::{Fit, NAME, Right, Webhook};
use crate::telemetry::Metrics;
use crate::webhook::Stage;
use crate::webhook::observe::Check;

/// What is compared, and what came of it last.
pub(super) struct Prefilter {
    in_force: Arc<InForce>,
    facts: Arc<Store>,
    /// The file that the settings are from, as the flag for what prints the condition that is needed.
    config: String,
    /// By kind.
    standing: ArcSwap<[Standing; 2]>,
}

/// How it stands with one of our configurations.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Standing {
    /// The webhooks whose condition does not fit.
    mismatched: BTreeSet<String>,
    /// For a report of readiness: in order, or something to look at.
    told: Result<String, String>,
}

// === impl Prefilter ===

impl Prefilter {
    /// `config` is the file that the settings are from, if there is one.
    pub(super) fn new(in_force: Arc<InForce>, facts: Arc<Store>, config: Option<&Path>) -> Self {
        let config = config.map(|file| format!(" --config {}", file.display())).unwrap_or_default();
        let standing = Kind::ALL.map(|kind| compare(kind, &facts.status().borrow(), None, &config));
        Self { in_force, facts, config, standing: ArcSwap::from_pointee(standing) }
    }

    /// Compares with every change of the cluster and of the settings, until the process drains. The details, one for
    /// each configuration, say how it stands.
    pub(super) fn keep(
        self,
        keepers: &mut JoinSet<()>,
        metrics: &Arc<Metrics>,
        stages: watch::Receiver<Stage>,
    ) -> [Check; 2] {
        let prefilter = Arc::new(self);
        keepers.spawn(Arc::clone(&prefilter).keep_current(Arc::clone(metrics), stages));
        Kind::ALL.map(|kind| {
            let prefilter = Arc::clone(&prefilter);
            Check::detail(Fact::of_conditions(kind).as_str(), move || {
                prefilter.standing.load()[kind as usize].told.clone()
            })
        })
    }

    async fn keep_current(self: Arc<Self>, metrics: Arc<Metrics>, mut stage: watch::Receiver<Stage>) {
        let (mut status, mut settings) = (self.facts.status(), self.in_force.changes());
        loop {
            let now = {
                let status = status.borrow_and_update();
                self.look(&status)
            };
            self.take_up(now, &metrics);
            let ended = tokio::select! {
                _ = stage.wait_for(|now| *now >= Stage::Draining) => return,
                changed = status.changed() => changed.is_err(),
                changed = settings.changed() => changed.is_err(),
            };
            if ended {
                return;
            }
        }
    }

    fn look(&self, status: &Status) -> [Standing; 2] {
        // The facts are read one by one at the start. With half of them, the prefilter of one minor would be taken for
        // that of another.
        let is_settled = Fact::CRDS.into_iter().all(|crd| *status.of(crd) != State::Waiting);
        let (settings, facts) = (self.in_force.settings.load(), self.facts.read());
        Kind::ALL.map(|kind| {
            let right = is_settled.then(|| Right::of(webhook(kind), &settings, &facts));
            compare(kind, status, right.as_ref(), &self.config)
        })
    }

    /// Says what is news, and counts.
    fn take_up(&self, now: [Standing; 2], metrics: &Metrics) {
        let before = self.standing.load();
        for kind in Kind::ALL {
            let [before, now] = [&before, &now].map(|of| &of[kind as usize].mismatched);
            let configuration = format!("{kind} {CONFIGURATION}");
            for webhook in now.difference(before) {
                tracing::warn!(configuration, webhook, "{}", mismatch(kind, &self.config));
            }
            for webhook in before.difference(now) {
                tracing::info!(configuration, webhook, "the matchCondition {NAME} is no mismatch any more");
            }
            metrics.prefilter_mismatches(webhook(kind).as_str(), !now.is_empty());
        }
        self.standing.store(Arc::new(now));
    }
}

/// How it stands with a configuration. `right` is missing while that cannot be known yet.
fn compare(kind: Kind, status: &Status, right: Option<&Right>, config: &str) -> Standing {
    let fact = Fact::of_conditions(kind);
    let (Some(webhooks), Some(right)) = (status.webhooks(kind), right) else {
        let unknown = match status.of(fact) {
            State::Troubled(trouble, _) => format!("{trouble}; {}", fact.instead(false)),
            State::Waiting | State::Synced(_) => "not known yet".to_owned(),
        };
        return Standing { mismatched: BTreeSet::new(), told: Err(unknown) };
    };
    let fits: Vec<_> =
        webhooks.iter().map(|webhook| (webhook, right.compare(webhook.conditions()))).collect();
    let names = |wanted: Fit| -> BTreeSet<String> {
        let all = fits.iter().filter(|(_, fit)| *fit == wanted);
        all.map(|(webhook, _)| webhook.name.clone()).collect()
    };
    let (mismatched, fitting) = (names(Fit::Mismatch), names(Fit::Fits));
    let told = if !mismatched.is_empty() {
        Err(format!("{} in {kind} {CONFIGURATION}: {}", listed(&mismatched), mismatch(kind, config)))
    } else if !fitting.is_empty() {
        Ok(format!("{} in {kind} {CONFIGURATION} fits the configuration", listed(&fitting)))
    } else if webhooks.is_empty() {
        Ok(format!("no {kind} {CONFIGURATION}"))
    } else {
        Ok(format!("no {NAME} in {kind} {CONFIGURATION}, so every release is seen"))
    };
    let told = match status.of(fact) {
        State::Troubled(trouble, _) => {
            let (Ok(told) | Err(told)) = told;
            Err(format!("{trouble}; {}: {told}", fact.instead(true)))
        }
        State::Waiting | State::Synced(_) => told,
    };
    Standing { mismatched, told }
}

fn listed(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// What a mismatch means, and what to do.
fn mismatch(kind: Kind, config: &str) -> String {
    let webhook = webhook(kind);
    format!(
        "the matchCondition {NAME} was not written for this configuration and this Flux, so that releases may be left out \
         that a rule has a word about; `chartgate config prefilter --webhook {webhook}{config}` prints the right one"
    )
}

/// Which of our webhooks a configuration leads to; the value of the label `webhook`, too.
fn webhook(kind: Kind) -> Webhook {
    match kind {
        Kind::Mutating => Webhook::Mutate,
        Kind::Validating => Webhook::Validate,
    }
}
