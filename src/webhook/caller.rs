//! Identifies the client of a connection, and counts the shared resources that the connection holds.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;

use super::activity::{Activity, Worth};

/// How many refused bodies of one connection are read to their end at a time. HTTP/1.1 has one; over HTTP/2 a client
/// could otherwise hold a hundred tasks of a second each with requests that are refused anyway.
const MAX_DISCARDS: usize = 4;

/// A connection, for as long as it is open. All requests of a connection share one.
#[derive(Debug)]
pub(super) struct Caller {
    peer: IpAddr,
    since: Instant,
    /// Bytes of the memory for bodies that its requests hold.
    held: AtomicUsize,
    discards: AtomicUsize,
    /// Set once the handshake is over.
    activity: OnceLock<Arc<Activity>>,
}

/// A refused body that is read to its end, until it is dropped.
pub(super) struct Discard<'a>(&'a Caller);

// === impl Caller ===

impl Caller {
    pub(super) fn new(peer: IpAddr) -> Arc<Self> {
        Arc::new(Self {
            peer,
            since: Instant::now(),
            held: AtomicUsize::new(0),
            discards: AtomicUsize::new(0),
            activity: OnceLock::new(),
        })
    }

    /// For requests that come through no connection, as in tests of the router.
    pub(super) fn unknown() -> Arc<Self> {
        Self::new(Ipv4Addr::UNSPECIFIED.into())
    }

    /// The caller's address.
    pub(super) fn peer(&self) -> IpAddr {
        self.peer
    }

    /// Begins to record the activity of the connection.
    pub(super) fn is_served(&self, activity: &Arc<Activity>) {
        // A connection is served once.
        let _ = self.activity.set(Arc::clone(activity));
    }

    /// How much would be lost if the connection were closed now, and how long it has been at that level.
    pub(super) fn worth(&self, now: Instant) -> (Worth, Duration) {
        let handshaking = || (Worth::Handshaking, now.saturating_duration_since(self.since));
        self.activity.get().map_or_else(handshaking, |activity| activity.worth(now))
    }

    /// Bytes of the memory for bodies that the connection holds.
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Records that the connection holds more; the lock of the memory orders it.
    pub(super) fn hold(&self, bytes: usize) {
        self.held.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Records that the connection holds less.
    pub(super) fn release(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Permits to read one more refused body, if not too many are being read.
    pub(super) fn discard(&self) -> Option<Discard<'_>> {
        let one_more = |count| (count < MAX_DISCARDS).then(|| count + 1);
        let counted = self.discards.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        // Not then_some: a Discard that is made and dropped at once would count down.
        counted.is_ok().then(|| Discard(self))
    }
}

impl Drop for Discard<'_> {
    fn drop(&mut self) {
        self.0.discards.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_reads_only_so_many_refused_bodies_at_a_time() {
        let caller = Caller::unknown();
        let permits: Vec<_> = (0..MAX_DISCARDS).map(|_| caller.discard().unwrap()).collect();
        assert!(caller.discard().is_none());
        drop(permits);
        assert!(caller.discard().is_some());
    }
}
