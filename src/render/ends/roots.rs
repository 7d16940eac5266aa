//! What the path of a Flux Kustomization is relative to.

use foldhash::HashMap;
use rayon::prelude::*;

use super::index::{Index, Raw};
use super::instance::{What, Written};
use crate::render::artifact::{Ignore, Origin, SourceKind};
use crate::render::flux::{Source, is_opaque};
use crate::render::kustomize::Text;
use crate::render::{Note, Reason, folder_of, join, parts};

/// The tops of repositories in a tree, as far as they are told or can be guessed.
pub(super) struct Roots<'a> {
    /// Those that are told, the deepest first.
    told: Vec<String>,
    /// Those that the Kustomizations of the tree suggest, the deepest first, each with the source that most of them name.
    guessed: Vec<(&'a str, Source<'a>)>,
}

/// Where a Kustomization was found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'f, 'a> {
    /// The folder of the file that it is written in.
    pub(super) folder: &'a str,
    /// What the path of the one that printed it is relative to, and that one's source.
    pub(super) parent: Option<(&'a str, &'f Source<'a>)>,
}

/// A folder that a Kustomization builds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place<'a> {
    /// What its path is relative to.
    pub(super) root: &'a str,
    /// The folder.
    pub(super) folder: &'a str,
}

// === impl Roots ===

impl<'a> Roots<'a> {
    pub(super) fn of(index: &Index<'_, 'a>, raw: &[Raw<'a>], told: &[String]) -> Self {
        let mut told: Vec<String> = told.iter().filter_map(|root| join("", root)).collect();
        told.sort_by_key(|root| (std::cmp::Reverse(root.len()), root.clone()));
        let mut this = Self { told, guessed: Vec::new() };
        let suggested = raw.par_iter().filter_map(|raw| {
            let Some(What::Kustomization(written)) = &raw.what else { return None };
            let Written { kustomization, is_made: false, .. } = &**written else { return None };
            let path = relative(&kustomization.path.text);
            if path.is_empty() {
                return None;
            }
            let folder = index.tree.files()[raw.file as usize].folder();
            Some((this.above(index, folder, &path)?.root, &kustomization.source))
        });
        let mut counted: HashMap<&str, HashMap<&Source<'a>, usize>> = HashMap::default();
        for (root, source) in suggested.collect::<Vec<_>>() {
            *counted.entry(root).or_default().entry(source).or_default() += 1;
        }
        let most = |sources: HashMap<&Source<'a>, usize>| {
            // Of those that are named as often, always the same one.
            let by_count = |(source, count): &(&Source<'a>, usize)| {
                let Source { kind, namespace, name } = (*source).clone();
                (*count, name, kind, namespace)
            };
            sources.into_iter().max_by_key(by_count).map(|(source, _)| source.clone()).unwrap_or_default()
        };
        this.guessed = counted.into_iter().map(|(root, sources)| (root, most(sources))).collect();
        this.guessed.sort_by(|(one, _), (other, _)| (other.len(), one).cmp(&(one.len(), other)));
        this
    }

