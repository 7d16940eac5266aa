//! What scanning the cluster comes to, in numbers.
//!
//! Whatever only the replica that scans can know has no sample on the others, and none once it scans no more: two answers to
//! one question would be added up, and an old one be taken for news.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use time::OffsetDateTime;

use crate::policy::Level;

/// A gauge that may have no sample.
type Optional<G> = Family<NoLabels, G>;

type NoLabels = [(&'static str, &'static str); 0];

/// What scanning the cluster comes to.
#[derive(Debug, Default)]
pub struct Scans {
    interval: Optional<Gauge>,
    findings: Family<FindingLabels, Gauge>,
    releases: Family<SourceLabels, Gauge>,
    last: Optional<Gauge>,
    duration: Optional<Gauge<f64, AtomicU64>>,
    written: Counter,
    refused: Optional<Gauge>,
    failures: Family<PartLabels, Counter>,
}

/// What one scan found.
#[derive(Debug)]
pub struct Scanned {
    /// How many findings there are of a rule at a level.
    pub findings: Vec<(&'static str, Level, usize)>,
    /// How many releases have their chart from where.
    pub releases: Vec<(&'static str, usize)>,
    /// When it ended.
    pub at: OffsetDateTime,
    /// What it took, the reports among it.
    pub took: Duration,
}

/// What the API server was asked for in vain, to scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanPart {
    /// The Lease.
    Lease,
    /// The releases.
    Releases,
    /// The reports.
    Reports,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FindingLabels {
    rule: &'static str,
    level: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabels {
    source: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PartLabels {
    part: &'static str,
}

// === impl Scans ===

impl Scans {
    pub(super) fn register(&self, registry: &mut Registry) {
        let Self { interval, findings, releases, last, duration, written, refused, failures } = self;
        for part in ScanPart::ALL {
            drop(failures.get_or_create(&PartLabels { part: part.as_str() }));
        }
        registry.register_with_unit(
            "audit_interval",
            "From the start of one scan of the cluster to that of the next, where scanning is on",
            Unit::Seconds,
            interval.clone(),
        );
        registry.register(
            "audit_findings",
            "Findings in the HelmReleases that the cluster holds, on the replica that scans",
            findings.clone(),
        );
        registry.register(
            "audit_releases",
            "HelmReleases that the cluster holds, by where their chart comes from, on the replica that scans",
            releases.clone(),
        );
        registry.register_with_unit(
            "audit_last_scan_timestamp",
            "When the last whole scan ended, since the Unix epoch, on the replica that scans",
            Unit::Seconds,
            last.clone(),
        );
        registry.register_with_unit(
            "audit_scan_duration",
            "What the last whole scan took, reports included, on the replica that scans",
            Unit::Seconds,
            duration.clone(),
        );
        registry.register(
            "audit_report_writes",
            "Reports that this process wrote or deleted, as they had changed",
            written.clone(),
        );
        registry.register(
            "audit_refused_reports",
            "Namespaces whose report could not be written or deleted by the last scan, on the replica that scans",
            refused.clone(),
        );
        registry.register(
            "audit_failures",
            "What the API server was asked for in vain, to scan",
            failures.clone(),
        );
    }

    /// Notes how often the cluster is scanned, if it is.
    pub fn every(&self, interval: Option<Duration>) {
        match interval {
            Some(interval) => {
                let seconds = i64::try_from(interval.as_secs()).unwrap_or(i64::MAX);
                self.interval.get_or_create(&[]).set(seconds);
            }
            None => self.interval.clear(),
        }
    }

    /// Takes up what a scan found, in place of the one before.
    pub fn scanned(&self, scanned: &Scanned) {
        self.forget();
        let Scanned { findings, releases, at, took } = scanned;
        let whole = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        for (rule, level, count) in findings {
            let labels = FindingLabels { rule, level: level.as_str() };
            self.findings.get_or_create(&labels).set(whole(*count));
        }
        for (source, count) in releases {
            self.releases.get_or_create(&SourceLabels { source }).set(whole(*count));
        }
        self.last.get_or_create(&[]).set(at.unix_timestamp());
        self.duration.get_or_create(&[]).set(took.as_secs_f64());
    }

    /// This process scans no more: what it found last is old from now on.
    pub fn forget(&self) {
        self.findings.clear();
        self.releases.clear();
        self.last.clear();
        self.duration.clear();
        self.refused.clear();
    }

    /// Records how many namespaces refused their report.
    pub fn refused_reports(&self, count: usize) {
        self.refused.get_or_create(&[]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Counts a report that was written or deleted.
    pub fn wrote_report(&self) {
        self.written.inc();
    }

    /// Counts what the API server was asked for in vain.
    pub fn failed(&self, part: ScanPart) {
        self.failures.get_or_create(&PartLabels { part: part.as_str() }).inc();
    }
}

// === impl ScanPart ===

impl ScanPart {
    /// All of them, in the order of the declaration.
    pub const ALL: [Self; 3] = [Self::Lease, Self::Releases, Self::Reports];

    /// The value of the label `part`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lease => "lease",
            Self::Releases => "releases",
            Self::Reports => "reports",
        }
    }
}
