//! Whether a connection is at work, idle, or wasting its time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::Limits;

/// What a connection has done lately. Written on the way of every request, so it is a few atomics and no timer; a
/// connection looks at it now and then.
#[derive(Debug)]
pub(super) struct Activity {
    head: Duration,
    idle: Duration,
    began: Instant,
    /// Requests that have a head and no answer.
    under_way: AtomicUsize,
    /// Bytes have arrived since the last answer, but no whole head.
    reading: AtomicBool,
    /// Milliseconds from `began` to the last change of the two above.
    changed: AtomicU64,
    /// A request has been answered.
    answered: AtomicBool,
}

/// The loss if a connection were closed, from nothing to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Worth {
    /// There was no TLS handshake yet.
    Handshaking,
    /// No request was answered yet, and none is under way.
    Unused,
    /// Requests were answered, and none is under way.
    Idle,
    /// A request is under way.
    Busy,
}

/// A request that is under way, until it is dropped.
pub(super) struct Busy {
    activity: Arc<Activity>,
}

/// What has to be done with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// It is at work, or has not waited long.
    Nothing,
    /// It is idle: it can be ended politely.
    Goodbye,
    /// It sends a head too slowly: it can only be cut.
    Cut,
}

// === impl Activity ===

impl Activity {
    pub(super) fn new(limits: Limits, now: Instant) -> Self {
        let Limits { head, idle, .. } = limits;
        Self {
            head,
            idle,
            began: now,
            under_way: AtomicUsize::new(0),
            reading: AtomicBool::new(false),
            changed: AtomicU64::new(0),
            answered: AtomicBool::new(false),
        }
    }

    /// A whole head has arrived.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        self.reading.store(false, Ordering::Relaxed);
        Busy { activity: Arc::clone(self) }
    }

    /// Something has arrived; outside of a request it is the start of a head.
    pub(super) fn bytes_arrived(&self) {
        if self.under_way.load(Ordering::Relaxed) == 0 && !self.reading.load(Ordering::Relaxed) {
            self.note_change();
            self.reading.store(true, Ordering::Relaxed);
        }
    }

    /// When to look again: often enough for the shorter of the two limits.
    pub(super) fn next_look(&self, now: Instant) -> Instant {
        now + self.head.min(self.idle) / 2
    }

    pub(super) fn due(&self, now: Instant) -> Due {
        if self.under_way.load(Ordering::Relaxed) > 0 {
            return Due::Nothing;
        }
        let waited = self.waited(now);
        match self.reading.load(Ordering::Relaxed) {
            true if waited >= self.head => Due::Cut,
            false if waited >= self.idle => Due::Goodbye,
            _ => Due::Nothing,
        }
    }

    /// The loss if the connection were closed, and how long it has been at that level.
    pub(super) fn worth(&self, now: Instant) -> (Worth, Duration) {
        let worth = if self.under_way.load(Ordering::Relaxed) > 0 {
            Worth::Busy
        } else if self.answered.load(Ordering::Relaxed) {
            Worth::Idle
        } else {
            Worth::Unused
        };
        (worth, self.waited(now))
    }

    fn waited(&self, now: Instant) -> Duration {
        let changed = self.began + Duration::from_millis(self.changed.load(Ordering::Relaxed));
        now.saturating_duration_since(changed)
    }

    fn note_change(&self) {
        let since = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.changed.store(since, Ordering::Relaxed);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.activity.note_change();
        self.activity.answered.store(true, Ordering::Relaxed);
        self.activity.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        connections: 1,
        handshake: Duration::from_secs(1),
        head: Duration::from_secs(10),
        idle: Duration::from_mins(3),
        drain: Duration::from_secs(1),
    };

    /// What is due `seconds` after now, and some milliseconds that the test itself may take.
    fn after(seconds: u64, activity: &Activity) -> Due {
        activity.due(Instant::now() + Duration::from_secs(seconds))
    }

    #[test]
    fn an_idle_connection_is_asked_to_leave_at_its_limit() {
        let activity = Activity::new(LIMITS, Instant::now());
        assert_eq!(after(179, &activity), Due::Nothing);
        assert_eq!(after(180, &activity), Due::Goodbye);
    }

    #[test]
    fn a_slow_head_is_cut_at_its_limit_whatever_trickles_in() {
        let began = Instant::now().checked_sub(Duration::from_secs(100)).unwrap();
        let activity = Activity::new(LIMITS, began);
        activity.bytes_arrived();
        assert_eq!(after(9, &activity), Due::Nothing);
        activity.bytes_arrived();
        assert_eq!(after(10, &activity), Due::Cut);
    }

    #[test]
    fn a_request_under_way_has_its_own_deadline() {
        let activity = Arc::new(Activity::new(LIMITS, Instant::now()));
        activity.bytes_arrived();
        let busy = activity.begin();
        activity.bytes_arrived();
        assert_eq!(after(1000, &activity), Due::Nothing);
        drop(busy);
        assert_eq!(after(179, &activity), Due::Nothing);
        assert_eq!(after(180, &activity), Due::Goodbye);
    }

    #[test]
    fn one_of_two_streams_keeps_a_connection_at_work() {
        let activity = Arc::new(Activity::new(LIMITS, Instant::now()));
        let (first, second) = (activity.begin(), activity.begin());
        drop(first);
        assert_eq!(after(1000, &activity), Due::Nothing);
        drop(second);
        assert_eq!(after(180, &activity), Due::Goodbye);
    }
}
