//! What the two webhook configurations hold, as far as we have seen, and how often they were set right.

use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use time::OffsetDateTime;
use tokio::time::Instant;

use super::Seen;
use crate::certs::shared::{Live, Unready};
use crate::cluster::ApiError;
use crate::cluster::ca_bundle::{Configuration, Kind, Trust};
use crate::telemetry::Metrics;

/// How often the same caBundle may be restored at once. Who empties it more often than that in a minute is a program,
/// and two programs that undo each other's work must not do so at full speed.
const FREE_RESTORES: u32 = 5;

/// How long after a restore the next one counts as part of the same fight.
const FIGHT: Duration = Duration::from_mins(1);

/// Both configurations.
pub(super) struct Trusted {
    places: [Place; 2],
    metrics: Arc<Metrics>,
}

struct Place {
    trust: Trust,
    seen: Seen<Configuration>,
    restored: Option<Restored>,
}

/// The last time that a configuration was set right.
struct Restored {
    bundle: String,
    at: Instant,
    /// How often the same was done before, without a pause.
    again: u32,
}

// === impl Trusted ===

impl Trusted {
    pub(super) fn new(trusts: [Trust; 2], metrics: Arc<Metrics>) -> Self {
        Self { places: trusts.map(|trust| Place { trust, seen: Seen::NotYet, restored: None }), metrics }
    }

    /// Both, after every change; the mutating one first.
    pub(super) fn watch(
        &self,
    ) -> [impl Stream<Item = Result<Option<Configuration>, ApiError>> + Unpin + use<>; 2] {
        self.places.each_ref().map(|place| place.trust.watch())
    }

    pub(super) fn trust(&self, kind: Kind) -> &Trust {
        &self.place(kind).trust
    }

    /// Notes how a configuration is now.
    pub(super) fn seen(&mut self, kind: Kind, configuration: Option<Configuration>) {
        let place = self.place_mut(kind);
        let injected =
            |seen: &Seen<Configuration>| seen.there().and_then(Configuration::injected_by).map(str::to_owned);
        let before = injected(&place.seen);
        place.seen = configuration.into();
        let after = injected(&place.seen);
        if let Some(by) = after.filter(|after| before.as_ref() != Some(after)) {
            tracing::warn!(%kind, "cert-manager writes its caBundle ({by}), so chartgate does not");
        }
    }

    /// The same; true where the configuration differs from the one that was seen last.
    pub(super) fn seen_otherwise(&mut self, kind: Kind, configuration: Option<Configuration>) -> bool {
        let version = |seen: Option<&Configuration>| seen.and_then(Configuration::version).map(str::to_owned);
        let differs = version(self.place(kind).seen.there()) != version(configuration.as_ref());
        self.seen(kind, configuration);
        differs
    }

    /// The validating configuration, where its webhook that decides about releases has no rules.
    pub(super) fn lacking_rules(&self) -> Option<&Configuration> {
        self.place(Kind::Validating).seen.there().filter(|seen| seen.lacks_rules())
    }

    /// What callers trust, once both have been seen. A configuration that is not there calls nobody.
    pub(super) fn live(&self) -> Live {
        if self.places.iter().any(|place| matches!(place.seen, Seen::NotYet)) {
            return Live::unknown();
        }
        let configurations = self.places.iter().filter_map(|place| place.seen.there());
        Live::of(configurations.flat_map(Configuration::ca_bundles))
    }

    /// Which of them have to be given this caBundle now, or how long to wait before.
    pub(super) fn to_restore(&self, bundle: &str) -> (Option<Duration>, Vec<Kind>) {
        let wrong = self.places.iter().filter(|place| {
            let configuration = place.seen.there();
            configuration.is_some_and(|seen| seen.injected_by().is_none() && !seen.holds(bundle))
        });
        let (now, later): (Vec<_>, Vec<_>) = wrong
            .map(|place| (place.pause(bundle), place.trust.kind()))
            .partition(|(pause, _)| pause.is_zero());
        let wait = later.into_iter().map(|(pause, _)| pause).min();
        (wait, now.into_iter().map(|(_, kind)| kind).collect())
    }

    /// The configuration as it was seen, if it has lost this caBundle and got nothing of ours in its place.
    pub(super) fn lost(&self, kind: Kind, bundle: &str, now: OffsetDateTime) -> Option<&Configuration> {
        let seen = self.place(kind).seen.there()?;
        Live::is_lost(seen.ca_bundles(), bundle, now).then_some(seen)
    }

    /// Notes and tells that a configuration was given a caBundle.
    pub(super) fn restored(
        &mut self,
        kind: Kind,
        before: &Configuration,
        after: Configuration,
        bundle: String,
    ) {
        self.metrics.ca_bundle_written();
        let place = self.place_mut(kind);
        let at = Instant::now();
        let again = match &place.restored {
            Some(last) if last.bundle == bundle && last.at.elapsed() < FIGHT => last.again + 1,
            _ => 0,
        };
        let other = before.written_by().unwrap_or_default();
        if again < FREE_RESTORES {
            tracing::info!(%kind, other, "wrote the caBundle of the webhook configuration");
        } else {
            tracing::warn!(%kind, other, again, "somebody changes the caBundle of the webhook configuration again and again");
        }
        place.restored = Some(Restored { bundle, at, again });
        place.seen = Seen::There(after);
    }

    /// What is wrong, with the names of those who do not trust us.
    pub(super) fn explain(&self, why: &Unready) -> String {
        let injected = self.places.iter().find_map(|place| {
            let by = place.seen.there()?.injected_by()?;
            Some(format!("; cert-manager writes that of the {} ({by})", place.trust.kind()))
        });
        match why {
            Unready::NotTrusted => format!("{why}{}", injected.unwrap_or_default()),
            why => why.to_string(),
        }
    }

    fn place(&self, kind: Kind) -> &Place {
        &self.places[kind as usize]
    }

    fn place_mut(&mut self, kind: Kind) -> &mut Place {
        &mut self.places[kind as usize]
    }
}

// === impl Place ===

impl Place {
    /// How long to wait before this caBundle is written once more.
    fn pause(&self, bundle: &str) -> Duration {
        let Some(Restored { bundle: last, at, again }) = &self.restored else { return Duration::ZERO };
        if last != bundle || *again < FREE_RESTORES {
            return Duration::ZERO;
        }
        let pause = Duration::from_secs(1 << (again - FREE_RESTORES).min(5));
        pause.saturating_sub(at.elapsed())
    }
}
