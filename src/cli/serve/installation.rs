//! Compares the live webhook configurations with the namespace of this process, and reports whether they fail closed.
//!
//! The manifests name their namespace in places that kustomize does not rewrite with its own `namespace:` (seen with 5.7.1: the
//! Service of a webhook and the subjects of bindings follow, selectors and expressions do not).

use std::sync::Arc;

use arc_swap::ArcSwap;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::certs::Presented;
use crate::certs::shared::Live;
use crate::cluster::ca_bundle::Kind;
use crate::cluster::conditions::Webhook;
use crate::cluster::facts::{Status, Store};
use crate::telemetry::Metrics;
use crate::webhook::Stage;
use crate::webhook::observe::Check;
use crate::webhook::self_managed::SERVICE;

/// The namespace that the manifests name.
const SHIPPED: &str = "chartgate-system";

/// The live configurations, and the last result of the comparison.
pub(super) struct Installation {
    facts: Arc<Store>,
    /// The namespace of this process, where it is known.
    namespace: Option<String>,
    presented: Arc<Presented>,
    seen: ArcSwap<Seen>,
}

/// The state of the live configurations.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    /// The misfits, each as a sentence.
    misfits: Vec<String>,
    /// The webhooks that fail closed while no replica answers, by kind.
    closed: [Vec<String>; 2],
    /// The webhooks that would fail closed, and have no rules yet.
    uncalled: Vec<String>,
    /// Name, host and caBundle of each webhook that calls a Service.
    called: Vec<(String, String, Vec<u8>)>,
}

// === impl Installation ===

impl Installation {
    pub(super) fn new(facts: Arc<Store>, namespace: Option<String>, presented: Arc<Presented>) -> Self {
        Self { facts, namespace, presented, seen: ArcSwap::default() }
    }

    /// Compares with every change of the configurations, until the process drains. The details report the state.
    pub(super) fn keep(
        self,
        keepers: &mut JoinSet<()>,
        metrics: &Arc<Metrics>,
        stages: watch::Receiver<Stage>,
    ) -> [Check; 3] {
        let installation = Arc::new(self);
        keepers.spawn(Arc::clone(&installation).keep_current(Arc::clone(metrics), stages));
        let (fits, trusts) = (Arc::clone(&installation), Arc::clone(&installation));
        [
            Check::detail("live-caBundle", move || trusts.trust()),
            Check::detail("installation", move || match &fits.seen.load().misfits[..] {
                [] => Ok("the webhook configurations fit".to_owned()),
                misfits => Err(misfits.join("; ")),
            }),
            Check::detail("fails-closed", move || Ok(installation.seen.load().closing())),
        ]
    }

    async fn keep_current(self: Arc<Self>, metrics: Arc<Metrics>, mut stage: watch::Receiver<Stage>) {
        let mut status = self.facts.status();
        loop {
            let now = look(&status.borrow_and_update(), self.namespace.as_deref());
            self.take_up(now, &metrics);
            tokio::select! {
                _ = stage.wait_for(|now| *now >= Stage::Draining) => return,
                changed = status.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Whether the live caBundles verify the serving certificate. A detail, as the issuer of a certificate for `--certs=DIR`
    /// has to fix it; with `--certs=self` the condition `caBundle` reports the same.
    fn trust(&self) -> Result<String, String> {
        let Some(pair) = self.presented.pair() else { return Err("there is no certificate yet".to_owned()) };
        let (seen, now) = (self.seen.load(), OffsetDateTime::now_utc());
        let refusing = seen
            .called
            .iter()
            .filter(|(_, host, bundle)| !Live::of([bundle.as_slice()]).accepts(&pair, host, now));
        let refusing: Vec<_> = refusing.map(|(name, ..)| name.as_str()).collect();
        if refusing.is_empty() {
            Ok(format!("the served certificate is verified by {} webhooks", seen.called.len()))
        } else {
            Err(format!("the caBundle of {} does not verify the served certificate", refusing.join(", ")))
        }
    }

    fn take_up(&self, now: Seen, metrics: &Metrics) {
        let before = self.seen.load();
        for misfit in now.misfits.iter().filter(|misfit| !before.misfits.contains(misfit)) {
            tracing::warn!("the webhook configurations do not fit: {misfit}");
        }
        metrics.installation_misfits(now.misfits.len());
        for (name, closed) in ["mutate", "validate"].into_iter().zip(&now.closed) {
            metrics.fails_closed(name, !closed.is_empty());
        }
        if before.closed != now.closed {
            tracing::info!("while no replica answers: {}", now.closing());
        }
        self.seen.store(Arc::new(now));
    }
}

// === impl Seen ===

impl Seen {
    fn closing(&self) -> String {
        let closed = self.closed.concat();
        if !closed.is_empty() {
            format!("{} refuses what nobody has judged", closed.join(", "))
        } else if self.uncalled.is_empty() {
            "everything passes".to_owned()
        } else {
            format!("everything passes: {} has no rules before a replica is ready", self.uncalled.join(", "))
        }
    }
}

fn look(status: &Status, namespace: Option<&str>) -> Seen {
    let mut seen = Seen::default();
    for kind in Kind::ALL {
        let webhooks = status.webhooks(kind).unwrap_or_default();
        seen.called.extend(webhooks.iter().filter_map(|webhook| {
            let (namespace, service) = webhook.service.as_ref()?;
            Some((webhook.name.clone(), format!("{service}.{namespace}.svc"), webhook.ca_bundle.clone()))
        }));
        let about_releases =
            webhooks.iter().filter(|webhook| ["/mutate", "/validate"].contains(&&*webhook.path));
        for webhook in about_releases {
            match (webhook.fails_closed, webhook.has_rules) {
                (true, true) => seen.closed[kind as usize].push(webhook.name.clone()),
                (true, false) => seen.uncalled.push(webhook.name.clone()),
                (false, _) => {}
            }
            if let Some(namespace) = namespace {
                seen.misfits.extend(misfits(webhook, namespace));
            }
        }
    }
    seen
}

/// Returns the parts of a webhook that do not fit this namespace.
fn misfits(webhook: &Webhook, namespace: &str) -> Vec<String> {
    let Webhook { name, service, .. } = webhook;
    let mut misfits = Vec::new();
    if let Some((of, called)) = service.as_ref().filter(|(of, called)| of != namespace || called != SERVICE) {
        misfits.push(format!(
            "{name} calls the Service {of}/{called}, and chartgate runs behind {namespace}/{SERVICE}: no call is answered"
        ));
    }
    if !webhook.leaves_out(namespace) {
        misfits.push(format!(
            "the namespaceSelector of {name} does not leave out {namespace}, where chartgate runs: a HelmRelease there, even one \
             that repairs chartgate, waits for chartgate"
        ));
    }
    let literal = format!("'{SHIPPED}'");
    if namespace != SHIPPED && webhook.conditions().any(|(_, expression)| expression.contains(&literal)) {
        misfits.push(format!(
            "the matchConditions of {name} name {SHIPPED}, and chartgate runs in {namespace}: the HelmRelease that installs \
             chartgate is judged by chartgate; replace the name there by a patch of your kustomization"
        ));
    }
    misfits
}
