//! What the commands that tell findings have in common.

use std::env;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::EXIT_USAGE;
use crate::config::{self, ConfigError};
use crate::policy::Settings;
use crate::report::Grade;
use crate::report::text::{Colour, DEFAULT_WIDTH};

/// The name of the configuration file that is looked for from a path upward.
const CONFIG: &str = "chartgate.yaml";

/// From which level on findings fail a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum FailOn {
    /// Errors.
    #[default]
    Error,
    /// Errors and warnings.
    Warning,
    /// Nothing.
    Never,
}

/// What makes the exit code of a command that tells findings.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Failing {
    /// From which level on findings make the exit code 1.
    #[arg(long, value_enum, default_value_t, value_name = "LEVEL", help_heading = "What fails")]
    fail_on: FailOn,

    /// Pass where there is no HelmRelease at all.
    #[arg(long, help_heading = "What fails")]
    allow_empty: bool,
}

/// When text is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum When {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The settings of the configuration that is named, else of the one that is found from a path upward.
pub(super) fn settings(
    named: Option<&Path>,
    from: Option<impl AsRef<Path>>,
) -> Result<Settings, ConfigError> {
    let found = named.map(Path::to_owned).or_else(|| found_above(from?.as_ref()));
    Ok(found.as_deref().map(config::read).transpose()?.unwrap_or_default().settings)
}

/// The configuration in the folder of a path or the nearest above it. It is not looked for above the top of a repository.
fn found_above(path: &Path) -> Option<PathBuf> {
    let start = if path == Path::new("-") { env::current_dir().ok()? } else { path.canonicalize().ok()? };
    for folder in start.ancestors().filter(|folder| folder.is_dir()) {
        let file = folder.join(CONFIG);
        if file.is_file() {
            return Some(file);
        }
        if folder.join(".git").exists() {
            break;
        }
    }
    None
}

/// The width of the terminal that text is told on.
pub(super) fn width() -> usize {
    let told = env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    told.unwrap_or(DEFAULT_WIDTH)
}

// === impl Failing ===

impl Failing {
    /// The level from which on findings fail; nothing where none does.
    pub(super) fn grade(self) -> Option<Grade> {
        match self.fail_on {
            FailOn::Error => Some(Grade::Error),
            FailOn::Warning => Some(Grade::Warning),
            FailOn::Never => None,
        }
    }

    /// Says so where nothing was judged and something should have been; a finding that fails says more.
    pub(super) fn tell(self, releases: usize, worst: Option<Grade>) -> io::Result<()> {
        if self.lacks(releases) && !self.fails(worst) {
            let said = "error: there is no HelmRelease to judge here; --allow-empty makes that fine";
            writeln!(io::stderr(), "{said}")?;
        }
        Ok(())
    }

    /// The exit code, by whether something could not be read, how many releases were judged, and the worst that was found.
    pub(super) fn exit_code(self, is_partial: bool, releases: usize, worst: Option<Grade>) -> ExitCode {
        if is_partial {
            ExitCode::from(EXIT_USAGE)
        } else if self.fails(worst) {
            ExitCode::from(1)
        } else if self.lacks(releases) {
            ExitCode::from(EXIT_USAGE)
        } else {
            ExitCode::SUCCESS
        }
    }

    fn fails(self, worst: Option<Grade>) -> bool {
        self.grade().is_some_and(|from| worst >= Some(from))
    }

    fn lacks(self, releases: usize) -> bool {
        releases == 0 && !self.allow_empty
    }
}

// === impl When ===

impl When {
    /// Whether the standard output is coloured.
    pub(super) fn colour(self) -> Colour {
        let is_coloured = match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                !no_color && io::stdout().is_terminal()
            }
        };
        if is_coloured { Colour::Always } else { Colour::Never }
    }
}
