//! How long the caller waits.

use std::time::Duration;

/// What an API server waits when its configuration says nothing.
pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest that a webhook configuration may say.
pub(super) const MAX_TIMEOUT: Duration = Duration::from_secs(30);

/// The most that is kept back for the answer's way to the caller.
const MAX_MARGIN: Duration = Duration::from_millis(500);

/// How long a request with this query may take until its answer leaves: what `timeout=` says, less a tenth of it.
///
/// A value that cannot be read counts as none. Only somebody who tries the webhook by hand can send one, and his
/// review is as good as any.
pub(super) fn time_for(query: Option<&str>) -> Duration {
    let given = query
        .into_iter()
        .flat_map(|query| query.split('&'))
        .find_map(|pair| pair.strip_prefix("timeout="))
        .and_then(go_duration);
    let timeout = given.unwrap_or(DEFAULT_TIMEOUT).min(MAX_TIMEOUT);
    timeout.saturating_sub((timeout / 10).min(MAX_MARGIN))
}

/// Reads a duration as Go writes it: `10s`, `1m30s`, `1.5h`, `500ms`, `0`; nothing below zero.
fn go_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, unit) = rest.split_at(digits);
        let letters = unit.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(unit.len());
        let (unit, next) = unit.split_at(letters);
        let seconds = number.parse::<f64>().ok()? * unit_in_seconds(unit)?;
        total = total.checked_add(Duration::try_from_secs_f64(seconds).ok()?)?;
        rest = next;
    }
    (!text.is_empty()).then_some(total)
}

/// A query writes the `µ` of `µs` as `%C2%B5`; Go itself writes `µs`.
fn unit_in_seconds(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1e-9,
        "us" | "µs" | "%C2%B5s" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_read_as_go_writes_it() {
        let seconds = |text| go_duration(text).map(|duration| duration.as_secs_f64());
        for (text, expected) in [
            ("10s", Some(10.0)),
            ("1m30s", Some(90.0)),
            ("500ms", Some(0.5)),
            ("1.5h", Some(5400.0)),
            ("2.5s", Some(2.5)),
            ("250us", Some(0.000_25)),
            ("0", Some(0.0)),
            ("0s", Some(0.0)),
            ("", None),
            ("10", None),
            ("s", None),
            ("10 s", None),
            ("-1s", None),
            ("1.2.3s", None),
            ("1d", None),
            ("99999999999999999999h", None),
        ] {
            assert_eq!(seconds(text), expected, "{text:?}");
        }
    }

    #[test]
    fn an_answer_leaves_before_the_caller_stops_waiting() {
        assert_eq!(time_for(Some("timeout=10s")), Duration::from_millis(9500));
        assert_eq!(time_for(Some("timeout=1s")), Duration::from_millis(900));
        assert_eq!(time_for(Some("dryRun=All&timeout=2s")), Duration::from_millis(1800));
    }

    #[test]
    fn no_timeout_and_one_that_cannot_be_read_mean_ten_seconds() {
        for query in [None, Some(""), Some("timeout="), Some("timeout=soon"), Some("nottimeout=1s")] {
            assert_eq!(time_for(query), Duration::from_millis(9500), "{query:?}");
        }
    }

    #[test]
    fn no_caller_waits_longer_than_a_configuration_can_say() {
        assert_eq!(time_for(Some("timeout=30s")), Duration::from_millis(29_500));
        assert_eq!(time_for(Some("timeout=1h")), Duration::from_millis(29_500));
    }
}
