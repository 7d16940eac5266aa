//! Keeps the certificate that the servers of a cluster share: the Secret, and what the API server trusts.
//!
//! What is to be done is decided by [`Keeper`]; here it is done, and tried again where it fails. Every replica does the
//! same; the API server sees to it that of two who write at once one has to look again.

mod status;
mod trusted;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use self::trusted::Trusted;
use super::{Stage, reached};
use crate::certs::Presented;
use crate::certs::shared::{Decision, Found, Keeper, Lifetimes, Moment, OWNER_LABEL, Owner, Why, Write};
use crate::cluster::ca_bundle::{CONFIGURATION, Configuration, Kind, Trust};
use crate::cluster::event::Events;
use crate::cluster::secret::{SharedSecret, Stored};
use crate::cluster::{ApiError, Connection, Written};
use crate::telemetry::{Asked, Metrics, Part};

pub use self::status::Status;

/// The Secret that all replicas share.
pub const SECRET: &str = "chartgate-tls";

/// The Service by which the API server calls us.
pub const SERVICE: &str = "chartgate";

/// How often one look may lead to the next at once. A fresh start takes three.
const STEPS: usize = 8;

/// The waits between attempts that fail.
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(30);

/// Keeps Secret, caBundles and what is presented in step with each other.
pub struct SelfManaged {
    keeper: Keeper,
    secret: SharedSecret,
    stored: Seen<Stored>,
    trusted: Trusted,
    events: Events,
    presented: Arc<Presented>,
    metrics: Arc<Metrics>,
    status: Arc<Status>,
    started: Instant,
    failures: u32,
    /// The owner that was told last, so that he is told once.
    told: Option<Owner>,
}

/// What was seen of an object last.
enum Seen<T> {
    /// Nobody has looked.
    NotYet,
    /// It was not there.
    Absent,
    /// It was so.
    There(T),
}

/// Whether there may be more to do at once.
enum Step {
    Again,
    Done(Duration),
}

// === impl SelfManaged ===

impl SelfManaged {
    /// Nothing is asked yet; see [`Self::keep`].
    pub fn new(
        connection: &Connection,
        lifetimes: Lifetimes,
        presented: Arc<Presented>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let secret = SharedSecret::new(connection, SECRET);
        let trust = |kind| Trust::new(connection, kind, CONFIGURATION);
        Self {
            keeper: Keeper::new(SERVICE, &connection.namespace, lifetimes, jitter()),
            trusted: Trusted::new([trust(Kind::Mutating), trust(Kind::Validating)], Arc::clone(&metrics)),
            stored: Seen::NotYet,
            events: Events::new(connection),
            status: Arc::new(Status::new()),
            started: Instant::now(),
            failures: 0,
            told: None,
            secret,
            presented,
            metrics,
        }
    }

