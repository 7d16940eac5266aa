//! Who hears of a judged review, besides its caller. Nobody is waited for.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;

use crate::admission::{Incident, IncidentKind, Record};
use crate::cluster::events::{Events, Happening, Reason, Regarding};
use crate::telemetry::{Metrics, Origin, Traces, log_decision};

/// Metrics and log hear of every review; the rest is as configured.
#[derive(Clone, Debug)]
pub struct Audience {
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Events on the objects, where there is a cluster to write them to.
    pub events: Option<Events>,
    /// A span for each review, where there is a collector to send it to.
    pub traces: Option<Traces>,
}

// === impl Audience ===

impl Audience {
    /// Where a request with these headers came from, if anybody here wants to know.
    pub(super) fn origin(&self, headers: &HeaderMap) -> Option<Origin> {
        self.traces.as_ref().map(|_| Traces::origin(headers))
    }

    /// Notifies observers of one judged review that came from `peer`; `took` is the duration of judging.
    pub(super) fn tell(&self, record: Record<'_>, took: Duration, peer: IpAddr, origin: Option<&Origin>) {
        let Self { metrics, events, traces } = self;
        metrics.reviewed(&record, took);
        log_decision(&record, took);
        if let (Some(traces), Some(origin)) = (traces, origin) {
            traces.reviewed(&record, took, origin);
        }
        if let (Some(events), Some(happening)) = (events, happening(record)) {
            events.tell(peer, happening);
        }
    }
}

impl From<Arc<Metrics>> for Audience {
    fn from(metrics: Arc<Metrics>) -> Self {
        Self { metrics, events: None, traces: None }
    }
}

/// The report to the owners of the object. A creation has no object yet that the API server could confirm.
fn happening(record: Record<'_>) -> Option<Happening> {
    let Record { namespace, name, incident, .. } = record;
    let Incident { kind, api_version, object, note } = incident?;
    let reason = match kind {
        IncidentKind::Denied => Reason::Denied,
        IncidentKind::Healed => Reason::Healed,
    };
    let (namespace, name, uid) = (namespace.into_owned(), name.into_owned(), object?);
    Some(Happening { reason, regarding: Regarding { api_version, namespace, name, uid }, note })
}
