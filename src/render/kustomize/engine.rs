//! Folders, each built once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use foldhash::{HashMap, HashSet};

use super::assembly::Assembly;
use super::inline::{self, Unreadable};
use super::kustomization::{Kustomization, Patch, Text};
use super::printing;
use super::resource::Resource;
use crate::render::artifact::View;
use crate::render::tree::{File, KUSTOMIZATIONS, Note, Reason, Tree, join, with_folders_above};
use crate::yaml::{self, Node, Reading, Span, Twice};

/// How much is done for any tree, and for each of its files besides: an object that is handed on counts one and a part of its way
/// here, a component [`COMPONENT`], and a copied value one. Some files of a few lines make objects, or values, without end. Of 13
/// public repositories, with 8,885 files, none takes more than seven for each file.
const MAX_WORK: usize = 150_000;
const MAX_WORK_OF_FILE: usize = 50;

/// More values than may be copied in one step.
pub(super) const TOO_MANY: usize = 1_000_000;

/// What applying a component counts.
pub(super) const COMPONENT: usize = 20;

/// The note where this limit is reached.
pub(in crate::render) const TOO_MUCH: &str =
    "more is made of this tree than is rendered: objects, components, copies or variables double here";

/// The kustomizations of a tree.
#[derive(Debug)]
pub struct Kustomize<'t, 'a> {
    pub(super) tree: &'t Tree<'a>,
    /// The files of it that are seen.
    pub(super) view: View<'t, 'a>,
    /// How much may still be done, by all of one tree together.
    left: Arc<AtomicUsize>,
    folders: Mutex<HashMap<&'a str, Arc<Folder<'a>>>>,
    /// The YAML that stands in other YAML, by its place. One patch that a Kustomization hands to all below it is read by each of them. Also
    /// whole files that are read in another way than most.
    inline: Mutex<HashMap<(Span, Twice), Arc<Inline<'a>>>>,
}

/// YAML that stands in other YAML.
#[derive(Debug)]
pub(super) struct Inline<'a> {
    text: String,
    /// Its documents, or where and why they cannot be read.
    pub(super) documents: Vec<Result<Node<'a>, Unreadable>>,
}

/// What a kustomization makes.
#[derive(Debug, Default)]
pub struct Build<'a> {
    /// The objects, in the order in which they are gathered, as they are handed to a folder that names this one.
    pub resources: Vec<Resource<'a>>,
    /// What was left out here.
    pub notes: Vec<Note>,
    /// The builds of the folders that it names.
    pub below: Vec<Arc<Build<'a>>>,
    /// Why objects are missing that a patch may be for, here or below.
    pub(super) incomplete: Option<Reason>,
    /// Whether `configurations`, here or below, decide about the charts of HelmReleases.
    pub(super) opens_charts: bool,
}

/// What is known of a folder.
#[derive(Debug, Default)]
struct Folder<'a> {
    read: OnceLock<Option<Arc<Read<'a>>>>,
    build: OnceLock<Arc<Build<'a>>>,
    /// Set once it is known that no cycle is below.
    is_acyclic: OnceLock<()>,
}

/// A kustomization, and what it names.
#[derive(Debug)]
pub(super) struct Read<'a> {
    pub(super) kustomization: Kustomization<'a>,
    pub(super) resources: Arc<[Named<'a>]>,
    pub(super) components: Vec<Named<'a>>,
    pub(super) notes: Vec<Note>,
}

/// Something that a kustomization names.
#[derive(Debug)]
pub(super) struct Named<'a> {
    /// Where it is named.
    pub(super) at: Span,
    /// What is there.
    pub(super) to: To<'a>,
}

/// What is behind a path.
#[derive(Debug)]
pub(super) enum To<'a> {
    /// A file, by its number in the tree.
    File(u32),
    /// A folder with a kustomization file, by its path in the tree.
    Folder(&'a str),
    /// Nothing that can be rendered.
    Nowhere(Reason, String),
}

// === impl Kustomize ===

