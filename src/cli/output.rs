//! What the commands that tell findings have in common.

use std::env;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::report::Grade;
use crate::report::text::{Colour, DEFAULT_WIDTH};

/// The name of the configuration file that is looked for from a path upward.
const CONFIG: &str = "chartgate.yaml";

/// From which level on findings fail a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum FailOn {
    /// Errors.
    #[default]
    Error,
    /// Errors and warnings.
    Warning,
    /// Nothing.
    Never,
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

/// The configuration in the folder of a path or the nearest above it. It is not looked for above the top of a repository.
pub(super) fn found_above(path: &Path) -> Option<PathBuf> {
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

// === impl FailOn ===

impl FailOn {
    /// The level; nothing where no finding fails.
    pub(super) fn grade(self) -> Option<Grade> {
        match self {
            Self::Error => Some(Grade::Error),
            Self::Warning => Some(Grade::Warning),
            Self::Never => None,
        }
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
