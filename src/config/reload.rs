//! Notices that the configuration file has changed.
//!
//! The file is read and compared once in a while, as the certificates are, and for the same reason: that sees every way
//! in which it can change, a ConfigMap's `..data` link that is swapped among them.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{ConfigError, Configuration, parse, text_of};

/// How often the file is to be looked at. The kubelet takes a minute to bring a changed ConfigMap to its mount, so a
/// second more is nothing.
pub const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How many polls in a row have to meet the same failure before it is told. Whoever writes a file in place leaves half
/// of it for a moment.
const TOLD_AFTER: u32 = 2;

/// Keeps up with a configuration file.
#[derive(Debug)]
pub struct Reloader {
    path: PathBuf,
    /// The fingerprint of the text that the settings in force came from.
    loaded: u64,
    failure: Option<Failure>,
}

/// What a look at the file led to.
#[derive(Debug)]
pub enum Polled {
    /// Nothing to tell: no change, or a failure that was told before or has not lasted.
    Unchanged,
    /// The file says something else now, or what it said before a failure that was told.
    Replaced(Configuration),
    /// The file cannot be used; the old settings stay in force.
    Kept(ConfigError),
}

/// A failure that is there at the moment.
#[derive(Debug)]
struct Failure {
    text: String,
    polls: u32,
}

impl Reloader {
    /// Reads the file for the first time.
    pub fn open(path: &Path) -> Result<(Configuration, Self), ConfigError> {
        let text = text_of(path)?;
        let configuration = parse(&text, path)?;
        Ok((configuration, Self { path: path.to_owned(), loaded: fingerprint(&text), failure: None }))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Looks at the file once. Blocks on the file system.
    pub fn poll(&mut self) -> Polled {
        match self.look() {
            Ok(polled) => {
                self.failure = None;
                polled
            }
            Err(error) => self.keep(error),
        }
    }

    fn look(&mut self) -> Result<Polled, ConfigError> {
        let text = text_of(&self.path)?;
        let found = fingerprint(&text);
        let was_told = self.failure.as_ref().is_some_and(|failure| failure.polls >= TOLD_AFTER);
        if found == self.loaded && !was_told {
            return Ok(Polled::Unchanged);
        }
        let configuration = parse(&text, &self.path)?;
        self.loaded = found;
        Ok(Polled::Replaced(configuration))
    }

    /// Tells a failure once, when it has lasted.
    fn keep(&mut self, error: ConfigError) -> Polled {
        let text = error.to_string();
        let polls = match &self.failure {
            Some(failure) if failure.text == text => failure.polls.saturating_add(1),
            _ => 1,
        };
        self.failure = Some(Failure { text, polls });
        if polls == TOLD_AFTER { Polled::Kept(error) } else { Polled::Unchanged }
    }
}

fn fingerprint(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;
    use crate::policy::Mode;

    fn file(text: &str) -> (TempDir, PathBuf, Reloader) {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("chartgate.yaml");
        fs::write(&path, text).unwrap();
        let reloader = Reloader::open(&path).unwrap().1;
        (place, path, reloader)
    }

    fn mode(polled: Polled) -> Option<Mode> {
        if let Polled::Replaced(new) = polled { Some(new.settings.mode) } else { None }
    }

    #[test]
    fn an_unchanged_file_changes_nothing_and_a_changed_one_counts_at_once() {
        let (_place, path, mut reloader) = file("mode: warn\n");
        assert!(matches!(reloader.poll(), Polled::Unchanged));
        fs::write(&path, "mode: audit\n").unwrap();
        assert_eq!(mode(reloader.poll()), Some(Mode::Audit));
        assert!(matches!(reloader.poll(), Polled::Unchanged));
    }

    #[test]
    fn a_swapped_config_map_counts_at_once() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("chartgate.yaml");
        for (side, text) in [("..1", "mode: warn\n"), ("..2", "mode: off\n")] {
            fs::create_dir(place.path().join(side)).unwrap();
            fs::write(place.path().join(side).join("chartgate.yaml"), text).unwrap();
        }
        symlink("..1", place.path().join("..data")).unwrap();
        symlink("..data/chartgate.yaml", &path).unwrap();
        let mut reloader = Reloader::open(&path).unwrap().1;
        symlink("..2", place.path().join("..data_tmp")).unwrap();
        fs::rename(place.path().join("..data_tmp"), place.path().join("..data")).unwrap();
        assert_eq!(mode(reloader.poll()), Some(Mode::Off));
    }

    #[test]
    fn a_bad_file_is_told_once_when_it_has_lasted_and_its_end_is_told_too() {
        let (_place, path, mut reloader) = file("mode: warn\n");
        fs::write(&path, "mode: warm\n").unwrap();
        assert!(matches!(reloader.poll(), Polled::Unchanged), "it may be half written");
        let Polled::Kept(error) = reloader.poll() else { panic!("the second poll tells the failure") };
        assert!(error.to_string().ends_with("\"warm\" is none of off, audit, warn, enforce"), "{error}");
        assert!(matches!(reloader.poll(), Polled::Unchanged), "a failure is told once");
        fs::write(&path, "mode: warn\n").unwrap();
        assert_eq!(mode(reloader.poll()), Some(Mode::Warn), "the same as before counts as news now");
    }

    #[test]
    fn a_file_that_is_taken_away_is_a_failure_and_not_the_default() {
        let (_place, path, mut reloader) = file("mode: warn\n");
        fs::remove_file(&path).unwrap();
        assert!(matches!(reloader.poll(), Polled::Unchanged));
        assert!(matches!(reloader.poll(), Polled::Kept(ConfigError::Unreadable { .. })));
    }
}
