//! Reads the files of repositories: which there are, and what is in those that can matter.

mod relevance;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;

use ignore::{DirEntry, WalkBuilder, WalkState};
use rayon::prelude::*;
use thiserror::Error;

use crate::render::KUSTOMIZATIONS;

/// The path that stands for the standard input.
pub const STDIN: &str = "-";

/// The largest file that is read. The longest manifest that is known has 3 MB; what is larger is no manifest.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// The files of some paths.
#[derive(Debug, Default)]
pub struct Collected {
    /// Those that could be read, ordered by their keys.
    pub sources: Vec<Source>,
    /// Those that could not.
    pub unreadable: Vec<Unreadable>,
    /// The folders that are repositories of their own, as keys; empty for the one at the top.
    pub repositories: Vec<String>,
    /// Whether a folder was read, so that what belongs together can be there.
    pub has_folders: bool,
}

/// One file.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// Its path as the user would type it.
    pub path: Box<str>,
    /// Its text; empty if nothing in it can matter.
    pub text: Box<str>,
    key: Key,
}

/// A path below the folder that all paths have in common.
#[derive(Debug, PartialEq, Eq)]
enum Key {
    /// The end of what the user would type, from there on.
    EndOfPath(usize),
    /// Another one.
    Own(Box<str>),
}

/// A file that could not be read.
#[derive(Debug)]
pub struct Unreadable {
    /// Its path as the user would type it.
    pub path: String,
    /// Why.
    pub why: Why,
}

/// Why a file could not be read.
#[derive(Debug, Error)]
pub enum Why {
    /// The system says so.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is no text.
    #[error("is no UTF-8 from byte {at} on; save it as UTF-8")]
    Encoding {
        /// The offset of the first byte that is none.
        at: usize,
    },
    /// It holds bytes that no text has.
    #[error("is a binary file")]
    Binary,
    /// It is too long to be a manifest.
    #[error("has {bytes} bytes; a manifest has at most {MAX_BYTES}")]
    TooLong {
        /// Its length.
        bytes: u64,
    },
}

