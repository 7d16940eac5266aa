//! The files that are rendered.

use std::sync::OnceLock;

use foldhash::{HashMap, HashSet};
use memchr::memmem;

use crate::yaml::{self, Asked, Error, Node, Reading, Span, Twice, Value};

/// The names that kustomize looks for, the first one first.
pub const KUSTOMIZATIONS: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// What is read of the kinds that are written most often: what rules and their fixes read, and what
/// decides about what is printed.
const DECIDES: &[Asked] = &[
    // Everything that the schema describes: all but `values`.
    Asked {
        kind: "HelmRelease",
        field: "spec",
        keys: &[
            "chart",
            "chartRef",
            "commonMetadata",
            "dependsOn",
            "driftDetection",
            "healthCheckExprs",
            "install",
            "kubeConfig",
            "postRenderers",
            "rollback",
            "test",
            "uninstall",
            "upgrade",
            "valuesFrom",
        ],
    },
    Asked {
        kind: "Kustomization",
        field: "spec",
        keys: &[
            "commonMetadata",
            "components",
            "patches",
            "patchesJson6902",
            "patchesStrategicMerge",
            "postBuild",
            "sourceRef",
        ],
    },
    Asked {
        kind: "OCIRepository",
        field: "spec",
        keys: &["certSecretRef", "layerSelector", "proxySecretRef", "ref", "secretRef", "verify"],
    },
    Asked { kind: "CustomResourceDefinition", field: "spec", keys: &[] },
];

/// The files below one folder, by their paths, which are relative to it and have `/` between their parts.
#[derive(Debug, Default)]
pub struct Tree<'a> {
    only_what_decides: bool,
    refuses_unset_variables: bool,
    files: Vec<File<'a>>,
    by_path: HashMap<&'a str, u32>,
    /// The kustomization file of each folder that has one.
    kustomizations: HashMap<&'a str, usize>,
    /// Folders that are there, also those without a file that is read.
    folders: Vec<&'a str>,
    /// The files that are no manifests and are there, with what is in those that were read.
    others: HashMap<&'a str, Option<&'a str>>,
    /// The files that are there and cannot be read, each with the reason.
    unreadable: HashMap<&'a str, String>,
    /// The symbolic links among files and folders.
    links: HashSet<&'a str>,
    /// The `.sourceignore` files: their folders from the top of the repository, and their texts; those of a folder before those below it.
    ignore_files: Vec<(&'a str, &'a str)>,
    /// The path of the tree in its repository, where it is not the top of one.
    above: &'a str,
    /// The files in the order of their paths, once somebody asks.
    sorted: OnceLock<Vec<usize>>,
}

/// A file, and what it holds once somebody asks.
#[derive(Debug)]
pub struct File<'a> {
    /// Its path in the tree.
    pub path: &'a str,
    /// Its text.
    pub text: &'a str,
    /// Its number in the tree, which is also the one in spans.
    pub id: u32,
    /// How far what is in it counts.
    pub counts: Counts,
    only_what_decides: bool,
    documents: OnceLock<Box<[Result<Node<'a>, Error>]>>,
}

/// How far what is in a file counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// Wherever it is.
    Always,
    /// Where something names the file: it is hidden, or ignored, or called otherwise than manifests are.
    Named,
    /// Where something names the file, and then the names of its objects alone: nothing in it can decide about a HelmRelease.
    ByNames,
}

/// Something that is not rendered: because kustomize or Flux would refuse it, or because it is not known here what comes of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// Where it is asked for.
    pub at: Span,
    /// What sort of thing it is.
    pub reason: Reason,
    /// What it is and what follows, in one line.
    pub message: String,
    /// What would put it right, where one scalar does.
    pub mend: Option<Box<Mend>>,
}

/// A scalar that would put something right.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mend {
    /// Where it stands.
    pub at: Span,
    /// What it says now.
    pub old: String,
    /// What it should say.
    pub new: String,
}

impl Note {
    /// One without a remedy.
    pub fn new(at: Span, reason: Reason, message: impl Into<String>) -> Self {
        Self { at, reason, message: message.into(), mend: None }
    }
}

/// Why something is not rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// It is not in the tree, but elsewhere: a URL, another repository, a folder above.
    Remote,
    /// It should be in the tree, and is not: the build fails.
    Missing,
    /// Only the cluster knows it.
    Unknown,
    /// It takes a plugin or a feature that is not rendered here and can change what is judged.
    Unsupported,
    /// kustomize or Flux refuses it: the build fails.
    Refused,
    /// It is for nothing, and the build goes on without it.
    Lost,
    /// It is built, and Flux leaves it out without a word.
    Dropped,
    /// A strict decoder would refuse it. Here it is dropped, made another value, or one of two values counts, and the build goes on.
    Lenient,
    /// More is made of it than is rendered here.
    TooMuch,
}