impl<'t, 'a> Kustomize<'t, 'a> {
    /// The kustomizations of a tree, none of which is built yet.
    pub fn of(tree: &'t Tree<'a>) -> Self {
        let left = MAX_WORK + MAX_WORK_OF_FILE * tree.files().len();
        Self::with(View::whole(tree), Arc::new(AtomicUsize::new(left)))
    }

    /// The kustomizations of the same tree, built from the files that are seen.
    #[must_use]
    pub fn within(&self, view: View<'t, 'a>) -> Self {
        Self::with(view, Arc::clone(&self.left))
    }

    fn with(view: View<'t, 'a>, left: Arc<AtomicUsize>) -> Self {
        Self { tree: view.tree(), view, left, folders: Mutex::default(), inline: Mutex::default() }
    }

    /// The files that are seen.
    pub fn view(&self) -> &View<'t, 'a> {
        &self.view
    }

    /// Whether so much more may be done, which then counts as done.
    pub(in crate::render) fn may_do(&self, work: usize) -> bool {
        let less = |left: usize| left.checked_sub(work);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    /// What the kustomization file of a folder makes; `None` where the folder has none.
    pub fn folder(&self, folder: &str) -> Option<Arc<Build<'a>>> {
        let folder = self.view.kustomization(folder)?.folder();
        self.build_below([folder]);
        Some(self.built(folder))
    }

