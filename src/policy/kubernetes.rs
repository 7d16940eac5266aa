//! Parses the version of the API server, as far as rules depend on it.

use std::fmt;

/// A minor release of Kubernetes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kubernetes {
    major: u16,
    minor: u16,
}

/// An entry of `managedFields` at a version that is gone makes every server-side apply fail.
const REFUSED: &str = "every apply of the object fails with \"request to convert CR to an invalid group/version\", before any \
                       webhook is asked";

// === impl Kubernetes ===

impl Kubernetes {
    /// The first release that keeps entries of `managedFields` whose version is gone, through every update (apimachinery
    /// v0.37.0, `UpdateNoErrors`); until 1.36 an update that is no apply drops all entries of the object.
    pub const KEEPS_ENTRIES: Self = Self { major: 1, minor: 37 };

    /// Reads `major` and `minor` as `/version` has them; providers append to the minor (`35+`).
    pub fn parse(major: &str, minor: &str) -> Option<Self> {
        let number = |text: &str| text.trim_end_matches(|end: char| !end.is_ascii_digit()).parse().ok();
        Some(Self { major: number(major)?, minor: number(minor)? })
    }

    /// Why an entry of `managedFields` at a version that is gone matters on this server, or on any where the version is
    /// unknown.
    pub fn gone_entry(server: Option<Self>) -> String {
        const KEPT: &str = "until it is rewritten";
        const DROPPED: &str = "until another write, even of the status, makes the API server drop all managedFields of the \
                               object; then applies work again, but nobody is known to own spec.chart, and a move to \
                               chartRef leaves it behind";
        match server.map(|server| server >= Self::KEEPS_ENTRIES) {
            Some(true) => format!("{REFUSED}, {KEPT}."),
            Some(false) => format!("{REFUSED}, {DROPPED}."),
            None => {
                format!("{REFUSED}: from Kubernetes {} on {KEPT}; before, {DROPPED}.", Self::KEEPS_ENTRIES)
            }
        }
    }
}

impl fmt::Display for Kubernetes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_providers_make_of_a_version() {
        for (minor, expected) in
            [("35", Some("1.35")), ("37+", Some("1.37")), ("", None), ("x", None), ("99999", None)]
        {
            assert_eq!(
                Kubernetes::parse("1", minor).map(|it| it.to_string()).as_deref(),
                expected,
                "{minor}"
            );
        }
    }

    #[test]
    fn tells_what_the_server_does_with_an_entry_that_is_gone_and_both_where_it_is_not_known() {
        let of = |minor| Kubernetes::gone_entry(Some(Kubernetes::parse("1", minor).unwrap()));
        let [kept, dropped] = ["until it is rewritten", "drop all managedFields"];
        for (text, parts) in [
            (of("35"), [false, true]),
            (of("36"), [false, true]),
            (of("37"), [true, false]),
            (of("38+"), [true, false]),
            (Kubernetes::gone_entry(None), [true, true]),
        ] {
            assert_eq!([kept, dropped].map(|part| text.contains(part)), parts, "{text}");
        }
    }
}
