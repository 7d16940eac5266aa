//! Reads, writes and locks files, with errors that name them.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::CertError;

/// How often a lock is asked for, and the pause in between. Making a set takes some milliseconds.
const LOCK_ATTEMPTS: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// The bytes of `file`, or nothing where there is no such file; errors name it as the user knows it.
pub(super) fn read(file: &Path, known_as: &Path) -> Result<Option<Vec<u8>>, CertError> {
    match fs::read(file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CertError::Unreadable { file: known_as.into(), source }),
    }
}

/// Puts `text` in place of `file` in one step. The mode holds from the file's first moment on.
pub(super) fn put(file: &Path, text: &str, mode: u32) -> Result<(), CertError> {
    let name = file.file_name().expect("every file of the set has a name").to_string_lossy();
    let draft = file.with_file_name(format!(".{name}.new"));
    write_new(&draft, text, mode)
        .and_then(|()| fs::rename(&draft, file))
        .map_err(|source| CertError::Unwritable { file: file.into(), source })
}

fn write_new(file: &Path, text: &str, mode: u32) -> io::Result<()> {
    // What a crash left behind may have another mode, so it is not written into.
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(file)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Keeps other processes that ask for the same from `directory` until what is returned is dropped.
///
/// A file system without locks, or a lock that is not released, has to do without: it takes two processes that start
/// at the same moment to miss it.
pub(super) fn lock(directory: &Path) -> Option<File> {
    let directory = File::open(directory).ok()?;
    for _ in 0..LOCK_ATTEMPTS {
        match directory.try_lock() {
            Ok(()) => return Some(directory),
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(_)) => return None,
        }
    }
    None
}
