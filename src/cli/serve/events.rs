//! `--events`: whether Events are written, and with what they are counted.

use clap::ValueEnum;

use crate::cluster::Connection;
use crate::cluster::events::{Counters, Events, Writer, events};
use crate::telemetry::{EventLoss, Metrics};

/// Whether a denial or a repair is said in an Event.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(super) enum EventsSetting {
    /// Where there is a cluster.
    #[default]
    On,
    /// Never.
    Off,
}

// === impl EventsSetting ===

impl EventsSetting {
    /// Where happenings are told, and what writes them.
    pub(super) fn open(self, connection: Option<&Connection>, metrics: &Metrics) -> Option<(Events, Writer)> {
        let connection = match self {
            Self::On => connection?,
            Self::Off => return None,
        };
        let counters = Counters {
            written: metrics.events(),
            queue_full: metrics.events_dropped(EventLoss::QueueFull),
            rate_limited: metrics.events_dropped(EventLoss::RateLimited),
            unknown_object: metrics.events_dropped(EventLoss::UnknownObject),
            failed: metrics.events_dropped(EventLoss::Failed),
        };
        Some(events(connection.client.clone(), counters))
    }
}
