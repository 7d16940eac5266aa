//! The one line that a decision leaves in the log.

use std::fmt;
use std::time::Duration;

use crate::admission::Record;

/// Logs one decision, at `info`; `took` is what judging took.
pub fn log_decision(record: &Record<'_>, took: Duration) {
    let Record {
        uid,
        operation,
        namespace,
        name,
        user,
        manager,
        dry_run,
        mode,
        decision,
        findings: _,
        patched,
        // It repeats the findings, in words.
        incident: _,
    } = record;
    tracing::info!(
        target: "chartgate::decision",
        decision = decision.as_str(),
        operation = operation.as_str(),
        namespace = &**namespace,
        name = &**name,
        rules = %rules(record),
        patched = %Joined(|| patched.iter().copied()),
        user = &**user,
        manager = manager.as_deref(),
        dry_run,
        mode = mode.as_str(),
        uid = &**uid,
        microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
    );
}

/// The rules that found something, with commas between them.
pub(super) fn rules(record: &Record<'_>) -> impl fmt::Display {
    Joined(|| record.findings.iter().map(|finding| finding.rule))
}

/// Rule ids with commas between them.
struct Joined<F>(F);

impl<F: Fn() -> I, I: Iterator<Item = &'static str>> fmt::Display for Joined<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, id) in self.0().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            f.write_str(id)?;
        }
        Ok(())
    }
}
