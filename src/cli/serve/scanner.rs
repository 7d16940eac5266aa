//! Scanning what the cluster holds, on one replica, while `audit.interval` says so.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use kube::Client;
use thiserror::Error;
use time::OffsetDateTime;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::settings::InForce;
use crate::audit::{Audit, Auditor, Detail, Source};
use crate::cli::reports::{KeepError, Kept, NO_KIND, keep};
use crate::cluster::facts::{Fact, Status, Store};
use crate::cluster::lease::{Candidate, Term, Turn};
use crate::cluster::pages::{Effort, Selection, Size};
use crate::cluster::{ApiError, Connection};
use crate::policy::{Facts, Level, Settings};
use crate::scan::scan;
use crate::telemetry::{Metrics, ScanPart, Scanned};
use crate::webhook::Stage;
use crate::webhook::observe::Check;

/// The Lease that the replica holds which scans.
const LEASE: &str = "chartgate-audit";

/// How often a replica that does not scan looks whether it is to, and half as much again at most, so that replicas do not all
/// ask at once.
const LOOK_EVERY: Duration = Duration::from_secs(4);

/// How long to wait for what releases are judged by. Without it, they are judged by what there is.
const FACTS: Duration = Duration::from_mins(1);

/// Delay before a failed scan is retried, where the interval is longer. It doubles with each further failure in a row, as
/// one namespace may refuse its report for ever.
const RETRY: Duration = Duration::from_mins(1);

/// How long giving back the Lease may take at the end. It runs out by itself.
const RELEASE: Duration = Duration::from_secs(3);

/// What scans, and how it stands with it.
pub(super) struct Scanner {
    in_force: Arc<InForce>,
    facts: Arc<Store>,
    connection: Connection,
    metrics: Arc<Metrics>,
    /// For a report of readiness: in order, or something to look at.
    told: ArcSwap<Result<String, String>>,
    /// The namespaces that refused their report the last time; each is logged once.
    refused: Mutex<BTreeSet<String>>,
}

/// Why a scan came to nothing.
#[derive(Debug, Error)]
enum ScanError {
    /// There is nothing to judge by.
    #[error("there is no CRD of HelmRelease: is Flux installed?")]
    NoFlux,
    /// The releases cannot be read.
    #[error("cannot list the HelmReleases: {}", .0.told())]
    List(ApiError),
    /// This replica no longer scans.
    #[error("another replica may scan by now")]
    Deposed,
}

/// A whole scan.
struct Done {
    scanned: Scanned,
    /// All of its releases, and findings.
    size: (usize, usize),
    effort: Effort,
    /// The outcome of writing the reports, where the cluster accepts any. Releases and findings are counted in any case.
    reports: Result<Option<Kept>, KeepError>,
}

// === impl Scanner ===

impl Scanner {
    pub(super) fn new(
        in_force: Arc<InForce>,
        facts: Arc<Store>,
        connection: Connection,
        metrics: Arc<Metrics>,
    ) -> Self {
        let told = ArcSwap::from_pointee(Ok("not begun".to_owned()));
        Self { in_force, facts, connection, metrics, told, refused: Mutex::default() }
    }

    /// Scans until the process is told to end. The detail says how it stands.
    pub(super) fn keep(self, keepers: &mut JoinSet<()>, stages: watch::Receiver<Stage>) -> Check {
        let scanner = Arc::new(self);
        keepers.spawn(Arc::clone(&scanner).run(stages));
        Check::detail("audit", move || Result::clone(&scanner.told.load()))
    }

    async fn run(self: Arc<Self>, mut stage: watch::Receiver<Stage>) {
        let mut replaced = self.in_force.changes();
        loop {
            let is_on = self.take_up_interval();
            if !is_on {
                self.tell(Ok("off: the configuration has no audit.interval".to_owned()));
                tokio::select! {
                    _ = stage.wait_for(|now| *now >= Stage::Leaving) => return,
                    changed = replaced.changed() => if changed.is_err() { return },
                }
                continue;
            }
            let mut candidate = Candidate::new(&self.connection, LEASE);
            let leaves = tokio::select! {
                _ = stage.wait_for(|now| *now >= Stage::Leaving) => true,
                () = self.until_off() => false,
                () = self.compete(&mut candidate) => false,
            };
            self.metrics.scans().forget();
            // What fails here runs out by itself.
            let _ = timeout(RELEASE, candidate.release()).await;
            if leaves {
                return;
            }
        }
    }