// === impl Reason ===

impl Reason {
    /// Whether the build fails, as opposed to being unknown here.
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Missing | Self::Refused)
    }
}

// === impl Tree ===

impl<'a> Tree<'a> {
    /// A tree of which only what can decide about charts is read: most of what there is cannot, such as the values of HelmReleases.
    pub fn of_what_decides() -> Self {
        Self { only_what_decides: true, ..Self::default() }
    }

    /// The same, for a Flux that refuses a variable without a value, as kustomize-controller does from 1.9 on (Flux 2.9).
    #[must_use]
    pub fn refusing_unset_variables(self, refuses: bool) -> Self {
        Self { refuses_unset_variables: refuses, ..self }
    }

    /// Whether the Flux that the files are for refuses a variable without a value.
    pub fn refuses_unset_variables(&self) -> bool {
        self.refuses_unset_variables
    }

    /// Adds files, as [`Self::add`] does: their paths, their texts, and how far each counts.
    pub fn extend(&mut self, files: impl ExactSizeIterator<Item = (&'a str, &'a str, Counts)>) {
        self.files.reserve(files.len());
        self.by_path.reserve(files.len());
        for (path, text, counts) in files {
            self.add_one(path, text, counts);
        }
    }

    /// Adds a file. Of two at one path the first counts.
    pub fn add(&mut self, path: &'a str, text: &'a str) {
        self.add_one(path, text, Counts::Always);
    }

    fn add_one(&mut self, path: &'a str, text: &'a str, counts: Counts) {
        let index = self.files.len();
        let id = u32::try_from(index).expect("there are fewer than four billion files");
        if *self.by_path.entry(path).or_insert(id) == id {
            let only_what_decides = self.only_what_decides;
            self.files.push(File { path, text, id, counts, only_what_decides, documents: OnceLock::new() });
            self.sorted = OnceLock::new();
            let rank = |path: &str| KUSTOMIZATIONS.iter().position(|name| name_of(path) == *name);
            if let Some(own) = rank(path) {
                let first = self.kustomizations.entry(folder_of(path)).or_insert(index);
                if rank(self.files[*first].path).is_some_and(|known| own < known) {
                    *first = index;
                }
            }
        }
    }

    /// Tells that a folder is there, whether or not a file in it is read.
    pub fn add_folder(&mut self, path: &'a str) {
        self.folders.push(path);
    }

    /// The folders that were added.
    pub(super) fn told_folders(&self) -> &[&'a str] {
        &self.folders
    }

    /// Tells that a file or folder is a symbolic link. What is below it is in no artifact of Flux.
    pub fn add_link(&mut self, path: &'a str) {
        self.links.insert(path);
    }

    /// Whether a path is a symbolic link, or below one.
    pub(super) fn is_linked(&self, path: &str) -> bool {
        if self.links.is_empty() {
            return false;
        }
        with_folders_above(path).any(|path| self.links.contains(path))
    }

    /// Adds the `.sourceignore` of a folder, which is told from the top of the repository: it may be above the tree.
    pub fn add_ignore_file(&mut self, folder: &'a str, text: &'a str) {
        self.ignore_files.push((folder, text));
        // The path of a folder begins with those of the folders above.
        self.ignore_files.sort_by_key(|(folder, _)| *folder);
    }

    /// Tells the path of the tree in its repository.
    pub fn place_in_repository(&mut self, path: &'a str) {
        self.above = path;
    }

    /// The `.sourceignore` files by their folders, those of a folder before those below it.
    pub(super) fn ignore_files(&self) -> &[(&'a str, &'a str)] {
        &self.ignore_files
    }

