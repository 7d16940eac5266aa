//! A Lease of `coordination.k8s.io`, by which replicas agree on the one that works.
//!
//! Every write carries the resourceVersion of what was read, so that of two who take the Lease at once one gets it. No clock is
//! compared with another's: a record counts for as long as it says from when *we* saw it change, as in client-go. The crates
//! that there are compare the holder's `renewTime` with the local clock, so that two may lead where clocks differ.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use thiserror::Error;
use tokio::time::{Instant, sleep_until, timeout};

use super::events::instance;
use super::{ApiError, Connection, FIELD_MANAGER, Written, raced};

/// How long a holder that says nothing more keeps the Lease.
const DURATION: Duration = Duration::from_secs(15);

/// How long a holder that cannot renew goes on: what is left of [`DURATION`] is for what is under way then.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);

/// How often a holder renews.
const RENEW_EVERY: Duration = Duration::from_secs(5);

/// The pause after a renewal that failed.
const RETRY: Duration = Duration::from_secs(2);

/// The pause before another look where somebody wrote in between.
const RACE: Duration = Duration::from_millis(200);

/// How long one request may take: several have to fit into [`RENEW_DEADLINE`].
const REQUEST: Duration = Duration::from_secs(3);

/// Somebody who wants the Lease.
pub struct Candidate {
    api: Api<Lease>,
    name: String,
    /// Nobody else has it, not even the next process of the same pod.
    identity: String,
    seen: Option<Seen>,
}

/// A record, and when it was seen first.
struct Seen {
    lease: Lease,
    at: Instant,
}

/// What became of an attempt.
pub enum Turn {
    /// We hold it.
    Ours(Term),
    /// Somebody else does, by this name.
    Theirs(String),
    /// Somebody wrote between our look and our write: look again.
    Raced,
}

/// The time for which we hold the Lease. It is lengthened by [`Candidate::keep`]; clones share it.
#[derive(Clone, Debug)]
pub struct Term {
    end: Arc<Mutex<Instant>>,
}

/// Why a Lease is not ours any more.
#[derive(Debug, Error)]
pub enum Lost {
    /// Somebody else holds it.
    #[error("{0} has taken the Lease")]
    Taken(String),
    /// It was not renewed for so long that somebody else may take it.
    #[error("the Lease was not renewed within {seconds} seconds: {0}", seconds = RENEW_DEADLINE.as_secs())]
    Unrenewed(String),
}

// === impl Candidate ===

impl Candidate {
    /// For the Lease `name` in the namespace that we are in. Nothing is asked yet.
    pub fn new(connection: &Connection, name: &str) -> Self {
        let Connection { client, namespace } = connection;
        let api = Api::namespaced(client.clone(), namespace);
        // Seeded by the system for each process.
        let number = RandomState::new().hash_one(name);
        let identity = format!("{}_{number:016x}", instance());
        Self { api, name: name.to_owned(), identity, seen: None }
    }

    /// As whom we hold it.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Looks at the Lease, and takes it if nobody holds it.
    pub async fn try_take(&mut self) -> Result<Turn, ApiError> {
        let asked = Instant::now();
        let Some(found) = soon(self.api.get_opt(&self.name)).await? else {
            self.seen = None;
            let lease = self.record(None);
            let created = raced(soon(self.api.create(&parameters(), &lease)).await)?;
            return Ok(self.taken(created, asked));
        };
        let holder = holder(&found).to_owned();
        let is_free = observe(&mut self.seen, found, asked);
        if !is_free && holder != self.identity {
            return Ok(Turn::Theirs(holder));
        }
        let asked = Instant::now();
        let lease = self.record(self.seen.as_ref().map(|seen| &seen.lease));
        let replaced = raced(soon(self.api.replace(&self.name, &parameters(), &lease)).await)?;
        Ok(self.taken(replaced, asked))
    }

    /// Renews the Lease for as long as that is possible.
    pub async fn keep(&mut self, term: &Term) -> Lost {
        let mut next = Instant::now() + RENEW_EVERY;
        let mut last = "this process did not run".to_owned();
        loop {
            sleep_until(next.min(term.end())).await;
            if !term.is_ours() {
                return Lost::Unrenewed(last);
            }
            let asked = Instant::now();
            match self.try_take().await {
                Ok(Turn::Ours(renewed)) => {
                    term.lengthen(renewed.end());
                    next = asked + RENEW_EVERY;
                }
                Ok(Turn::Theirs(holder)) => return Lost::Taken(holder),
                // An answer to an earlier renewal of ours may have been lost, or somebody has labelled it.
                Ok(Turn::Raced) => next = Instant::now() + RACE,
                Err(error) => {
                    last = error.told();
                    next = Instant::now() + RETRY;
                }
            }
        }
    }

