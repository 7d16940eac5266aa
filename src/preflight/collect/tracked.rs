//! Reads the index of a git repository. source-controller archives a checkout, in which a tracked file is whatever `.gitignore` holds.

use std::fs;
use std::path::{Path, PathBuf};

/// The signature of an index.
const SIGNATURE: &[u8] = b"DIRC";

/// The length of the fields of an entry before its flags, with an object name of SHA-1.
const FIELDS: usize = 60;

/// The mode of a regular file, without its permissions.
const REGULAR: u32 = 0o100_000;

/// The regular files of interest that are tracked in the repository with this top, by their paths from there. None where the index cannot be
/// read.
pub(super) fn files(top: &Path, is_of_interest: &dyn Fn(&str) -> bool) -> Vec<String> {
    let Some(folder) = git_folder(top) else { return Vec::new() };
    let has_sha_256 = || {
        let config = common_folder(&folder).join("config");
        fs::read_to_string(config)
            .is_ok_and(|text| text.to_ascii_lowercase().contains("objectformat = sha256"))
    };
    let Ok(index) = fs::read(folder.join("index")) else { return Vec::new() };
    let hash = if has_sha_256() { 32 } else { 20 };
    paths(&index, hash, is_of_interest).unwrap_or_default()
}

/// The folder that the `.git` of a repository is or names, as that of a worktree or a submodule does.
fn git_folder(top: &Path) -> Option<PathBuf> {
    let git = top.join(".git");
    if git.is_dir() {
        return Some(git);
    }
    let text = fs::read_to_string(git).ok()?;
    Some(top.join(text.strip_prefix("gitdir:")?.trim()))
}

/// The folder with the configuration, which worktrees share.
fn common_folder(folder: &Path) -> PathBuf {
    match fs::read_to_string(folder.join("commondir")) {
        Ok(common) => folder.join(common.trim()),
        Err(_) => folder.to_owned(),
    }
}

/// The paths of the regular files of interest in an index of version 2, 3 or 4.
fn paths(index: &[u8], hash: usize, is_of_interest: &dyn Fn(&str) -> bool) -> Option<Vec<String>> {
    let number = |at: usize| Some(u32::from_be_bytes(index.get(at..at + 4)?.try_into().ok()?));
    let version = number(4).filter(|version| index.starts_with(SIGNATURE) && (2..=4).contains(version))?;
    let count = number(8)?;
    let (mut paths, mut path, mut at) = (Vec::new(), Vec::new(), 12);
    for _ in 0..count {
        let start = at;
        let mode = number(start + 24)?;
        let flags = start + FIELDS - 20 + hash;
        // Two more bytes of flags follow where this bit says so.
        let is_extended = version > 2 && index.get(flags)? & 0x40 != 0;
        at = flags + if is_extended { 4 } else { 2 };
        if version == 4 {
            let dropped = offset(index, &mut at)?;
            path.truncate(path.len().checked_sub(dropped)?);
        } else {
            path.clear();
        }
        let end = at + memchr::memchr(0, index.get(at..)?)?;
        path.extend_from_slice(&index[at..end]);
        // Before version 4, one to eight zeros fill the entry up.
        at = if version == 4 { end + 1 } else { start + (end - start) / 8 * 8 + 8 };
        if mode & 0o170_000 == REGULAR
            && let Ok(path) = str::from_utf8(&path)
            && is_of_interest(path)
        {
            paths.push(path.to_owned());
        }
    }
    Some(paths)
}

/// Reads a number as packs hold the offsets of their deltas: seven bits a byte, the highest first, each further byte adding one.
fn offset(index: &[u8], at: &mut usize) -> Option<usize> {
    let mut value = 0_usize;
    for is_first in std::iter::once(true).chain(std::iter::repeat(false)) {
        let byte = *index.get(*at)?;
        *at += 1;
        let before = if is_first { 0 } else { value.checked_add(1)?.checked_mul(128)? };
        value = before + usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Runs git, unaware of the settings of this machine.
    fn git(top: &Path, arguments: &[&str]) {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=a", "-c", "user.email=a@example.org"]).args(arguments).current_dir(top);
        git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
        let output = git.output().expect("git is installed where this is built");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    #[test]
    fn reads_the_index_of_every_version_that_git_writes() {
        let long = format!("{}.yaml", "long/".repeat(60));
        let names = [".gitignore", "a.yaml", "a/bc.yaml", "a/bcd.yaml", "b/12345678.yaml", &long];
        for format in ["sha1", "sha256"] {
            let folder = tempfile::tempdir().unwrap();
            let top = folder.path();
            git(top, &["init", "-q", &format!("--object-format={format}")]);
            for name in names {
                fs::create_dir_all(top.join(name).parent().unwrap()).unwrap();
                fs::write(top.join(name), "a").unwrap();
            }
            std::os::unix::fs::symlink("a.yaml", top.join("link.yaml")).unwrap();
            git(top, &["add", "-f", "."]);
            for version in ["2", "3", "4"] {
                git(top, &["update-index", "--index-version", version]);
                assert_eq!(files(top, &|_| true), names, "{format}, version {version}");
            }
            // Version 3 is written where an entry has more flags.
            fs::write(top.join("new.yaml"), "").unwrap();
            git(top, &["add", "-N", "new.yaml"]);
            git(top, &["update-index", "--index-version", "3"]);
            assert_eq!(files(top, &|_| true).len(), names.len() + 1, "{format}");
        }
    }

    #[test]
    fn a_worktree_has_an_index_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let (top, other) = (folder.path().join("one"), folder.path().join("other"));
        fs::create_dir(&top).unwrap();
        git(&top, &["init", "-q"]);
        fs::write(top.join("a.yaml"), "").unwrap();
        git(&top, &["add", "."]);
        git(&top, &["commit", "-q", "-m", "a"]);
        git(&top, &["worktree", "add", "-q", other.to_str().unwrap()]);
        assert_eq!(files(&other, &|path| path.starts_with('a')), ["a.yaml"]);
    }

    #[test]
    fn what_is_no_index_has_no_files() {
        for index in [
            &b""[..],
            b"DIRC",
            b"DIRC\0\0\0\x02\0\0\0\x05",
            b"DIRC\0\0\0\x09\0\0\0\0",
            b"PACK\0\0\0\x02\0\0\0\0",
        ] {
            assert_eq!(paths(index, 20, &|_| true).unwrap_or_default(), [] as [&str; 0]);
        }
        assert_eq!(files(Path::new("/nowhere"), &|_| true), [] as [&str; 0]);
    }
}
