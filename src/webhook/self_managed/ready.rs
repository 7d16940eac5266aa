//! Tracks since when calls of the API server can be expected to arrive and to be trusted.

use std::time::Duration;

use tokio::time::Instant;

/// A readiness probe that fails once takes nobody out of the Service (manifests: every two seconds, two failures).
const TOLERATED: Duration = Duration::from_secs(2);

/// Since when every caBundle verifies the serving certificate, but for moments that no probe notices.
#[derive(Debug, Default)]
pub(super) struct Ready {
    ready_since: Option<Instant>,
    unready_since: Option<Instant>,
}

// === impl Ready ===

impl Ready {
    /// Records whether every caBundle verifies the serving certificate.
    pub(super) fn note(&mut self, ready: bool) {
        let now = Instant::now();
        if !ready {
            self.unready_since.get_or_insert(now);
            return;
        }
        let was_noticed = self.unready_since.take().is_some_and(|since| now - since >= TOLERATED);
        if was_noticed || self.ready_since.is_none() {
            self.ready_since = Some(now);
        }
    }

    /// Since when, if it does now.
    pub(super) fn since(&self) -> Option<Instant> {
        self.ready_since.filter(|_| self.unready_since.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_without_trust_does_not_begin_the_count_anew_and_a_long_one_does() {
        let mut ready = Ready::default();
        ready.note(false);
        assert_eq!(ready.since(), None);
        ready.note(true);
        let first = ready.since().unwrap();
        ready.note(false);
        assert_eq!(ready.since(), None, "not at this moment");
        ready.note(true);
        assert_eq!(ready.since(), Some(first));
        ready.note(false);
        ready.unready_since = ready.unready_since.and_then(|since| since.checked_sub(TOLERATED));
        ready.note(true);
        assert!(ready.since() > Some(first));
    }
}
