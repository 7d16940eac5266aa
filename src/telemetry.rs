//! What the program tells about itself while it serves: its log, its metrics, and traces where they are wanted.
//!
//! All are on the path of every review, so all are cheap, and none waits for anybody.

mod decision;
mod json;
pub mod metrics;
pub mod outlet;
mod scans;
mod traces;

use std::io::{self, Write};
use std::panic::{self, PanicHookInfo};

use thiserror::Error;
use tracing_subscriber::filter::{EnvFilter, LevelFilter, ParseError};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

pub use decision::log_decision;
pub use metrics::{Asked, EventLoss, Metrics, Part, Refusal};
use outlet::{Outlet, OutletGuard};
pub use scans::{ScanPart, Scanned, Scans};
pub use traces::{Origin, Traces};

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line, for collectors.
    Json,
    /// One line of text an event, for people.
    Text {
        /// Whether the reader shows ANSI colours.
        colour: bool,
    },
}

/// Why there is no log.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LogError {
    /// The filter cannot be read.
    #[error(
        "{filter:?} is no log filter: write a level (error, warn, info, debug, trace), or target=level, …"
    )]
    BadFilter {
        /// The filter as it was given.
        filter: String,
        /// What the parser said, if it was the parser.
        source: Option<ParseError>,
    },
    /// The writing thread could not be started.
    #[error("cannot start the thread that writes the log")]
    NoThread(#[from] io::Error),
    /// The process has a log already.
    #[error("the log was started twice")]
    Twice(#[from] TryInitError),
}

/// Starts the process's log: events that pass `filter` go to `target`, and panics become events.
///
/// The log lives until the guard is dropped or closed; what it has lost is counted in `metrics`.
pub fn start_log(
    format: Format,
    filter: &str,
    target: impl Write + Send + 'static,
    metrics: &Metrics,
) -> Result<OutletGuard, LogError> {
    let filter = read_filter(filter)?;
    let (outlet, guard) = Outlet::start(target, metrics.lost_log_lines())?;
    let lines = match format {
        Format::Json => json::JsonLines { outlet }.boxed(),
        Format::Text { colour } => fmt::layer().with_ansi(colour).with_writer(outlet).boxed(),
    };
    tracing_subscriber::registry().with(lines).with(filter).try_init()?;
    panic::set_hook(Box::new(log_panic));
    Ok(guard)
}

/// The watches of kube log each refusal with the whole answer, again and again. We tell the same once, in a line; who
/// wants it all names `kube_runtime` in the filter.
const QUIET: &str = ",kube_runtime=off";

/// Reads a filter such as `info` or `warn,chartgate=debug`.
///
/// The parser takes a word that is no level for the name of a target, and silences everything else. Whoever
/// misspells a level should hear of it instead.
fn read_filter(filter: &str) -> Result<EnvFilter, LogError> {
    let bad = |source| LogError::BadFilter { filter: filter.to_owned(), source };
    let misspelt =
        |directive: &str| !directive.contains(['=', '[']) && directive.parse::<LevelFilter>().is_err();
    if filter.split(',').map(str::trim).any(misspelt) {
        return Err(bad(None));
    }
    let quiet = if filter.contains("kube") { "" } else { QUIET };
    EnvFilter::try_new(format!("{filter}{quiet}")).map_err(|source| bad(Some(source)))
}

/// A panic is one line of the log like everything else, not text between the lines.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string);
    let text = panic.payload_as_str().unwrap_or("a panic without a text");
    tracing::error!(place, "panicked: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_level_or_levels_of_targets() {
        for filter in ["info", "WARN", "off", "warn,chartgate=debug", "chartgate::decision=off, info"] {
            assert!(read_filter(filter).is_ok(), "{filter:?}");
        }
    }

    #[test]
    fn a_misspelt_level_is_an_error_and_not_a_target() {
        for filter in ["loud", "info,loud", "chartgate=loud"] {
            let error = read_filter(filter).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "{filter:?} is no log filter: write a level (error, warn, info, debug, trace), or target=level, …"
                )
            );
        }
    }
}
