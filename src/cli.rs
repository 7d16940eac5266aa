//! The command line: one file for each command.

mod audit;
mod check;
mod config;
mod explain;
pub mod log;
mod man;
mod output;
pub mod preview;
mod progress;
mod reports;
mod runner;
pub mod serve;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use thiserror::Error;

use crate::config::{ConfigError, likely};
use crate::report::{find_rule, printable, rules};
use audit::{AuditArgs, AuditError};
use check::{CheckArgs, CheckError};
use config::ConfigCommand;
use explain::RulesFormat;
use preview::{PreviewArgs, PreviewError};
use runner::harmless;
use serve::{ServeArgs, ServeError};

/// An error as it is written to the standard error: what it quotes steers no terminal, and no runner of GitHub Actions.
pub fn error_text(error: CommandError) -> String {
    runner::harmless_text(&printable(&format!("{:#}", anyhow::Error::from(error))))
}

/// The exit code for bad usage, and for input that cannot be read or parsed. `clap` uses the same.
pub const EXIT_USAGE: u8 = 2;

/// Keeps Flux HelmReleases right while they move from spec.chart to spec.chartRef.
#[derive(Debug, Parser)]
#[command(name = "chartgate", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(ServeArgs),
    Check(CheckArgs),
    Audit(AuditArgs),
    Preview(PreviewArgs),
    /// Check a configuration file, or print what follows from it.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// List the rules.
    Rules {
        /// How they are listed.
        #[arg(long, value_enum, default_value_t)]
        format: RulesFormat,
    },
    /// Explain rules, with examples.
    Explain {
        /// The rule's id, as in a message's brackets; several for more than one.
        #[arg(value_name = "RULE", required = true)]
        rules: Vec<String>,
    },
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the man page, or write one for every command.
    Man {
        /// The folder to write a page for every command to; without it, that of chartgate itself is printed.
        #[arg(value_name = "DIR")]
        folder: Option<PathBuf>,
    },
}

/// Why a command could not do its work. Findings are no error.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CommandError {
    /// `chartgate serve` did not start.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// `chartgate check` could not check.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// `chartgate audit` could not audit.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// `chartgate preview` could not read its input.
    #[error(transparent)]
    Preview(#[from] PreviewError),
    /// The configuration file cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is no such rule.
    #[error("there is no rule {rule:?}{}; `chartgate rules` lists them", likely(rule, rules().map(|rule| rule.id)))]
    UnknownRule {
        /// The id that was given.
        rule: String,
    },
    /// A folder cannot be filled with man pages.
    #[error("cannot write man pages to {}", .folder.display())]
    Pages {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What there is to say cannot be written.
    #[error("cannot write to the standard output")]
    Output(#[from] io::Error),
}

impl Cli {
    /// Runs the command to its end; the exit code is the process's.
    pub fn run(self) -> Result<ExitCode, CommandError> {
        let Self { command } = self;
        match command {
            Command::Serve(args) => Ok(serve::run(args)?),
            Command::Check(args) => Ok(check::run(&args, &mut io::BufWriter::new(io::stdout().lock()))?),
            Command::Audit(args) => Ok(audit::run(&args, &mut io::BufWriter::new(io::stdout().lock()))?),
            Command::Preview(args) => Ok(preview::run(args, &mut harmless(io::stdout().lock()))?),
            Command::Config(command) => {
                config::run(command, &mut io::stdout().lock())?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Rules { format } => {
                explain::list(format, &mut io::stdout().lock())?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Explain { rules } => {
                let known = |rule: String| find_rule(&rule).ok_or(CommandError::UnknownRule { rule });
                let rules = rules.into_iter().map(known).collect::<Result<Vec<_>, _>>()?;
                explain::all(&rules, &mut io::stdout().lock())?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Completions { shell } => {
                clap_complete::generate(shell, &mut Self::command(), "chartgate", &mut io::stdout().lock());
                Ok(ExitCode::SUCCESS)
            }
            Command::Man { folder } => {
                man::run(Self::command(), folder.as_deref(), &mut io::stdout().lock())?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_flag_is_declared_consistently() {
        Cli::command().debug_assert();
    }
}