/// A path that was asked for cannot be looked at.
#[derive(Debug, Error)]
#[error("cannot read {}", .path.display())]
pub struct NoSuchPath {
    /// The path.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// What is told of a file while many are read.
pub type Progress<'p> = &'p (dyn Fn(&str) + Sync);

/// Reads files and folders. Of folders, what ripgrep would search: nothing hidden, nothing that git ignores.
pub fn collect(paths: &[PathBuf], progress: Progress<'_>) -> Result<Collected, NoSuchPath> {
    let mut given = Vec::new();
    for path in paths.iter().filter(|path| *path != Path::new(STDIN)) {
        let absolute = path.canonicalize().map_err(|source| NoSuchPath { path: path.clone(), source })?;
        given.push(Given { shown: path.clone(), is_folder: absolute.is_dir(), absolute });
    }
    let top = common(&given);
    let found =
        Mutex::new(Collected { has_folders: given.iter().any(|it| it.is_folder), ..Collected::default() });
    for given in &given {
        if given.is_folder {
            walk(given, &top, &found, progress);
        } else {
            take(&given.absolute, given.shown.display().to_string(), &top, &found);
        }
    }
    let mut collected = found.into_inner().expect("no reader panics");
    if paths.iter().any(|path| path == Path::new(STDIN)) {
        let mut bytes = Vec::new();
        let read = io::stdin().lock().read_to_end(&mut bytes).map_err(Why::from).and_then(|_| text_of(bytes));
        let read = read.map(|text| if matters(STDIN, &text) { text } else { String::new() });
        collected.add(STDIN, "<stdin>".to_owned(), read);
    }
    collected.sources.par_sort_by(|one, other| one.key().cmp(other.key()));
    collected.sources.dedup_by(|one, other| one.key() == other.key());
    collected.sources.shrink_to_fit();
    collected.unreadable.sort_by(|one, other| one.path.cmp(&other.path));
    collected.repositories.sort();
    Ok(collected)
}

/// A path that was asked for.
struct Given {
    shown: PathBuf,
    absolute: PathBuf,
    is_folder: bool,
}

/// The folder that holds all that was asked for.
fn common(given: &[Given]) -> PathBuf {
    let folders = given.iter().map(|given| match given.absolute.parent() {
        Some(parent) if !given.is_folder => parent,
        _ => &given.absolute,
    });
    let shared = folders.map(Path::to_owned).reduce(|one, other| {
        let same = one.components().zip(other.components()).take_while(|(one, other)| one == other);
        same.map(|(component, _)| component).collect()
    });
    shared.unwrap_or_default()
}

fn walk(given: &Given, top: &Path, found: &Mutex<Collected>, progress: Progress<'_>) {
    let Given { shown, absolute, .. } = given;
    let inside = absolute.clone();
    let walker = WalkBuilder::new(absolute)
        .follow_links(true)
        // A link may lead out of what was asked for, and is not followed there.
        .filter_entry(move |entry| {
            !entry.path_is_symlink() || entry.path().canonicalize().is_ok_and(|it| it.starts_with(&inside))
        })
        .build_parallel();
    walker.run(|| {
        Box::new(|entry| {
            // An error is a folder that may not be read, or a link that leads in a circle, which was read already.
            match entry {
                Ok(entry) => visit(&entry, (shown, absolute), top, found, progress),
                Err(error) => refused(error, found),
            }
            WalkState::Continue
        })
    });
}

fn visit(
    entry: &DirEntry,
    (shown, absolute): (&Path, &Path),
    top: &Path,
    found: &Mutex<Collected>,
    progress: Progress<'_>,
) {
    let path = entry.path();
    if entry.file_type().is_some_and(|kind| kind.is_dir()) {
        if path.join(".git").exists() {
            found.lock().expect("no reader panics").repositories.push(key_of(path, top));
        }
        return;
    }
    let is_kustomization = KUSTOMIZATIONS.iter().any(|name| entry.file_name() == *name);
    let is_manifest =
        path.extension().is_some_and(|it| ["yaml", "yml", "json"].iter().any(|known| it == *known));
    if !(is_manifest || is_kustomization) {
        return;
    }
    let below = path.strip_prefix(absolute).unwrap_or(path);
    // `.` is how one says "here"; nobody wants to read it in front of every path.
    let shown = if shown == Path::new(".") { below.to_owned() } else { shown.join(below) };
    let shown = shown.display().to_string();
    progress(&shown);
    take(path, shown, top, found);
}

fn refused(error: ignore::Error, found: &Mutex<Collected>) {
    let mut path = None;
    let mut inner = error;
    loop {
        inner = match inner {
            ignore::Error::WithPath { path: at, err } => {
                path = Some(at);
                *err
            }
            ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => *err,
            ignore::Error::Io(source) => {
                let path = path.map(|path| path.display().to_string()).unwrap_or_default();
                let unreadable = Unreadable { path, why: Why::Io(source) };
                found.lock().expect("no reader panics").unreadable.push(unreadable);
                return;
            }
            _ => return,
        }
    }
}

fn take(path: &Path, shown: String, top: &Path, found: &Mutex<Collected>) {
    let key = key_of(path, top);
    // All that takes long is done before the others have to wait.
    let read = read(path).map(|text| if matters(&key, &text) { text } else { String::new() });
    found.lock().expect("no reader panics").add(&key, shown, read);
}

fn read(path: &Path) -> Result<String, Why> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    if length > MAX_BYTES {
        return Err(Why::TooLong { bytes: length });
    }
    // To the end, wherever that is by now, and without asking once more how long it is.
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    file.take(u64::MAX).read_to_end(&mut bytes)?;
    text_of(bytes)
}

/// Whether what is in a file can decide about a HelmRelease.
fn matters(key: &str, text: &str) -> bool {
    let name = key.rsplit('/').next().unwrap_or_default();
    // kustomize's own files need not say what they are.
    KUSTOMIZATIONS.contains(&name) || relevance::can_decide(text)
}

fn text_of(bytes: Vec<u8>) -> Result<String, Why> {
    let is_utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    if !is_utf16 && memchr::memchr(0, &bytes).is_some() {
        return Err(Why::Binary);
    }
    String::from_utf8(bytes).map_err(|error| Why::Encoding { at: error.utf8_error().valid_up_to() })
}

/// The path of a file below `top`, with `/` between its parts.
fn key_of(path: &Path, top: &Path) -> String {
    let below = path.strip_prefix(top).unwrap_or(path);
    let mut key = String::with_capacity(below.as_os_str().len());
    for part in below.components() {
        if let Component::Normal(name) = part {
            if !key.is_empty() {
                key.push('/');
            }
            key.push_str(&name.to_string_lossy());
        }
    }
    key
}

// === impl Source ===

