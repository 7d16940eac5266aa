//! Queues happenings to be written, in turns by their source address: a sender of many does not delay others, or displace
//! theirs.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Happening;

/// How many may wait. Each is 1 KiB at most, but for the names.
const MAX_WAITING: usize = 128;

/// How many may wait that came from one address.
const SHARE: usize = MAX_WAITING / 2;

/// The queued happenings, with their addresses in the order of their turns.
#[derive(Debug, Default)]
pub(super) struct Queue {
    turns: Mutex<VecDeque<(IpAddr, VecDeque<Happening>)>>,
    news: Notify,
}

// === impl Queue ===

impl Queue {
    /// Adds a happening; `false` where one was lost, this or another one.
    pub(super) fn put(&self, peer: IpAddr, happening: Happening) -> bool {
        let mut turns = self.turns();
        let waiting: usize = turns.iter().map(|(_, waiting)| waiting.len()).sum();
        let own = turns.iter().find(|(it, _)| *it == peer).map_or(0, |(_, waiting)| waiting.len());
        if own >= SHARE {
            return false;
        }
        let mut complete = true;
        if waiting >= MAX_WAITING {
            let longest = turns.iter_mut().map(|(_, waiting)| waiting).max_by_key(|waiting| waiting.len());
            let Some(longest) = longest.filter(|longest| longest.len() > own + 1) else { return false };
            longest.pop_back();
            complete = false;
        }
        match turns.iter_mut().find(|(it, _)| *it == peer) {
            Some((_, waiting)) => waiting.push_back(happening),
            None => turns.push_back((peer, VecDeque::from([happening]))),
        }
        self.news.notify_one();
        complete
    }

    /// Takes the next one, if one waits.
    pub(super) fn take(&self) -> Option<(IpAddr, Happening)> {
        let mut turns = self.turns();
        let (peer, mut waiting) = turns.pop_front()?;
        let happening = waiting.pop_front()?;
        if !waiting.is_empty() {
            turns.push_back((peer, waiting));
        }
        Some((peer, happening))
    }

    /// Takes the next one, and waits for it.
    pub(super) async fn next(&self) -> (IpAddr, Happening) {
        loop {
            if let Some(next) = self.take() {
                return next;
            }
            self.news.notified().await;
        }
    }

    /// No code can panic while it holds the lock, so the data behind it is consistent all the same.
    fn turns(&self) -> MutexGuard<'_, VecDeque<(IpAddr, VecDeque<Happening>)>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::events::tests::happening;

    fn peer(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    #[test]
    fn addresses_take_turns() {
        let queue = Queue::default();
        for (last, note) in [(1, "a"), (1, "b"), (1, "c"), (2, "x"), (3, "y")] {
            assert!(queue.put(peer(last), happening(note)));
        }
        let notes: Vec<_> = std::iter::from_fn(|| queue.take()).map(|(_, it)| it.note).collect();
        assert_eq!(notes, ["a", "x", "y", "b", "c"]);
    }

    #[test]
    fn an_address_has_a_share_and_the_longest_makes_room() {
        let queue = Queue::default();
        let put = |last| (0..1000).filter(|_| queue.put(peer(last), happening("a"))).count();
        assert_eq!([put(1), put(2)], [SHARE, SHARE]);
        // It is full, and one of another address is lost for each.
        assert!(!queue.put(peer(3), happening("new")));
        let from: Vec<_> = std::iter::from_fn(|| queue.take()).map(|(from, _)| from).collect();
        assert_eq!(from.len(), MAX_WAITING);
        assert!(from[..3].contains(&peer(3)), "its turn comes at once");
    }
}