    /// The same, for somebody who is the only one to ask: it is not kept.
    pub(crate) fn once(&self, folder: &str) -> Option<Build<'a>> {
        let folder = self.view.kustomization(folder)?.folder();
        let read = self.read(folder)?;
        self.build_below(read.folders());
        Some(Assembly::of_file(self, folder, &read))
    }

    /// What a kustomization makes that is in no file, but would be in a folder.
    pub fn given(&self, folder: &str, kustomization: Kustomization<'a>) -> Build<'a> {
        let own = self.view.kustomization(folder).and_then(|file| self.read(file.folder()));
        let read = self.resolve(folder, kustomization, Vec::new(), own.as_deref());
        self.build_below(read.folders());
        Assembly::of(self, folder, &read)
    }

    /// What patches that stand in their own object make of one of the objects that they may be for. That one is for another object is a note with
    /// [`Reason::Remote`].
    pub fn patched(&self, resource: Resource<'a>, patches: &[Patch<'a>]) -> Build<'a> {
        Assembly::patched(self, resource, patches)
    }

    /// The kustomization of a folder as its file has it, with what kustomize would refuse about it.
    pub fn kustomization(&self, folder: &str) -> Option<(Kustomization<'a>, Vec<Note>)> {
        let read = self.read(self.view.kustomization(folder)?.folder())?;
        Some((read.kustomization.clone(), read.notes.clone()))
    }

    /// What is known of a folder that was built before.
    pub(super) fn built(&self, folder: &'a str) -> Arc<Build<'a>> {
        let known = self.known(folder);
        let build = known.build.get_or_init(|| {
            let read = self.read(folder).expect("only folders with a kustomization are built");
            Arc::new(Assembly::of_file(self, folder, &read))
        });
        Arc::clone(build)
    }

    /// Builds folders and all that they lead to, from below, so that nothing recurses into a chain of any length.
    fn build_below(&self, folders: impl IntoIterator<Item = &'a str>) {
        let mut stack: Vec<(&'a str, bool)> = folders.into_iter().map(|folder| (folder, false)).collect();
        let mut seen = HashSet::default();
        while let Some((folder, is_ready)) = stack.pop() {
            let known = self.known(folder);
            if known.build.get().is_some() {
                continue;
            }
            let Some(read) = self.read(folder) else { continue };
            if is_ready {
                if read.folders().all(|below| self.known(below).is_acyclic.get().is_some()) {
                    known.is_acyclic.get_or_init(|| ());
                }
                self.built(folder);
            } else if seen.insert(folder) {
                stack.push((folder, true));
                stack.extend(read.folders().map(|below| (below, false)));
            }
        }
    }

    /// Whether a folder leads to one that names it, or to one that holds that. kustomize calls either a cycle.
    pub(super) fn leads_back(&self, from: &'a str, to: &str) -> bool {
        let above = with_folders_above(to).skip(1);
        let above: Vec<&str> = above.filter(|folder| self.view.kustomization(folder).is_some()).collect();
        if above.is_empty() && self.known(from).is_acyclic.get().is_some() {
            return false;
        }
        let mut stack = vec![from];
        let mut seen = HashSet::default();
        while let Some(folder) = stack.pop() {
            if folder == to || above.contains(&folder) {
                return true;
            }
            let Some(read) = self.read(folder) else { continue };
            if read.folders().next().is_some() && seen.insert(folder) {
                stack.extend(read.folders());
            }
        }
        false
    }

    /// The kustomization of a folder, and what it names.
    pub(super) fn read(&self, folder: &'a str) -> Option<Arc<Read<'a>>> {
        let known = self.known(folder);
        known.read.get_or_init(|| self.read_now(folder)).clone()
    }

    fn read_now(&self, folder: &str) -> Option<Arc<Read<'a>>> {
        let file = self.view.kustomization(folder)?;
        let mut notes = Vec::new();
        let start = Span::new(file.id, 0, 0);
        let documents = super::documents::of_file(file, &mut notes);
        let kustomization = match documents.first() {
            Some(document) => Kustomization::read(document, &mut notes),
            None => Kustomization { is_empty: true, ..Kustomization::at(start) },
        };
        let mut path = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let name_starts = path.len();
        let files = KUSTOMIZATIONS.into_iter().filter(|name| {
            path.truncate(name_starts);
            path.push_str(name);
            self.view.file(&path).is_some()
        });
        if files.count() > 1 {
            let message = "the folder has more than one kustomization file".to_owned();
            notes.push(Note::new(start, Reason::Refused, message));
        }
        Some(Arc::new(self.resolve(folder, kustomization, notes, None)))
    }

    /// Finds out what a kustomization names. One that was made of another one names the same resources as a rule.
    fn resolve(
        &self,
        folder: &str,
        kustomization: Kustomization<'a>,
        notes: Vec<Note>,
        origin: Option<&Read<'a>>,
    ) -> Read<'a> {
        let names_the_same = |origin: &&Read<'a>| {
            let Kustomization { resources, bases, .. } = &origin.kustomization;
            *resources == kustomization.resources && *bases == kustomization.bases
        };
        let resources = if let Some(origin) = origin.filter(names_the_same) {
            Arc::clone(&origin.resources)
        } else {
            let resources = kustomization.resources.iter().chain(&kustomization.bases);
            resources.map(|path| self.resource(folder, path)).collect()
        };
        let components = kustomization.components.iter().map(|path| self.component(folder, path)).collect();
        Read { kustomization, resources, components, notes }
    }

    fn resource(&self, folder: &str, path: &Text<'a>) -> Named<'a> {
        let to = match in_tree(folder, &path.text) {
            Some(there) => match self.view.file(&there) {
                Some(file) => To::File(file.id),
                None => self.to_folder(&there, &path.text),
            },
            None => nowhere(&path.text),
        };
        Named { at: path.at, to }
    }

    fn component(&self, folder: &str, path: &Text<'a>) -> Named<'a> {
        let to = match in_tree(folder, &path.text) {
            Some(below) => self.to_folder(&below, &path.text),
            None => nowhere(&path.text),
        };
        Named { at: path.at, to }
    }

    fn to_folder(&self, folder: &str, path: &str) -> To<'a> {
        if let Some(file) = self.view.kustomization(folder) {
            return To::Folder(file.folder());
        }
        if self.view.is_folder(folder) {
            let why = self.view.reason(folder).map_or_else(String::new, |reason| format!(": {reason}"));
            let message = format!("{path} is a folder without a kustomization file{why}");
            return To::Nowhere(Reason::Missing, message);
        }
        if is_repository(path) {
            return nowhere(path);
        }
        To::Nowhere(Reason::Missing, self.view.absence(path, folder))
    }

    /// YAML that stands in other YAML.
    pub(super) fn inline(&self, text: &Text<'_>, reading: Reading) -> Arc<Inline<'a>> {
        let read = || inline::documents(text, self.tree.file_of(text.at).text, reading);
        self.read_once(&text.text, (text.at, reading.twice), read)
    }

    /// A file, read in another way than most.
    pub(super) fn file(&self, file: &File<'a>, reading: Reading) -> Arc<Inline<'a>> {
        let whole = Span::of(file.id, 0..file.text.len());
        let read = || {
            let documents = yaml::documents_as(file.text, file.id, reading).into_iter();
            documents.map(|it| it.map_err(|error| Unreadable::of(&error, file.id))).collect()
        };
        self.read_once("", (whole, reading.twice), read)
    }

    fn read_once(
        &self,
        text: &str,
        key: (Span, Twice),
        read: impl FnOnce() -> Vec<Result<Node<'a>, Unreadable>>,
    ) -> Arc<Inline<'a>> {
        let lock = || self.inline.lock().expect("nothing panics while it holds the lock");
        // Variables may have made another text of it, at the same place.
        if let Some(known) = lock().get(&key).filter(|known| text == known.text) {
            return Arc::clone(known);
        }
        let new = Arc::new(Inline { text: text.to_owned(), documents: read() });
        lock().insert(key, Arc::clone(&new));
        new
    }

    fn known(&self, folder: &'a str) -> Arc<Folder<'a>> {
        let mut folders = self.folders.lock().expect("nothing panics while it holds the lock");
        Arc::clone(folders.entry(folder).or_default())
    }
}

// === impl Build ===

impl<'a> Build<'a> {
    /// The objects as kustomize prints them.
    pub fn printed(&self) -> Vec<Resource<'a>> {
        self.resources.iter().cloned().filter_map(printing::printed).collect()
    }

    /// The same, of a build that is of no use any more.
    pub(crate) fn into_printed(self) -> Vec<Resource<'a>> {
        self.resources.into_iter().filter_map(printing::printed).collect()
    }

    /// What was left out here and in all that it names, each once, ordered by place.
    pub fn all_notes(&self) -> Vec<&Note> {
        let mut notes: Vec<&Note> = self.notes.iter().collect();
        let mut stack: Vec<&Arc<Self>> = self.below.iter().collect();
        let mut seen = HashSet::default();
        while let Some(build) = stack.pop() {
            if seen.insert(Arc::as_ptr(build)) {
                notes.extend(&build.notes);
                stack.extend(&build.below);
            }
        }
        notes.sort();
        notes.dedup();
        notes
    }
}

// === impl Read ===

impl<'a> Read<'a> {
    /// The folders that it names.
    fn folders(&self) -> impl Iterator<Item = &'a str> {
        self.resources.iter().chain(&self.components).filter_map(|named| match named.to {
            To::Folder(folder) => Some(folder),
            _ => None,
        })
    }
}

/// A path that is named in a folder, as one of the tree; `None` where it is a URL, one of the machine, or leads out of the tree.
pub(crate) fn in_tree(folder: &str, path: &str) -> Option<String> {
    let is_elsewhere = path.contains("://") || path.starts_with('/');
    if is_elsewhere { None } else { join(folder, path) }
}

/// Whether a path that leads nowhere in the tree looks like a repository, as kustomize would clone it.
fn is_repository(path: &str) -> bool {
    path.starts_with("git@")
        || path.starts_with("git::")
        || path.starts_with("github.com/")
        || path.contains("?ref=")
}

/// What there is to say of a path out of the tree.
pub(super) fn nowhere<'a>(path: &str) -> To<'a> {
    To::Nowhere(Reason::Remote, format!("{path} is not in the tree"))
}