    /// The parts of a path from the top of the repository.
    pub(super) fn full_path<'p>(&self, path: &'p str) -> Vec<&'p str>
    where
        'a: 'p,
    {
        self.above.split('/').chain(path.split('/')).filter(|part| !part.is_empty()).collect()
    }

    /// The files that are no manifests.
    pub(super) fn others(&self) -> impl Iterator<Item = &'a str> {
        self.others.keys().copied()
    }

    /// Adds a file that is no manifest, with what is in it if that was read.
    pub fn add_other(&mut self, path: &'a str, text: Option<&'a str>) {
        self.others.insert(path, text);
    }

    /// Tells that a file or a folder is there and cannot be read; the reason is what a sentence about it goes on with.
    pub fn add_unreadable(&mut self, path: &'a str, why: String) {
        self.unreadable.insert(path, why);
    }

    /// Why a file cannot be read, or a folder with its kustomization file; `None` where it is not there.
    pub(super) fn unreadable(&self, path: &str) -> Option<&str> {
        if self.unreadable.is_empty() {
            return None;
        }
        let of_folder =
            || KUSTOMIZATIONS.iter().any(|name| self.unreadable.contains_key(&*format!("{path}/{name}")));
        let is_inside = || with_folders_above(path).any(|path| self.unreadable.contains_key(path));
        let whole = self.unreadable.get(path).map(|why| &**why);
        whole.or_else(|| (of_folder() || is_inside()).then_some("cannot be read"))
    }

    /// The hidden files in a folder and below it that cannot be read, in the order of their paths, each with the reason.
    pub(super) fn unreadable_hidden(&self, folder: &str) -> Vec<(&'a str, &str)> {
        let is_in = |path: &str| folder.is_empty() || with_folders_above(path).any(|it| it == folder);
        let is_hidden = |path: &str| parts(path).any(|part| part.starts_with('.'));
        let all = self.unreadable.iter().map(|(path, why)| (*path, &**why));
        let mut hidden: Vec<_> = all.filter(|(path, _)| is_in(path) && is_hidden(path)).collect();
        hidden.sort_unstable();
        hidden
    }

    /// Whether a file is there, read or not.
    pub fn exists(&self, path: &str) -> bool {
        self.by_path.contains_key(path) || self.others.contains_key(path)
    }

    /// What is in a file, if all of it was kept.
    pub fn content(&self, path: &str) -> Option<&'a str> {
        match self.file(path) {
            Some(file) => (file.counts != Counts::ByNames).then_some(file.text),
            None => self.others.get(path).copied().flatten(),
        }
    }

    /// The kustomization files of all folders that have one.
    pub fn kustomizations(&self) -> impl Iterator<Item = &File<'a>> {
        self.kustomizations.values().map(|index| &self.files[*index])
    }

    /// The files, in the order in which they were added.
    pub fn files(&self) -> &[File<'a>] {
        &self.files
    }

    /// The file at a path.
    pub fn file(&self, path: &str) -> Option<&File<'a>> {
        self.by_path.get(path).map(|id| &self.files[*id as usize])
    }

    /// The file that a span is in.
    pub fn file_of(&self, span: Span) -> &File<'a> {
        &self.files[span.file() as usize]
    }

    /// The files in a folder and below it, in the order of their paths. The empty path is the whole tree.
    pub fn below(&self, folder: &str) -> impl Iterator<Item = &File<'a>> {
        let sorted = self.sorted.get_or_init(|| {
            let mut sorted: Vec<usize> = (0..self.files.len()).collect();
            sorted.sort_by_key(|index| self.files[*index].path);
            sorted
        });
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let start = sorted.partition_point(|index| self.files[*index].path < prefix.as_str());
        let files = sorted[start..].iter().map(|index| &self.files[*index]);
        files.take_while(move |file| file.path.starts_with(&prefix))
    }

    /// A list or map of an object that was passed over, read after all; `None`, where something was merged into it, or it stands in
    /// YAML that stands in other YAML.
    pub fn whole(&self, elided: &Node<'a>) -> Option<Node<'a>> {
        if matches!(elided.value, Value::Elided { is_patched: true, .. }) {
            return None;
        }
        let file = self.file_of(elided.at);
        let start = elided.at.start() as usize;
        // Of a definition, this is all that was kept.
        if file.counts == Counts::ByNames && file.text.get(start..).is_some_and(|text| text.starts_with("{}"))
        {
            return None;
        }
        // Its document alone: a file may hold many.
        let (before, behind) = file.text.split_at_checked(start)?;
        let from = memmem::rfind(before.as_bytes(), b"\n---").map_or(0, |at| at + 1);
        let to = memmem::find(behind.as_bytes(), b"\n---").map_or(file.text.len(), |at| start + at + 1);
        let shift = u32::try_from(from).ok()?;
        let is_it =
            |node: &Node<'a>| node.at.start() + shift == elided.at.start() && node.kind() == elided.kind();
        let documents = yaml::documents(&file.text[from..to], file.id);
        let found = documents.iter().flatten().find_map(|document| {
            let fields = document.entries().iter().map(|field| &field.value);
            let below = document.entries().iter().flat_map(|field| field.value.entries());
            fields.chain(below.map(|entry| &entry.value)).find(|value| is_it(value))
        });
        let place = |at: Span| Span::new(at.file(), at.start() + shift, at.end() + shift);
        found.map(|node| node.moved(&place, &|text, _| text.clone()))
    }

    /// Whether there is a file below a folder.
    pub fn is_folder(&self, folder: &str) -> bool {
        self.below(folder).next().is_some()
    }

    /// The kustomization file of a folder, by the names that kustomize looks for.
    pub fn kustomization(&self, folder: &str) -> Option<&File<'a>> {
        self.kustomizations.get(folder).map(|index| &self.files[*index])
    }
}