    /// What decides what is in the artifact of a source that a place is in.
    pub(super) fn origin(&self, place: Place<'a>, source: &Source<'a>, ignore: Ignore<'a>) -> Origin<'a> {
        let (kind, ignore) = match &*source.kind {
            "GitRepository" => (SourceKind::Git, ignore),
            "OCIRepository" => (SourceKind::Oci, ignore),
            "Bucket" => (SourceKind::Bucket, ignore),
            // An ExternalArtifact holds what its own controller chooses.
            _ => (SourceKind::Oci, Ignore::Unknown),
        };
        let told = self.told.iter().find(|root| kind == SourceKind::Git && holds(root, place.root));
        Origin { root: told.map_or(place.root, |root| &place.root[..root.len()]), kind, ignore }
    }

    /// The folder that a Kustomization builds, or why there is none.
    pub(super) fn place(
        &self,
        index: &Index<'_, 'a>,
        path: &Text<'a>,
        source: &Source<'a>,
        found: Found<'_, 'a>,
    ) -> Result<Place<'a>, Note> {
        let note = |reason, message| Err(Note::new(path.at, reason, message));
        if is_opaque(&path.text) {
            return note(Reason::Unknown, format!("the path {} is known in the cluster only", path.text));
        }
        let path_in_root = relative(&path.text);
        let guessed = self.guessed.iter().find(|(root, _)| holds(root, found.folder));
        let home = found.parent.map(|(_, source)| source).or(guessed.map(|(_, source)| source));
        let is_foreign = home.is_some_and(|home| !index.may_be_one_repository(home, source));
        // What applied it says what its own source is; what the other Kustomizations around it name is a guess. A source of another kind
        // may be made of this repository: an ExternalArtifact by an ArtifactGenerator, an OCIRepository by `flux push artifact`.
        let is_surely_foreign = home.is_some_and(|home| {
            let is_known = found.parent.is_some() || index.are_two_repositories(home, source);
            is_foreign && is_known && home.kind == source.kind && home.kind != "ExternalArtifact"
        });
        // What is told is a text of its own; the same text stands in front of the folder.
        let mut known: Vec<&'a str> = self
            .told
            .iter()
            .filter(|root| holds(root, found.folder))
            .map(|root| &found.folder[..root.len()])
            .collect();
        known.extend(found.parent.map(|(root, _)| root));
        known.extend(guessed.map(|(root, _)| *root));
        if path_in_root.is_empty() {
            // The top of what? Of this tree, as a rule, where it is in Git; an artifact or a bucket may hold anything.
            let may_be_anything =
                matches!(&*source.kind, "" | "OCIRepository" | "Bucket" | "ExternalArtifact");
            if home.is_none() && may_be_anything {
                let message = format!("nothing says that {} holds this tree", named(source));
                return note(Reason::Unknown, message);
            }
            return match known.first() {
                _ if is_foreign => {
                    note(Reason::Remote, format!("the path is that of another source: {}", named(source)))
                }
                root => {
                    let root = root.copied().unwrap_or_default();
                    Ok(Place { root, folder: root })
                }
            };
        }
        let in_known = known.iter().filter(|_| !is_surely_foreign).find_map(|root| {
            let folder = index.folders.get(&join(root, &path_in_root)?)?;
            Some(Place { root, folder })
        });
        let above = || if is_foreign { None } else { self.above(index, found.folder, &path_in_root) };
        match in_known.or_else(above) {
            Some(place) => Ok(place),
            None if is_foreign => {
                note(Reason::Remote, format!("{} is a path of another source: {}", path.text, named(source)))
            }
            None if home.is_some() && !source.name.is_empty() => {
                note(Reason::Missing, format!("{} is no folder of {}", path.text, named(source)))
            }
            // Nothing says that this tree is what its source holds.
            None => note(Reason::Unknown, format!("{} is no folder of the tree", path.text)),
        }
    }

    /// The nearest folder above a folder in which a [`relative`] path exists; never above the top of a repository that is told.
    fn above(&self, index: &Index<'_, 'a>, folder: &'a str, path: &str) -> Option<Place<'a>> {
        let top = self.told.iter().find(|root| holds(root, folder)).map_or("", String::as_str);
        let mut root = folder;
        let mut candidate = String::with_capacity(folder.len() + 1 + path.len());
        loop {
            candidate.clear();
            candidate.push_str(root);
            if !root.is_empty() {
                candidate.push('/');
            }
            candidate.push_str(path);
            if let Some(folder) = index.folders.get(&candidate) {
                return Some(Place { root, folder });
            }
            if root == top {
                return None;
            }
            root = folder_of(root);
        }
    }
}

/// A path from the top of a source, without what says nothing. One that would lead out of the source stays at its top, as kustomize-controller
/// joins paths (`securejoin`).
fn relative(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for part in parts(path) {
        match part {
            "" | "." => {}
            ".." => _ = kept.pop(),
            part => kept.push(part),
        }
    }
    kept.join("/")
}

fn holds(root: &str, folder: &str) -> bool {
    root.is_empty() || folder.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What a source is called in notes.
pub(super) fn named(source: &Source<'_>) -> String {
    if source.name.is_empty() {
        return "a source that is not named here (spec.sourceRef)".to_owned();
    }
    format!("{} {}", source.kind, source.name)
}
