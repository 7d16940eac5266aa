//! What was found, told: as text for a terminal, and in the formats that other tools read.
//!
//! What is told here knows neither where it comes from nor who asked: files and clusters are told by the same renderers.
//! Each is a function of a report, of what the files hold, and of options. None knows a clock or an environment, so the
//! same report is the same bytes.

pub mod audit;
pub mod diagnostic;
mod fingerprint;
pub mod github;
pub mod json;
pub mod junit;
mod paint;
mod place;
pub mod rule;
pub mod sarif;
pub mod text;
mod visible;
mod words;

pub use diagnostic::{
    Diagnostic, Edit, Excerpts, Grade, Judged, Location, Object, Related, Report, SuggestedFix, Summary,
};
pub use fingerprint::fingerprint;
pub use rule::{RuleInfo, find_rule, rules};
pub use words::counted;

/// A text that can be written to a terminal or a log whatever is quoted in it: line by line, with a sign in place of each
/// character that steers.
pub fn printable(text: &str) -> String {
    visible::visible_lines(text).collect::<Vec<_>>().join("\n")
}
