//! The three files of `--certs DIR`.
//!
//! What a user put there is served as it is. Only a set that we made ourselves is ever made again.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use time::{Duration, OffsetDateTime};

use super::generate::{self, Made};
use super::pair::{self, Names, ServingPair};
use super::{CertError, files};

/// How long before its end a pair of our own is made again: long enough for whoever trusts its authority to
/// notice the change before it matters.
pub const RENEW_BEFORE: Duration = Duration::days(30);

/// A key is for the user who runs the server.
const KEY_MODE: u32 = 0o600;

/// Certificates are for everybody.
const CERTIFICATE_MODE: u32 = 0o644;

/// How often a mounted Secret may be swapped while we read it before we take what we have.
const SWAPS_WHILE_READING: usize = 3;

/// What goes into a directory that we make, so that a key does not slip into a commit.
const IGNORE_EVERYTHING: &str = "# Made by chartgate serve. Keys do not belong in Git.\n*\n";

/// A directory with `ca.crt`, `tls.crt` and `tls.key`.
#[derive(Clone, Debug)]
pub struct Directory {
    path: PathBuf,
}

/// The text of `tls.crt` and `tls.key`, read at one moment.
pub(super) struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// Where the pair that [`Directory::open`] returns comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was there.
    Found,
    /// It was made now, with a new authority.
    Made,
}

// === impl Directory ===

impl Directory {
    /// The directory at `path`, which need not exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The authority's certificate: what a client has to trust. Only ours is sure to be there.
    pub fn authority(&self) -> PathBuf {
        self.path.join("ca.crt")
    }

    /// The server's certificate chain.
    pub fn certificate(&self) -> PathBuf {
        self.path.join("tls.crt")
    }

    /// The server's private key.
    pub fn key(&self) -> PathBuf {
        self.path.join("tls.key")
    }

    /// The pair that is there; a new one for `names` where there is none, or where ours has expired.
    pub fn open(&self, names: &Names, now: OffsetDateTime) -> Result<(ServingPair, Origin), CertError> {
        self.create()?;
        let _alone = files::lock(&self.path);
        if let Some(pair) = self.pair_to_serve(now)? {
            return Ok((pair, Origin::Found));
        }
        self.make(names, now)?;
        let contents = self.read()?.ok_or_else(|| CertError::Gone { directory: self.path.clone() })?;
        Ok((self.pair(&contents)?, Origin::Made))
    }

    /// The pair that is there, or nothing where one is to be made.
    fn pair_to_serve(&self, now: OffsetDateTime) -> Result<Option<ServingPair>, CertError> {
        let Some(contents) = self.read()? else {
            self.refuse_foreign_authority()?;
            return Ok(None);
        };
        let pair = self.pair(&contents)?;
        if !pair.is_valid_at(now) && self.may_remake(&pair) {
            return Ok(None);
        }
        pair.check_time(&self.certificate(), now)?;
        Ok(Some(pair))
    }

    /// Whether `pair` is ours and so near its end that it is time for a new one.
    pub(super) fn is_due(&self, pair: &ServingPair, now: OffsetDateTime) -> bool {
        now + RENEW_BEFORE > pair.not_after() && self.may_remake(pair)
    }

    /// A pair of ours whose authority somebody replaced is not ours any more.
    fn may_remake(&self, pair: &ServingPair) -> bool {
        pair.made_here()
            && match fs::read(self.authority()) {
                Ok(authority) => pair::is_our_authority(&authority),
                Err(error) => error.kind() == io::ErrorKind::NotFound,
            }
    }

    fn refuse_foreign_authority(&self) -> Result<(), CertError> {
        match files::read(&self.authority(), &self.authority())? {
            Some(authority) if !pair::is_our_authority(&authority) => {
                Err(CertError::ForeignAuthority { file: self.authority() })
            }
            _ => Ok(()),
        }
    }

    /// Certificate and key of one moment, or nothing where neither is there.
    ///
    /// Kubernetes swaps a mounted Secret by pointing the link `..data` to another directory. Read through the
    /// links of the single files, certificate and key could come from either side of the swap.
    pub(super) fn read(&self) -> Result<Option<Contents>, CertError> {
        let mut swaps = 0;
        loop {
            let mounted = self.mounted();
            let directory = mounted.as_deref().unwrap_or(&self.path);
            let contents = self.read_from(directory);
            swaps += 1;
            if mounted == self.mounted() || swaps == SWAPS_WHILE_READING {
                return contents;
            }
        }
    }

    fn mounted(&self) -> Option<PathBuf> {
        fs::canonicalize(self.path.join("..data")).ok()
    }

