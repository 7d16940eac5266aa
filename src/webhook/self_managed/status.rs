//! How the shared certificate is, for the probes and for the log.

use std::sync::{Mutex, PoisonError};

/// Why the server is not ready, if it is not, and what failed last.
#[derive(Debug)]
pub struct Status {
    now: Mutex<Now>,
}

#[derive(Debug)]
struct Now {
    unready: Option<String>,
    failure: Option<String>,
    /// Whether it ever was ready. Until then nothing is wrong with not being so.
    was_ready: bool,
}

const NOT_READ: &str = "the API server has not shown the Secret yet";

// === impl Status ===

impl Status {
    pub(super) fn new() -> Self {
        Self { now: Mutex::new(Now { unready: Some(NOT_READ.into()), failure: None, was_ready: false }) }
    }

    /// Nothing, or what is wrong in a few words.
    pub fn check(&self) -> Result<(), String> {
        let Now { unready, failure, .. } = &*self.lock();
        match (unready, failure) {
            (None, _) => Ok(()),
            (Some(why), None) => Err(why.clone()),
            (Some(why), Some(failure)) => Err(format!("{why} ({failure})")),
        }
    }

    pub(super) fn not_read(&self) {
        self.lock().unready = Some(NOT_READ.into());
    }

    /// What is wrong now. A change is logged.
    pub(super) fn set(&self, unready: Option<String>) {
        let mut now = self.lock();
        if now.unready == unready {
            return;
        }
        match &unready {
            None => {
                now.failure = None;
                now.was_ready = true;
                tracing::info!("every caBundle verifies the served certificate");
            }
            Some(why) if !now.was_ready => tracing::info!("not ready yet: {why}"),
            Some(why) => tracing::warn!("calls of the API server would fail: {why}"),
        }
        now.unready = unready;
    }

    /// What failed. The same again is not logged.
    pub(super) fn failed(&self, what: &'static str, why: &str) {
        let failure = format!("{what}: {why}");
        let mut now = self.lock();
        if now.failure.as_ref() != Some(&failure) {
            tracing::error!(error = why, "{what}");
            now.failure = Some(failure);
        }
    }

    /// The API server has answered: the next failure is a new one, and is logged.
    pub(super) fn answered(&self) {
        self.lock().failure = None;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_wrong_and_what_failed() {
        let status = Status::new();
        assert_eq!(status.check(), Err(NOT_READ.into()));
        status.failed("cannot watch the Secret", "connection refused");
        assert_eq!(status.check(), Err(format!("{NOT_READ} (cannot watch the Secret: connection refused)")));
    }

    #[test]
    fn a_failure_is_over_when_the_api_server_answers() {
        let status = Status::new();
        status.failed("cannot watch the Secret", "connection refused");
        status.answered();
        assert_eq!(status.check(), Err(NOT_READ.into()));
    }

    #[test]
    fn a_failure_does_not_make_a_trusted_server_unready() {
        let status = Status::new();
        status.set(None);
        status.failed("cannot watch the Secret", "connection refused");
        assert_eq!(status.check(), Ok(()));
    }
}
