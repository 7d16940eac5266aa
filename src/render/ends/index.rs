//! Who names which file: what can be told before anything is built.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use foldhash::{HashMap, HashMapExt as _};
use memchr::memmem::Finder;
use rayon::prelude::*;

use crate::render::artifact::View;
use crate::render::flux::{self, FluxKustomization, Folders, Source};
use crate::render::kustomize::{Names, Text, canonical};
use crate::render::{File, Tree, join};
use crate::yaml::{Node, Str};

use super::artifacts::{SourceObject, Sources};
use super::instance::What;
use super::objects::{self, Kind};

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
    /// Where the sources of manifests that are described here come from, by kind and name.
    urls: HashMap<(Str<'a>, Str<'a>), BTreeSet<String>>,
    /// The sources that are described here.
    pub(super) sources: Sources<'a>,
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
#[derive(Default)]
struct Said<'a> {
    kustomization: Option<Named<'a>>,
    raw: Vec<Raw<'a>>,
    /// Sources of manifests, by kind and name, and what they are downloaded from.
    urls: Vec<((Str<'a>, Str<'a>), String)>,
    sources: Vec<SourceObject<'a>>,
}

/// What a file holds that holds objects that lead to others.
static LEADING: LazyLock<[Finder<'static>; 2]> =
    LazyLock::new(|| ["kustomize.toolkit.fluxcd.io", "fluxcd.controlplane.io"].map(Finder::new));

/// What a file holds that holds sources of manifests.
static SOURCES: LazyLock<[Finder<'static>; 3]> =
    LazyLock::new(|| ["GitRepository", "OCIRepository", "Bucket"].map(Finder::new));

// === impl Index ===

impl<'t, 'a> Index<'t, 'a> {
    /// The index of a tree, and the objects of Flux and its operator in it that lead to others, as they are written.
    pub(super) fn of(tree: &'t Tree<'a>) -> (Self, Vec<Raw<'a>>) {
        let said = || -> Vec<Said<'a>> { tree.files().par_iter().map(|file| said(tree, file)).collect() };
        let (folders, said) = rayon::join(|| Folders::of(tree), said);
        let (mut kustomizations, mut raw, mut sources) = (Vec::new(), Vec::new(), Sources::default());
        let mut urls: HashMap<_, BTreeSet<String>> = HashMap::new();
        for said in said {
            kustomizations.extend(said.kustomization);
            raw.extend(said.raw);
            sources.extend(said.sources);
            for (source, url) in said.urls {
                urls.entry(source).or_default().insert(url);
            }
        }
        kustomizations.sort_by_key(|named| tree.files()[named.file as usize].path);
        let mut numbers = vec![None; tree.files().len()];
        for (number, named) in (0..).zip(&kustomizations) {
            numbers[named.file as usize] = Some(number);
        }
        let mut named_as = vec![NamedAs::default(); tree.files().len()];
        let mut is_named = vec![false; kustomizations.len()];
        for named in &mut kustomizations {
            named.below = named.below.iter().filter_map(|file| numbers[*file as usize]).collect();
        }
        let counts = counting(tree, &kustomizations);
        for (number, named) in (0..).zip(&kustomizations).filter(|(number, _)| counts[*number as usize]) {
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
        (Self { tree, folders, kustomizations, numbers, named: named_as, is_named, urls, sources }, raw)
    }

    /// Whether two sources can be the same repository: they have one name, or come from one place.
    pub(super) fn may_be_one_repository(&self, one: &Source<'a>, other: &Source<'a>) -> bool {
        let (one, other) = (one.kind_and_name(), other.kind_and_name());
        let shared = |(one, other): (&BTreeSet<String>, &BTreeSet<String>)| !one.is_disjoint(other);
        one == other || self.urls.get(&one).zip(self.urls.get(&other)).is_some_and(shared)
    }

    /// Whether two sources come from two places that are both described here.
    pub(super) fn are_two_repositories(&self, one: &Source<'a>, other: &Source<'a>) -> bool {
        let urls = (self.urls.get(&one.kind_and_name()), self.urls.get(&other.kind_and_name()));
        matches!(urls, (Some(one), Some(other)) if one.is_disjoint(other))
    }

    /// The number of the kustomization in a folder.
    fn number(&self, view: &View<'_, 'a>, folder: &str) -> Option<u32> {
        self.numbers[view.kustomization(folder)?.id as usize]
    }

    /// The folder of a kustomization, to be built.
    pub(super) fn folder(&self, number: u32) -> What<'a> {
        What::Folder(self.kustomizations[number as usize].folder)
    }

    /// What a folder begins with: its kustomization, or the list that kustomize-controller makes.
    pub(super) fn starts(&self, view: &View<'_, 'a>, folder: &str, components: &[Text<'a>]) -> Reach {
        let mut starts = Reach::default();
        match self.number(view, folder) {
            Some(number) => starts.kustomizations.push(number),
            None => {
                for path in flux::listed(view, folder) {
                    let Some(path) = join(folder, &path) else { continue };
                    match view.file(&path) {
                        Some(file) => starts.resources.push(file.id),
                        None => starts.kustomizations.extend(self.number(view, &path)),
                    }
                }
            }
        }
        let components = components.iter().filter_map(|component| join(folder, &component.text));
        starts.kustomizations.extend(components.filter_map(|path| self.number(view, &path)));
        starts
    }

    /// The files with objects that a folder leads to.
    pub(super) fn resources(&self, view: &View<'_, 'a>, folder: &str, components: &[Text<'a>]) -> Vec<u32> {
        let Reach { mut resources, kustomizations } = self.starts(view, folder, components);
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
    let mentions = |words: &[Finder<'_>]| words.iter().any(|it| it.find(file.text.as_bytes()).is_some());
    let leads_on = file.stands_alone() && mentions(&*LEADING);
    let has_sources = file.stands_alone() && mentions(&*SOURCES);
    if !is_first && !leads_on && !has_sources {
        return Said::default();
    }
    let documents = || file.documents().iter().filter_map(|document| document.as_ref().ok());
    let is_one = |node: &Node<'_>| {
        FluxKustomization::is_one(node) || flux::is_flux_instance(node) || flux::is_resource_set(node)
    };
    let raw = documents().flat_map(objects::expand).filter(|node| leads_on && is_one(node));
    let raw: Vec<_> = raw.map(|node| Raw { file: file.id, what: What::of(node, tree) }).collect();
    let first = documents().next().filter(|node| is_first && !FluxKustomization::is_one(node));
    let objects = || documents().flat_map(objects::expand).filter(|_| has_sources);
    let urls = objects().filter_map(url_of).collect();
    let sources = objects().filter_map(SourceObject::read).collect();
    Said { kustomization: first.map(|node| named(tree, file, node)), raw, urls, sources }
}

/// For each kustomization, whether what it names counts as named: not where it is hidden or left out of artifacts and no other one that counts names
/// it. A Kustomization of Flux may build it all the same.
fn counting(tree: &Tree<'_>, kustomizations: &[Named<'_>]) -> Vec<bool> {
    let stands_alone = |named: &Named<'_>| tree.files()[named.file as usize].stands_alone();
    let mut counts: Vec<bool> = kustomizations.iter().map(stands_alone).collect();
    if counts.iter().all(|counts| *counts) {
        return counts;
    }
    let mut stack: Vec<usize> = (0..kustomizations.len()).filter(|number| counts[*number]).collect();
    while let Some(number) = stack.pop() {
        for below in &kustomizations[number].below {
            if !std::mem::replace(&mut counts[*below as usize], true) {
                stack.push(*below as usize);
            }
        }
    }
    counts
}

/// What a source of manifests is called, and what it is downloaded from: host and path, however they are spelled.
fn url_of<'a>(node: &Node<'a>) -> Option<((Str<'a>, Str<'a>), String)> {
    if !matches!(Kind::of(node)?, Kind::GitRepository | Kind::OciRepository | Kind::Bucket) {
        return None;
    }
    let text = |path: &[&str]| node.at(path).and_then(Text::of).map(|text| text.text);
    let url = text(&["spec", "url"]).or_else(|| text(&["spec", "endpoint"]))?;
    let without_scheme = url.split_once("://").map_or(&*url, |(_, rest)| rest);
    let without_user = without_scheme.split_once('@').map_or(without_scheme, |(_, rest)| rest);
    let place = without_user.trim_end_matches('/').trim_end_matches(".git").to_ascii_lowercase();
    Some(((text(&["kind"])?, text(&["metadata", "name"])?), place))
}

/// Whether a kustomization file is a Component, which takes another one to be built. One of another version is built by nothing.
fn is_component(node: &Node<'_>) -> bool {
    let version = node.text_of(&["apiVersion"]).unwrap_or_default();
    node.text_of(&["kind"]) == Some("Component") && matches!(version, "" | "kustomize.config.k8s.io/v1alpha1")
}

/// What a kustomization file names.
fn named<'a>(tree: &Tree<'a>, file: &File<'a>, node: &Node<'_>) -> Named<'a> {
    let node = &*canonical(node);
    let all = Names::of(node);
    let folder = file.folder();
    let in_tree = |path: &str| join(folder, path);
    let file_at = |path: &str| tree.file(path).map(|file| file.id);
    let fragments = all.fragments.into_iter().chain(all.files.iter().map(|text| &*text.text));
    let mut named = Named {
        folder,
        file: file.id,
        is_component: is_component(node),
        resources: Vec::new(),
        below: Vec::new(),
        fragments: fragments.filter_map(in_tree).filter_map(|path| file_at(&path)).collect(),
    };
    for path in all.resources.into_iter().filter_map(in_tree) {
        match file_at(&path) {
            Some(file) => named.resources.push(file),
            None => named.below.extend(tree.kustomization(&path).map(|file| file.id)),
        }
    }
    named
}