    fn read_from(&self, directory: &Path) -> Result<Option<Contents>, CertError> {
        let certificate = files::read(&directory.join("tls.crt"), &self.certificate())?;
        let key = files::read(&directory.join("tls.key"), &self.key())?;
        match (certificate, key) {
            (Some(certificate), Some(key)) => Ok(Some(Contents { certificate, key })),
            (None, None) => Ok(None),
            (Some(_), None) => {
                Err(CertError::HalfPresent { present: self.certificate(), missing: self.key() })
            }
            (None, Some(_)) => {
                Err(CertError::HalfPresent { present: self.key(), missing: self.certificate() })
            }
        }
    }

    pub(super) fn pair(&self, contents: &Contents) -> Result<ServingPair, CertError> {
        let Contents { certificate, key } = contents;
        ServingPair::from_pem((&self.certificate(), certificate), (&self.key(), key))
    }

    /// Makes a new set and puts it in place, the key first: a crash in between leaves a key alone, which the
    /// next start names.
    pub(super) fn make(&self, names: &Names, now: OffsetDateTime) -> Result<(), CertError> {
        let Made { authority, certificate, key } = generate::make(names, now)?;
        files::put(&self.key(), &key, KEY_MODE)?;
        files::put(&self.authority(), &authority, CERTIFICATE_MODE)?;
        files::put(&self.certificate(), &certificate, CERTIFICATE_MODE)
    }

    fn create(&self) -> Result<(), CertError> {
        if self.path.is_dir() {
            return Ok(());
        }
        let parents = self.path.parent().map_or(Ok(()), fs::create_dir_all);
        match parents.and_then(|()| fs::create_dir(&self.path)) {
            Ok(()) => files::put(&self.path.join(".gitignore"), IGNORE_EVERYTHING, CERTIFICATE_MODE),
            // Another process was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && self.path.is_dir() => Ok(()),
            Err(source) => Err(CertError::Unwritable { file: self.path.clone(), source }),
        }
    }
}

// === impl Contents ===

impl Contents {
    /// Differs where the text differs.
    pub(super) fn fingerprint(&self) -> u64 {
        let Self { certificate, key } = self;
        let mut hasher = DefaultHasher::new();
        certificate.hash(&mut hasher);
        key.hash(&mut hasher);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::thread;

    use super::*;
    use crate::certs::tests::{NOW, empty_directory, put, told, users_pair};

    fn names() -> Names {
        Names::of_service("chartgate", "chartgate-system")
    }

    fn texts(directory: &Directory) -> [String; 3] {
        [directory.authority(), directory.certificate(), directory.key()]
            .map(|file| fs::read_to_string(file).unwrap_or_default())
    }

    #[test]
    fn makes_a_set_where_there_is_none_with_the_key_for_its_user_only() {
        let (place, _) = empty_directory();
        let directory = Directory::new(place.path().join("new/certs"));
        let (pair, origin) = directory.open(&names(), NOW).unwrap();
        assert_eq!(origin, Origin::Made);
        assert!(pair.is_valid_at(NOW));
        let mode = |file| fs::metadata(file).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(directory.key()), 0o600);
        // Nothing else is left behind, and Git is told to look away.
        let mut files: Vec<_> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        assert_eq!(files, [".gitignore", "ca.crt", "tls.crt", "tls.key"]);
    }

    #[test]
    fn two_that_start_at_the_same_moment_serve_the_same_set() {
        let (place, _) = empty_directory();
        let directory = Directory::new(place.path().join("new/certs"));
        let open = || directory.open(&names(), NOW).unwrap();
        let (one, other) = thread::scope(|scope| {
            let other = scope.spawn(open);
            (open(), other.join().unwrap())
        });
        assert!(one.0.is_same_as(&other.0));
        assert!((one.1 == Origin::Made) != (other.1 == Origin::Made), "one makes it, the other finds it");
    }

    #[test]
    fn leaves_a_directory_that_was_there_without_a_gitignore() {
        let (place, directory) = empty_directory();
        directory.open(&names(), NOW).unwrap();
        assert!(!place.path().join(".gitignore").exists());
    }

    #[test]
    fn serves_its_own_set_again_at_the_next_start() {
        let (_place, directory) = empty_directory();
        directory.open(&names(), NOW).unwrap();
        let before = texts(&directory);
        let (_, origin) = directory.open(&names(), NOW + Duration::days(300)).unwrap();
        assert_eq!(origin, Origin::Found);
        assert_eq!(texts(&directory), before);
    }

    #[test]
    fn makes_its_own_set_again_when_it_has_expired() {
        let (_place, directory) = empty_directory();
        directory.open(&names(), NOW).unwrap();
        let before = texts(&directory);
        let later = NOW + generate::LIFETIME + Duration::SECOND;
        let (pair, origin) = directory.open(&names(), later).unwrap();
        assert_eq!(origin, Origin::Made);
        assert!(pair.is_valid_at(later));
        assert_ne!(texts(&directory), before);
    }

