//! Reads the files of repositories: which there are, and what is in those that can matter.

mod aside;
mod named;
mod relevance;
mod tracked;

pub(super) use named::Named;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, MAIN_SEPARATOR, Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use foldhash::HashSet;
use ignore::{DirEntry, WalkBuilder, WalkState};
use rayon::prelude::*;
use thiserror::Error;

use crate::render::{Counts, KUSTOMIZATIONS, Tree, folder_of, is_kustomization, with_folders_above};
use crate::yaml::outline;

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
    /// The folders, as keys, also those in which nothing is read.
    pub folders: Vec<String>,
    /// Whether there are objects of Flux among the files that can lead to others.
    pub(super) has_flux: bool,
    /// The symbolic links among files and folders, as keys.
    pub(super) links: Vec<String>,
    /// The `.sourceignore` files: their folders from the top of the repository, and their texts.
    pub(super) ignore_files: Vec<(String, String)>,
    /// The path of the folder that all keys are below, from the top of its repository.
    pub(super) above: String,
    /// What kustomizations name besides, once that is known.
    pub(super) named: OnceLock<Named>,
    /// The hidden files that could not be read, which are reported where something names or lists them.
    pub(super) unreadable_hidden: Vec<Unreadable>,
    /// The hidden files that may be manifests, as keys with their paths as the user would type them.
    hidden: Vec<(String, String)>,
    /// The folder that all keys are below.
    top: PathBuf,
}

