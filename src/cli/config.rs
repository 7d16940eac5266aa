//! `chartgate config`: what a configuration file says.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Subcommand;

use crate::config::{self, ConfigError};

/// What is done with a configuration file.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Check a configuration file, and print what it puts in force, defaults included.
    #[command(after_long_help = "\
Exit codes:
  0  it can be used
  2  it cannot be read, or has an error; the line says where and what was probably meant")]
    Check {
        /// The configuration file.
        #[arg(value_name = "FILE", default_value = "chartgate.yaml")]
        file: PathBuf,
    },
}

/// Reads a file as `serve` does.
pub(super) fn check(file: &Path) -> Result<String, ConfigError> {
    config::read(file).map(|configuration| config::write(&configuration))
}

/// Prints what is in force, as a file that could be used as well.
pub(super) fn print(file: &Path, in_force: &str, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "# {} can be used. In force with it:", file.display())?;
    out.write_all(in_force.as_bytes())
}
