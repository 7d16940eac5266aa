//! A span of time as people write it: `30s`, `90d`, `1h30m`.

use std::str::FromStr;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// A span of time, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Period(pub(super) Duration);

const HOW_TO_WRITE: &str = "is no span of time: write a number with s, m, h, d or y, such as 90d";

// === impl Period ===

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        seconds(text)
            .map(|seconds| Self(Duration::from_secs(seconds)))
            .ok_or_else(|| format!("{text:?} {HOW_TO_WRITE}"))
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

fn seconds(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut sum: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let unit = rest[digits..].chars().next()?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 60 * 60,
            'd' => 24 * 60 * 60,
            'y' => 365 * 24 * 60 * 60,
            _ => return None,
        };
        sum = sum.checked_add(number.checked_mul(seconds)?)?;
        rest = &rest[digits + 1..];
    }
    (!text.is_empty()).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_numbers_with_units() {
        for (text, seconds) in
            [("30s", 30), ("5m", 300), ("1h30m", 5400), ("90d", 7_776_000), ("10y", 315_360_000), ("0s", 0)]
        {
            assert_eq!(text.parse(), Ok(Period(Duration::from_secs(seconds))), "{text}");
        }
    }

    #[test]
    fn anything_else_is_told_how_to_write_it() {
        for text in
            ["", "30", "s", "-1s", "1.5h", "1 h", "3w", "99999999999999999999s", "9999999999999999y", "1ü"]
        {
            assert_eq!(text.parse::<Period>(), Err(format!("{text:?} {HOW_TO_WRITE}")));
        }
    }
}
