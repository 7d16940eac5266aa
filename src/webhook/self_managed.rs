//! Keeps the certificate that the servers of a cluster share: the Secret, and what the API server trusts.
//!
//! What is to be done is decided by [`Keeper`]; here it is done, and tried again where it fails. Every replica does the
//! same; the API server sees to it that of two who write at once one has to look again.

mod due;
mod ready;
mod refresh;
mod status;
mod trusted;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::Instant;

use self::due::{Clock, Due};
use self::ready::Ready;
use self::refresh::Refresh;
use self::trusted::Trusted;
use super::distrust::Distrust;
use super::{Stage, reached};
use crate::certs::Presented;
use crate::certs::shared::{Decision, Found, Keeper, Lifetimes, Moment, OWNER_LABEL, Owner, Why, Write};
use crate::cluster::ca_bundle::{CONFIGURATION, Configuration, Kind, Trust};
use crate::cluster::event::Events;
use crate::cluster::secret::{SharedSecret, Stored};
use crate::cluster::watch::Anew;
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

/// How long this server is ready before it has the API server call `/validate` by rules, and the least time from one write
/// of them to the next. The kubelet asks every two seconds whether it is ready, and nodes hear of it a moment later; until
/// then a webhook that fails closed would refuse everything.
const SERVES_SINCE: Duration = Duration::from_secs(5);

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
    clock: Clock,
    refresh: Refresh,
    /// Makes other watches restart, too, where ours turn out to be blind.
    anew: Anew,
    ready: Ready,
    /// When the webhook configuration was last given rules.
    gave_rules: Option<Instant>,
}

/// The watches of what is kept in step.
struct Watches {
    secret: BoxStream<'static, Result<Option<Stored>, ApiError>>,
    mutating: BoxStream<'static, Result<Option<Configuration>, ApiError>>,
    validating: BoxStream<'static, Result<Option<Configuration>, ApiError>>,
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
        (distrust, anew): (Arc<Distrust>, Anew),
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
            clock: OffsetDateTime::now_utc,
            refresh: Refresh::new(anew.period(), distrust),
            anew,
            ready: Ready::default(),
            gave_rules: None,
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
            () = reached(Stage::Draining, stage.clone()) => {}
            () = self.work(stage) => {}
        }
    }

    async fn work(mut self, stage: watch::Receiver<Stage>) {
        let mut watches = self.watches();
        let mut next = Due::after(Duration::ZERO, self.clock);
        loop {
            let Watches { secret, mutating, validating } = &mut watches;
            tokio::select! {
                Some(seen) = secret.next() => match seen {
                    Ok(stored) => {
                        self.status.answered();
                        self.stored = stored.into();
                    }
                    Err(error) => self.failed(Asked::Secret, "cannot watch the Secret", &error),
                },
                Some(seen) = mutating.next() => self.trusted_seen(Kind::Mutating, seen),
                Some(seen) = validating.next() => self.trusted_seen(Kind::Validating, seen),
                () = next.comes(self.clock) => {}
                () = self.refresh.is_due() => if self.is_outdated().await {
                    watches = self.watches();
                },
            }
            let stage = *stage.borrow();
            next = Due::after(self.settle(stage).await, self.clock);
        }
    }

    fn watches(&self) -> Watches {
        let [mutating, validating] = self.trusted.watch().map(StreamExt::boxed);
        Watches { secret: self.secret.watch().boxed(), mutating, validating }
    }

    /// Reads Secret and configurations from the API server's own store, and takes them over. True where the watches had
    /// shown another state: they may be blind, so they have to restart.
    async fn is_outdated(&mut self) -> bool {
        let version = |stored: &Seen<Stored>| stored.there().and_then(Stored::version).map(str::to_owned);
        let mut outdated = false;
        match self.secret.read().await {
            Ok(stored) => {
                let before = version(&self.stored);
                self.stored = stored.into();
                outdated |= before != version(&self.stored);
            }
            Err(error) => self.failed(Asked::Secret, "cannot read the Secret", &error),
        }
        for kind in Kind::ALL {
            let trust = self.trusted.trust(kind).clone();
            match trust.read().await {
                Ok(configuration) => outdated |= self.trusted.seen_otherwise(kind, configuration),
                Err(error) => self.failed(Asked::CaBundle, "cannot read a webhook configuration", &error),
            }
        }
        self.refresh.done();
        if outdated {
            tracing::info!(
                "the watches have missed a change of Secret or webhook configurations: they begin anew"
            );
            self.anew.begin();
        }
        outdated
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
    async fn settle(&mut self, stage: Stage) -> Duration {
        for _ in 0..STEPS {
            match self.step(stage).await {
                Ok(Step::Again) => self.failures = 0,
                Ok(Step::Done(look_again)) => {
                    self.failures = 0;
                    return look_again;
                }
                Err((asked, error)) => {
                    let what = match asked {
                        Asked::Rules => "cannot have the API server call /validate",
                        Asked::Secret | Asked::CaBundle | Asked::Event => "cannot keep the certificate",
                    };
                    self.failed(asked, what, &error);
                    break;
                }
            }
        }
        self.failures = self.failures.saturating_add(1);
        let wait = FIRST_RETRY.saturating_mul(2u32.saturating_pow(self.failures - 1)).min(LAST_RETRY);
        wait.mul_f64(0.5 + jitter() / 2.0)
    }

    async fn step(&mut self, stage: Stage) -> Result<Step, (Asked, ApiError)> {
        if matches!(self.stored, Seen::NotYet) {
            self.status.not_read();
            return Ok(Step::Done(LAST_RETRY));
        }
        let moment = Moment { now: (self.clock)(), uptime: self.started.elapsed() };
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
        self.ready.note(unready.is_none());
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
            let look_again = wait.map_or(look_again, |wait| wait.min(look_again));
            return self.give_rules(stage, look_again).await.map_err(|error| (Asked::Rules, error));
        }
        Ok(Step::Done(look_again))
    }

    /// Gives the configuration whose `/validate` lacks rules those of our manifests, when calls would be answered.
    ///
    /// The overlay `enforce` leaves them out: with its `failurePolicy: Fail` nothing could be written before the first
    /// replica runs. They are never removed again, even when every replica is gone.
    async fn give_rules(&mut self, stage: Stage, look_again: Duration) -> Result<Step, ApiError> {
        let Some(configuration) = self.trusted.lacking_rules().filter(|_| stage == Stage::Serving) else {
            return Ok(Step::Done(look_again));
        };
        let Some(since) = self.ready.since() else { return Ok(Step::Done(look_again)) };
        let since = self.gave_rules.map_or(since, |gave| gave.max(since));
        let wait = SERVES_SINCE.saturating_sub(since.elapsed());
        if !wait.is_zero() {
            return Ok(Step::Done(wait.min(look_again)));
        }
        let trust = self.trusted.trust(Kind::Validating).clone();
        let after = match trust.give_rules(configuration).await? {
            Written::Done(after) => {
                self.gave_rules = Some(Instant::now());
                tracing::info!("gave /validate its rules: the API server calls it from now on");
                Some(after)
            }
            Written::Raced => trust.read().await?,
        };
        self.trusted.seen(Kind::Validating, after);
        Ok(Step::Again)
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
        let Some(lost) = self.trusted.lost(kind, bundle, (self.clock)()).cloned() else {
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
        let bundle = stored.as_ref().and_then(|stored| self.keeper.bundle(found(stored), (self.clock)()));
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