/// One file.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// Its path as the user would type it.
    pub path: Box<str>,
    /// Its text.
    pub text: Box<str>,
    /// How far what is in it counts.
    pub counts: Counts,
    /// Whether it counts only where something names or lists it, although it was found in a folder: it is hidden, or left out of artifacts.
    pub is_aside: bool,
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
    key: String,
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
    /// It begins as UTF-16 does, and is none.
    #[error("is no UTF-16 from byte {at} on, as its first two bytes say; save it as UTF-8")]
    Utf16 {
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
    /// It has no length, and does not end where a manifest would.
    #[error("has more than {MAX_BYTES} bytes, which no manifest has")]
    Endless,
    /// A link whose target is not there.
    #[error("is a link to what is not there")]
    Dangling,
    /// A pipe, a socket or a device in a folder: to open one may wait forever.
    #[error("is no regular file")]
    Special,
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

/// Reads files and folders. Files that git ignores are skipped, unless they are tracked all the same; and hidden ones, unless there are objects
/// of Flux: kustomize-controller lists hidden files.
pub fn collect(paths: &[PathBuf], progress: Progress<'_>) -> Result<Collected, NoSuchPath> {
    let mut given = Vec::new();
    for path in paths.iter().filter(|path| *path != Path::new(STDIN)) {
        let absolute = path.canonicalize().map_err(|source| NoSuchPath { path: path.clone(), source })?;
        given.push(Given::of(path, absolute));
    }
    let top = common(&given);
    let has_folders = given.iter().any(|it| it.is_folder);
    let found = Mutex::new(Collected { has_folders, top: top.clone(), ..Collected::default() });
    for given in &given {
        let key = key_of(&given.absolute, &top);
        if given.is_folder {
            walk(given, &key, &found, progress);
            read_tracked(given, &key, &found, progress);
        } else {
            take(&given.absolute, &key, given.shown.clone(), &found);
        }
    }
    let mut collected = found.into_inner().expect("no reader panics");
    let is_given = |key: &str| given.iter().any(|it| !it.is_folder && key_of(&it.absolute, &top) == key);
    aside::set(&mut collected, &is_given);
    if paths.iter().any(|path| path == Path::new(STDIN)) {
        let mut bytes = Vec::new();
        let read = io::stdin().lock().read_to_end(&mut bytes).map_err(Why::from).and_then(|_| text_of(bytes));
        let read = read.map(|text| (counts(STDIN, &text), text));
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
    /// What the user typed; for a folder, what the path of a file in it begins with.
    shown: String,
    absolute: PathBuf,
    is_folder: bool,
}

/// A folder that is walked.
#[derive(Clone, Copy)]
struct Walk<'w> {
    given: &'w Given,
    /// What the keys begin with.
    prefix: &'w str,
    found: &'w Mutex<Collected>,
    progress: Progress<'w>,
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

fn walk(given: &Given, key: &str, found: &Mutex<Collected>, progress: Progress<'_>) {
    let walk = Walk { given, prefix: &prefix(key), found, progress };
    let inside = given.absolute.clone();
    let walker = WalkBuilder::new(&given.absolute)
        .follow_links(true)
        // Hidden files and folders are in artifacts, and kustomize-controller lists them.
        .hidden(false)
        // Neither git nor Flux knows .ignore.
        .ignore(false)
        // A link may lead out of what was asked for, and is not followed there.
        .filter_entry(move |entry| {
            let is_inside = |path: &Path| path.canonicalize().is_ok_and(|it| it.starts_with(&inside));
            entry.file_name() != ".git" && (!entry.path_is_symlink() || is_inside(entry.path()))
        })
        .build_parallel();
    walker.run(|| {
        Box::new(|entry| {
            // An error is a folder that may not be read, or a link that leads in a circle, which was read already.
            match entry {
                Ok(entry) => walk.visit(&entry),
                Err(error) => walk.refused(error),
            }
            WalkState::Continue
        })
    });
}

/// Reads the files of a folder that are tracked though git ignores them, which the walk skipped.
fn read_tracked(given: &Given, key: &str, found: &Mutex<Collected>, progress: Progress<'_>) {
    let prefix = prefix(key);
    let missing: Vec<String> = {
        let found = found.lock().expect("no reader panics");
        let below = found.repositories.iter().map(|repository| found.top.join(repository));
        let mut repositories: Vec<_> = below.filter(|top| top.starts_with(&given.absolute)).collect();
        let mut above = given.absolute.ancestors();
        repositories.extend(above.find(|folder| folder.join(".git").exists()).map(Path::to_owned));
        repositories.sort();
        repositories.dedup();
        let known = found.known();
        let tracked = repositories.iter().flat_map(|top| {
            let files = tracked::files(top, &is_of_interest).into_iter().map(|path| top.join(path));
            let inside = files.filter(|path| path.starts_with(&given.absolute));
            inside.map(|path| given.below(&path).into_owned())
        });
        tracked.filter(|below| !known.contains(&*keyed(&prefix, below))).collect()
    };
    let walk = Walk { given, prefix: &prefix, found, progress };
    for below in missing {
        let path = given.absolute.join(&below);
        if !path.is_file() {
            continue;
        }
        let mut folders: Vec<_> =
            with_folders_above(folder_of(&keyed(&prefix, &below))).map(str::to_owned).collect();
        let mut all = found.lock().expect("no reader panics");
        folders.retain(|folder| !all.folders.contains(folder));
        all.folders.extend(folders);
        drop(all);
        walk.take_named(&path, &below, true);
    }
}

/// What the keys of the files in a folder begin with.
fn prefix(folder: &str) -> String {
    if folder.is_empty() { String::new() } else { format!("{folder}/") }
}

/// Whether a path is one that is read in a folder.
fn is_of_interest(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name == aside::IGNORE_FILE || is_called_as_read(OsStr::new(name))
}

/// Whether a file is called as manifests or kustomize's own files are.
fn is_called_as_read(name: &OsStr) -> bool {
    // `.yaml` alone is a name that kustomize-controller lists.
    let ends_with = |end: &str| name.as_encoded_bytes().ends_with(end.as_bytes());
    [".yaml", ".yml", ".json"].into_iter().any(ends_with) || KUSTOMIZATIONS.iter().any(|it| name == *it)
}

fn take(path: &Path, key: &str, shown: String, found: &Mutex<Collected>) {
    // All that takes long is done before the others have to wait.
    let read = read(path).map(|text| weighed(key, text));
    found.lock().expect("no reader panics").add(key, shown, read);
}

fn read(path: &Path) -> Result<String, Why> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    if length > MAX_BYTES {
        return Err(Why::TooLong { bytes: length });
    }
    // To the end, wherever that is by now, and without asking once more how long it is. A pipe or a device that was asked for has
    // no length.
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES { Err(Why::Endless) } else { text_of(bytes) }
}

/// How far what is in a file counts, by whether it can decide about a HelmRelease.
fn counts(key: &str, text: &str) -> Counts {
    // kustomize's own files need not say what they are.
    let can_decide = is_kustomization(key) || relevance::can_decide(text);
    if can_decide { Counts::Always } else { Counts::ByNames }
}

/// The same, and what is kept of a file that is not fixed.
fn weighed(key: &str, text: String) -> (Counts, String) {
    match counts(key, &text) {
        Counts::ByNames => (Counts::ByNames, outline(&text).unwrap_or(text)),
        counts => (counts, text),
    }
}

fn text_of(bytes: Vec<u8>) -> Result<String, Why> {
    if let Some(text) = of_utf16(&bytes) {
        return text;
    }
    if memchr::memchr(0, &bytes).is_some() {
        return Err(Why::Binary);
    }
    String::from_utf8(bytes).map_err(|error| Why::Encoding { at: error.utf8_error().valid_up_to() })
}

/// The text of a file that begins with the byte order mark of UTF-16, which kustomize and kubectl read as well.
fn of_utf16(bytes: &[u8]) -> Option<Result<String, Why>> {
    let (order, rest): (fn([u8; 2]) -> u16, _) = match bytes {
        [0xff, 0xfe, rest @ ..] => (u16::from_le_bytes, rest),
        [0xfe, 0xff, rest @ ..] => (u16::from_be_bytes, rest),
        _ => return None,
    };
    let units = rest.chunks(2).map(|unit| match unit {
        [first, second] => order([*first, *second]),
        // Half a character is none.
        _ => 0xd800,
    });
    let mut text = String::with_capacity(rest.len() / 2);
    let mut at = 2;
    for character in char::decode_utf16(units) {
        let Ok(character) = character else { return Some(Err(Why::Utf16 { at })) };
        at += 2 * character.len_utf16();
        text.push(character);
    }
    Some(Ok(text))
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

// === impl Given ===

impl Given {
    fn of(path: &Path, absolute: PathBuf) -> Self {
        let is_folder = absolute.is_dir();
        let mut shown = path.display().to_string();
        if is_folder {
            // `.` is how one says "here"; nobody wants to read it in front of every path.
            let is_here = path == Path::new(".");
            if is_here {
                shown.clear();
            } else if !shown.ends_with(MAIN_SEPARATOR) {
                shown.push(MAIN_SEPARATOR);
            }
        }
        Self { shown, absolute, is_folder }
    }

    /// The path of something that the walk found in it, from there on.
    fn below<'p>(&self, path: &'p Path) -> Cow<'p, str> {
        let folder = self.absolute.as_os_str().as_encoded_bytes().len();
        // The walk adds names to the path of the folder, and nothing else: to compare part by part takes much of its time.
        let below = path.to_str().and_then(|path| path.get(folder..));
        match below {
            Some(below) => Cow::Borrowed(below.trim_start_matches(MAIN_SEPARATOR)),
            None => path.strip_prefix(&self.absolute).unwrap_or(path).to_string_lossy(),
        }
    }
}

