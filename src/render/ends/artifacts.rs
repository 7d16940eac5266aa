//! Finds the artifact that each Flux Kustomization is built from: the sources that are described, and what is in them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use foldhash::{HashMap, HashSet};

use super::objects::Kind;
use crate::render::artifact::{Artifact, Ignore, MAX_MATCHES, Origin, View};
use crate::render::flux::{Source, is_opaque};
use crate::render::kustomize::{Kustomize, Text};
use crate::render::tree::Tree;
use crate::yaml::{Node, Str};

/// A GitRepository, an OCIRepository or a Bucket, as far as it decides what is in its artifact.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SourceObject<'a> {
    kind: Str<'a>,
    namespace: Str<'a>,
    name: Str<'a>,
    ignore: Ignore<'a>,
    /// The number of the first object of that kind and name with the same `ignore`: texts of many lines are compared once.
    same_ignore: usize,
    /// The file that it is written in.
    file: u32,
}

/// Sources by kind and name. A repository may describe one for each chart.
#[derive(Debug, Default)]
pub(super) struct Sources<'a>(HashMap<(Str<'a>, Str<'a>), Vec<SourceObject<'a>>>);

/// The kustomizations of a tree, for each artifact that is built from.
pub(super) struct Artifacts<'t, 'a> {
    tree: &'t Tree<'a>,
    /// Those of the whole tree, for kustomize alone and for artifacts that leave nothing out.
    whole: Arc<Kustomize<'t, 'a>>,
    known: Mutex<HashMap<Origin<'a>, Arc<Kustomize<'t, 'a>>>>,
    /// How often a file may still be held against a pattern.
    matches_left: AtomicUsize,
}

// === impl SourceObject ===

impl<'a> SourceObject<'a> {
    /// Reads an object; `None` for one of another kind, and for a patch, which has no address.
    pub(super) fn read(node: &Node<'a>) -> Option<Self> {
        let is_source = matches!(node.text_of(&["kind"])?, "GitRepository" | "OCIRepository" | "Bucket");
        if !is_source || Kind::of(node).is_none() {
            return None;
        }
        let spec = node.get("spec")?;
        spec.get("url").or_else(|| spec.get("endpoint"))?;
        let ignore = match spec.get("ignore").filter(|ignore| !ignore.is_null()) {
            None => Ignore::Known(Str::default()),
            Some(ignore) => match Text::of(ignore).filter(|text| !is_opaque(&text.text)) {
                Some(text) => Ignore::Known(text.text),
                None => Ignore::Unknown,
            },
        };
        let text = |path: &[&str]| node.at(path).and_then(Text::of).map(|text| text.text);
        Some(Self {
            kind: text(&["kind"])?,
            namespace: text(&["metadata", "namespace"]).unwrap_or_default(),
            name: text(&["metadata", "name"])?,
            ignore,
            same_ignore: 0,
            file: node.at.file(),
        })
    }

    /// Whether it can be the source of that name that a Kustomization means. Namespaces are often left out, or supplied.
    fn may_be_in(&self, namespace: &str) -> bool {
        *self.namespace == *namespace || self.namespace.is_empty() || namespace.is_empty()
    }
}

// === impl Sources ===

impl<'a> Sources<'a> {
    /// `spec.ignore` of a source by the objects that can be it; `None` where there is none.
    pub(super) fn ignore_of(&self, source: &Source<'a>) -> Option<Ignore<'a>> {
        self.ignore_where(source, |_| true)
    }

    /// `spec.ignore` of a source by the objects in the files of a tree. Where several clusters name their sources alike, the one in the same file counts.
    pub(super) fn ignore_in_files(&self, source: &Source<'a>, file: u32) -> Ignore<'a> {
        let own = self.ignore_where(source, |object| object.file == file);
        own.or_else(|| self.ignore_of(source)).unwrap_or_default()
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &SourceObject<'a>> {
        self.0.values().flatten()
    }

    fn ignore_where(
        &self,
        source: &Source<'a>,
        counts: impl Fn(&SourceObject<'a>) -> bool,
    ) -> Option<Ignore<'a>> {
        let named = self.0.get(&source.kind_and_name())?.iter();
        let mut found = named.filter(|object| object.may_be_in(&source.namespace) && counts(object));
        let first = found.next()?;
        let is_same = |other: &SourceObject<'a>| other.same_ignore == first.same_ignore;
        Some(if found.all(is_same) { first.ignore.clone() } else { Ignore::Unknown })
    }
}

impl<'a> Extend<SourceObject<'a>> for Sources<'a> {
    fn extend<I: IntoIterator<Item = SourceObject<'a>>>(&mut self, objects: I) {
        for mut object in objects {
            let named = self.0.entry((object.kind.clone(), object.name.clone())).or_default();
            let firsts = named.iter().enumerate().filter(|(number, it)| it.same_ignore == *number);
            let same = firsts.into_iter().find(|(_, it)| it.ignore == object.ignore);
            object.same_ignore = same.map_or(named.len(), |(number, _)| number);
            named.push(object);
        }
    }
}

impl<'a> FromIterator<SourceObject<'a>> for Sources<'a> {
    fn from_iter<I: IntoIterator<Item = SourceObject<'a>>>(objects: I) -> Self {
        let mut sources = Self::default();
        sources.extend(objects);
        sources
    }
}

// === impl Artifacts ===

impl<'t, 'a> Artifacts<'t, 'a> {
    pub(super) fn of(tree: &'t Tree<'a>) -> Self {
        let whole = Arc::new(Kustomize::of(tree));
        Self { tree, whole, known: Mutex::default(), matches_left: AtomicUsize::new(MAX_MATCHES) }
    }

    /// The kustomizations of the whole tree.
    pub(super) fn whole(&self) -> &Kustomize<'t, 'a> {
        &self.whole
    }

    /// For each file, whether some artifacts leave it out and none holds it. Such a file is kept from all clusters on purpose, and not judged.
    pub(super) fn left_out(&self, origins: &HashSet<Origin<'a>>) -> Vec<bool> {
        let mut left_out = vec![false; self.tree.files().len()];
        let all: Vec<_> = origins.iter().map(|origin| (origin.root, self.get(origin.clone()))).collect();
        if all.iter().all(|(_, kustomize)| kustomize.view().is_whole()) {
            return left_out;
        }
        for is_left_out in [true, false] {
            for (root, kustomize) in &all {
                let view = kustomize.view();
                let files = self.tree.below(root).filter(|file| view.leaves_out(file) == is_left_out);
                files.for_each(|file| left_out[file.id as usize] = is_left_out);
            }
        }
        left_out
    }

    /// The kustomizations of what is in an artifact.
    pub(super) fn get(&self, origin: Origin<'a>) -> Arc<Kustomize<'t, 'a>> {
        let mut known = self.known.lock().expect("nothing panics while it holds the lock");
        let new = |origin: &Origin<'a>| {
            let may_match = |matches| {
                let less = |left: usize| left.checked_sub(matches);
                self.matches_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
            };
            let view = View::of(self.tree, Artifact::within(self.tree, origin.clone(), &may_match));
            if view.is_whole() { Arc::clone(&self.whole) } else { Arc::new(self.whole.within(view)) }
        };
        Arc::clone(known.entry(origin).or_insert_with_key(new))
    }
}