    /// Counts the interval, and says whether there is one.
    fn take_up_interval(&self) -> bool {
        let interval = self.in_force.audit().interval;
        self.metrics.scans().every(interval);
        interval.is_some()
    }

    async fn until_off(&self) {
        let mut replaced = self.in_force.changes();
        while self.take_up_interval() && replaced.changed().await.is_ok() {}
    }

    /// Scans whenever the Lease is ours.
    async fn compete(&self, candidate: &mut Candidate) {
        let mut was_refused = false;
        loop {
            match candidate.try_take().await {
                Ok(Turn::Ours(term)) => {
                    tracing::info!(lease = LEASE, identity = candidate.identity(), "this replica scans");
                    let lost = tokio::select! {
                        lost = candidate.keep(&term) => lost,
                        () = self.lead(&term) => return,
                    };
                    self.metrics.scans().forget();
                    tracing::warn!(lease = LEASE, "this replica scans no more: {lost}");
                    self.tell(Err(lost.to_string()));
                }
                Ok(Turn::Theirs(holder)) => {
                    was_refused = false;
                    self.tell(Ok(format!("{holder} scans")));
                }
                Ok(Turn::Raced) => {}
                Err(error) => {
                    self.metrics.scans().failed(ScanPart::Lease);
                    let what = format!("cannot have the Lease {LEASE}: {}", error.told());
                    if !std::mem::replace(&mut was_refused, true) {
                        tracing::warn!("{what}");
                    }
                    self.tell(Err(what));
                }
            }
            sleep(jittered(LOOK_EVERY)).await;
        }
    }

    /// Scans again and again: at once, whenever the interval is over, and when the settings have changed.
    async fn lead(&self, term: &Term) {
        let mut replaced = self.in_force.changes();
        let mut status = self.facts.status();
        // Else a first report would lack what is known a moment later.
        let _ = timeout(FACTS, status.wait_for(Status::is_settled)).await;
        let mut retry = RETRY;
        loop {
            replaced.mark_unchanged();
            let (settings, began) = (self.in_force.settings.load_full(), Instant::now());
            self.tell(Ok("scanning".to_owned()));
            let failed = self.take_up(self.scan(&settings, term).await);
            let wait = retry;
            retry = if failed { retry.saturating_mul(2) } else { RETRY };
            loop {
                let Some(interval) = self.in_force.audit().interval else {
                    // About to be ended by whoever follows the interval.
                    return std::future::pending().await;
                };
                let next = began + if failed { interval.min(wait) } else { interval };
                tokio::select! {
                    () = sleep_until(next) => break,
                    changed = replaced.changed() => if changed.is_err() { return },
                }
                if self.in_force.settings.load_full() != settings {
                    break;
                }
            }
        }
    }

    /// Says and counts what a scan came to; true where it failed.
    fn take_up(&self, done: Result<Done, ScanError>) -> bool {
        let Done { scanned, size: (releases, findings), effort, reports } = match done {
            Ok(done) => done,
            Err(error) => {
                match error {
                    ScanError::List(_) | ScanError::NoFlux => self.metrics.scans().failed(ScanPart::Releases),
                    ScanError::Deposed => {}
                }
                tracing::warn!("a scan of the cluster came to nothing: {error}");
                self.tell(Err(format!("this replica scans: {error}")));
                return true;
            }
        };
        self.metrics.scans().scanned(&scanned);
        let milliseconds = u64::try_from(scanned.took.as_millis()).unwrap_or(u64::MAX);
        let Effort { requests, waits, expired } = effort;
        let (reports, failed) = self.take_up_reports(reports);
        tracing::info!(
            releases,
            findings,
            requests,
            waits,
            expired,
            milliseconds,
            reports,
            "scanned the cluster"
        );
        let told =
            format!("this replica scans; the last time {releases} releases, {findings} findings; {reports}");
        self.tell(if failed { Err(told) } else { Ok(told) });
        failed
    }

