//! The one line that a decision leaves in the log.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use crate::admission::Record;

/// The longest text that a request puts into a log line, in bytes: the longest name of an object, and an ellipsis. Any caller
/// chooses these texts, and none may fill the log with one line.
const MAX_TEXT: usize = 256;

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
        namespace = &*clipped(namespace),
        name = &*clipped(name),
        rules = %rules(record),
        patched = %Joined(|| patched.iter().copied()),
        user = &*clipped(user),
        manager = manager.as_deref().map(clipped).as_deref(),
        dry_run,
        mode = mode.as_str(),
        uid = &*clipped(uid),
        microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
    );
}

/// The text, cut to the limit of a log line.
pub(super) fn clipped(text: &str) -> Cow<'_, str> {
    const ELLIPSIS: &str = "…";
    if text.len() <= MAX_TEXT {
        return Cow::Borrowed(text);
    }
    let end = text.floor_char_boundary(MAX_TEXT - ELLIPSIS.len());
    Cow::Owned(format!("{}{ELLIPSIS}", &text[..end]))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_a_request_takes_a_bounded_part_of_a_log_line() {
        let name = "a".repeat(253);
        assert_eq!(clipped(&name), name, "every name of an object fits");
        let long = clipped(&"ä".repeat(1_000_000)).into_owned();
        assert!(long.len() <= MAX_TEXT && long.len() > MAX_TEXT - 4, "{}", long.len());
        assert!(long.ends_with("ä…"), "{long}");
    }
}
