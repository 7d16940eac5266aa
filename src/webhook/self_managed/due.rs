//! Waits until a moment by two clocks.
//!
//! A sleep counts on the monotonic clock, which stops while a machine is suspended (Linux: `CLOCK_MONOTONIC`) and does not
//! notice a changed date. Certificates end by the date. So both are compared, again and again.

use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::{Instant, sleep_until};

/// How often the date is compared. A comparison costs a microsecond.
const COMPARE_EVERY: Duration = Duration::from_secs(1);

/// The current date.
pub(super) type Clock = fn() -> OffsetDateTime;

/// A moment that is reached when either clock reaches it.
pub(super) struct Due {
    at: Instant,
    date: OffsetDateTime,
}

// === impl Due ===

impl Due {
    /// In `wait` from now.
    pub(super) fn after(wait: Duration, clock: Clock) -> Self {
        // Waits here are of hours at most; a date that cannot be written is as good as never.
        let date = clock().checked_add(wait.try_into().unwrap_or(time::Duration::MAX));
        Self { at: Instant::now() + wait, date: date.unwrap_or(time::PrimitiveDateTime::MAX.assume_utc()) }
    }

    /// Waits until the moment has come.
    pub(super) async fn comes(&self, clock: Clock) {
        loop {
            let now = Instant::now();
            if now >= self.at || clock() >= self.date {
                return;
            }
            sleep_until(self.at.min(now + COMPARE_EVERY)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use time::macros::datetime;
    use tokio::time::timeout;

    use super::*;

    static PASSED: AtomicI64 = AtomicI64::new(0);

    fn clock() -> OffsetDateTime {
        datetime!(2026-11-22 12:00 UTC) + time::Duration::hours(PASSED.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn a_date_that_jumps_past_it_is_noticed_within_two_seconds_though_no_time_has_passed() {
        let due = Due::after(Duration::from_hours(1), clock);
        let early = timeout(COMPARE_EVERY / 4, due.comes(clock)).await;
        assert!(early.is_err(), "nothing has changed");
        PASSED.store(2, Ordering::Relaxed);
        timeout(COMPARE_EVERY * 2, due.comes(clock)).await.expect("the date is past it");
        // A date that is set back puts nothing off for longer than was asked for.
        let short = Due::after(COMPARE_EVERY / 4, clock);
        PASSED.store(0, Ordering::Relaxed);
        timeout(COMPARE_EVERY * 2, short.comes(clock)).await.expect("the other clock goes on");
    }
}
