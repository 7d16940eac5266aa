//! What the path of a Flux Kustomization is relative to.

use std::collections::HashMap;

use super::index::Index;
use crate::render::flux::{FluxKustomization, Source, is_opaque};
use crate::render::kustomize::Text;
use crate::render::{Note, Reason, folder_of, join};

/// The tops of repositories in a tree, as far as they are told or can be guessed.
pub(super) struct Roots<'a> {
    /// Those that are told, the deepest first.
    told: Vec<String>,
    /// Those that the Kustomizations of the tree suggest, the deepest first, each with the source that most of them name.
    guessed: Vec<(String, Source<'a>)>,
}

/// Where a Kustomization was found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'f, 'a> {
    /// The folder of the file that it is written in.
    pub(super) folder: &'f str,
    /// What the path of the one that printed it is relative to, and that one's source.
    pub(super) parent: Option<(&'f str, &'f Source<'a>)>,
}

/// A folder that a Kustomization builds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// What its path is relative to.
    pub(super) root: String,
    /// The folder.
    pub(super) folder: String,
}

// === impl Roots ===

impl<'a> Roots<'a> {
    pub(super) fn of(index: &Index<'_, 'a>, told: &[String]) -> Self {
        let mut told: Vec<String> = told.iter().filter_map(|root| join("", root)).collect();
        told.sort_by_key(|root| (std::cmp::Reverse(root.len()), root.clone()));
        let mut this = Self { told, guessed: Vec::new() };
        let mut counted: HashMap<String, HashMap<Source<'a>, usize>> = HashMap::new();
        for raw in &index.raw {
            let Some(kustomization) = FluxKustomization::read(&raw.node) else { continue };
            let Some(path) = relative(&kustomization.path.text).filter(|path| !path.is_empty()) else {
                continue;
            };
            let folder = index.tree.files()[raw.file as usize].folder();
            if let Some(place) = this.above(index, folder, &path) {
                *counted.entry(place.root).or_default().entry(kustomization.source).or_default() += 1;
            }
        }
        let most = |sources: HashMap<Source<'a>, usize>| {
            let by_count =
                |(source, count): &(Source<'a>, usize)| (*count, source.name.clone(), source.kind.clone());
            sources.into_iter().max_by_key(by_count).map(|(source, _)| source).unwrap_or_default()
        };
        this.guessed = counted.into_iter().map(|(root, sources)| (root, most(sources))).collect();
        this.guessed.sort_by(|(one, _), (other, _)| (other.len(), one).cmp(&(one.len(), other)));
        this
    }

    /// The folder that a Kustomization builds, or why there is none.
    pub(super) fn place(
        &self,
        index: &Index<'_, 'a>,
        path: &Text<'a>,
        source: &Source<'a>,
        found: Found<'_, 'a>,
    ) -> Result<Place, Note> {
        let note = |reason, message| Err(Note { at: path.at, reason, message });
        if is_opaque(&path.text) {
            return note(Reason::Missing, format!("the path {} is known in the cluster only", path.text));
        }
        let Some(path_in_root) = relative(&path.text) else {
            return note(Reason::Remote, format!("the path {} leads out of its source", path.text));
        };
        let guessed = self.guessed.iter().find(|(root, _)| holds(root, found.folder));
        let home = found.parent.map(|(_, source)| source).or(guessed.map(|(_, source)| source));
        let is_foreign = home.is_some_and(|home| (&home.kind, &home.name) != (&source.kind, &source.name));
        let mut known: Vec<&str> =
            self.told.iter().map(String::as_str).filter(|root| holds(root, found.folder)).collect();
        known.extend(found.parent.map(|(root, _)| root));
        known.extend(guessed.map(|(root, _)| root.as_str()));
        if path_in_root.is_empty() {
            return match known.first() {
                _ if is_foreign => note(Reason::Remote, format!("{} is another source", named(source))),
                root => Ok(Place {
                    root: root.unwrap_or(&"").to_string(),
                    folder: root.unwrap_or(&"").to_string(),
                }),
            };
        }
        let in_known = known.iter().find_map(|root| {
            let folder = join(root, &path_in_root).filter(|folder| index.folders.has(folder))?;
            Some(Place { root: (*root).to_owned(), folder })
        });
        let above = || if is_foreign { None } else { self.above(index, found.folder, &path_in_root) };
        match in_known.or_else(above) {
            Some(place) => Ok(place),
            None if is_foreign => note(
                Reason::Remote,
                format!("{} is not in the tree: {} is another source", path.text, named(source)),
            ),
            None => note(Reason::Missing, format!("{} is no folder of the tree", path.text)),
        }
    }

    /// The nearest folder above a folder in which a path exists; never above the top of a repository that is told.
    fn above(&self, index: &Index<'_, 'a>, folder: &str, path: &str) -> Option<Place> {
        let top = self.told.iter().find(|root| holds(root, folder)).map_or("", String::as_str);
        let mut root = folder;
        loop {
            let folder = join(root, path)?;
            if index.folders.has(&folder) {
                return Some(Place { root: root.to_owned(), folder });
            }
            if root == top {
                return None;
            }
            root = folder_of(root);
        }
    }
}

/// A path from the top of a source, without what says nothing; `None` where it leads out of it.
fn relative(path: &str) -> Option<String> {
    join("", path)
}

fn holds(root: &str, folder: &str) -> bool {
    root.is_empty() || folder.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn named(source: &Source<'_>) -> String {
    format!("{} {}", source.kind, source.name)
}
