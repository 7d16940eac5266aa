//! Who names which file: what can be told before anything is built.

use rayon::prelude::*;

use crate::render::flux::{self, FluxKustomization, Folders};
use crate::render::kustomize::Text;
use crate::render::{File, Tree, join};
use crate::yaml::Node;

use super::instance::What;
use super::objects;

/// A tree and what its files name.
pub(super) struct Index<'t, 'a> {
    pub(super) tree: &'t Tree<'a>,
    pub(super) folders: Folders<'a>,
    /// The kustomization files, in the order of their paths.
    pub(super) kustomizations: Vec<Named<'a>>,
    /// For each file, which of them it is.
    numbers: Vec<Option<u32>>,
    /// For each file, how kustomization files name it.
    pub(super) named: Vec<NamedAs>,
    /// For each kustomization, whether another one names it.
    pub(super) is_named: Vec<bool>,
}

/// How kustomization files name a file.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct NamedAs {
    pub(super) resource: bool,
    pub(super) fragment: bool,
}

/// A kustomization file and what it names.
#[derive(Debug)]
pub(super) struct Named<'a> {
    pub(super) folder: &'a str,
    pub(super) file: u32,
    pub(super) is_component: bool,
    /// Files that hold objects.
    pub(super) resources: Vec<u32>,
    /// Other kustomizations: by their files, and by their numbers once all have one.
    pub(super) below: Vec<u32>,
    /// Files whose content goes into objects.
    pub(super) fragments: Vec<u32>,
}

/// An object of Flux or its operator, as it is written in a file.
pub(super) struct Raw<'a> {
    pub(super) file: u32,
    /// What it leads to; nothing, where it says too little for that.
    pub(super) what: Option<What<'a>>,
}

/// Files that hold objects, and kustomizations by their number.
#[derive(Debug, Clone, Default)]
pub(super) struct Reach {
    pub(super) resources: Vec<u32>,
    pub(super) kustomizations: Vec<u32>,
}

/// What one file says.
struct Said<'a> {
    kustomization: Option<Named<'a>>,
    raw: Vec<Raw<'a>>,
}

// === impl Index ===

impl<'t, 'a> Index<'t, 'a> {
    /// The index of a tree, and the objects of Flux and its operator in it that lead to others, as they are written.
    pub(super) fn of(tree: &'t Tree<'a>) -> (Self, Vec<Raw<'a>>) {
        let said = || -> Vec<Said<'a>> { tree.files().par_iter().map(|file| said(tree, file)).collect() };
        let (folders, said) = rayon::join(|| Folders::of(tree), said);
        let (mut kustomizations, mut raw) = (Vec::new(), Vec::new());
        for said in said {
            kustomizations.extend(said.kustomization);
            raw.extend(said.raw);
        }
        kustomizations.sort_by_key(|named| tree.files()[named.file as usize].path);
        let mut numbers = vec![None; tree.files().len()];
        for (number, named) in (0..).zip(&kustomizations) {
            numbers[named.file as usize] = Some(number);
        }
        let mut named_as = vec![NamedAs::default(); tree.files().len()];
        let mut is_named = vec![false; kustomizations.len()];
        for (number, named) in (0..).zip(&mut kustomizations) {
            named.below = named.below.iter().filter_map(|file| numbers[*file as usize]).collect();
            for below in named.below.iter().filter(|below| **below != number) {
                is_named[*below as usize] = true;
            }
            named.resources.iter().for_each(|file| named_as[*file as usize].resource = true);
            named.fragments.iter().for_each(|file| named_as[*file as usize].fragment = true);
        }
        raw.retain(|raw| {
            let named = named_as[raw.file as usize];
            named.resource || !named.fragment
        });
        (Self { tree, folders, kustomizations, numbers, named: named_as, is_named }, raw)
    }

    /// The number of the kustomization in a folder.
    pub(super) fn kustomization(&self, folder: &str) -> Option<u32> {
        self.numbers[self.tree.kustomization(folder)?.id as usize]
    }