// === impl Walk ===

impl Walk<'_> {
    fn visit(self, entry: &DirEntry) {
        let Self { given, prefix, found, .. } = self;
        let path = entry.path();
        let below = &*given.below(path);
        let key = || keyed(prefix, below);
        if entry.path_is_symlink() {
            found.lock().expect("no reader panics").links.push(key());
        }
        if entry.file_type().is_some_and(|kind| kind.is_dir()) {
            let (key, is_repository) = (key(), path.join(".git").exists());
            let mut found = found.lock().expect("no reader panics");
            if is_repository {
                found.repositories.push(key.clone());
            }
            found.folders.push(key);
            return;
        }
        self.take_named(path, below, entry.file_type().is_some_and(|kind| kind.is_file()));
    }

    /// Takes a file, if it is called as one that is read.
    fn take_named(self, path: &Path, below: &str, is_regular: bool) {
        let Self { prefix, found, progress, .. } = self;
        let key = || keyed(prefix, below);
        let name = path.file_name().unwrap_or_default();
        if name == aside::IGNORE_FILE {
            let read = read(path).map(|text| (key(), text));
            found.lock().expect("no reader panics").ignore_files.extend(read);
            return;
        }
        if !is_called_as_read(name) {
            return;
        }
        let shown = self.shown(below);
        if is_hidden(below) {
            // Read later, and only beside objects of Flux: without them nothing lists hidden files.
            found.lock().expect("no reader panics").hidden.push((key(), shown));
            return;
        }
        progress(&shown);
        if is_regular {
            take(path, &key(), shown, found);
        } else {
            found.lock().expect("no reader panics").add(&key(), shown, Err(Why::Special));
        }
    }

    fn refused(self, error: ignore::Error) {
        let Self { given, prefix, found, .. } = self;
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
                    let path = path.unwrap_or_default();
                    let is_dangling = source.kind() == io::ErrorKind::NotFound && path.is_symlink();
                    // Other files that are called so are not read either.
                    if is_dangling && !path.file_name().is_some_and(is_called_as_read) {
                        return;
                    }
                    let why = if is_dangling { Why::Dangling } else { Why::Io(source) };
                    let below = given.below(&path);
                    let (key, shown) = (keyed(prefix, &below), self.shown(&below));
                    found.lock().expect("no reader panics").add(&key, shown, Err(why));
                    return;
                }
                _ => return,
            }
        }
    }

    /// A path in the folder, as the user would type it.
    fn shown(self, below: &str) -> String {
        [&self.given.shown, below].concat()
    }
}

