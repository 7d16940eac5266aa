//! Schedules fresh reads of the objects that the watches follow.
//!
//! A watch may be blind without an error: where etcd was restored from a snapshot, the version at which it resumes lies in
//! the future, and no event arrives until the cluster reaches it again. So everything is read anew periodically, and at
//! once when callers refuse the certificate.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::webhook::distrust::Distrust;

/// The least time between two reads, however many callers refuse the certificate: anybody on the pod network can.
const LEAST: Duration = Duration::from_secs(10);

/// The timer, and the signal that ends it early.
pub(super) struct Refresh {
    every: Duration,
    last: Instant,
    distrust: Arc<Distrust>,
    /// Whether a caller refused the certificate since the last read.
    asked: bool,
}

// === impl Refresh ===

impl Refresh {
    pub(super) fn new(every: Duration, distrust: Arc<Distrust>) -> Self {
        Self { every, last: Instant::now(), distrust, asked: false }
    }

    /// Waits until it is time.
    pub(super) async fn is_due(&mut self) {
        if !self.asked {
            tokio::select! {
                () = sleep_until(self.last + self.every) => return,
                // Remembered, as the waiting task may be cancelled in between.
                () = self.distrust.noted() => self.asked = true,
            }
        }
        sleep_until(self.last + LEAST.min(self.every)).await;
    }

    /// Records that everything was read.
    pub(super) fn done(&mut self) {
        self.last = Instant::now();
        self.asked = false;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn distrust_makes_it_due_at_once_and_then_not_before_the_least_time() {
        let distrust = Arc::new(Distrust::default());
        let mut refresh = Refresh::new(Duration::from_mins(1), Arc::clone(&distrust));
        refresh.last = Instant::now().checked_sub(LEAST).expect("the machine runs for longer");
        assert!(timeout(Duration::from_millis(50), refresh.is_due()).await.is_err());
        distrust.note();
        assert!(timeout(Duration::from_millis(50), refresh.is_due()).await.is_ok());
        refresh.done();
        for _ in 0..100 {
            distrust.note();
        }
        assert!(timeout(Duration::from_millis(50), refresh.is_due()).await.is_err());
    }
}
