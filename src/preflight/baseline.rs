//! The findings that a repository starts with, and that are not told again.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The version of the file's format.
const VERSION: u32 = 1;

/// Known findings, by their fingerprints.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Baseline {
    known: BTreeSet<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    fingerprints: BTreeSet<String>,
}

/// A baseline cannot be used.
#[derive(Debug, Error)]
pub enum BaselineError {
    /// The file cannot be read or written.
    #[error("cannot {verb} the baseline {}", .path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is none.
    #[error("{}: is no baseline of chartgate; write it anew with --write-baseline", .path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// It was written by another chartgate.
    #[error("{}: has version {version}, this chartgate reads {VERSION}; write it anew with --write-baseline", .path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The version that it has.
        version: u32,
    },
}

impl Baseline {
    /// Reads a baseline.
    pub fn read(path: &Path) -> Result<Self, BaselineError> {
        let io = |source| BaselineError::Io { verb: "read", path: path.to_owned(), source };
        let text = fs::read(path).map_err(io)?;
        let file: File = serde_json::from_slice(&text)
            .map_err(|source| BaselineError::Invalid { path: path.to_owned(), source })?;
        let File { version, fingerprints } = file;
        if version != VERSION {
            return Err(BaselineError::Version { path: path.to_owned(), version });
        }
        Ok(Self { known: fingerprints })
    }

    /// A baseline of these findings.
    pub fn of(fingerprints: impl IntoIterator<Item = String>) -> Self {
        Self { known: fingerprints.into_iter().collect() }
    }

    /// Writes it: one fingerprint a line, so that a diff says what came and went.
    pub fn write(&self, path: &Path) -> Result<(), BaselineError> {
        let file = File { version: VERSION, fingerprints: self.known.clone() };
        let text = serde_json::to_string_pretty(&file).expect("texts are JSON") + "\n";
        fs::write(path, text).map_err(|source| BaselineError::Io {
            verb: "write",
            path: path.to_owned(),
            source,
        })
    }

    /// Whether a finding is known.
    pub fn knows(&self, fingerprint: &str) -> bool {
        self.known.contains(fingerprint)
    }

    /// How many findings it knows.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether it knows none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("baseline.json");
        let baseline = Baseline::of(["b".to_owned(), "a".to_owned()]);
        baseline.write(&path).unwrap();
        assert_eq!(Baseline::read(&path).unwrap(), baseline);
        assert!(baseline.knows("a") && !baseline.knows("c"));
    }

    #[test]
    fn what_is_no_baseline_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("baseline.json");
        for (text, said) in
            [("{}", "is no baseline"), (r#"{"version":9,"fingerprints":[]}"#, "has version 9")]
        {
            fs::write(&path, text).unwrap();
            let error = Baseline::read(&path).unwrap_err().to_string();
            assert!(error.contains("baseline.json: ") && error.contains(said), "{error}");
        }
        let error = Baseline::read(Path::new("no/such")).unwrap_err().to_string();
        assert_eq!(error, "cannot read the baseline no/such");
    }
}
