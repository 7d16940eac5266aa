//! Clients that apply changed releases without pause, and remember every call that failed.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::json;

use super::namespace::Namespace;
use super::releases::{chart_ref, release};
use super::request::Write;

/// What was called for, until told to end.
#[derive(Default)]
pub(crate) struct Load {
    ends: AtomicBool,
    made: AtomicUsize,
    applied: AtomicUsize,
    failed: Mutex<Vec<Call>>,
    /// When the last call began that did not fail.
    last: Mutex<Option<Instant>>,
}

/// A call that failed.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// When it was sent.
    pub(crate) began: Instant,
    /// How long it took.
    pub(crate) took: Duration,
    /// What was said.
    pub(crate) message: String,
}

/// Ends the clients when it goes, also because an assertion does not hold.
pub(crate) struct End<'a>(&'a Load);

// === impl Load ===

impl Load {
    pub(crate) fn end(&self) -> End<'_> {
        End(self)
    }

    pub(crate) fn goes_on(&self) -> bool {
        !self.ends.load(Ordering::Relaxed)
    }

    /// Applies a release with another spec each time, and in a way that the prefilter leaves to chartgate: both webhooks
    /// have to be asked each time. It begins at most one call in `pace`.
    pub(crate) fn apply(&self, namespace: &Namespace<'_>, name: &str, pace: Duration) {
        let releases = namespace.releases("v2");
        for turn in 1.. {
            if !self.goes_on() {
                return;
            }
            let mut object = release("v2", name, &chart_ref());
            // What another manager filled in would stay, and be in order ever after. This never is, and is only warned
            // about.
            object["metadata"]["annotations"] = json!({"fluxcd.io/version": "v2beta2"});
            object["spec"]["interval"] = json!(format!("{turn}s"));
            let began = Instant::now();
            self.note(|| {
                let answer = releases.apply(&object, Write::by("kustomize-controller").forced());
                self.applied.fetch_add(1, Ordering::Relaxed);
                if answer.status < 300 {
                    Ok(())
                } else {
                    Err(format!("apply: {} {}", answer.status, answer.message()))
                }
            });
            sleep(pace.saturating_sub(began.elapsed()));
        }
    }

    /// Makes a call, and notes how it went.
    pub(crate) fn note(&self, call: impl FnOnce() -> Result<(), String>) {
        let began = Instant::now();
        let result = call();
        self.made.fetch_add(1, Ordering::Relaxed);
        match result {
            Ok(()) => {
                let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
                *last = (*last).max(Some(began));
            }
            Err(message) => {
                let call = Call { began, took: began.elapsed(), message };
                self.failed.lock().unwrap_or_else(PoisonError::into_inner).push(call);
            }
        }
    }

    /// How many calls were made.
    pub(crate) fn made(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }

    /// How many of them applied a release.
    pub(crate) fn applied(&self) -> usize {
        self.applied.load(Ordering::Relaxed)
    }

    /// Those that failed.
    pub(crate) fn failed(&self) -> Vec<Call> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a call that began after `moment` did not fail.
    pub(crate) fn succeeded_after(&self, moment: Instant) -> bool {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|last| last > moment)
    }
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.ends.store(true, Ordering::Relaxed);
    }
}
