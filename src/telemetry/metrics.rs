//! What is counted, and how it is shown to Prometheus.
//!
//! Labels take their values from closed lists only. A name that a user chose is in the log, never in a label.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use time::OffsetDateTime;

use super::scans::Scans;
use crate::admission::{Decision, Mode, Operation, Record};
use crate::certs::ClientFailure;

/// The media type of what [`Metrics::render`] returns.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper ends of the duration buckets, in seconds. Most reviews end in the first; the API server gives up between
/// the last ones.
const DURATION_BUCKETS: [f64; 14] =
    [50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 500e-3, 1.0, 10.0];

/// Everything that the program counts.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    reviews: Family<ReviewLabels, Counter>,
    findings: Family<FindingLabels, Counter>,
    patches: Family<PatchLabels, Counter>,
    duration: Histogram,
    /// One for each [`Refusal`], in its order, so that a refusal under load looks nothing up.
    refused: [Counter; Refusal::ALL.len()],
    panics: Counter,
    certificate_not_after: Gauge,
    certificate_reload_failures: Counter,
    /// One for each [`Part`], in its order.
    certificate_rotations: [Counter; Part::ALL.len()],
    certificate_repairs: Counter,
    ca_bundle_writes: Counter,
    /// One for each [`Asked`], in its order.
    certificate_failures: [Counter; Asked::ALL.len()],
    handshake_failures: Counter,
    /// One for each [`ClientFailure`], in its order.
    client_failures: [Counter; ClientFailure::ALL.len()],
    client_ca_failures: Counter,
    connections: Gauge,
    lost_log_lines: Counter,
    config_loaded: Gauge,
    config_reload_failures: Counter,
    facts_synced: Family<FactLabels, Gauge>,
    prefilter_mismatch: Family<WebhookLabels, Gauge>,
    fails_closed: Family<WebhookLabels, Gauge>,
    misfits: Gauge,
    unknown_modes: Gauge,
    scans: Scans,
    events: Counter,
    /// One for each [`EventLoss`], in its order.
    events_dropped: [Counter; EventLoss::ALL.len()],
}

/// Why a request got no verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The body is no AdmissionReview that we can read, or broke off.
    BadBody,
    /// The body is longer than a review can be.
    TooLarge,
    /// The body is not JSON by its media type.
    MediaType,
    /// More is under way than the process takes on.
    Overload,
    /// The caller's deadline came before the whole body did.
    Timeout,
}

/// What was made anew in the Secret that the servers of a cluster share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The server's certificate.
    Leaf,
    /// The authority that signs it.
    Authority,
}

/// What the API server was asked for in vain, to keep certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The Secret, to be read or written.
    Secret,
    /// A webhook configuration, to be read or to be given a caBundle.
    CaBundle,
    /// An event, to be written.
    Event,
    /// The write that gives the webhook configuration the rules by which `/validate` is called.
    Rules,
}