// === impl File ===

impl<'a> File<'a> {
    /// Whether it counts where nothing names it.
    pub fn stands_alone(&self) -> bool {
        self.counts == Counts::Always
    }

    /// Its documents, each for itself; read when first asked for.
    pub fn documents(&self) -> &[Result<Node<'a>, Error>] {
        self.documents.get_or_init(|| {
            let asked = if self.only_what_decides { DECIDES } else { &[] };
            let twice = if is_kustomization(self.path) { Twice::LastWins } else { Twice::Refused };
            // Of what counts only where something names it, nothing but the names does.
            let only_names = self.only_what_decides && self.counts == Counts::ByNames;
            yaml::documents_as(self.text, self.id, Reading { asked, twice, only_names }).into()
        })
    }

    /// Whether its documents were read, because it counts or something names it.
    pub fn is_read(&self) -> bool {
        self.documents.get().is_some()
    }

    /// The folder that it is in; empty at the top of the tree.
    pub fn folder(&self) -> &'a str {
        folder_of(self.path)
    }
}

/// The folder of a path; empty at the top of the tree.
pub fn folder_of(path: &str) -> &str {
    memchr::memrchr(b'/', path.as_bytes()).map_or("", |at| &path[..at])
}

/// A path, and the folders above it up to the top of the tree.
pub(crate) fn with_folders_above(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| (!path.is_empty()).then(|| folder_of(path)))
}

/// Whether a file is called as kustomize calls its own.
pub fn is_kustomization(path: &str) -> bool {
    KUSTOMIZATIONS.contains(&name_of(path))
}

/// The name of a file, without its folder.
fn name_of(path: &str) -> &str {
    memchr::memrchr(b'/', path.as_bytes()).map_or(path, |at| &path[at + 1..])
}

/// The parts of a path. They are short and many, which [`str::split`] is slow for.
pub(crate) fn parts(path: &str) -> impl Iterator<Item = &str> {
    let mut left = Some(path);
    std::iter::from_fn(move || {
        let rest = left?;
        let (part, behind) = match memchr::memchr(b'/', rest.as_bytes()) {
            Some(at) => (&rest[..at], Some(&rest[at + 1..])),
            None => (rest, None),
        };
        left = behind;
        Some(part)
    })
}

/// A path that is relative to a folder, as one of the tree; `None` where it leads out of it.
pub fn join(folder: &str, path: &str) -> Option<String> {
    let mut joined = String::with_capacity(folder.len() + 1 + path.len());
    joined.push_str(folder);
    for part in parts(path) {
        match part {
            "" | "." => {}
            ".." if joined.is_empty() => return None,
            ".." => joined.truncate(folder_of(&joined).len()),
            part => {
                if !joined.is_empty() {
                    joined.push('/');
                }
                joined.push_str(part);
            }
        }
    }
    Some(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_paths_and_never_leaves_the_tree() {
        assert_eq!(join("apps/prod", "../base/./x.yaml").as_deref(), Some("apps/base/x.yaml"));
        assert_eq!(join("", "./a//b/").as_deref(), Some("a/b"));
        assert_eq!(join("apps", "..").as_deref(), Some(""));
        assert_eq!(join("apps", "../.."), None);
    }

    #[test]
    fn finds_files_by_folder() {
        let mut tree = Tree::default();
        for path in ["a/kustomization.yaml", "a/b/x.yaml", "a-b/y.yaml", "z.yaml"] {
            tree.add(path, "a: 1");
        }
        let below = |folder| tree.below(folder).map(|file| file.path).collect::<Vec<_>>();
        assert_eq!(below("a"), ["a/b/x.yaml", "a/kustomization.yaml"]);
        assert_eq!(below("").len(), 4);
        assert!(tree.is_folder("a/b") && !tree.is_folder("a/c"));
        assert_eq!(tree.kustomization("a").unwrap().folder(), "a");
        assert!(tree.kustomization("").is_none());
    }
}
