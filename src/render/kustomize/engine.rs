//! Folders, each built once.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock};

use super::assembly::Assembly;
use super::kustomization::{Kustomization, Patch, Text};
use super::printing;
use super::resource::Resource;
use crate::render::tree::{Note, Reason, Tree, folder_of, join};
use crate::yaml::Span;

/// The kustomizations of a tree.
#[derive(Debug)]
pub struct Kustomize<'t, 'a> {
    pub(super) tree: &'t Tree<'a>,
    folders: Mutex<HashMap<String, Arc<Folder<'a>>>>,
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
    pub(super) resources: Vec<Named>,
    pub(super) components: Vec<Named>,
    pub(super) notes: Vec<Note>,
}

/// Something that a kustomization names.
#[derive(Debug)]
pub(super) struct Named {
    /// Where it is named.
    pub(super) at: Span,
    /// What is there.
    pub(super) to: To,
}

/// What is behind a path.
#[derive(Debug)]
pub(super) enum To {
    /// A file, by its path in the tree.
    File(String),
    /// A folder with a kustomization file, by its path in the tree.
    Folder(String),
    /// Nothing that can be rendered.
    Nowhere(Reason, String),
}

// === impl Kustomize ===

impl<'t, 'a> Kustomize<'t, 'a> {
    /// The kustomizations of a tree, none of which is built yet.
    pub fn of(tree: &'t Tree<'a>) -> Self {
        Self { tree, folders: Mutex::default() }
    }

    /// What the kustomization file of a folder makes; `None` where the folder has none.
    pub fn folder(&self, folder: &str) -> Option<Arc<Build<'a>>> {
        self.read(folder)?;
        self.build_below([folder]);
        Some(self.built(folder))
    }

    /// What a kustomization makes that is in no file, but would be in a folder.
    pub fn given(&self, folder: &str, kustomization: Kustomization<'a>) -> Build<'a> {
        let read = self.resolve(folder, kustomization, Vec::new());
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
        let read = self.read(folder)?;
        Some((read.kustomization.clone(), read.notes.clone()))
    }

    /// What is known of a folder that was built before.
    pub(super) fn built(&self, folder: &str) -> Arc<Build<'a>> {
        let known = self.known(folder);
        let build = known.build.get_or_init(|| {
            let read = self.read(folder).expect("only folders with a kustomization are built");
            Arc::new(Assembly::of(self, folder, &read))
        });
        Arc::clone(build)
    }

    /// Builds folders and all that they lead to, from below, so that nothing recurses into a chain of any length.
    fn build_below<'f>(&self, folders: impl IntoIterator<Item = &'f str>) {
        let mut stack: Vec<(String, bool)> = folders.into_iter().map(|it| (it.to_owned(), false)).collect();
        let mut seen = HashSet::new();
        while let Some((folder, is_ready)) = stack.pop() {
            let known = self.known(&folder);
            if known.build.get().is_some() {
                continue;
            }
            let Some(read) = self.read(&folder) else { continue };
            if is_ready {
                if read.folders().all(|below| self.known(below).is_acyclic.get().is_some()) {
                    known.is_acyclic.get_or_init(|| ());
                }
                self.built(&folder);
            } else if seen.insert(folder.clone()) {
                stack.push((folder, true));
                stack.extend(read.folders().map(|below| (below.to_owned(), false)));
            }
        }
    }

    /// Whether a folder leads to one that names it, or to one that holds that. kustomize calls either a cycle.
    pub(super) fn leads_back(&self, from: &str, to: &str) -> bool {
        let above = std::iter::successors(Some(to), |folder| (!folder.is_empty()).then(|| folder_of(folder)));
        let above: Vec<&str> =
            above.skip(1).filter(|folder| self.tree.kustomization(folder).is_some()).collect();
        if above.is_empty() && self.known(from).is_acyclic.get().is_some() {
            return false;
        }
        let mut stack = vec![from.to_owned()];
        let mut seen = HashSet::new();
        while let Some(folder) = stack.pop() {
            if folder == to || above.contains(&folder.as_str()) {
                return true;
            }
            let Some(read) = self.read(&folder) else { continue };
            if read.folders().next().is_some() && seen.insert(folder) {
                stack.extend(read.folders().map(str::to_owned));
            }
        }
        false
    }

    /// The kustomization of a folder, and what it names.
    pub(super) fn read(&self, folder: &str) -> Option<Arc<Read<'a>>> {
        let known = self.known(folder);
        known.read.get_or_init(|| self.read_now(folder)).clone()
    }

    fn read_now(&self, folder: &str) -> Option<Arc<Read<'a>>> {
        let file = self.tree.kustomization(folder)?;
        let mut notes = Vec::new();
        let start = Span { file: file.id, start: 0, end: 0 };
        let documents = super::documents::of_file(file, &mut notes);
        let kustomization = match documents.first() {
            Some(document) => Kustomization::read(document, &mut notes),
            None => Kustomization::at(start),
        };
        let names = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
        let files = names
            .iter()
            .filter(|name| join(folder, name).is_some_and(|path| self.tree.file(&path).is_some()));
        if files.count() > 1 {
            let message = "the folder has more than one kustomization file".to_owned();
            notes.push(Note { at: start, reason: Reason::Refused, message });
        }
        Some(Arc::new(self.resolve(folder, kustomization, notes)))
    }

    fn resolve(&self, folder: &str, kustomization: Kustomization<'a>, notes: Vec<Note>) -> Read<'a> {
        let resources = kustomization.resources.iter().chain(&kustomization.bases);
        let resources = resources.map(|path| self.resource(folder, path)).collect();
        let components = kustomization.components.iter().map(|path| self.component(folder, path)).collect();
        Read { kustomization, resources, components, notes }
    }

    fn resource(&self, folder: &str, path: &Text<'a>) -> Named {
        let to = match join(folder, &path.text).filter(|_| !is_elsewhere(&path.text)) {
            Some(file) if self.tree.file(&file).is_some() => To::File(file),
            Some(below) => self.to_folder(below, &path.text),
            None => nowhere(&path.text),
        };
        Named { at: path.at, to }
    }

    fn component(&self, folder: &str, path: &Text<'a>) -> Named {
        let to = match join(folder, &path.text).filter(|_| !is_elsewhere(&path.text)) {
            Some(below) => self.to_folder(below, &path.text),
            None => nowhere(&path.text),
        };
        Named { at: path.at, to }
    }

    fn to_folder(&self, folder: String, path: &str) -> To {
        if self.tree.kustomization(&folder).is_some() {
            return To::Folder(folder);
        }
        if self.tree.is_folder(&folder) {
            return To::Nowhere(Reason::Missing, format!("{path} is a folder without a kustomization file"));
        }
        if is_repository(path) {
            return nowhere(path);
        }
        To::Nowhere(Reason::Missing, format!("{path} is not there"))
    }

    fn known(&self, folder: &str) -> Arc<Folder<'a>> {
        let mut folders = self.folders.lock().expect("nothing panics while it holds the lock");
        if let Some(known) = folders.get(folder) {
            return Arc::clone(known);
        }
        Arc::clone(folders.entry(folder.to_owned()).or_default())
    }
}