/// Why something that happened to an object is in no Event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventLoss {
    /// More happened at once than may wait to be written.
    QueueFull,
    /// More happened in a while than may be written.
    RateLimited,
    /// The API server has no such object: a forged review, or one of an object that has gone since.
    UnknownObject,
    /// The API server did not take it.
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReviewLabels {
    operation: &'static str,
    decision: &'static str,
    mode: &'static str,
    dry_run: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FindingLabels {
    rule: &'static str,
    level: &'static str,
    mode: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PatchLabels {
    rule: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PartLabels {
    part: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FactLabels {
    fact: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WebhookLabels {
    webhook: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

// === impl Metrics ===

impl Metrics {
    /// Everything at zero.
    pub fn new() -> Self {
        let refusals = Family::<ReasonLabels, Counter>::default();
        let losses = Family::<ReasonLabels, Counter>::default();
        let rotations = Family::<PartLabels, Counter>::default();
        let failures = Family::<PartLabels, Counter>::default();
        let clients = Family::<ReasonLabels, Counter>::default();
        let mut metrics = Self {
            registry: Registry::with_prefix("chartgate"),
            reviews: Family::default(),
            findings: Family::default(),
            patches: Family::default(),
            duration: Histogram::new(DURATION_BUCKETS),
            refused: Refusal::ALL
                .map(|refusal| refusals.get_or_create_owned(&ReasonLabels { reason: refusal.as_str() })),
            panics: Counter::default(),
            certificate_not_after: Gauge::default(),
            certificate_reload_failures: Counter::default(),
            certificate_rotations: Part::ALL
                .map(|part| rotations.get_or_create_owned(&PartLabels { part: part.as_str() })),
            certificate_repairs: Counter::default(),
            ca_bundle_writes: Counter::default(),
            certificate_failures: Asked::ALL
                .map(|asked| failures.get_or_create_owned(&PartLabels { part: asked.as_str() })),
            handshake_failures: Counter::default(),
            client_failures: ClientFailure::ALL
                .map(|failure| clients.get_or_create_owned(&ReasonLabels { reason: failure.as_str() })),
            client_ca_failures: Counter::default(),
            connections: Gauge::default(),
            lost_log_lines: Counter::default(),
            config_loaded: Gauge::default(),
            config_reload_failures: Counter::default(),
            facts_synced: Family::default(),
            prefilter_mismatch: Family::default(),
            fails_closed: Family::default(),
            misfits: Gauge::default(),
            unknown_modes: Gauge::default(),
            scans: Scans::default(),
            events: Counter::default(),
            events_dropped: EventLoss::ALL
                .map(|loss| losses.get_or_create_owned(&ReasonLabels { reason: loss.as_str() })),
        };
        metrics.expect_denials();
        metrics.register_reviews(refusals);
        metrics.register_events(losses);
        metrics.register_process();
        metrics.register_shared_certificate(rotations, failures);
        metrics.register_clients(clients);
        metrics.register_settings();
        metrics.register_facts();
        metrics.scans.register(&mut metrics.registry);
        metrics
    }

    /// Shows denials before the first one. Prometheus sees no increase in a counter that comes into being at 1.
    fn expect_denials(&self) {
        for operation in [Operation::Create, Operation::Update] {
            for dry_run in [false, true] {
                let (decision, mode) = (Decision::Denied.as_str(), Mode::Enforce.as_str());
                let labels = ReviewLabels { operation: operation.as_str(), decision, mode, dry_run };
                drop(self.reviews.get_or_create(&labels));
            }
        }
    }

    fn register_reviews(&mut self, refusals: Family<ReasonLabels, Counter>) {
        let Self { registry, reviews, findings, patches, duration, panics, .. } = self;
        registry.register("reviews", "Reviews that were judged", reviews.clone());
        registry.register("findings", "Findings of judged reviews", findings.clone());
        registry.register(
            "patches",
            "Fixes that were sent, by the rule that asked for them",
            patches.clone(),
        );
        registry.register_with_unit(
            "review_duration",
            "Time from the whole body to the whole answer",
            Unit::Seconds,
            duration.clone(),
        );
        registry.register("rejected_requests", "Requests that got no verdict", refusals);
        registry.register("panics", "Reviews that panicked; each was answered as an error", panics.clone());
    }

    fn register_events(&mut self, losses: Family<ReasonLabels, Counter>) {
        let Self { registry, events, .. } = self;
        registry.register(
            "events",
            "Events that were written on objects, repetitions of one not counted",
            events.clone(),
        );
        registry.register(
            "events_dropped",
            "Writes to the API server's Events that were left out, or failed",
            losses,
        );
    }

    fn register_process(&mut self) {
        let Self {
            registry,
            certificate_not_after,
            certificate_reload_failures,
            handshake_failures,
            connections,
            lost_log_lines,
            ..
        } = self;
        registry.register_with_unit(
            "certificate_not_after",
            "When the served certificate expires, since the Unix epoch",
            Unit::Seconds,
            certificate_not_after.clone(),
        );
        registry.register(
            "certificate_reload_failures",
            "Changed certificate files that could not be served; the old pair still is",
            certificate_reload_failures.clone(),
        );
        registry.register(
            "tls_handshake_failures",
            "Connections that ended in the handshake; a client that does not trust the certificate ends so",
            handshake_failures.clone(),
        );
        registry.register("connections", "Connections that are open now", connections.clone());
        registry.register(
            "lost_log_lines",
            "Log lines that were dropped because the reader was too slow",
            lost_log_lines.clone(),
        );
        let build = BuildLabels { version: env!("CARGO_PKG_VERSION") };
        registry.register("build", "The program", Info::new(build));
    }

    fn register_shared_certificate(
        &mut self,
        rotations: Family<PartLabels, Counter>,
        failures: Family<PartLabels, Counter>,
    ) {
        let Self { registry, certificate_repairs, ca_bundle_writes, .. } = self;
        registry.register(
            "certificate_rotations",
            "Certificates that this process made and put into the shared Secret",
            rotations,
        );
        registry.register(
            "certificate_repairs",
            "Times that this process found the shared Secret broken and repaired it",
            certificate_repairs.clone(),
        );
        registry.register(
            "ca_bundle_writes",
            "Times that this process gave a webhook configuration its caBundle",
            ca_bundle_writes.clone(),
        );
        registry.register(
            "certificate_failures",
            "What the API server was asked for in vain, to keep certificates",
            failures,
        );
    }

    fn register_clients(&mut self, failures: Family<ReasonLabels, Counter>) {
        let Self { registry, client_ca_failures, .. } = self;
        registry.register(
            "client_certificate_failures",
            "Callers that were refused because of their client certificate, where --client-ca asks for one",
            failures,
        );
        registry.register(
            "client_ca_failures",
            "Failed attempts to load the client CA; the one of before stays in force",
            client_ca_failures.clone(),
        );
    }

    fn register_settings(&mut self) {
        let Self { registry, config_loaded, config_reload_failures, .. } = self;
        registry.register_with_unit(
            "config_loaded_timestamp",
            "When the settings in force were read, since the Unix epoch",
            Unit::Seconds,
            config_loaded.clone(),
        );
        registry.register(
            "config_reload_failures",
            "Changed configuration files that could not be used; the old settings stay in force",
            config_reload_failures.clone(),
        );
    }

    fn register_facts(&mut self) {
        let Self { registry, facts_synced, prefilter_mismatch, fails_closed, misfits, unknown_modes, .. } =
            self;
        registry.register(
            "facts_synced",
            "Whether what is known of the cluster is what it has now; at 0, older facts or the request alone decide",
            facts_synced.clone(),
        );
        registry.register(
            "prefilter_mismatch",
            "Whether the live matchCondition not-provably-clean was written for something else than the settings and the Flux in force",
            prefilter_mismatch.clone(),
        );
        registry.register(
            "fails_closed",
            "Whether the live webhook configuration refuses HelmReleases while no replica answers",
            fails_closed.clone(),
        );
        registry.register(
            "installation_misfits",
            "Parts of the live webhook configurations that do not fit the namespace of this process",
            misfits.clone(),
        );
        registry.register(
            "unknown_mode_namespaces",
            "Namespaces whose label chartgate.dev/mode is no mode; the default holds for them",
            unknown_modes.clone(),
        );
    }

    /// Counts one judged review; `took` is what judging took.
    pub fn reviewed(&self, record: &Record<'_>, took: Duration) {
        let labels = ReviewLabels {
            operation: record.operation.as_str(),
            decision: record.decision.as_str(),
            mode: record.mode.as_str(),
            dry_run: record.dry_run,
        };
        self.reviews.get_or_create(&labels).inc();
        for finding in &record.findings {
            let labels = FindingLabels {
                rule: finding.rule,
                level: finding.level.as_str(),
                mode: finding.mode.as_str(),
            };
            self.findings.get_or_create(&labels).inc();
        }
        for rule in &record.patched {
            self.patches.get_or_create(&PatchLabels { rule }).inc();
        }
        self.duration.observe(took.as_secs_f64());
    }

    /// Counts a request that got no verdict.
    pub fn refused(&self, refusal: Refusal) {
        self.refused[refusal as usize].inc();
    }

    /// Counts a review that panicked.
    pub fn panicked(&self) {
        self.panics.inc();
    }

    /// Notes when the certificate that is served now expires.
    pub fn serves_certificate_until(&self, not_after: OffsetDateTime) {
        self.certificate_not_after.set(not_after.unix_timestamp());
    }

    /// Counts certificate files that could not be taken up.
    pub fn certificate_reload_failed(&self) {
        self.certificate_reload_failures.inc();
    }

    /// Counts a certificate that was made and put into the shared Secret.
    pub fn certificate_rotated(&self, part: Part) {
        self.certificate_rotations[part as usize].inc();
    }

    /// Counts a shared Secret that was broken and is repaired.
    pub fn certificate_repaired(&self) {
        self.certificate_repairs.inc();
    }

    /// Counts a caBundle that was written.
    pub fn ca_bundle_written(&self) {
        self.ca_bundle_writes.inc();
    }

    /// Counts what the API server was asked for in vain.
    pub fn certificate_failed(&self, asked: Asked) {
        self.certificate_failures[asked as usize].inc();
    }

    /// Notes when the settings in force were read.
    pub fn loaded_config_at(&self, now: OffsetDateTime) {
        self.config_loaded.set(now.unix_timestamp());
    }

    /// Counts a configuration file that could not be used.
    pub fn config_reload_failed(&self) {
        self.config_reload_failures.inc();
    }

    /// Notes whether what is known of the cluster is what it has.
    pub fn fact_is_synced(&self, fact: &'static str, is_synced: bool) {
        self.facts_synced.get_or_create(&FactLabels { fact }).set(is_synced.into());
    }

    /// Notes whether the live condition of a webhook may leave out what a rule has a word about.
    pub fn prefilter_mismatches(&self, webhook: &'static str, mismatches: bool) {
        self.prefilter_mismatch.get_or_create(&WebhookLabels { webhook }).set(mismatches.into());
    }

    /// Records whether the live configuration of a webhook refuses releases while no replica answers.
    pub fn fails_closed(&self, webhook: &'static str, closed: bool) {
        self.fails_closed.get_or_create(&WebhookLabels { webhook }).set(closed.into());
    }

    /// Records how many parts of the live configurations do not fit the namespace of this process.
    pub fn installation_misfits(&self, count: usize) {
        self.misfits.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Notes how many namespaces ask for a mode in words that are none.
    pub fn namespaces_ask_for_unknown_modes(&self, count: usize) {
        self.unknown_modes.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// What scanning the cluster comes to.
    pub fn scans(&self) -> &Scans {
        &self.scans
    }

    /// Counts a handshake that came to nothing.
    pub fn handshake_failed(&self) {
        self.handshake_failures.inc();
    }

    /// Counts a caller that was refused because of its certificate.
    pub fn client_refused(&self, failure: ClientFailure) {
        self.client_failures[failure as usize].inc();
    }

    /// Counts a client CA that could not be loaded.
    pub fn client_ca_failed(&self) {
        self.client_ca_failures.inc();
    }

    /// The number of open connections, to be kept by whoever opens and closes them.
    pub fn connections(&self) -> &Gauge {
        &self.connections
    }

    /// The counter that the log adds to when it loses a line.
    pub fn lost_log_lines(&self) -> Counter {
        self.lost_log_lines.clone()
    }

    /// The counter of Events, for whoever writes them.
    pub fn events(&self) -> Counter {
        self.events.clone()
    }

    /// The counter of Events that were lost in one of the ways, for whoever loses them.
    pub fn events_dropped(&self, loss: EventLoss) -> Counter {
        self.events_dropped[loss as usize].clone()
    }

    /// Everything as OpenMetrics text, see [`MEDIA_TYPE`].
    pub fn render(&self) -> String {
        let mut out = String::new();
        text::encode(&mut out, &self.registry).expect("writing to a string cannot fail");
        out
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Part ===

impl Part {
    /// Every part, in the order of the declaration.
    pub const ALL: [Self; 2] = [Self::Leaf, Self::Authority];

    /// The value of the label `part`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Leaf => "leaf",
            Self::Authority => "ca",
        }
    }
}

// === impl Asked ===

impl Asked {
    /// All of them, in the order of the declaration.
    pub const ALL: [Self; 4] = [Self::Secret, Self::CaBundle, Self::Event, Self::Rules];

    /// The value of the label `part`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::CaBundle => "ca_bundle",
            Self::Event => "event",
            Self::Rules => "rules",
        }
    }
}

// === impl Refusal ===

impl Refusal {
    /// Every reason, in the order of the declaration.
    pub const ALL: [Self; 5] =
        [Self::BadBody, Self::TooLarge, Self::MediaType, Self::Overload, Self::Timeout];

    /// The value of the label `reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadBody => "bad_body",
            Self::TooLarge => "too_large",
            Self::MediaType => "media_type",
            Self::Overload => "overload",
            Self::Timeout => "timeout",
        }
    }
}

// === impl EventLoss ===

impl EventLoss {
    /// Every reason, in the order of the declaration.
    pub const ALL: [Self; 4] = [Self::QueueFull, Self::RateLimited, Self::UnknownObject, Self::Failed];

    /// The value of the label `reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::RateLimited => "rate_limited",
            Self::UnknownObject => "unknown_object",
            Self::Failed => "failed",
        }
    }
}
