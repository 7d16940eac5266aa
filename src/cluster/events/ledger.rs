//! Which happenings are known already, and how many new ones may be written.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::{Happening, Regarding};
use crate::cluster::allowance::{Allowance, Allowances, Rate};

/// How many new Events may be written: at once, the denials of a namespace that was applied by hand. Together with the time
/// that they are kept (an hour by default), the pause is what bounds what we can leave in etcd: some four thousand.
const OF_ALL: Rate = Rate { burst: 30, refill: Duration::from_secs(1) };

/// How many of one namespace: a user that can read the uids of one must not use up the limit for all.
const OF_NAMESPACE: Rate = Rate { burst: 20, refill: Duration::from_secs(3) };

/// How many of one object: each has as many as there are rules to break.
const OF_OBJECT: Rate = Rate { burst: 5, refill: Duration::from_secs(30) };

/// How many namespaces and objects may have had new Events lately. More than [`OF_ALL`] allows to be written within the time
/// that one counts.
const MAX_KEYS: usize = 1024;

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
    of_all: Allowance,
    of_namespace: Allowances<String>,
    /// By uid.
    of_object: Allowances<String>,
}

// === impl Ledger ===

impl Ledger {
    pub(super) fn new(now: Instant) -> Self {
        let (of_namespace, of_object) =
            (Allowances::new(OF_NAMESPACE, MAX_KEYS), Allowances::new(OF_OBJECT, MAX_KEYS));
        Self { known: HashMap::new(), of_all: Allowance::new(OF_ALL, now), of_namespace, of_object }
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

    /// Whether one more may be written about an object now; then it is counted.
    pub(super) fn may_write(&mut self, regarding: &Regarding, now: Instant) -> bool {
        let Regarding { namespace, uid, .. } = regarding;
        self.of_object.take(uid, now) && self.of_namespace.take(namespace, now) && self.of_all.take(now)
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
            if !self.of_all.take(now) {
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
    use crate::cluster::events::tests::happening;

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
    fn an_object_and_a_namespace_leave_something_for_the_others() {
        let now = Instant::now();
        let mut ledger = Ledger::new(now);
        let mut written = |namespace: &str, uids: std::ops::Range<u32>| {
            let written = uids.filter(|uid| {
                let (namespace, uid) = (namespace.to_owned(), (uid / 10).to_string());
                ledger.may_write(&Regarding { namespace, uid, ..happening("a").regarding }, now)
            });
            written.count()
        };
        assert_eq!(written("apps", 0..10), 5, "one object");
        assert_eq!(written("apps", 10..1000), 15, "one namespace");
        assert_eq!(written("other", 1000..2000), 10, "all");
    }
}