    /// The folder of a kustomization, to be built.
    pub(super) fn folder(&self, number: u32) -> What<'a> {
        What::Folder(self.kustomizations[number as usize].folder)
    }

    /// What a folder begins with: its kustomization, or the list that kustomize-controller makes.
    pub(super) fn starts(&self, folder: &str, components: &[Text<'a>]) -> Reach {
        let mut starts = Reach::default();
        match self.kustomization(folder) {
            Some(number) => starts.kustomizations.push(number),
            None => {
                for path in flux::listed(self.tree, folder) {
                    let Some(path) = join(folder, &path) else { continue };
                    match self.tree.file(&path) {
                        Some(file) => starts.resources.push(file.id),
                        None => starts.kustomizations.extend(self.kustomization(&path)),
                    }
                }
            }
        }
        let components = components.iter().filter_map(|component| join(folder, &component.text));
        starts.kustomizations.extend(components.filter_map(|path| self.kustomization(&path)));
        starts
    }

    /// The files with objects that a folder leads to.
    pub(super) fn resources(&self, folder: &str, components: &[Text<'a>]) -> Vec<u32> {
        let Reach { mut resources, kustomizations } = self.starts(folder, components);
        let mut seen = vec![false; self.kustomizations.len()];
        self.follow(kustomizations, &mut seen, |files| resources.extend(files));
        resources
    }

    /// Goes to kustomizations and all that they lead to, unless that was seen before, and tells the files with objects that they name.
    pub(super) fn follow(&self, starts: Vec<u32>, seen: &mut [bool], mut tell: impl FnMut(&[u32])) {
        let mut stack = starts;
        while let Some(number) = stack.pop() {
            if std::mem::replace(&mut seen[number as usize], true) {
                continue;
            }
            let named = &self.kustomizations[number as usize];
            tell(&named.resources);
            stack.extend(&named.below);
        }
    }
}

fn said<'a>(tree: &Tree<'a>, file: &File<'a>) -> Said<'a> {
    let is_first = tree.kustomization(file.folder()).is_some_and(|kustomization| kustomization.id == file.id);
    let leads_on =
        ["kustomize.toolkit.fluxcd.io", "fluxcd.controlplane.io"].iter().any(|it| file.text.contains(it));
    if !is_first && !leads_on {
        return Said { kustomization: None, raw: Vec::new() };
    }
    let documents = || file.documents().iter().filter_map(|document| document.as_ref().ok());
    let is_one = |node: &Node<'_>| {
        FluxKustomization::is_one(node) || flux::is_flux_instance(node) || flux::is_resource_set(node)
    };
    let raw = documents().flat_map(objects::expand).filter(|node| leads_on && is_one(node));
    let raw: Vec<_> = raw.map(|node| Raw { file: file.id, what: What::of(node, tree) }).collect();
    let first = documents().next().filter(|node| is_first && !FluxKustomization::is_one(node));
    Said { kustomization: first.map(|node| named(tree, file, node)), raw }
}

/// What a kustomization file names.
fn named<'a>(tree: &Tree<'a>, file: &File<'a>, node: &Node<'_>) -> Named<'a> {
    let (mut resources, mut fragments) = (Vec::new(), Vec::new());
    for entry in node.entries() {
        let items = entry.value.items().iter();
        match &*entry.key.text {
            "resources" | "bases" | "components" => resources.extend(items.filter_map(Node::text)),
            "patches" | "patchesJson6902" | "replacements" => {
                fragments.extend(items.filter_map(|item| item.text_of(&["path"])));
            }
            "patchesStrategicMerge"
            | "configurations"
            | "crds"
            | "transformers"
            | "generators"
            | "validators" => {
                fragments.extend(items.filter_map(Node::text).filter(|text| !text.contains('\n')));
            }
            "configMapGenerator" | "secretGenerator" => {
                fragments.extend(items.flat_map(|item| files_of(item, &["files", "envs"], "env")));
            }
            "helmCharts" => {
                fragments
                    .extend(items.flat_map(|item| files_of(item, &["additionalValuesFiles"], "valuesFile")));
            }
            "openapi" => fragments.extend(entry.value.text_of(&["path"])),
            _ => {}
        }
    }
    let folder = file.folder();
    let in_tree = |path: &str| join(folder, path);
    let file_at = |path: &str| tree.file(path).map(|file| file.id);
    let mut named = Named {
        folder,
        file: file.id,
        is_component: node.text_of(&["kind"]) == Some("Component"),
        resources: Vec::new(),
        below: Vec::new(),
        fragments: fragments.into_iter().filter_map(in_tree).filter_map(|path| file_at(&path)).collect(),
    };
    for path in resources.into_iter().filter_map(in_tree) {
        match file_at(&path) {
            Some(file) => named.resources.push(file),
            None => named.below.extend(tree.kustomization(&path).map(|file| file.id)),
        }
    }
    named
}

/// The files that an item names in lists and in a field. A generator may give a file another name: `name=path`.
fn files_of<'n>(item: &'n Node<'_>, lists: &[&str], field: &str) -> Vec<&'n str> {
    let listed = lists.iter().filter_map(|list| item.get(list)).flat_map(Node::items).filter_map(Node::text);
    let paths = listed.chain(item.text_of(&[field]));
    paths.map(|path| path.rsplit_once('=').map_or(path, |(_, path)| path)).collect()
}
