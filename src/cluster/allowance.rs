//! Limits how often something may be done: a burst, and once more after each pause.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// A burst, and the pause after which it may grow by one again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Size of the burst.
    pub burst: u32,
    /// Time until one more is allowed.
    pub refill: Duration,
}

/// What is left of a [`Rate`].
#[derive(Debug, Clone)]
pub struct Allowance {
    rate: Rate,
    left: u32,
    /// The time at which `left` was computed.
    counted: Instant,
}

/// An [`Allowance`] for each of at most so many keys.
#[derive(Debug)]
pub struct Allowances<K> {
    rate: Rate,
    most: usize,
    by_key: HashMap<K, Allowance>,
}

// === impl Allowance ===

impl Allowance {
    /// Starts with the full burst.
    pub fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, left: rate.burst, counted: now }
    }

    /// Whether one more is allowed now; then it is counted.
    pub fn take(&mut self, now: Instant) -> bool {
        self.refill(now);
        let left = self.left.checked_sub(1);
        self.left = left.unwrap_or(0);
        left.is_some()
    }

    fn refill(&mut self, now: Instant) {
        let Rate { burst, refill } = self.rate;
        let more = now.saturating_duration_since(self.counted).as_nanos() / refill.as_nanos().max(1);
        let more = u32::try_from(more).unwrap_or(burst).min(burst);
        self.left = (self.left + more).min(burst);
        self.counted = if self.left == burst { now } else { self.counted + refill * more };
    }
}

// === impl Allowances ===

impl<K: Hash + Eq + Clone> Allowances<K> {
    /// The same rate for each key, of which no more than `most` are in use at a time.
    pub fn new(rate: Rate, most: usize) -> Self {
        Self { rate, most, by_key: HashMap::new() }
    }

    /// Whether one more is allowed for this key now; then it is counted.
    pub fn take(&mut self, key: &K, now: Instant) -> bool {
        if !self.by_key.contains_key(key) {
            if self.by_key.len() >= self.most {
                self.forget_unused(now);
            }
            if self.by_key.len() >= self.most {
                return false;
            }
            self.by_key.insert(key.clone(), Allowance::new(self.rate, now));
        }
        self.by_key.get_mut(key).is_some_and(|allowance| allowance.take(now))
    }

    /// Forgets the keys for which nothing was done lately: a new allowance is the same.
    fn forget_unused(&mut self, now: Instant) {
        self.by_key.retain(|_, allowance| {
            allowance.refill(now);
            allowance.left < allowance.rate.burst
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { burst: 30, refill: Duration::from_secs(1) };

    #[test]
    fn no_more_is_done_than_a_burst_and_once_more_after_each_pause() {
        let now = Instant::now();
        let mut allowance = Allowance::new(RATE, now);
        let mut done =
            |after: u64| (0..1000).filter(|_| allowance.take(now + Duration::from_millis(after))).count();
        assert_eq!([done(0), done(999), done(1000), done(3500), done(4000)], [30, 0, 1, 2, 1]);
        assert_eq!(done(1_000_000), 30);
    }

    #[test]
    fn each_key_has_its_own_and_keys_that_are_not_in_use_make_place() {
        let now = Instant::now();
        let mut allowances = Allowances::new(Rate { burst: 2, ..RATE }, 2);
        assert_eq!(
            ["a", "a", "a", "b", "c"].map(|key| allowances.take(&key, now)),
            [true, true, false, true, false]
        );
        let later = now + RATE.refill;
        assert_eq!(["c", "a"].map(|key| allowances.take(&key, later)), [true, true], "b is forgotten");
    }
}
