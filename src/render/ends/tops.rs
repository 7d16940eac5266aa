//! Where to begin, and what has been reached from there.

use rayon::prelude::*;

use super::Use;
use super::artifacts::Artifacts;
use super::index::{Index, Raw, Reach};
use super::instance::What;
use super::roots::{Found, Roots};

/// What nothing else leads to, as far as that can be told before anything is built.
#[derive(Default)]
pub(super) struct Tops<'a> {
    /// Objects of Flux that stand alone, or that their own folder alone leads to.
    pub(super) raw: Vec<What<'a>>,
    /// Kustomizations that nothing names and that lead to objects of Flux.
    pub(super) leading: Vec<u32>,
    /// Objects of Flux that only each other lead to, each with its file.
    pub(super) circular: Vec<(u32, What<'a>)>,
    /// Kustomizations that nothing names.
    pub(super) folders: Vec<u32>,
}

/// What has been reached.
pub(super) struct Reached {
    /// For each file, whether it holds objects that are printed.
    pub(super) resources: Vec<bool>,
    /// For each kustomization, whether it takes part.
    pub(super) kustomizations: Vec<bool>,
}

// === impl Tops ===

impl<'a> Tops<'a> {
    pub(super) fn of(
        index: &Index<'_, 'a>,
        roots: &Roots<'a>,
        artifacts: &Artifacts<'_, 'a>,
        raw: Vec<Raw<'a>>,
    ) -> Self {
        let mut by_file = vec![Vec::new(); index.tree.files().len()];
        for (number, raw) in raw.iter().enumerate() {
            by_file[raw.file as usize].push(number);
        }
        let leads_to = raw.par_iter().map(|raw| {
            let Some(What::Kustomization(written)) = &raw.what else { return Vec::new() };
            let kustomization = &written.kustomization;
            let found = Found { folder: index.tree.files()[raw.file as usize].folder(), parent: None };
            let place = roots.place(index, &kustomization.path, &kustomization.source, found);
            let files = place.map(|place| {
                let ignore = index.sources.ignore_in_files(&kustomization.source, raw.file);
                let kustomize = artifacts.get(roots.origin(place, &kustomization.source, ignore));
                index.resources(kustomize.view(), place.folder, &kustomization.components)
            });
            files.iter().flatten().flat_map(|file| &by_file[*file as usize]).copied().collect()
        });
        let mut leads_to_it = vec![Led::default(); raw.len()];
        for (number, leads_to) in leads_to.collect::<Vec<Vec<usize>>>().into_iter().enumerate() {
            for to in leads_to {
                let led = &mut leads_to_it[to];
                if to == number { led.itself = true } else { led.another = true }
            }
        }
        let mut this = Self::default();
        for (raw, led) in raw.into_iter().zip(leads_to_it) {
            let is_named = index.named[raw.file as usize].resource;
            if led.another {
                this.circular.extend(raw.what.map(|what| (raw.file, what)));
            } else if led.itself || !is_named {
                this.raw.extend(raw.what);
            }
        }
        let unnamed = (0..).zip(&index.kustomizations).filter(|(number, kustomization)| {
            let stands_alone = index.tree.files()[kustomization.file as usize].stands_alone();
            stands_alone && !index.is_named[*number as usize] && !kustomization.is_component
        });
        this.folders = unnamed.map(|(number, _)| number).collect();
        let leads = |number: &&u32| {
            let folder = index.kustomizations[**number as usize].folder;
            let files = index.resources(artifacts.whole().view(), folder, &[]);
            files.iter().any(|file| !by_file[*file as usize].is_empty())
        };
        this.leading = this.folders.par_iter().filter(leads).copied().collect();
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
    /// Nothing yet.
    pub(super) fn of(index: &Index<'_, '_>) -> Self {
        Self {
            resources: vec![false; index.tree.files().len()],
            kustomizations: vec![false; index.kustomizations.len()],
        }
    }

    /// Adds what is reached from somewhere.
    pub(super) fn add(&mut self, index: &Index<'_, '_>, starts: Reach) {
        let Self { resources, kustomizations } = self;
        let mut tell = |files: &[u32]| files.iter().for_each(|file| resources[*file as usize] = true);
        tell(&starts.resources);
        index.follow(starts.kustomizations, kustomizations, tell);
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
        for (number, kustomization) in index.kustomizations.iter().enumerate() {
            let stands_alone = index.tree.files()[kustomization.file as usize].stands_alone();
            if stands_alone || self.kustomizations[number] {
                uses[kustomization.file as usize] = Use::Kustomization;
            }
        }
        uses
    }
}