// === impl Build ===

impl<'a> Build<'a> {
    /// The objects as kustomize prints them.
    pub fn printed(&self) -> Vec<Resource<'a>> {
        self.resources.iter().filter_map(printing::printed).collect()
    }

    /// What was left out here and in all that it names, each once, ordered by place.
    pub fn all_notes(&self) -> Vec<&Note> {
        let mut notes: Vec<&Note> = self.notes.iter().collect();
        let mut stack: Vec<&Arc<Self>> = self.below.iter().collect();
        let mut seen = HashSet::new();
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

impl Read<'_> {
    /// The folders that it names.
    fn folders(&self) -> impl Iterator<Item = &str> {
        self.resources.iter().chain(&self.components).filter_map(|named| match &named.to {
            To::Folder(folder) => Some(folder.as_str()),
            _ => None,
        })
    }
}

/// Whether a path is a URL, or one of the machine.
pub(super) fn is_elsewhere(path: &str) -> bool {
    path.contains("://") || path.starts_with('/')
}

/// Whether a path that leads nowhere in the tree looks like a repository, as kustomize would clone it.
fn is_repository(path: &str) -> bool {
    path.starts_with("git@")
        || path.starts_with("git::")
        || path.starts_with("github.com/")
        || path.contains("?ref=")
}

/// What there is to say of a path out of the tree.
pub(super) fn nowhere(path: &str) -> To {
    To::Nowhere(Reason::Remote, format!("{path} is not in the tree"))
}
