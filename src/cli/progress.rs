//! What a terminal shows while much is read.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Whoever is ready before this shows nothing: what flickers helps nobody.
const QUIET: Duration = Duration::from_millis(400);

/// How often it is shown anew.
const INTERVAL: Duration = Duration::from_millis(100);

/// A line on the standard error that says how far it is; gone when this is dropped.
pub(super) struct Progress {
    /// What is counted: `files`.
    of: &'static str,
    count: AtomicUsize,
    /// When it is to be shown next; nothing where nobody looks.
    next: Option<Mutex<Instant>>,
    shown: AtomicUsize,
}

impl Progress {
    pub(super) fn new(of: &'static str) -> Self {
        let next = io::stderr().is_terminal().then(|| Mutex::new(Instant::now() + QUIET));
        Self { of, count: AtomicUsize::new(0), next, shown: AtomicUsize::new(0) }
    }

    /// Counts one more.
    pub(super) fn one_more(&self) {
        self.reached(self.count.fetch_add(1, Ordering::Relaxed) + 1);
    }

    /// Says how many there are now.
    pub(super) fn reached(&self, count: usize) {
        let Some(mut next) = self.next.as_ref().and_then(|next| next.try_lock().ok()) else { return };
        let now = Instant::now();
        if now >= *next {
            *next = now + INTERVAL;
            self.shown.store(1, Ordering::Relaxed);
            // Nobody may be looking any more; then nobody misses it.
            let _ = write!(io::stderr(), "\r\x1b[2Kreading: {count} {}", self.of);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.load(Ordering::Relaxed) != 0 {
            let _ = write!(io::stderr(), "\r\x1b[2K");
        }
    }
}
