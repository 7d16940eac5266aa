//! chartgate: admission webhook and pre-flight check for Flux HelmReleases.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Error;
use chartgate::certs;
use chartgate::cli::{Cli, EXIT_USAGE};
use clap::Parser;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // For the libraries that ask for the process's default. An error means that there is one already.
    let _ = certs::provider().install_default();
    match cli.run() {
        Ok(code) => code,
        Err(error) => {
            // The error with its causes on one line. Nobody may be reading it; the code says it too.
            let _ = writeln!(io::stderr(), "error: {:#}", Error::from(error));
            ExitCode::from(EXIT_USAGE)
        }
    }
}