/// The key of a path in a folder, with `/` between its parts.
fn keyed(prefix: &str, below: &str) -> String {
    let key =
        if below.is_empty() { prefix.trim_end_matches('/').to_owned() } else { [prefix, below].concat() };
    if MAIN_SEPARATOR == '/' { key } else { key.replace(MAIN_SEPARATOR, "/") }
}

/// Whether a path is hidden, or in a hidden folder.
fn is_hidden(below: &str) -> bool {
    let bytes = below.as_bytes();
    let is_separator = |byte: u8| char::from(byte) == MAIN_SEPARATOR;
    memchr::memchr_iter(b'.', bytes)
        .any(|at| at.checked_sub(1).is_none_or(|before| is_separator(bytes[before])))
}

// === impl Source ===

impl Source {
    fn of(key: &str, path: String, counts: Counts, text: String) -> Self {
        let key = match path.strip_suffix(key) {
            Some(before) => Key::EndOfPath(before.len()),
            None => Key::Own(key.into()),
        };
        Self { path: path.into(), text: text.into(), counts, is_aside: false, key }
    }

    /// Its path below the folder that all paths have in common, with `/` between its parts.
    pub fn key(&self) -> &str {
        match &self.key {
            Key::EndOfPath(start) => &self.path[*start..],
            Key::Own(key) => key,
        }
    }
}

// === impl Unreadable ===

impl Unreadable {
    /// Its path below the folder that all paths have in common, with `/` between its parts.
    pub fn key(&self) -> &str {
        &self.key
    }
}

// === impl Collected ===

impl Collected {
    /// Reads what the kustomizations of a tree of these files name and nobody has read; only once.
    pub(super) fn complete(&self, tree: &Tree<'_>) -> &Named {
        self.named.get_or_init(|| named::read(&self.top, self, tree))
    }

    /// The keys of the files that were found.
    fn known(&self) -> HashSet<&str> {
        let unreadable = self.unreadable.iter().map(|file| &*file.key);
        let hidden = self.hidden.iter().chain(&self.ignore_files).map(|(key, _)| &**key);
        self.sources.iter().map(Source::key).chain(unreadable).chain(hidden).collect()
    }

    /// All files that were read: those that were asked for, then those that kustomizations name besides.
    pub fn files(&self) -> impl ExactSizeIterator<Item = &Source> {
        let count = self.sources.len() + self.named.get().map_or(0, |named| named.sources.len());
        (0..count).map(|index| self.file(index).expect("there are so many"))
    }

    /// One of them, by its number.
    pub fn file(&self, index: usize) -> Option<&Source> {
        match index.checked_sub(self.sources.len()) {
            None => self.sources.get(index),
            Some(index) => self.named.get()?.sources.get(index),
        }
    }

    /// All files that could not be read, in the same order.
    pub fn unread(&self) -> impl Iterator<Item = &Unreadable> {
        self.unreadable.iter().chain(self.named.get().into_iter().flat_map(|named| &named.unreadable))
    }

