//! Notices that certificate files have changed.
//!
//! The files are read and compared once in a while. That sees every way in which they can change (written in place,
//! renamed over, a Secret's `..data` link swapped, a network file system), which a watch on inodes does not, and
//! costs some tens of microseconds a second.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use super::directory::{Contents, Directory};
use super::pair::Names;
use super::{CertError, Presented, files};

/// How often the files are to be looked at. The kubelet takes a minute to bring a changed Secret to its mount, so
/// a second more is nothing.
pub const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How many polls in a row have to meet the same failure before it is told. Whoever copies two files into place
/// leaves a pair that does not match for a moment.
const TOLD_AFTER: u32 = 2;

/// Keeps what is presented in step with the files.
#[derive(Debug)]
pub struct Reloader {
    directory: Directory,
    names: Names,
    presented: Arc<Presented>,
    /// The fingerprint of the presented pair's files.
    fingerprint: Option<u64>,
    failure: Option<Failure>,
}

/// What a look at the files led to.
#[derive(Debug)]
pub enum Polled {
    /// Nothing to tell: no change, or a failure that was told before or has not lasted.
    Unchanged,
    /// New handshakes get another pair now.
    Replaced,
    /// The files cannot be served; the old pair still is.
    Kept(CertError),
}

/// A failure that is there at the moment.
#[derive(Debug)]
struct Failure {
    fingerprint: Option<u64>,
    text: String,
    polls: u32,
}

impl Reloader {
    /// Watches over `directory` for `presented`, which was opened from it; `names` are for remaking our own pair.
    pub fn new(directory: Directory, names: Names, presented: Arc<Presented>) -> Self {
        Self { directory, names, presented, fingerprint: None, failure: None }
    }

    /// Looks at the files once. Blocks on the file system.
    pub fn poll(&mut self, now: OffsetDateTime) -> Polled {
        match self.look(now) {
            Ok(polled) => {
                self.failure = None;
                polled
            }
            Err((fingerprint, error)) => self.keep(fingerprint, error),
        }
    }

    fn look(&mut self, now: OffsetDateTime) -> Result<Polled, (Option<u64>, CertError)> {
        let changed = self.take_up(now)?;
        // Only now is it sure that what is there is what is presented: a user's new pair must not be made again.
        let is_due = self.presented.pair().is_some_and(|pair| self.directory.is_due(&pair, now));
        if !is_due {
            return Ok(if changed { Polled::Replaced } else { Polled::Unchanged });
        }
        let _alone = files::lock(self.directory.path());
        // Another process that serves the same files may have been faster.
        if !self.take_up(now)? {
            self.directory.make(&self.names, now).map_err(|error| (None, error))?;
            self.take_up(now)?;
        }
        Ok(Polled::Replaced)
    }

    /// Presents what the files hold, and says whether that is another pair than before.
    fn take_up(&mut self, now: OffsetDateTime) -> Result<bool, (Option<u64>, CertError)> {
        let contents = self.contents().map_err(|error| (None, error))?;
        let fingerprint = Some(contents.fingerprint());
        if fingerprint == self.fingerprint {
            return Ok(false);
        }
        let pair = self.directory.pair(&contents).map_err(|error| (fingerprint, error))?;
        pair.check_time(&self.directory.certificate(), now).map_err(|error| (fingerprint, error))?;
        self.fingerprint = fingerprint;
        let changed = self.presented.pair().is_none_or(|before| !pair.is_same_as(&before));
        if changed {
            self.presented.replace(pair);
        }
        Ok(changed)
    }

    fn contents(&self) -> Result<Contents, CertError> {
        let gone = || CertError::Gone { directory: self.directory.path().into() };
        self.directory.read()?.ok_or_else(gone)
    }

