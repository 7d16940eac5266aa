//! What kustomizations name and the walk passes over: hidden files, files that git ignores, those without an extension of YAML. kustomize
//! reads them all the same.

use std::collections::BTreeMap;

use foldhash::HashSet;
use rayon::prelude::*;

use super::{Collected, KUSTOMIZATIONS, Source, Unreadable, Why, key_of, read as text_at, weighed};
use crate::render::kustomize::{Names, canonical, in_tree};
use crate::render::{Counts, Tree, folder_of, is_kustomization};
use crate::yaml::{self, Node, Reading, Twice};

/// What kustomizations name besides what was collected.
#[derive(Debug, Default)]
pub(crate) struct Named {
    /// The files that are read.
    pub(crate) sources: Vec<Source>,
    /// Those that cannot be.
    pub(crate) unreadable: Vec<Unreadable>,
    /// The files that generators name and that are there, as keys, and what is in those that hold variables. Nobody asks for what is in the
    /// others.
    pub(crate) present: BTreeMap<String, Option<String>>,
    /// The symbolic links that lead to some of them, as keys, where Flux leaves those out.
    pub(crate) links: Vec<String>,
}

/// What somebody finds at a path that is named.
enum There {
    /// A file that is read.
    Read(Source),
    /// A file that cannot be read.
    Unreadable(Unreadable),
    /// A file that is no manifest, with what is in it if anybody asks for that.
    Present(String, Option<String>),
}

/// What somebody wants to know of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Wanted {
    /// The objects in it.
    Objects,
    /// The variables in it.
    Variables,
    /// Whether it is there.
    Presence,
}

/// A path that a kustomization names and nobody has read.
struct Path {
    key: String,
    /// As the user would type it.
    shown: String,
    wanted: Wanted,
}

/// Reads what the kustomizations of a tree name and nobody has read, and what is named there in turn.
pub(super) fn read(top: &std::path::Path, collected: &Collected, tree: &Tree<'_>) -> Named {
    let mut named = Named::default();
    // What the walk could not read is reported already.
    let unreadable = collected.unreadable.iter().map(|file| (file.key.clone(), Wanted::Objects));
    let mut known: HashSet<(String, Wanted)> = unreadable.collect();
    let files: Vec<_> = tree.kustomizations().collect();
    let paths = files.par_iter().flat_map_iter(|file| {
        let document = file.documents().first().and_then(|document| document.as_ref().ok());
        let shown = &collected.sources[file.id as usize].path;
        document.map(|document| named_by(document, file.path, shown)).into_iter().flatten()
    });
    let is_new = |path: &Path| tree.file(&path.key).is_none() && tree.kustomization(&path.key).is_none();
    let there = paths.filter(is_new).filter(|path| is_there(top, path));
    let mut paths: Vec<Path> = there.collect();
    while !paths.is_empty() {
        let mut next = Vec::new();
        for path in paths {
            if !known.insert((path.key.clone(), path.wanted)) {
                continue;
            }
            if collected.has_flux {
                named.links.extend(link_on(top, &path.key));
            }
            for there in at(top, &path) {
                match there {
                    There::Read(source) => {
                        known.insert((source.key().to_owned(), Wanted::Objects));
                        next.extend(named_in(&source).into_iter().filter(&is_new));
                        named.sources.push(source);
                    }
                    There::Unreadable(file) => named.unreadable.push(file),
                    There::Present(path, text) => {
                        let known = named.present.entry(path).or_default();
                        *known = known.take().or(text);
                    }
                }
            }
        }
        paths = next;
    }
    named.sources.sort_by(|one, other| one.key().cmp(other.key()));
    named.sources.dedup_by(|one, other| one.key() == other.key());
    named.unreadable.sort_by(|one, other| one.path.cmp(&other.path));
    named
}

/// What a file names that was just read, if it is a kustomization file.
fn named_in(source: &Source) -> Vec<Path> {
    if !is_kustomization(source.key()) {
        return Vec::new();
    }
    let reading = Reading { twice: Twice::LastWins, ..Reading::default() };
    let document = yaml::documents_as(&source.text, 0, reading).into_iter().next();
    document
        .and_then(Result::ok)
        .map(|document| named_by(&document, source.key(), &source.path))
        .unwrap_or_default()
}

/// The paths that the document of a kustomization file names.
fn named_by(document: &Node<'_>, key: &str, shown: &str) -> Vec<Path> {
    let document = canonical(document);
    let all = Names::of(&document);
    let objects = all.resources.iter().chain(&all.fragments).map(|path| (*path, Wanted::Objects));
    let variables = all.envs.iter().map(|text| (&*text.text, Wanted::Variables));
    let others = all.files.iter().map(|text| (&*text.text, Wanted::Presence));
    let before = shown.strip_suffix(key).unwrap_or_default();
    let named = objects.chain(variables).chain(others).filter_map(|(path, wanted)| {
        let key = in_tree(folder_of(key), path)?;
        Some(Path { shown: format!("{before}{key}"), key, wanted })
    });
    named.collect()
}

/// Whether there is anything at a path; most that is named and was not read is not there.
fn is_there(top: &std::path::Path, path: &Path) -> bool {
    top.join(&path.key).symlink_metadata().is_ok()
}

/// The first symbolic link on a path below the top.
fn link_on(top: &std::path::Path, path: &str) -> Option<String> {
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    let is_link = |path: &&str| top.join(path).symlink_metadata().is_ok_and(|it| it.is_symlink());
    ends.map(|end| &path[..end]).find(is_link).map(str::to_owned)
}

/// What is at a path below the top: a file, or the kustomization file of a folder.
fn at(top: &std::path::Path, Path { key: path, shown, wanted }: &Path) -> Vec<There> {
    // A link may lead out of what was asked for, and is not followed there.
    let real = |path: &str| top.join(path).canonicalize().ok().filter(|real| real.starts_with(top));
    let Some(found) = real(path) else { return Vec::new() };
    if found.is_dir() {
        let files = KUSTOMIZATIONS.map(|name| (format!("{path}/{name}"), format!("{shown}/{name}")));
        let files = files.into_iter().filter(|(path, _)| real(path).is_some_and(|real| real.is_file()));
        return files.filter_map(|(path, shown)| file(top, &path, shown)).collect();
    }
    match wanted {
        Wanted::Objects => file(top, path, shown.clone()).into_iter().collect(),
        // One that cannot be read is there all the same; its variables are not known.
        Wanted::Variables => vec![There::Present(path.clone(), text_at(&found).ok())],
        Wanted::Presence => vec![There::Present(path.clone(), None)],
    }
}

fn file(top: &std::path::Path, path: &str, shown: String) -> Option<There> {
    let place = top.join(path);
    if !place.is_file() {
        return place.exists().then(|| {
            let key = key_of(&place, top);
            There::Unreadable(Unreadable { path: shown, why: Why::Special, key })
        });
    }
    let key = key_of(&place, top);
    Some(match text_at(&place) {
        Ok(text) => {
            let (counts, text) = match weighed(&key, text) {
                (Counts::Always, text) if !is_kustomization(&key) => (Counts::Named, text),
                weighed => weighed,
            };
            There::Read(Source::of(&key, shown, counts, text))
        }
        Err(why) => There::Unreadable(Unreadable { path: shown, why, key }),
    })
}
