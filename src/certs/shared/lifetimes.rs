//! How long certificates live, and when they are replaced.

use std::time::Duration;

use thiserror::Error;

/// How long what we make is valid, and how long before its end it is made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    authority: Duration,
    leaf: Duration,
    renew_before: Duration,
}

/// Lifetimes that do not go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LifetimesError {
    /// A new certificate would be due the moment it is made.
    #[error("renewBefore must be shorter than leafLifetime")]
    RenewedAtOnce,
    /// There would be no time to take up a new certificate everywhere.
    #[error("renewBefore must be at least 3s: an API server takes a second to notice a new CA")]
    RenewedTooLate,
    /// The authority would have to be replaced with every certificate.
    #[error("caLifetime must be at least twice leafLifetime")]
    ShortAuthority,
    /// Dates would not fit into a certificate.
    #[error("caLifetime must be at most 100y")]
    Endless,
}

const DAY: Duration = Duration::from_hours(24);

/// Nobody copies this authority by hand into anything, so its end costs nothing; but an end it has.
const AUTHORITY: Duration = Duration::from_hours(24 * 365 * 10);

/// Short enough that renewal is nothing rare, which breaks unnoticed; long enough to survive a cluster that was
/// switched off for weeks.
const LEAF: Duration = Duration::from_hours(24 * 90);

/// The longest life that still fits into a certificate's dates for a long time.
const MAX: Duration = Duration::from_hours(24 * 365 * 100);

const MIN_RENEW_BEFORE: Duration = Duration::from_secs(3);

/// How long an API server that is behind may take to act on a caBundle that we have seen. One second is usual.
const MAX_SETTLE: Duration = Duration::from_secs(30);

// === impl Lifetimes ===

impl Lifetimes {
    /// What is given, else the default; where only the leaf's lifetime is given, it is renewed after two thirds of it.
    pub fn new(
        authority: Option<Duration>,
        leaf: Option<Duration>,
        renew_before: Option<Duration>,
    ) -> Result<Self, LifetimesError> {
        let authority = authority.unwrap_or(AUTHORITY);
        let leaf = leaf.unwrap_or(LEAF);
        let renew_before = renew_before.unwrap_or(leaf / 3);
        if authority > MAX {
            return Err(LifetimesError::Endless);
        }
        if leaf.checked_mul(2).is_none_or(|twice| authority < twice) {
            return Err(LifetimesError::ShortAuthority);
        }
        if renew_before >= leaf {
            return Err(LifetimesError::RenewedAtOnce);
        }
        if renew_before < MIN_RENEW_BEFORE {
            return Err(LifetimesError::RenewedTooLate);
        }
        Ok(Self { authority, leaf, renew_before })
    }

    pub(super) fn authority(&self) -> Duration {
        self.authority
    }

    pub(super) fn leaf(&self) -> Duration {
        self.leaf
    }

    /// How long before its end a leaf is renewed. `jitter`, from 0 to 1, puts it off a little, so that of several
    /// replicas one is first.
    pub(super) fn leaf_margin(&self, jitter: f64) -> Duration {
        self.renew_before.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 4.0)
    }

    /// The same for an authority: it has to outlive the last leaf that it signs.
    pub(super) fn authority_margin(&self, jitter: f64) -> Duration {
        self.leaf + self.leaf_margin(jitter)
    }

    /// How long a new authority has to stand in the live caBundles before anybody shows a leaf that it signed. A leaf
    /// that is due can wait for it three times.
    pub(super) fn settle(&self) -> Duration {
        (self.renew_before / 3).min(MAX_SETTLE)
    }
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self { authority: AUTHORITY, leaf: LEAF, renew_before: 30 * DAY }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "it is what the tests hand over")]
    const fn seconds(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    #[test]
    fn nothing_given_is_the_default() {
        assert_eq!(Lifetimes::new(None, None, None), Ok(Lifetimes::default()));
    }

    #[test]
    fn a_leaf_alone_is_renewed_after_two_thirds_of_its_life() {
        let lifetimes = Lifetimes::new(None, seconds(30), None).unwrap();
        assert_eq!(lifetimes.leaf_margin(0.0), Duration::from_secs(10));
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for (given, error) in [
            ((seconds(40), seconds(20), seconds(20)), LifetimesError::RenewedAtOnce),
            ((seconds(40), seconds(20), seconds(2)), LifetimesError::RenewedTooLate),
            ((seconds(39), seconds(20), seconds(6)), LifetimesError::ShortAuthority),
            ((None, Some(Duration::MAX), None), LifetimesError::ShortAuthority),
            ((Some(MAX + Duration::from_secs(1)), None, None), LifetimesError::Endless),
        ] {
            let (authority, leaf, renew_before) = given;
            assert_eq!(Lifetimes::new(authority, leaf, renew_before), Err(error), "{given:?}");
        }
    }

    #[test]
    fn jitter_puts_a_renewal_off_and_never_past_the_end() {
        let lifetimes = Lifetimes::new(seconds(40), seconds(20), seconds(8)).unwrap();
        assert_eq!(lifetimes.leaf_margin(0.0), Duration::from_secs(8));
        assert_eq!(lifetimes.leaf_margin(1.0), Duration::from_secs(6));
        assert!(lifetimes.settle() * 2 < lifetimes.leaf_margin(1.0));
    }
}