    /// Tells a failure once, when it has lasted.
    fn keep(&mut self, fingerprint: Option<u64>, error: CertError) -> Polled {
        let text = error.to_string();
        let polls = match &self.failure {
            Some(failure) if failure.fingerprint == fingerprint && failure.text == text => {
                failure.polls.saturating_add(1)
            }
            _ => 1,
        };
        self.failure = Some(Failure { fingerprint, text, polls });
        if polls == TOLD_AFTER { Polled::Kept(error) } else { Polled::Unchanged }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use time::Duration as Days;

    use super::*;
    use crate::certs::generate;
    use crate::certs::tests::{NOW, empty_directory, put, told, users_pair};

    fn names() -> Names {
        Names::of_service("chartgate", "chartgate-system")
    }

    fn watch(directory: &Directory) -> (Reloader, Arc<Presented>) {
        let (pair, _) = directory.open(&names(), NOW).unwrap();
        let presented = Arc::new(Presented::new(pair));
        (Reloader::new(directory.clone(), names(), Arc::clone(&presented)), presented)
    }

    /// The failure that is told at the second of two polls, and only there.
    fn told_after_two_polls(reloader: &mut Reloader, place: &Path) -> String {
        assert!(matches!(reloader.poll(NOW), Polled::Unchanged));
        let Polled::Kept(error) = reloader.poll(NOW) else { panic!("the second poll tells the failure") };
        assert!(matches!(reloader.poll(NOW), Polled::Unchanged), "a failure is told once");
        told(&error, place)
    }

    #[test]
    fn unchanged_files_change_nothing() {
        let (_place, directory) = empty_directory();
        put(&directory, &users_pair());
        let (mut reloader, presented) = watch(&directory);
        let before = presented.pair().unwrap();
        assert!(matches!(reloader.poll(NOW), Polled::Unchanged));
        assert!(matches!(reloader.poll(NOW), Polled::Unchanged));
        assert!(Arc::ptr_eq(&before, &presented.pair().unwrap()));
    }

    #[test]
    fn a_changed_pair_is_presented_at_once() {
        let (_place, directory) = empty_directory();
        put(&directory, &users_pair());
        let (mut reloader, presented) = watch(&directory);
        let before = presented.pair().unwrap();
        put(&directory, &users_pair());
        assert!(matches!(reloader.poll(NOW), Polled::Replaced));
        assert!(!before.is_same_as(&presented.pair().unwrap()));
    }

    #[test]
    fn a_swapped_secret_is_presented_at_once() {
        let (place, directory) = empty_directory();
        for side in ["..1", "..2"] {
            let side = Directory::new(place.path().join(side));
            fs::create_dir(side.path()).unwrap();
            put(&side, &users_pair());
        }
        symlink("..1", place.path().join("..data")).unwrap();
        symlink("..data/tls.crt", directory.certificate()).unwrap();
        symlink("..data/tls.key", directory.key()).unwrap();
        let (mut reloader, presented) = watch(&directory);
        let before = presented.pair().unwrap();

        symlink("..2", place.path().join("..data_tmp")).unwrap();
        fs::rename(place.path().join("..data_tmp"), place.path().join("..data")).unwrap();
        assert!(matches!(reloader.poll(NOW), Polled::Replaced));
        assert!(!before.is_same_as(&presented.pair().unwrap()));
    }

    #[test]
    fn a_bad_pair_keeps_the_old_one_and_is_told_once() {
        let (place, directory) = empty_directory();
        put(&directory, &users_pair());
        let (mut reloader, presented) = watch(&directory);
        let before = presented.pair().unwrap();
        fs::write(directory.key(), users_pair().1).unwrap();
        assert_eq!(
            told_after_two_polls(&mut reloader, place.path()),
            "DIR/tls.key is not the key of the first certificate in DIR/tls.crt: replace both by one pair, the \
             server's own certificate first"
        );
        assert!(Arc::ptr_eq(&before, &presented.pair().unwrap()));
    }

    #[test]
    fn another_bad_pair_is_told_again() {
        let (place, directory) = empty_directory();
        put(&directory, &users_pair());
        let (mut reloader, _) = watch(&directory);
        fs::write(directory.key(), users_pair().1).unwrap();
        told_after_two_polls(&mut reloader, place.path());
        fs::write(directory.key(), users_pair().1).unwrap();
        told_after_two_polls(&mut reloader, place.path());
    }

    #[test]
    fn a_pair_that_is_half_copied_at_one_poll_is_not_told() {
        let (_place, directory) = empty_directory();
        put(&directory, &users_pair());
        let (mut reloader, _) = watch(&directory);
        let next = users_pair();
        fs::write(directory.certificate(), &next.0).unwrap();
        assert!(matches!(reloader.poll(NOW), Polled::Unchanged));
        put(&directory, &next);
        assert!(matches!(reloader.poll(NOW), Polled::Replaced));
    }

    #[test]
    fn files_that_are_taken_away_keep_the_old_pair() {
        let (place, directory) = empty_directory();
        put(&directory, &users_pair());
        let (mut reloader, presented) = watch(&directory);
        fs::remove_file(directory.certificate()).unwrap();
        fs::remove_file(directory.key()).unwrap();
        assert_eq!(
            told_after_two_polls(&mut reloader, place.path()),
            "tls.crt and tls.key are gone from DIR: put a pair there"
        );
        assert!(presented.pair().unwrap().is_valid_at(NOW));
    }

    #[test]
    fn an_expired_pair_is_not_taken_up() {
        let (_place, directory) = empty_directory();
        put(&directory, &users_pair());
        let (mut reloader, presented) = watch(&directory);
        let before = presented.pair().unwrap();
        put(&directory, &users_pair());
        let later = NOW + Days::days(6);
        reloader.poll(later);
        assert!(matches!(reloader.poll(later), Polled::Kept(CertError::Expired { .. })));
        assert!(Arc::ptr_eq(&before, &presented.pair().unwrap()));
    }

    #[test]
    fn its_own_pair_is_made_again_when_its_end_is_near() {
        let (_place, directory) = empty_directory();
        let (mut reloader, presented) = watch(&directory);
        let due = NOW + generate::LIFETIME - crate::certs::directory::RENEW_BEFORE;
        assert!(matches!(reloader.poll(due), Polled::Unchanged));
        assert!(matches!(reloader.poll(due + Days::SECOND), Polled::Replaced));
        assert_eq!(presented.pair().unwrap().not_after(), due + Days::SECOND + generate::LIFETIME);
    }

    #[test]
    fn a_users_pair_in_place_of_our_old_one_is_served_and_not_made_again() {
        let (_place, directory) = empty_directory();
        let started = NOW - generate::LIFETIME + Days::days(40);
        let (pair, _) = directory.open(&names(), started).unwrap();
        let presented = Arc::new(Presented::new(pair));
        let mut reloader = Reloader::new(directory.clone(), names(), Arc::clone(&presented));
        let users = users_pair();
        put(&directory, &users);
        assert!(matches!(reloader.poll(NOW), Polled::Replaced));
        assert!(!presented.pair().unwrap().made_here());
        assert_eq!(fs::read_to_string(directory.certificate()).unwrap(), users.0);
    }
}