impl Source {
    fn of(key: &str, path: String, text: String) -> Self {
        let key = match path.strip_suffix(key) {
            Some(before) => Key::EndOfPath(before.len()),
            None => Key::Own(key.into()),
        };
        Self { path: path.into(), text: text.into(), key }
    }

    /// Its path below the folder that all paths have in common, with `/` between its parts.
    pub fn key(&self) -> &str {
        match &self.key {
            Key::EndOfPath(start) => &self.path[*start..],
            Key::Own(key) => key,
        }
    }
}

// === impl Collected ===

impl Collected {
    fn add(&mut self, key: &str, path: String, read: Result<String, Why>) {
        match read {
            Ok(text) => self.sources.push(Source::of(key, path, text)),
            Err(why) => self.unreadable.push(Unreadable { path, why }),
        }
    }

    /// The `templates` folders of Helm charts, as keys.
    pub fn charts(&self) -> BTreeSet<String> {
        let charts = self.sources.iter().filter_map(|source| source.key().strip_suffix("Chart.yaml"));
        charts.map(|folder| format!("{folder}templates")).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const RELEASE: &str = "kind: HelmRelease\n";

    fn keys(paths: &[&Path]) -> Vec<String> {
        let paths: Vec<_> = paths.iter().map(|path| path.to_path_buf()).collect();
        collect(&paths, &|_| {}).unwrap().sources.iter().map(|source| source.key().to_owned()).collect()
    }

    fn write(folder: &Path, path: &str, text: impl AsRef<[u8]>) {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn reads_what_ripgrep_would_search_and_may_be_a_manifest() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for path in
            ["a.yaml", "b/c.yml", "b/d.json", "b/Kustomization", "e.txt", ".hidden/f.yaml", "skipped/g.yaml"]
        {
            write(root, path, RELEASE);
        }
        write(root, ".git/config", "");
        write(root, ".gitignore", "skipped\n");
        assert_eq!(keys(&[root]), ["a.yaml", "b/Kustomization", "b/c.yml", "b/d.json"]);
        assert_eq!(
            keys(&[&root.join("e.txt"), &root.join("b")]),
            ["b/Kustomization", "b/c.yml", "b/d.json", "e.txt"]
        );
        let collected = collect(&[root.to_owned()], &|_| {}).unwrap();
        assert_eq!(collected.repositories, [""]);
        assert!(collected.sources[0].path.ends_with("/a.yaml"));
    }

    #[test]
    fn what_cannot_matter_is_there_without_its_text() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "service.yaml", "kind: Service\n");
        write(folder.path(), "kustomization.yaml", "resources: []\n");
        let collected = collect(&[folder.path().to_owned()], &|_| {}).unwrap();
        let texts: Vec<_> = collected.sources.iter().map(|source| &*source.text).collect();
        assert_eq!(texts, ["resources: []\n", ""]);
    }

    #[test]
    fn links_in_a_circle_and_out_of_the_folder_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (root, outside) = (folder.path().join("in"), folder.path().join("out"));
        write(&root, "a.yaml", RELEASE);
        write(&outside, "b.yaml", RELEASE);
        std::os::unix::fs::symlink(&root, root.join("circle")).unwrap();
        std::os::unix::fs::symlink(&outside, root.join("away")).unwrap();
        std::os::unix::fs::symlink(root.join("a.yaml"), root.join("same.yaml")).unwrap();
        let collected = collect(&[root], &|_| {}).unwrap();
        let keys: Vec<_> = collected.sources.iter().map(Source::key).collect();
        assert_eq!(keys, ["a.yaml", "same.yaml"]);
        assert!(collected.unreadable.is_empty(), "{:?}", collected.unreadable);
    }

    #[test]
    fn says_why_a_file_cannot_be_read() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "binary.yaml", b"\x7fELF\0\0");
        write(folder.path(), "latin.yaml", b"a: \xe4\n");
        write(folder.path(), "wide.yaml", b"\xff\xfea\0:\0");
        let collected = collect(&[folder.path().to_owned()], &|_| {}).unwrap();
        let why: Vec<_> = collected.unreadable.iter().map(|it| it.why.to_string()).collect();
        let utf8 = |at| format!("is no UTF-8 from byte {at} on; save it as UTF-8");
        assert_eq!(why, ["is a binary file".to_owned(), utf8(3), utf8(0)]);
    }

    #[test]
    fn a_path_that_is_not_there_is_an_error_that_names_it() {
        let error = collect(&["no/such".into()], &|_| {}).unwrap_err();
        assert_eq!(error.to_string(), "cannot read no/such");
    }
}
