//! Who names which file: what can be told before anything is built.

use std::collections::HashMap;

use rayon::prelude::*;

use crate::render::flux::{self, FluxKustomization, Folders};
use crate::render::kustomize::Text;
use crate::render::{File, Tree, join};
use crate::yaml::Node;

use super::instance::What;
use super::objects;

/// The names of kustomization files.
const FILES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// A tree and what its files name.
pub(super) struct Index<'t, 'a> {
    pub(super) tree: &'t Tree<'a>,
    pub(super) folders: Folders<'a>,
    /// The kustomization files, in the order of their paths.
    pub(super) kustomizations: Vec<Named>,
    /// Which of them is in a folder.
    by_folder: HashMap<&'a str, usize>,
    /// The objects of Flux and its operator that lead to others, as they are written.
    pub(super) raw: Vec<Raw<'a>>,
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
pub(super) struct Named {
    pub(super) folder: String,
    pub(super) file: u32,
    pub(super) is_component: bool,
    /// Files that hold objects.
    pub(super) resources: Vec<u32>,
    /// Other kustomizations, by their number.
    pub(super) below: Vec<usize>,
    /// Files whose content goes into objects.
    pub(super) fragments: Vec<u32>,
}

/// An object of Flux or its operator, as it is written in a file.
#[derive(Debug)]
pub(super) struct Raw<'a> {
    pub(super) file: u32,
    pub(super) node: Node<'a>,
}

/// What is reached from somewhere.
#[derive(Debug, Clone, Default)]
pub(super) struct Reach {
    /// Files that hold objects.
    pub(super) resources: Vec<u32>,
    /// Kustomizations, by their number.
    pub(super) kustomizations: Vec<usize>,
}

/// What one file says.
struct Said<'a> {
    kustomization: Option<Names>,
    raw: Vec<Raw<'a>>,
}

/// What a kustomization file names, by paths in the tree.
struct Names {
    is_component: bool,
    resources: Vec<String>,
    fragments: Vec<String>,
}

// === impl Index ===

impl<'t, 'a> Index<'t, 'a> {
    pub(super) fn of(tree: &'t Tree<'a>) -> Self {
        let said: Vec<Said<'a>> = tree.files().par_iter().map(|file| said(tree, file)).collect();
        let mut kustomizations: Vec<(&File<'a>, Names)> = Vec::new();
        let mut raw = Vec::new();
        for (file, said) in tree.files().iter().zip(said) {
            kustomizations.extend(said.kustomization.map(|names| (file, names)));
            raw.extend(said.raw);
        }
        kustomizations.sort_by_key(|(file, _)| file.path);
        let by_folder: HashMap<&str, usize> =
            kustomizations.iter().enumerate().map(|(number, (file, _))| (file.folder(), number)).collect();
        let mut this = Self {
            tree,
            folders: Folders::of(tree),
            kustomizations: Vec::new(),
            by_folder,
            raw,
            named: vec![NamedAs::default(); tree.files().len()],
            is_named: vec![false; kustomizations.len()],
        };
        for (number, (file, names)) in kustomizations.into_iter().enumerate() {
            let named = this.resolve(file, &names);
            for below in named.below.iter().filter(|below| **below != number) {
                this.is_named[*below] = true;
            }
            named.resources.iter().for_each(|file| this.named[*file as usize].resource = true);
            named.fragments.iter().for_each(|file| this.named[*file as usize].fragment = true);
            this.kustomizations.push(named);
        }
        this.raw.retain(|raw| {
            let named = this.named[raw.file as usize];
            named.resource || !named.fragment
        });
        this
    }

    fn resolve(&self, file: &File<'a>, names: &Names) -> Named {
        let file_at = |path: &String| self.tree.file(path).map(|file| file.id);
        let below = names.resources.iter().filter_map(|path| self.kustomization(path)).collect();
        Named {
            folder: file.folder().to_owned(),
            file: file.id,
            is_component: names.is_component,
            resources: names.resources.iter().filter_map(file_at).collect(),
            below,
            fragments: names.fragments.iter().filter_map(file_at).collect(),
        }
    }

    /// The number of the kustomization in a folder.
    pub(super) fn kustomization(&self, folder: &str) -> Option<usize> {
        self.by_folder.get(folder).copied()
    }

    /// The folder of a kustomization, to be built.
    pub(super) fn folder(&self, number: usize) -> What<'a> {
        What::Folder(self.kustomizations[number].folder.clone())
    }

    /// What a folder leads to: by its kustomization, or by the list that kustomize-controller makes.
    pub(super) fn reach(&self, folder: &str, components: &[Text<'a>]) -> Reach {
        let mut reach = Reach::default();
        let mut seen = vec![false; self.kustomizations.len()];
        match self.kustomization(folder) {
            Some(number) => self.follow(number, &mut seen, &mut reach),
            None => {
                for path in flux::listed(self.tree, folder) {
                    let Some(path) = join(folder, &path) else { continue };
                    match (self.tree.file(&path), self.kustomization(&path)) {
                        (Some(file), _) => reach.resources.push(file.id),
                        (None, Some(number)) => self.follow(number, &mut seen, &mut reach),
                        (None, None) => {}
                    }
                }
            }
        }
        for component in components {
            if let Some(number) = join(folder, &component.text).and_then(|path| self.kustomization(&path)) {
                self.follow(number, &mut seen, &mut reach);
            }
        }
        reach
    }

    fn follow(&self, number: usize, seen: &mut [bool], reach: &mut Reach) {
        let mut stack = vec![number];
        while let Some(number) = stack.pop() {
            if std::mem::replace(&mut seen[number], true) {
                continue;
            }
            let named = &self.kustomizations[number];
            reach.kustomizations.push(number);
            reach.resources.extend(&named.resources);
            stack.extend(&named.below);
        }
    }
}

fn said<'a>(tree: &Tree<'a>, file: &File<'a>) -> Said<'a> {
    let name = file.path.rsplit('/').next().unwrap_or(file.path);
    let is_first = FILES.contains(&name)
        && tree.kustomization(file.folder()).is_some_and(|kustomization| kustomization.id == file.id);
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
    let raw: Vec<_> = raw.map(|node| Raw { file: file.id, node: node.clone() }).collect();
    let first = documents().next().filter(|node| is_first && !FluxKustomization::is_one(node));
    Said { kustomization: first.map(|node| names(file.folder(), node)), raw }
}

/// What a kustomization file names.
fn names(folder: &str, node: &Node<'_>) -> Names {
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
    let in_tree = |paths: Vec<&str>| paths.into_iter().filter_map(|path| join(folder, path)).collect();
    Names {
        is_component: node.text_of(&["kind"]) == Some("Component"),
        resources: in_tree(resources),
        fragments: in_tree(fragments),
    }
}

/// The files that an item names in lists and in a field. A generator may give a file another name: `name=path`.
fn files_of<'n>(item: &'n Node<'_>, lists: &[&str], field: &str) -> Vec<&'n str> {
    let listed = lists.iter().filter_map(|list| item.get(list)).flat_map(Node::items).filter_map(Node::text);
    let paths = listed.chain(item.text_of(&[field]));
    paths.map(|path| path.rsplit_once('=').map_or(path, |(_, path)| path)).collect()
}
