//! The way of a log line out of the process, which no review ever waits for.
//!
//! Lines are appended to a buffer in memory; a thread of its own writes the buffer out. A reader that is slow or has
//! stopped (a full pipe, a stuck terminal) fills the buffer, and what comes then is lost and counted: a webhook that
//! waits for its log stops the cluster's writes.

use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use tracing_subscriber::fmt::MakeWriter;

/// How much may wait for the reader: some 600 decisions.
pub const CAPACITY_BYTES: usize = 256 * 1024;

/// How long the writer gathers lines after it has written some. Waking it costs more than a line does, so under
/// load it is woken a hundred times a second at most.
const GATHER: Duration = Duration::from_millis(10);

/// Where lines are put. Clones share one buffer.
#[derive(Clone, Debug)]
pub struct Outlet {
    shared: Arc<Shared>,
    lost: Counter,
}

/// Owns the writing thread. [`Self::close`] writes out what is left.
#[derive(Debug)]
pub struct OutletGuard {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    buffer: Mutex<Buffer>,
    /// Something was put into the buffer of a waiting writer, or the outlet is closing.
    wake: Condvar,
    /// The writer has written everything and ended.
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Buffer {
    lines: Vec<u8>,
    writer_waits: bool,
    closing: bool,
    ended: bool,
}

// === impl Outlet ===

impl Outlet {
    /// Starts the thread that writes to `target`; every line that is lost is added to `lost`.
    pub fn start(target: impl Write + Send + 'static, lost: Counter) -> io::Result<(Self, OutletGuard)> {
        let shared = Arc::new(Shared::default());
        let writer = Arc::clone(&shared);
        thread::Builder::new().name("log".into()).spawn(move || writer.write_out(target))?;
        Ok((Self { shared: Arc::clone(&shared), lost }, OutletGuard { shared }))
    }

    /// Hands over one line, its line end included, or loses it where too much is waiting already.
    pub fn put(&self, line: &[u8]) {
        let mut buffer = self.shared.lock();
        if buffer.lines.len() + line.len() > CAPACITY_BYTES {
            self.lost.inc();
            return;
        }
        buffer.lines.extend_from_slice(line);
        let waits = mem::take(&mut buffer.writer_waits);
        drop(buffer);
        if waits {
            self.shared.wake.notify_one();
        }
    }
}

/// The formatter of `tracing` hands over each event in one call.
impl Write for Outlet {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Outlet {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

// === impl OutletGuard ===

impl OutletGuard {
    /// How long the end of the process may wait for the reader of its log.
    const FAREWELL: Duration = Duration::from_secs(1);

    /// Waits until everything is written, up to `deadline`; says whether it was.
    pub fn close(&self, deadline: Duration) -> bool {
        let until = Instant::now() + deadline;
        let mut buffer = self.shared.lock();
        buffer.closing = true;
        self.shared.wake.notify_one();
        while !buffer.ended {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            buffer = self.shared.ended.wait_timeout(buffer, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl Drop for OutletGuard {
    fn drop(&mut self) {
        self.close(Self::FAREWELL);
    }
}

// === impl Shared ===

impl Shared {
    /// No code can panic while it holds the lock, so a poisoned buffer is whole all the same.
    fn lock(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes until the outlet closes. What cannot be written is gone: there is nowhere left to say so.
    fn write_out(&self, mut target: impl Write) {
        let mut lines = Vec::new();
        while self.next(&mut lines) {
            let _ = target.write_all(&lines).and_then(|()| target.flush());
            lines.clear();
            self.gather();
        }
        self.lock().ended = true;
        self.ended.notify_all();
    }

    /// Swaps the empty `lines` for those that wait; false when the outlet is closed and empty.
    fn next(&self, lines: &mut Vec<u8>) -> bool {
        let mut buffer = self.lock();
        while buffer.lines.is_empty() && !buffer.closing {
            buffer.writer_waits = true;
            buffer = self.wake.wait(buffer).unwrap_or_else(PoisonError::into_inner);
        }
        mem::swap(&mut buffer.lines, lines);
        !lines.is_empty()
    }

    fn gather(&self) {
        let buffer = self.lock();
        drop(
            self.wake
                .wait_timeout_while(buffer, GATHER, |buffer| !buffer.closing)
                .unwrap_or_else(PoisonError::into_inner),
        );
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A reader that takes each write only when the test does.
    struct Slow {
        arrived: mpsc::SyncSender<Vec<u8>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.arrived.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn slow() -> (Slow, mpsc::Receiver<Vec<u8>>) {
        let (arrived, lines) = mpsc::sync_channel(0);
        (Slow { arrived }, lines)
    }

    #[test]
    fn lines_arrive_whole_and_in_order() {
        let (slow, lines) = slow();
        let (outlet, guard) = Outlet::start(slow, Counter::default()).unwrap();
        let reader = thread::spawn(move || lines.into_iter().flatten().collect::<Vec<u8>>());
        let mut expected = String::new();
        for number in 0..1000 {
            let line = format!("line {number}\n");
            outlet.put(line.as_bytes());
            expected.push_str(&line);
        }
        assert!(guard.close(Duration::from_secs(10)));
        assert_eq!(String::from_utf8(reader.join().unwrap()).unwrap(), expected);
    }

    #[test]
    fn a_reader_that_has_stopped_costs_lines_and_no_time() {
        let (slow, lines) = slow();
        let lost = Counter::default();
        let (outlet, guard) = Outlet::start(slow, lost.clone()).unwrap();
        let line = [b'x'; 1024];
        // One buffer full may be in the writer's hands, another one waits; the rest is lost.
        for _ in 0..3 * CAPACITY_BYTES / line.len() {
            outlet.put(&line);
        }
        assert!(lost.get() >= (CAPACITY_BYTES / line.len()) as u64);
        assert!(!guard.close(Duration::ZERO), "the end does not wait for a stuck reader either");
        drop(lines);
    }

    #[test]
    fn a_line_that_just_fits_is_kept_and_a_byte_more_is_lost() {
        let (slow, lines) = slow();
        let lost = Counter::default();
        let (outlet, _guard) = Outlet::start(slow, lost.clone()).unwrap();
        outlet.put(&vec![b'x'; CAPACITY_BYTES + 1]);
        assert_eq!(lost.get(), 1);
        outlet.put(&vec![b'x'; CAPACITY_BYTES]);
        assert_eq!(lost.get(), 1);
        drop(lines);
    }

    #[test]
    fn a_reader_that_is_gone_stops_nothing() {
        let (slow, lines) = slow();
        drop(lines);
        let (outlet, guard) = Outlet::start(slow, Counter::default()).unwrap();
        outlet.put(b"nobody reads this\n");
        assert!(guard.close(Duration::from_secs(10)));
    }
}