    /// How things are, for the probes.
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status)
    }

    /// The Secret's namespace and name.
    pub fn place(&self) -> String {
        self.secret.place()
    }

    /// Works until the process drains. Whatever is under way then may be left: every write is whole or none.
    pub async fn keep(self, stage: watch::Receiver<Stage>) {
        tokio::select! {
            () = reached(Stage::Draining, stage) => {}
            () = self.work() => {}
        }
    }

    async fn work(mut self) {
        let mut secrets = pin!(self.secret.watch());
        let [mut mutating, mut validating] = self.trusted.watch();
        let mut next = Instant::now();
        loop {
            tokio::select! {
                Some(seen) = secrets.next() => match seen {
                    Ok(stored) => {
                        self.status.answered();
                        self.stored = stored.into();
                    }
                    Err(error) => self.failed(Asked::Secret, "cannot watch the Secret", &error),
                },
                Some(seen) = mutating.next() => self.trusted_seen(Kind::Mutating, seen),
                Some(seen) = validating.next() => self.trusted_seen(Kind::Validating, seen),
                () = sleep_until(next) => {}
            }
            next = Instant::now() + self.settle().await;
        }
    }

    fn trusted_seen(&mut self, kind: Kind, seen: Result<Option<Configuration>, ApiError>) {
        match seen {
            Ok(configuration) => {
                self.status.answered();
                self.trusted.seen(kind, configuration);
            }
            Err(error) => self.failed(Asked::CaBundle, "cannot watch a webhook configuration", &error),
        }
    }

    /// Does what is to be done, and says when to look again.
    async fn settle(&mut self) -> Duration {
        for _ in 0..STEPS {
            match self.step().await {
                Ok(Step::Again) => self.failures = 0,
                Ok(Step::Done(look_again)) => {
                    self.failures = 0;
                    return look_again;
                }
                Err((asked, error)) => {
                    self.failed(asked, "cannot keep the certificate", &error);
                    break;
                }
            }
        }
        self.failures = self.failures.saturating_add(1);
        let wait = FIRST_RETRY.saturating_mul(2u32.saturating_pow(self.failures - 1)).min(LAST_RETRY);
        wait.mul_f64(0.5 + jitter() / 2.0)
    }

    async fn step(&mut self) -> Result<Step, (Asked, ApiError)> {
        if matches!(self.stored, Seen::NotYet) {
            self.status.not_read();
            return Ok(Step::Done(LAST_RETRY));
        }
        let moment = Moment { now: OffsetDateTime::now_utc(), uptime: self.started.elapsed() };
        let decision = self.keeper.decide(self.stored.there().map(found), &self.trusted.live(), moment);
        let Decision { present, bundle, write, look_again, not_ours, unready } = match decision {
            Ok(decision) => decision,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "cannot make a certificate");
                return Ok(Step::Done(LAST_RETRY));
            }
        };
        if let Some(pair) = present {
            let not_after = pair.not_after();
            self.presented.replace(pair);
            self.metrics.serves_certificate_until(not_after);
            tracing::info!(%not_after, "serving the certificate of the shared Secret");
        }
        self.status.set(unready.as_ref().map(|why| self.trusted.explain(why)));
        self.tell_owner(not_ours).await;
        if let Some(write) = write {
            return self.write(write).await.map_err(|error| (Asked::Secret, error));
        }
        if let Some(bundle) = bundle {
            let (wait, kinds) = self.trusted.to_restore(&bundle);
            for kind in &kinds {
                if !self.restore_lost(*kind, &bundle).await? {
                    self.restore(*kind).await?;
                }
            }
            if !kinds.is_empty() {
                return Ok(Step::Again);
            }
            return Ok(Step::Done(wait.map_or(look_again, |wait| wait.min(look_again))));
        }
        Ok(Step::Done(look_again))
    }

    /// Puts new data into the Secret, if it still is as it was when that was decided.
    async fn write(&mut self, write: Write) -> Result<Step, ApiError> {
        let Write { data, why, leaf, authority } = write;
        let before = self.stored.there();
        if before.is_some_and(Stored::is_leaving) {
            tracing::warn!(secret = self.place(), "the Secret is being deleted, but something holds it");
            return Ok(Step::Done(FIRST_RETRY));
        }
        let written = match before {
            Some(before) => self.secret.replace(before, data).await?,
            None => self.secret.create(data, labels()).await?,
        };
        let Written::Done(stored) = written else {
            tracing::debug!("another replica wrote the Secret first");
            self.stored = self.secret.read().await?.into();
            return Ok(Step::Again);
        };
        self.stored = Seen::There(stored);
        for (_, part) in [(leaf, Part::Leaf), (authority, Part::Authority)].iter().filter(|(made, _)| *made) {
            self.metrics.certificate_rotated(*part);
        }
        self.tell(&why, leaf, authority).await;
        Ok(Step::Again)
    }

    async fn tell(&self, why: &Why, leaf: bool, authority: bool) {
        let secret = self.place();
        if let Why::Broken(_) = why {
            tracing::warn!(secret, leaf, ca = authority, %why, "repaired the Secret");
            self.metrics.certificate_repaired();
            let note = format!("chartgate found the Secret broken and repaired it: {why}");
            self.leave_event(("CertificateRepaired", "Replace"), &note).await;
        } else {
            tracing::info!(secret, leaf, ca = authority, %why, "wrote the Secret");
        }
    }

    /// Says once that a Secret is left alone.
    async fn tell_owner(&mut self, owner: Option<Owner>) {
        if owner == self.told {
            return;
        }
        if let Some(owner) = &owner {
            tracing::error!(secret = self.place(), "the Secret is left alone: {owner}");
            let note = format!("chartgate --certs=self leaves this Secret alone: {owner}");
            self.leave_event(("NotManaged", "LeaveAlone"), &note).await;
        }
        self.told = owner;
    }

    async fn leave_event(&self, what: (&str, &str), note: &str) {
        if let Err(error) = self.events.warn(&self.secret.reference(), what, note).await {
            self.metrics.certificate_failed(Asked::Event);
            tracing::warn!(error = error.told(), "cannot write an event");
        }
    }

    /// Gives a configuration that has lost its caBundle the one that we know, in one request: until then every call fails.
    /// Says whether it did.
    ///
    /// The write depends on the version that was seen, so it undoes nothing. If the Secret is newer than what we know, we
    /// hear of it in a moment, and what is written here is then replaced as ever.
    async fn restore_lost(&mut self, kind: Kind, bundle: &str) -> Result<bool, (Asked, ApiError)> {
        let Some(lost) = self.trusted.lost(kind, bundle, OffsetDateTime::now_utc()).cloned() else {
            return Ok(false);
        };
        let trust = self.trusted.trust(kind).clone();
        let applied = trust.apply(&lost, bundle).await.map_err(|error| (Asked::CaBundle, error))?;
        let Written::Done(after) = applied else { return Ok(false) };
        self.trusted.restored(kind, &lost, after, bundle.to_owned());
        Ok(true)
    }

    /// Gives a configuration the caBundle that the Secret asks for in place of another one of ours.
    ///
    /// Both are read anew, the configuration first: whoever writes the Secret and then the configuration while we are
    /// at it has changed the configuration's version, so nobody's newer caBundle is ever undone by what we knew before.
    async fn restore(&mut self, kind: Kind) -> Result<(), (Asked, ApiError)> {
        let trust = self.trusted.trust(kind).clone();
        let configuration = trust.read().await.map_err(|error| (Asked::CaBundle, error))?;
        self.trusted.seen(kind, configuration.clone());
        let stored = self.secret.read().await.map_err(|error| (Asked::Secret, error))?;
        let bundle =
            stored.as_ref().and_then(|stored| self.keeper.bundle(found(stored), OffsetDateTime::now_utc()));
        self.stored = stored.into();
        let Some((configuration, bundle)) = configuration.zip(bundle) else { return Ok(()) };
        if configuration.injected_by().is_some() || configuration.holds(&bundle) {
            return Ok(());
        }
        let applied = trust.apply(&configuration, &bundle).await.map_err(|error| (Asked::CaBundle, error))?;
        if let Written::Done(after) = applied {
            self.trusted.restored(kind, &configuration, after, bundle);
        }
        Ok(())
    }

    /// Logs and counts a failure; the same again is counted only.
    fn failed(&self, asked: Asked, what: &'static str, error: &ApiError) {
        self.metrics.certificate_failed(asked);
        self.status.failed(what, &error.told());
    }
}

// === impl Seen ===

impl<T> Seen<T> {
    fn there(&self) -> Option<&T> {
        match self {
            Self::There(object) => Some(object),
            Self::NotYet | Self::Absent => None,
        }
    }
}

impl<T> From<Option<T>> for Seen<T> {
    fn from(seen: Option<T>) -> Self {
        seen.map_or(Self::Absent, Self::There)
    }
}

fn found(stored: &Stored) -> Found<'_> {
    Found { data: stored.data(), labels: stored.labels(), annotations: stored.annotations() }
}

fn labels() -> BTreeMap<String, String> {
    let (owner, ours) = OWNER_LABEL;
    [(owner, ours), ("app.kubernetes.io/name", "chartgate")]
        .map(|(key, value)| (key.into(), value.into()))
        .into()
}

/// A number from 0 to 1 that other replicas do not have.
fn jitter() -> f64 {
    // Seeded by the system for each value.
    let random = RandomState::new().hash_one(0);
    f64::from((random >> 32) as u32) / f64::from(u32::MAX)
}
