//! Events on the objects that were judged, for whoever looks at them with `kubectl describe`.
//!
//! A review only puts a happening into a queue; a task writes it, and may be slow, or fail. What the queue, the limit
//! or the API server does not take is dropped and counted: the log has it all the same.
//!
//! Anybody who reaches the port can send reviews. So each address has a share of the queue, and an Event is written only on an
//! object that the API server has under the uid of the review (see `known`): a creation, which has none, leaves none.
//!
//! kube's own recorder takes happenings for the same if they differ in their note alone, and then keeps the old note;
//! and it writes each repetition. A release that is denied for another reason must say so, and a client in a loop
//! must cost next to nothing: so this one is our own.

mod known;
mod ledger;
mod queue;

use std::convert::Infallible;
use std::env;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, Error};
use prometheus_client::metrics::counter::Counter;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::told;
use known::{Knowledge, Known, uid_of};
use ledger::{Entry, Ledger};
use queue::Queue;

/// How long one write may take. The API server may be away, and the next happening waits.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// How often the counts of repeated happenings are written.
const REPETITIONS_EVERY: Duration = Duration::from_secs(10);

/// Who says so, as `kubectl describe` shows it.
const CONTROLLER: &str = "chartgate";

/// What was being done when it happened.
const ACTION: &str = "Admission";

/// The longest name of an object.
const MAX_NAME: usize = 253;

/// Something that happened to an object. Two that are equal are one Event with a count.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Happening {
    /// What happened, in one word.
    pub reason: Reason,
    /// To what.
    pub regarding: Regarding,
    /// What happened, in a text of at most 1 KiB.
    pub note: String,
}

/// What happened, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A write was refused.
    Denied,
    /// A write was put right.
    Healed,
}

/// The HelmRelease that something happened to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Regarding {
    /// Its `apiVersion`.
    pub api_version: String,
    /// Its namespace, which is the Event's as well.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid, as the request has it.
    pub uid: String,
}

/// Where happenings are told. Clones share one queue.
#[derive(Clone, Debug)]
pub struct Events {
    queue: Arc<Queue>,
    full: Counter,
    /// The writer ends when the last sender is dropped.
    _alive: mpsc::Sender<Infallible>,
}

/// What becomes of happenings, in numbers.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Events that were written, repetitions of one not counted.
    pub written: Counter,
    /// Happenings that found the queue full.
    pub queue_full: Counter,
    /// Happenings beyond the limit of new Events, or of questions about their objects.
    pub rate_limited: Counter,
    /// Happenings to objects that the API server does not have under that uid.
    pub unknown_object: Counter,
    /// Events that the API server did not take.
    pub failed: Counter,
}

/// Writes what was told.
pub struct Writer {
    client: Client,
    instance: String,
    queue: Arc<Queue>,
    alive: mpsc::Receiver<Infallible>,
    counters: Counters,
    ledger: Ledger,
    known: Known,
    /// The last write failed, and that has been logged.
    failing: bool,
}

/// A queue, and the task's part of it, which is to be run.
pub fn events(client: Client, counters: Counters) -> (Events, Writer) {
    let queue = Arc::<Queue>::default();
    let (guard, alive) = mpsc::channel(1);
    let events = Events { queue: Arc::clone(&queue), full: counters.queue_full.clone(), _alive: guard };
    let (instance, ledger, known) = (instance(), Ledger::new(Instant::now()), Known::new());
    (events, Writer { client, instance, queue, alive, counters, ledger, known, failing: false })
}

/// In a pod, its name; a name of a machine is nothing to be told to a namespace.
pub(super) fn instance() -> String {
    let in_pod = env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    let name = env::var("HOSTNAME").ok().filter(|name| in_pod && !name.is_empty() && name.len() < 128);
    name.unwrap_or_else(|| CONTROLLER.to_owned())
}

// === impl Reason ===

impl Reason {
    fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "Denied",
            Self::Healed => "Healed",
        }
    }

    /// A healed write was stored, but not as it was sent: that is for somebody to look at, and no fault.
    fn type_(self) -> &'static str {
        match self {
            Self::Denied => "Warning",
            Self::Healed => "Normal",
        }
    }
}

// === impl Events ===

impl Events {
    /// Queues a happening that a review from `peer` caused, without waiting.
    pub fn tell(&self, peer: IpAddr, happening: Happening) {
        if !self.queue.put(peer, happening) {
            self.full.inc();
        }
    }
}

// === impl Writer ===