    #[test]
    fn never_overwrites_a_users_pair_even_if_it_has_expired() {
        let (_place, directory) = empty_directory();
        put(&directory, &users_pair());
        let before = texts(&directory);
        assert_eq!(directory.open(&names(), NOW).unwrap().1, Origin::Found);
        let error = directory.open(&names(), NOW + Duration::days(100)).unwrap_err();
        assert!(matches!(error, CertError::Expired { .. }));
        assert_eq!(texts(&directory), before);
    }

    #[test]
    fn never_overwrites_an_expired_pair_of_its_own_whose_authority_a_user_replaced() {
        let (_place, directory) = empty_directory();
        directory.open(&names(), NOW).unwrap();
        fs::write(directory.authority(), users_pair().0).unwrap();
        let before = texts(&directory);
        let error = directory.open(&names(), NOW + generate::LIFETIME + Duration::SECOND).unwrap_err();
        assert!(matches!(error, CertError::Expired { .. }));
        assert_eq!(texts(&directory), before);
    }

    #[test]
    fn a_certificate_without_its_key_is_named_and_left_alone() {
        let (place, directory) = empty_directory();
        put(&directory, &users_pair());
        fs::remove_file(directory.key()).unwrap();
        let error = directory.open(&names(), NOW).unwrap_err();
        assert!(matches!(error, CertError::HalfPresent { .. }));
        assert_eq!(
            told(&error, place.path()),
            "DIR/tls.crt is there, but DIR/tls.key is not: put it there, or remove the first and a new pair is made"
        );
        assert!(!directory.key().exists());
    }

    #[test]
    fn a_key_without_its_certificate_is_named_and_left_alone() {
        let (place, directory) = empty_directory();
        put(&directory, &users_pair());
        fs::remove_file(directory.certificate()).unwrap();
        let error = directory.open(&names(), NOW).unwrap_err();
        assert_eq!(
            told(&error, place.path()),
            "DIR/tls.key is there, but DIR/tls.crt is not: put it there, or remove the first and a new pair is made"
        );
    }

    #[test]
    fn a_users_authority_alone_is_named_and_left_alone() {
        let (place, directory) = empty_directory();
        let (authority, _) = users_pair();
        fs::write(directory.authority(), &authority).unwrap();
        let error = directory.open(&names(), NOW).unwrap_err();
        assert!(matches!(error, CertError::ForeignAuthority { .. }));
        assert_eq!(
            told(&error, place.path()),
            "DIR/ca.crt is there without tls.crt and tls.key, and chartgate did not make it: put the pair that it \
             signed beside it, or remove it and a new set is made"
        );
        assert_eq!(texts(&directory), [authority, String::new(), String::new()]);
    }

    #[test]
    fn an_authority_of_its_own_alone_is_replaced() {
        let (_place, directory) = empty_directory();
        directory.open(&names(), NOW).unwrap();
        fs::remove_file(directory.certificate()).unwrap();
        fs::remove_file(directory.key()).unwrap();
        assert_eq!(directory.open(&names(), NOW).unwrap().1, Origin::Made);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let (place, directory) = empty_directory();
        fs::create_dir(directory.certificate()).unwrap();
        let error = directory.open(&names(), NOW).unwrap_err();
        assert!(matches!(error, CertError::Unreadable { .. }));
        assert_eq!(told(&error, place.path()), "cannot read DIR/tls.crt: Is a directory (os error 21)");
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let (place, _) = empty_directory();
        fs::write(place.path().join("file"), "").unwrap();
        let directory = Directory::new(place.path().join("file/certs"));
        let error = directory.open(&names(), NOW).unwrap_err();
        assert_eq!(
            told(&error, place.path()),
            "cannot write DIR/file/certs: let --certs name a directory that can be written, or one that holds tls.crt \
             and tls.key: File exists (os error 17)"
        );
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let (place, directory) = empty_directory();
        // A directory in the draft's place: holds for root too, whom no permission stops.
        fs::create_dir(place.path().join(".tls.key.new")).unwrap();
        let error = directory.open(&names(), NOW).unwrap_err();
        assert!(matches!(error, CertError::Unwritable { .. }));
        assert_eq!(
            told(&error, place.path()),
            "cannot write DIR/tls.key: let --certs name a directory that can be written, or one that holds tls.crt \
             and tls.key: Is a directory (os error 21)"
        );
    }

    #[test]
    fn reads_both_files_of_a_mounted_secret_from_one_side_of_its_link() {
        let (place, directory) = empty_directory();
        let side = Directory::new(place.path().join("..2026_11_22"));
        fs::create_dir(side.path()).unwrap();
        put(&side, &users_pair());
        symlink("..2026_11_22", place.path().join("..data")).unwrap();
        symlink("..data/tls.crt", directory.certificate()).unwrap();
        // The key's link leads elsewhere, as it would for a moment in a swap.
        fs::write(directory.key(), users_pair().1).unwrap();
        assert_eq!(directory.open(&names(), NOW).unwrap().1, Origin::Found);
    }
}