    /// Gives the Lease back, if it is ours, so that the next one need not wait for its end.
    pub async fn release(&mut self) -> Result<(), ApiError> {
        self.seen = None;
        let Some(mut lease) = soon(self.api.get_opt(&self.name)).await? else { return Ok(()) };
        if holder(&lease) != self.identity {
            return Ok(());
        }
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = None;
            spec.renew_time = Some(MicroTime(Timestamp::now()));
        }
        // Who was faster has it.
        raced(soon(self.api.replace(&self.name, &parameters(), &lease)).await).map(drop)
    }

    /// The record that says that we hold it from now on, in place of another.
    fn record(&self, before: Option<&Lease>) -> Lease {
        let now = Some(MicroTime(Timestamp::now()));
        let old = before.and_then(|before| before.spec.as_ref());
        let stays = before.is_some_and(|before| holder(before) == self.identity);
        let transitions = old.and_then(|old| old.lease_transitions).unwrap_or(0);
        let spec = LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(i32::try_from(DURATION.as_secs()).expect("it is a constant")),
            acquire_time: old.filter(|_| stays).map_or(now.clone(), |old| old.acquire_time.clone()),
            renew_time: now,
            lease_transitions: Some(if stays || before.is_none() { transitions } else { transitions + 1 }),
            ..LeaseSpec::default()
        };
        let metadata = before.map_or_else(
            || ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
            // With its resourceVersion, which the API server compares; writing the rest back would claim it for us.
            |before| ObjectMeta { managed_fields: None, ..before.metadata.clone() },
        );
        Lease { metadata, spec: Some(spec) }
    }

    fn taken(&mut self, written: Written<Lease>, asked: Instant) -> Turn {
        let Written::Done(lease) = written else {
            return Turn::Raced;
        };
        self.seen = Some(Seen { lease, at: asked });
        Turn::Ours(Term { end: Arc::new(Mutex::new(asked + RENEW_DEADLINE)) })
    }
}

// === impl Term ===

impl Term {
    /// Whether the Lease is ours still. To be asked before each write: a process may have slept since it last looked.
    pub fn is_ours(&self) -> bool {
        Instant::now() < self.end()
    }

    fn end(&self) -> Instant {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lengthen(&self, end: Instant) {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner) = end;
    }
}

/// Takes note of a record, and says whether it may be taken: whether nobody holds it, or its holder has not changed it for as
/// long as it says.
fn observe(seen: &mut Option<Seen>, lease: Lease, now: Instant) -> bool {
    let at = seen.take().filter(|seen| seen.lease.spec == lease.spec).map_or(now, |seen| seen.at);
    let seconds = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds);
    let lasts = seconds.and_then(|seconds| u64::try_from(seconds).ok()).map_or(DURATION, Duration::from_secs);
    let is_free = holder(&lease).is_empty() || now.duration_since(at) >= lasts;
    *seen = Some(Seen { lease, at });
    is_free
}

fn holder(lease: &Lease) -> &str {
    lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default()
}

fn parameters() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() }
}

async fn soon<T>(answer: impl Future<Output = kube::Result<T>>) -> Result<T, ApiError> {
    match timeout(REQUEST, answer).await {
        Ok(answer) => answer.map_err(|error| Box::new(error).into()),
        Err(_) => Err(ApiError::Late),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record of a holder whose clock says so many seconds after 1970.
    fn record(holder: &str, clock: i64, lasts: i32) -> Lease {
        let spec = LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(lasts),
            renew_time: Some(MicroTime(Timestamp::from_second(clock).unwrap())),
            ..LeaseSpec::default()
        };
        Lease { spec: Some(spec), ..Lease::default() }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_record_lasts_from_when_it_was_seen_whatever_the_clock_of_its_holder_says() {
        for clock in [0, 32_503_680_000] {
            let (mut seen, start) = (None, Instant::now());
            let mut at =
                |after, clock| observe(&mut seen, record("other", clock, 20), start + seconds(after));
            assert!(!at(0, clock));
            assert!(!at(19, clock));
            assert!(!at(20, clock + 1), "it was renewed");
            assert!(!at(39, clock + 1));
            assert!(at(40, clock + 1));
        }
    }

    #[test]
    fn what_nobody_holds_is_free_at_once_and_a_label_is_no_sign_of_life() {
        assert!(observe(&mut None, record("", 0, 20), Instant::now()));
        let (mut seen, start) = (None, Instant::now());
        assert!(!observe(&mut seen, record("other", 0, 20), start));
        let mut labelled = record("other", 0, 20);
        labelled.metadata.resource_version = Some("2".to_owned());
        assert!(observe(&mut seen, labelled, start + seconds(20)));
    }

    #[test]
    fn a_term_that_is_over_is_not_ours_until_it_is_lengthened() {
        let now = Instant::now();
        let term = Term { end: Arc::new(Mutex::new(now)) };
        assert!(!term.is_ours());
        let copy = term.clone();
        term.lengthen(now + RENEW_DEADLINE);
        assert!(copy.is_ours());
    }
}
