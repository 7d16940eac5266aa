//! chartgate: admission webhook and pre-flight check for Flux HelmReleases.

use std::io::{self, Write};
use std::process::ExitCode;

use chartgate::certs;
use chartgate::cli::{Cli, EXIT_USAGE, error_text};
use clap::Parser;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // For the libraries that ask for the process's default. An error means that there is one already.
    let _ = certs::provider().install_default();
    match cli.run() {
        Ok(code) => code,
        // Who reads what we say has heard enough, as `head` has.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // The error with its causes on one line. Nobody may be reading it; the code says it too.
            let _ = writeln!(io::stderr(), "error: {}", error_text(error));
            ExitCode::from(EXIT_USAGE)
        }
    }
}

fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|it| it.kind() == io::ErrorKind::BrokenPipe)
}