impl Writer {
    /// Writes until everybody who could tell anything has gone, and everything told is written.
    pub async fn run(mut self) {
        let mut repetitions = interval(REPETITIONS_EVERY);
        repetitions.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                (peer, happening) = self.queue.next() => self.hear(peer, happening).await,
                _ = self.alive.recv() => break,
                _ = repetitions.tick() => self.write_repetitions().await,
            }
        }
        while let Some((peer, happening)) = self.queue.take() {
            self.hear(peer, happening).await;
        }
        self.write_repetitions().await;
    }

    async fn hear(&mut self, peer: IpAddr, happening: Happening) {
        let now = Instant::now();
        if self.ledger.repeats(&happening, now) || !self.is_known(peer, &happening.regarding).await {
            return;
        }
        if !self.ledger.may_write(&happening.regarding, now) {
            self.counters.rate_limited.inc();
            return;
        }
        let event = new_event(&happening, &self.instance, Timestamp::now());
        let name = event.metadata.name.clone().unwrap_or_default();
        let api = self.api(&happening);
        if self.done("write an Event", api.create(&PostParams::default(), &event)).await.is_some() {
            self.counters.written.inc();
            self.ledger.enter(happening, name, now);
        }
    }

    /// Whether the API server has the object under its uid; counts the reason if not.
    async fn is_known(&mut self, peer: IpAddr, regarding: &Regarding) -> bool {
        let now = Instant::now();
        let confirmed = match self.known.of(regarding, peer, now) {
            Knowledge::Confirmed => true,
            Knowledge::Refuted => false,
            Knowledge::ToAsk => {
                let uid = uid_of(self.client.clone(), regarding);
                let Some(uid) = self.done("look for the object of an Event", uid).await else { return false };
                self.known.remember(regarding, uid, now)
            }
            Knowledge::Limited => {
                self.counters.rate_limited.inc();
                return false;
            }
        };
        if !confirmed {
            self.counters.unknown_object.inc();
        }
        confirmed
    }

    /// Writes how often known happenings have happened by now.
    async fn write_repetitions(&mut self) {
        let now = Instant::now();
        for (happening, Entry { name, count, last, .. }) in self.ledger.take_unwritten(now) {
            let at = Timestamp::now().checked_sub(now - last).unwrap_or_default();
            let series = json!({"series": {"count": count, "lastObservedTime": MicroTime(at)}});
            let api = self.api(&happening);
            let (params, series) = (PatchParams::default(), Patch::Merge(series));
            let patched = api.patch(&name, &params, &series);
            if self.done("write an Event", patched).await.is_none() {
                // It may have expired, or been deleted: the next one is a new one.
                self.ledger.forget(&happening);
            }
        }
    }

    fn api(&self, happening: &Happening) -> Api<Event> {
        Api::namespaced(self.client.clone(), &happening.regarding.namespace)
    }

    /// Returns the answer of the API server, if the request succeeded. Only the first of several failures in a row is
    /// logged.
    async fn done<T>(&mut self, what: &str, asked: impl Future<Output = Result<T, Error>>) -> Option<T> {
        let (answer, failure) = match timeout(WRITE_TIMEOUT, asked).await {
            Ok(Ok(answer)) => (Some(answer), None),
            Ok(Err(error)) => (None, Some(told(&error))),
            Err(_) => (None, Some("the API server took too long".to_owned())),
        };
        if failure.is_some() {
            self.counters.failed.inc();
        }
        match &failure {
            Some(error) if !self.failing => {
                tracing::warn!(%error, "cannot {what}; this is said once until it works again");
            }
            None if self.failing => tracing::info!("Events are written again"),
            _ => {}
        }
        self.failing = failure.is_some();
        answer
    }
}

fn new_event(happening: &Happening, instance: &str, now: Timestamp) -> Event {
    let Happening { reason, regarding, note } = happening;
    let Regarding { api_version, namespace, name, uid } = regarding;
    Event {
        metadata: ObjectMeta {
            namespace: Some(namespace.clone()),
            name: Some(event_name(name, now)),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(now)),
        type_: Some(reason.type_().to_owned()),
        reason: Some(reason.as_str().to_owned()),
        action: Some(ACTION.to_owned()),
        note: Some(note.clone()),
        regarding: Some(ObjectReference {
            api_version: Some(api_version.clone()),
            kind: Some("HelmRelease".to_owned()),
            namespace: Some(namespace.clone()),
            name: Some(name.clone()),
            uid: Some(uid.clone()),
            ..ObjectReference::default()
        }),
        reporting_controller: Some(CONTROLLER.to_owned()),
        reporting_instance: Some(instance.to_owned()),
        ..Event::default()
    }
}

/// The object's name and the moment, as everybody names events; cut, for a name may be as long as names can be.
fn event_name(object: &str, now: Timestamp) -> String {
    let moment = format!(".{:x}", now.as_nanosecond());
    let object = &object[..object.floor_char_boundary(MAX_NAME - moment.len())];
    // What is cut in the middle may end in what no part of a name may end in.
    format!("{}{moment}", object.trim_end_matches(['.', '-']))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Something that happened to `apps/podinfo`.
    pub(super) fn happening(note: &str) -> Happening {
        Happening {
            reason: Reason::Denied,
            regarding: Regarding {
                api_version: "helm.toolkit.fluxcd.io/v2".into(),
                namespace: "apps".into(),
                name: "podinfo".into(),
                uid: "u".into(),
            },
            note: note.into(),
        }
    }

    #[test]
    fn what_the_queue_does_not_take_is_counted_and_nobody_waits() {
        let (guard, _alive) = mpsc::channel(1);
        let events = Events { queue: Arc::default(), full: Counter::default(), _alive: guard };
        let peer = IpAddr::from([10, 0, 0, 1]);
        for _ in 0..100 {
            events.tell(peer, happening("a"));
        }
        assert_eq!(events.full.get(), 36);
        assert_eq!(events.queue.take(), Some((peer, happening("a"))));
    }

    #[test]
    fn the_name_of_an_event_is_never_too_long() {
        let now = Timestamp::from_second(1_795_348_800).unwrap();
        assert_eq!(event_name("podinfo", now), "podinfo.18ea5c38afec8000");
        let long = format!("{}-{}", "a".repeat(235), "b".repeat(17));
        assert_eq!(event_name(&long, now), format!("{}.18ea5c38afec8000", "a".repeat(235)));
    }
}