    fn add(&mut self, key: &str, path: String, read: Result<(Counts, String), Why>) {
        match read {
            Ok((counts, text)) => self.sources.push(Source::of(key, path, counts, text)),
            Err(why) => self.unreadable.push(Unreadable { path, why, key: key.to_owned() }),
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
        let collected = collect(&paths, &|_| {}).unwrap();
        collected.sources.iter().filter(|it| !it.is_aside).map(|source| source.key().to_owned()).collect()
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
        // The files of other programs.
        write(root, ".ignore", "a.yaml\n");
        write(root, ".sourceignore", "/b/*\n!/b/c.yml\n");
        assert_eq!(keys(&[root]), ["a.yaml", "b/c.yml"]);
        // A file that is given counts.
        assert_eq!(keys(&[root, &root.join("b/d.json")]), ["a.yaml", "b/c.yml", "b/d.json"]);
        fs::remove_file(root.join(".sourceignore")).unwrap();
        assert_eq!(
            keys(&[&root.join("e.txt"), &root.join("b")]),
            ["b/Kustomization", "b/c.yml", "b/d.json", "e.txt"]
        );
        let collected = collect(&[root.to_owned()], &|_| {}).unwrap();
        assert_eq!(collected.repositories, [""]);
        assert!(collected.sources[0].path.ends_with("/a.yaml"));
    }

    #[test]
    fn reads_hidden_files_only_beside_objects_of_flux() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        write(root, ".more/x.yaml", RELEASE);
        write(root, ".git/x.yaml", RELEASE);
        write(root, "a.yaml", RELEASE);
        let all = || {
            let collected = collect(&[root.to_owned()], &|_| {}).unwrap();
            let all = collected.sources.iter().map(|source| (source.key().to_owned(), source.counts));
            all.collect::<Vec<_>>()
        };
        assert_eq!(all(), [("a.yaml".to_owned(), Counts::Always)]);
        write(root, "a.yaml", "apiVersion: kustomize.toolkit.fluxcd.io/v1\n");
        let hidden = (".more/x.yaml".to_owned(), Counts::Named);
        assert_eq!(all(), [hidden, ("a.yaml".to_owned(), Counts::Always)]);
    }

    #[test]
    fn tells_what_matters_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "service.yaml", "kind: Service\n");
        write(folder.path(), "kustomization.yaml", "resources: []\n");
        let collected = collect(&[folder.path().to_owned()], &|_| {}).unwrap();
        let sources: Vec<_> = collected.sources.iter().map(|source| (&*source.text, source.counts)).collect();
        assert_eq!(sources, [("resources: []\n", Counts::Always), ("kind: Service\n", Counts::ByNames)]);
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
        write(folder.path(), "wide.yaml", b"\xff\xfea\0:\0x");
        let collected = collect(&[folder.path().to_owned()], &|_| {}).unwrap();
        let why: Vec<_> = collected.unreadable.iter().map(|it| it.why.to_string()).collect();
        let utf8 = |at| format!("is no UTF-8 from byte {at} on; save it as UTF-8");
        let utf16 = "is no UTF-16 from byte 6 on, as its first two bytes say; save it as UTF-8".to_owned();
        assert_eq!(why, ["is a binary file".to_owned(), utf8(3), utf16]);
    }

    #[test]
    fn reads_utf_16_in_both_orders() {
        let folder = tempfile::tempdir().unwrap();
        let units = || "kind: HelmRelease # \u{1d11e}\n".encode_utf16();
        let little: Vec<u8> = [0xff, 0xfe].into_iter().chain(units().flat_map(u16::to_le_bytes)).collect();
        let big: Vec<u8> = [0xfe, 0xff].into_iter().chain(units().flat_map(u16::to_be_bytes)).collect();
        write(folder.path(), "a.yaml", little);
        write(folder.path(), "b.yaml", big);
        let collected = collect(&[folder.path().to_owned()], &|_| {}).unwrap();
        let texts: Vec<_> = collected.sources.iter().map(|source| &*source.text).collect();
        assert_eq!(texts, ["kind: HelmRelease # \u{1d11e}\n"; 2]);
    }

    #[test]
    fn a_path_that_is_not_there_is_an_error_that_names_it() {
        let error = collect(&["no/such".into()], &|_| {}).unwrap_err();
        assert_eq!(error.to_string(), "cannot read no/such");
    }
}