    /// Describes the outcome of writing the reports, and whether all of them are up to date.
    fn take_up_reports(&self, reports: Result<Option<Kept>, KeepError>) -> (String, bool) {
        let kept = match reports {
            Ok(Some(kept)) => kept,
            Ok(None) => {
                self.metrics.scans().refused_reports(0);
                return (NO_KIND.to_owned(), false);
            }
            Err(error) => {
                if let KeepError::Api(_) = error {
                    self.metrics.scans().failed(ScanPart::Reports);
                }
                tracing::warn!("{error}");
                return (error.to_string(), true);
            }
        };
        let mut before = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        for (namespace, why) in kept.refused().iter().filter(|(namespace, _)| !before.contains(*namespace)) {
            tracing::warn!(namespace, "cannot write the report, which is tried again: {why}");
        }
        for namespace in before.iter().filter(|namespace| !kept.refused().contains_key(*namespace)) {
            tracing::info!(namespace, "the report is refused no more");
        }
        *before = kept.refused().keys().cloned().collect();
        self.metrics.scans().refused_reports(before.len());
        if !before.is_empty() {
            self.metrics.scans().failed(ScanPart::Reports);
        }
        (kept.to_string(), !before.is_empty())
    }

    /// One scan, on a thread of its own: reviews never wait while a page is read, or judged.
    async fn scan(&self, settings: &Arc<Settings>, term: &Term) -> Result<Done, ScanError> {
        if self.facts.status().borrow().trouble(Fact::HelmReleaseCrd).is_none()
            && self.facts.read().helm_release.is_none()
        {
            return Err(ScanError::NoFlux);
        }
        let (client, settings) = (self.connection.client.clone(), Arc::clone(settings));
        let (facts, metrics) = (self.facts.read().clone(), Arc::clone(&self.metrics));
        let (term, handle) = (term.clone(), Handle::current());
        // Dropped with us, and then the thread lets go of what it does.
        let (_wanted, unwanted) = oneshot::channel::<()>();
        let scanned = spawn_blocking(move || {
            handle.block_on(async {
                tokio::select! {
                    done = whole(&client, &settings, facts, &term, &metrics) => done,
                    _ = unwanted => Err(ScanError::Deposed),
                }
            })
        });
        scanned.await.unwrap_or(Err(ScanError::Deposed))
    }

    fn tell(&self, how: Result<String, String>) {
        self.told.store(Arc::new(how));
    }
}

/// Reads, judges, and writes what has changed.
async fn whole(
    client: &Client,
    settings: &Settings,
    facts: Facts,
    term: &Term,
    metrics: &Metrics,
) -> Result<Done, ScanError> {
    let began = Instant::now();
    let mut effort = Effort::default();
    let all = Selection { size: Size::Small, ..Selection::default() };
    // What is counted and written needs no patches and no owners, and there may be many.
    let auditor = Auditor::new(settings, facts, Detail::Findings);
    let auditor = scan(client, &all, auditor, &mut effort, &|_| {}).await;
    let audit = auditor.map_err(ScanError::List)?.into_audit(Vec::new());
    for missing in &audit.missing {
        tracing::warn!("a scan does not know {missing}");
    }
    let wrote = |_: &str| metrics.scans().wrote_report();
    let reports = keep(client, &audit, &|| term.is_ours(), &wrote).await;
    let (findings, releases) = counts(&audit);
    let scanned = Scanned { findings, releases, at: OffsetDateTime::now_utc(), took: began.elapsed() };
    Ok(Done { scanned, size: (audit.releases.len(), audit.findings().count()), effort, reports })
}

type Counts = (Vec<(&'static str, Level, usize)>, Vec<(&'static str, usize)>);

fn counts(audit: &Audit) -> Counts {
    let mut findings = BTreeMap::<_, usize>::new();
    for (_, finding) in audit.findings() {
        *findings.entry((finding.rule, finding.level)).or_default() += 1;
    }
    let findings = findings.into_iter().map(|((rule, level), count)| (rule, level, count));
    let releases = Source::ALL.map(|source| {
        let of_it = audit.releases.iter().filter(|release| release.source == source);
        (source.as_str(), of_it.count())
    });
    (findings.collect(), releases.into())
}

/// A pause, and up to half as much again.
fn jittered(pause: Duration) -> Duration {
    let percent = u32::try_from(RandomState::new().hash_one(pause) % 50).expect("it is below 50");
    pause + pause * percent / 100
}
