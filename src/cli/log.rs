//! The flags of commands that keep a log.

use std::env;
use std::io::{self, IsTerminal};

use clap::{Args, ValueEnum};

use crate::telemetry::{Format, LogError, Metrics, outlet::OutletGuard, start_log};

const DEFAULT_LEVEL: &str = "info";

/// How and what to log.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Log")]
pub struct LogArgs {
    /// How the log on stderr is written.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    log_format: LogFormat,

    /// What is logged: a level (error, warn, info, debug, trace, off), or target=level, ….
    #[arg(long, env = "RUST_LOG", default_value = DEFAULT_LEVEL, value_name = "FILTER")]
    log_level: String,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum LogFormat {
    /// Text on a terminal, else JSON.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    /// One line of text an event.
    Text,
}

impl LogArgs {
    /// Starts the process's log on stderr.
    pub fn start(&self, metrics: &Metrics) -> Result<OutletGuard, LogError> {
        let Self { log_format, log_level } = self;
        let no_colour = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let format = log_format.on(io::stderr().is_terminal(), no_colour);
        // `RUST_LOG=` is how a shell says "not set".
        let filter = if log_level.trim().is_empty() { DEFAULT_LEVEL } else { log_level };
        start_log(format, filter, io::stderr(), metrics)
    }
}

impl LogFormat {
    fn on(self, terminal: bool, no_colour: bool) -> Format {
        let text = Format::Text { colour: terminal && !no_colour };
        match self {
            Self::Text => text,
            Self::Auto if terminal => text,
            Self::Auto | Self::Json => Format::Json,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_text_and_a_collector_json() {
        assert_eq!(LogFormat::Auto.on(true, false), Format::Text { colour: true });
        assert_eq!(LogFormat::Auto.on(false, false), Format::Json);
        assert_eq!(LogFormat::Json.on(true, false), Format::Json);
    }

    #[test]
    fn colour_is_for_terminals_whose_user_wants_it() {
        assert_eq!(LogFormat::Text.on(true, true), Format::Text { colour: false });
        assert_eq!(LogFormat::Text.on(false, false), Format::Text { colour: false });
    }
}
