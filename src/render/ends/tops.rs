//! Where to begin, and what has been reached from there.

use super::Use;
use super::graph::Graph;
use super::index::{Index, Reach};
use super::instance::What;
use super::roots::{Found, Roots};

/// What nothing else leads to, as far as that can be told before anything is built.
#[derive(Debug, Default)]
pub(super) struct Tops {
    /// Objects of Flux that stand alone, or that their own folder alone leads to.
    pub(super) raw: Vec<usize>,
    /// Kustomizations that nothing names and that lead to objects of Flux.
    pub(super) leading: Vec<usize>,
    /// Objects of Flux that only each other lead to.
    pub(super) circular: Vec<usize>,
    /// Kustomizations that nothing names.
    pub(super) folders: Vec<usize>,
}

/// What has been reached.
pub(super) struct Reached {
    /// For each file, whether it holds objects that are printed.
    pub(super) resources: Vec<bool>,
    /// For each kustomization, whether it takes part.
    pub(super) kustomizations: Vec<bool>,
}

// === impl Tops ===

impl Tops {
    pub(super) fn of<'a>(index: &Index<'_, 'a>, roots: &Roots<'a>) -> Self {
        let mut by_file = vec![Vec::new(); index.tree.files().len()];
        for (number, raw) in index.raw.iter().enumerate() {
            by_file[raw.file as usize].push(number);
        }
        let mut leads_to_it = vec![Led::default(); index.raw.len()];
        for (number, raw) in index.raw.iter().enumerate() {
            let Some(What::Kustomization(kustomization, _)) = What::of(&raw.node, index.tree) else {
                continue;
            };
            let found = Found { folder: index.tree.files()[raw.file as usize].folder(), parent: None };
            let Ok(place) = roots.place(index, &kustomization.path, &kustomization.source, found) else {
                continue;
            };
            for file in index.reach(&place.folder, &kustomization.components).resources {
                for to in &by_file[file as usize] {
                    let led = &mut leads_to_it[*to];
                    if *to == number { led.itself = true } else { led.another = true }
                }
            }
        }
        let mut this = Self::default();
        for (number, led) in leads_to_it.iter().enumerate() {
            let is_named = index.named[index.raw[number].file as usize].resource;
            if led.another {
                this.circular.push(number);
            } else if led.itself || !is_named {
                this.raw.push(number);
            }
        }
        for (number, kustomization) in index.kustomizations.iter().enumerate() {
            if index.is_named[number] || kustomization.is_component {
                continue;
            }
            this.folders.push(number);
            let reach = index.reach(&kustomization.folder, &[]);
            if reach.resources.iter().any(|file| !by_file[*file as usize].is_empty()) {
                this.leading.push(number);
            }
        }
        this
    }
}

/// What leads to an object of Flux.
#[derive(Debug, Clone, Copy, Default)]
struct Led {
    itself: bool,
    another: bool,
}

// === impl Reached ===

impl Reached {
    /// What the instances of a graph reach.
    pub(super) fn by(graph: &Graph<'_, '_, '_>) -> Self {
        let index = graph.index;
        let mut this = Self {
            resources: vec![false; index.tree.files().len()],
            kustomizations: vec![false; index.kustomizations.len()],
        };
        for instance in &graph.instances {
            let Reach { resources, kustomizations } = &instance.reach;
            for file in resources {
                this.resources[*file as usize] = true;
            }
            for number in kustomizations {
                this.kustomizations[*number] = true;
            }
        }
        this
    }

    /// What each file is used for.
    pub(super) fn uses(&self, index: &Index<'_, '_>) -> Vec<Use> {
        let mut uses: Vec<Use> = index
            .named
            .iter()
            .zip(&self.resources)
            .map(|(named, is_reached)| match named {
                _ if *is_reached => Use::Resource,
                named if named.fragment => Use::Fragment,
                named if named.resource => Use::Dormant,
                _ => Use::Unreached,
            })
            .collect();
        for kustomization in &index.kustomizations {
            uses[kustomization.file as usize] = Use::Kustomization;
        }
        uses
    }
}
