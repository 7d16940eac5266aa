//! Which happenings are known already, and how many new ones may be written.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::Happening;

/// How many new Events may be written at once: the denials of a namespace that was applied by hand.
const BURST: u32 = 30;

/// How long it takes until one more may be written. Together with the time that they are kept (an hour by default),
/// this is what bounds what we can leave in etcd: some four thousand.
const REFILL: Duration = Duration::from_secs(1);

/// How long after it was last seen a happening still counts as the same. As in client-go.
const SAME: Duration = Duration::from_mins(6);

/// What is remembered of a happening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The name of its Event.
    pub(super) name: String,
    /// How often it has happened.
    pub(super) count: i32,
    /// When it happened last.
    pub(super) last: Instant,
    /// The Event does not say so yet.
    unwritten: bool,
}

/// Happenings of the last minutes. What may be new bounds how many there are.
#[derive(Debug)]
pub(super) struct Ledger {
    known: HashMap<Happening, Entry>,
    tokens: u32,
    /// When the number of tokens was right.
    counted: Instant,
}

// === impl Ledger ===

impl Ledger {
    pub(super) fn new(now: Instant) -> Self {
        Self { known: HashMap::new(), tokens: BURST, counted: now }
    }

    /// Whether a happening is known; then it is counted.
    pub(super) fn repeats(&mut self, happening: &Happening, now: Instant) -> bool {
        let Some(entry) = self.known.get_mut(happening).filter(|entry| now < entry.last + SAME) else {
            return false;
        };
        entry.count = entry.count.saturating_add(1);
        (entry.last, entry.unwritten) = (now, true);
        true
    }

    /// Whether one more may be written now; then that is counted as done.
    pub(super) fn may_write(&mut self, now: Instant) -> bool {
        let refilled = (now - self.counted).as_secs() / REFILL.as_secs();
        let refilled = u32::try_from(refilled).unwrap_or(BURST).min(BURST);
        self.tokens = (self.tokens + refilled).min(BURST);
        self.counted = if self.tokens == BURST { now } else { self.counted + REFILL * refilled };
        let left = self.tokens.checked_sub(1);
        self.tokens = left.unwrap_or(0);
        left.is_some()
    }

    /// Remembers a happening whose Event was just written.
    pub(super) fn enter(&mut self, happening: Happening, name: String, now: Instant) {
        self.known.insert(happening, Entry { name, count: 1, last: now, unwritten: false });
    }

    /// Known happenings whose count is to be written now, which from now on counts as done. Forgets what is too old.
    pub(super) fn take_unwritten(&mut self, now: Instant) -> Vec<(Happening, Entry)> {
        let mut due = Vec::new();
        let mut keys: Vec<_> =
            self.known.iter().filter(|(_, entry)| entry.unwritten).map(|(key, _)| key.clone()).collect();
        // What waits longest is written first, so that none waits forever where more happens than may be written.
        keys.sort_by_key(|key| self.known[key].last);
        for key in keys {
            if !self.may_write(now) {
                break;
            }
            if let Some(entry) = self.known.get_mut(&key) {
                entry.unwritten = false;
                due.push((key, entry.clone()));
            }
        }
        self.known.retain(|_, entry| entry.unwritten || now < entry.last + SAME);
        due
    }

    /// The next of its kind is a new one.
    pub(super) fn forget(&mut self, happening: &Happening) {
        self.known.remove(happening);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::events::{Reason, Regarding};

    fn happening(note: &str) -> Happening {
        Happening {
            reason: Reason::Denied,
            regarding: Regarding {
                api_version: "helm.toolkit.fluxcd.io/v2".into(),
                namespace: "apps".into(),
                name: "podinfo".into(),
                uid: None,
            },
            note: note.into(),
        }
    }

    #[test]
    fn a_repetition_is_counted_and_written_once() {
        let now = Instant::now();
        let mut ledger = Ledger::new(now);
        assert!(!ledger.repeats(&happening("a"), now));
        ledger.enter(happening("a"), "podinfo.1".into(), now);
        for _ in 0..99 {
            assert!(ledger.repeats(&happening("a"), now));
        }
        let due = ledger.take_unwritten(now);
        assert_eq!(due.len(), 1);
        assert_eq!((due[0].1.name.as_str(), due[0].1.count), ("podinfo.1", 100));
        assert_eq!(ledger.take_unwritten(now), []);
    }

    #[test]
    fn another_note_is_another_happening() {
        let now = Instant::now();
        let mut ledger = Ledger::new(now);
        ledger.enter(happening("a"), "podinfo.1".into(), now);
        assert!(!ledger.repeats(&happening("b"), now));
    }

    #[test]
    fn after_a_while_the_same_is_new_again_and_the_old_one_is_forgotten() {
        let now = Instant::now();
        let mut ledger = Ledger::new(now);
        ledger.enter(happening("a"), "podinfo.1".into(), now);
        assert!(!ledger.repeats(&happening("a"), now + SAME));
        ledger.take_unwritten(now + SAME);
        assert!(ledger.known.is_empty());
    }

    #[test]
    fn no_more_are_written_than_a_burst_and_one_for_each_second() {
        let now = Instant::now();
        let mut ledger = Ledger::new(now);
        let mut written =
            |after: u64| (0..1000).filter(|_| ledger.may_write(now + Duration::from_millis(after))).count();
        assert_eq!([written(0), written(999), written(1000), written(3500), written(4000)], [30, 0, 1, 2, 1]);
        assert_eq!(written(1_000_000), 30);
    }
}
