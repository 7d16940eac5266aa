//! Puts a new text in the place of an old one, all of it or nothing.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process;

use thiserror::Error;

/// Why a file is left as it was.
#[derive(Debug, Error)]
pub enum WriteError {
    /// Somebody was faster.
    #[error("{} has changed since it was read; run the command again", .path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// It is written in another way than what would take its place.
    #[error("{} is UTF-16; save it as UTF-8, then run the command again", .path.display())]
    Utf16 {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be read again.
    #[error("cannot read {}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It cannot be written.
    #[error("cannot write {}; it is as it was", .path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// A new file beside the old one, which is gone again unless it takes its place.
struct Beside {
    path: PathBuf,
    placed: bool,
}

/// Replaces the text of a file in one step, if it is still the one that was read. A link stays one, and what it leads to is replaced;
/// permissions are kept, and so is the owner where we may give files away.
pub fn write(path: &Path, old: &str, new: &str) -> Result<(), WriteError> {
    let unreadable = |source| WriteError::Unreadable { path: path.into(), source };
    let target = fs::canonicalize(path).map_err(unreadable)?;
    unchanged(path, &target, old)?;
    let unwritable = |source| WriteError::Unwritable { path: path.into(), source };
    let mut beside = Beside::of(&target, new).map_err(unwritable)?;
    // Writing takes its time: who saved the file meanwhile keeps what he saved.
    unchanged(path, &target, old)?;
    beside.take_place_of(&target).map_err(unwritable)
}

fn unchanged(path: &Path, target: &Path, old: &str) -> Result<(), WriteError> {
    match fs::read(target) {
        Ok(bytes) if bytes == old.as_bytes() => Ok(()),
        Ok(bytes) if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) => {
            Err(WriteError::Utf16 { path: path.into() })
        }
        Ok(_) => Err(WriteError::Changed { path: path.into() }),
        Err(source) => Err(WriteError::Unreadable { path: path.into(), source }),
    }
}

// === impl Beside ===

impl Beside {
    fn of(target: &Path, text: &str) -> io::Result<Self> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let path = target.with_file_name(format!(".{name}.{}.new", process::id()));
        let metadata = fs::metadata(target)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let beside = Self { path, placed: false };
        file.write_all(text.as_bytes())?;
        let made = file.metadata()?;
        if (made.uid(), made.gid()) != (metadata.uid(), metadata.gid()) {
            // Only root may give a file away. Who may not owns what he wrote, as with any editor.
            _ = chown(&beside.path, Some(metadata.uid()), Some(metadata.gid()));
        }
        let permissions: Permissions = metadata.permissions();
        file.set_permissions(permissions)?;
        file.sync_all()?;
        Ok(beside)
    }

    fn take_place_of(&mut self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)?;
        self.placed = true;
        // The name is the folder's to keep. Where folders cannot be synced, the file is in place all the same.
        if let Some(folder) = target.parent() {
            _ = File::open(folder).and_then(|folder| folder.sync_all());
        }
        Ok(())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if !self.placed {
            _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn replaces_what_a_link_leads_to_and_keeps_link_and_permissions() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("a.yaml"), folder.path().join("b.yaml"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o664)).unwrap();
        symlink("a.yaml", &link).unwrap();
        write(&link, "old", "new").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o664);
        assert_eq!(names(folder.path()), ["a.yaml", "b.yaml"]);
    }

    #[test]
    fn leaves_a_file_alone_that_is_not_what_was_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        fs::write(&file, "newer").unwrap();
        let error = write(&file, "old", "new").unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{} has changed since it was read; run the command again", file.display())
        );
        assert_eq!(fs::read_to_string(&file).unwrap(), "newer");
        assert_eq!(names(folder.path()), ["a.yaml"]);
    }

    #[test]
    fn a_failure_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        fs::write(&file, "old").unwrap();
        // What stands in the way of the new file stands for a disk that is full or a folder that may not be written.
        let in_the_way = folder.path().join(format!(".a.yaml.{}.new", process::id()));
        fs::create_dir(&in_the_way).unwrap();
        let error = write(&file, "old", "new").unwrap_err();
        assert_eq!(error.to_string(), format!("cannot write {}; it is as it was", file.display()));
        assert_eq!(fs::read_to_string(&file).unwrap(), "old");
        let gone = folder.path().join("gone.yaml");
        assert_eq!(write(&gone, "", "x").unwrap_err().to_string(), format!("cannot read {}", gone.display()));
    }

    #[test]
    fn what_is_written_beside_goes_with_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        fs::write(&file, "old").unwrap();
        let mut beside = Beside::of(&file, "new").unwrap();
        assert_eq!(names(folder.path()).len(), 2);
        assert!(beside.take_place_of(&folder.path().join("no/folder")).is_err());
        drop(beside);
        assert_eq!(names(folder.path()), ["a.yaml"]);
    }
}
