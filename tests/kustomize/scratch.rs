//! A copy of a tree that kustomize can build: what is missing is put there, and what is elsewhere is left out.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use chartgate::render::kustomize::{Kustomization, PatchSource, Replacement, Text};
use chartgate::render::{File, Tree, join};
use chartgate::yaml::{Node, Span};

/// What was done to a tree to make it one that can be built.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// Files to write, besides those of the tree or in their place.
    files: BTreeMap<String, String>,
    /// How many files and folders were missing.
    pub(crate) stand_ins: usize,
    /// How many entries lead out of the tree.
    pub(crate) remote: usize,
}

/// What somebody who names a path needs to find there.
#[derive(Clone, Copy, PartialEq)]
enum Needs {
    Resource,
    Component,
    Replacements,
    Nothing,
}

impl Scratch {
    /// Writes a copy of a tree to a folder.
    pub(crate) fn write(tree: &Tree<'_>, root: &Path) -> Self {
        let mut this = Self::default();
        for file in tree.files() {
            let name = file.path.rsplit('/').next().unwrap_or_default();
            if matches!(name, "kustomization.yaml" | "kustomization.yml" | "Kustomization") {
                this.complete(tree, file);
            }
        }
        for file in tree.files() {
            this.files.entry(file.path.to_owned()).or_insert_with(|| file.text.to_owned());
        }
        for (path, text) in &this.files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("it is below the root"))
                .expect("the scratch folder can be written");
            fs::write(path, text).expect("the scratch folder can be written");
        }
        this
    }

    fn complete(&mut self, tree: &Tree<'_>, file: &File<'_>) {
        let Some(Ok(document)) = file.documents().first() else { return };
        let kustomization = Kustomization::read(document, &mut Vec::new());
        let mut dropped = Vec::new();
        let resources = kustomization.resources.iter().chain(&kustomization.bases);
        let needed = resources.map(|it| (it, Needs::Resource));
        let components = kustomization.components.iter().map(|it| (it, Needs::Component));
        let patches = kustomization.patches.iter().chain(&kustomization.patches_json6902);
        let patches = patches.filter_map(|patch| match &patch.source {
            PatchSource::Path(path) => Some((path, Needs::Nothing)),
            PatchSource::Inline(_) => None,
        });
        let merges = kustomization.patches_strategic_merge.iter();
        let merges = merges.filter(|text| !text.text.contains('\n')).map(|it| (it, Needs::Nothing));
        let replacements = kustomization.replacements.iter().filter_map(|replacement| match replacement {
            Replacement::Path(path) => Some((path, Needs::Replacements)),
            Replacement::Inline { .. } => None,
        });
        let others = others(document);
        let others = others.iter().map(|it| (it, Needs::Nothing));
        for (path, needs) in
            needed.chain(components).chain(patches).chain(merges).chain(replacements).chain(others)
        {
            if !self.stand_in(tree, file, path, needs) {
                dropped.push(path.at);
            }
        }
        if !dropped.is_empty() {
            self.remote += dropped.len();
            self.files.insert(file.path.to_owned(), without(file.text, &dropped));
        }
    }

    /// Puts something where a path leads to; false where that is out of the tree.
    fn stand_in(&mut self, tree: &Tree<'_>, file: &File<'_>, path: &Text<'_>, needs: Needs) -> bool {
        let is_remote =
            path.text.contains("://") || path.text.starts_with("git@") || path.text.contains("?ref=");
        let Some(target) = join(file.folder(), &path.text).filter(|_| !is_remote) else { return false };
        if tree.file(&target).is_some() || tree.kustomization(&target).is_some() {
            return true;
        }
        let is_file = [".yaml", ".yml", ".json"].iter().any(|end| target.ends_with(end));
        let number = self.files.len();
        let object = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: stand-in-{number}}}\n");
        let api = if needs == Needs::Component { "v1alpha1" } else { "v1beta1" };
        let kind = if needs == Needs::Component { "Component" } else { "Kustomization" };
        let kustomization =
            format!("apiVersion: kustomize.config.k8s.io/{api}\nkind: {kind}\nresources: [stand-in.yaml]\n");
        let new = match needs {
            Needs::Nothing => vec![(target, String::new())],
            Needs::Replacements => vec![(target, "[]\n".to_owned())],
            _ if is_file && !tree.is_folder(&target) => vec![(target, object)],
            _ => vec![
                (format!("{target}/stand-in.yaml"), object),
                (format!("{target}/kustomization.yaml"), kustomization),
            ],
        };
        for (path, text) in new {
            self.files.entry(path.trim_start_matches('/').to_owned()).or_insert(text);
        }
        self.stand_ins += 1;
        true
    }
}

/// The paths in fields that are not rendered: files of generators and configurations.
fn others<'a>(document: &Node<'a>) -> Vec<Text<'a>> {
    let mut paths = Vec::new();
    for field in ["configurations", "crds"] {
        paths.extend(document.get(field).map(Node::items).unwrap_or_default().iter().filter_map(Text::of));
    }
    for field in ["configMapGenerator", "secretGenerator"] {
        for generator in document.get(field).map(Node::items).unwrap_or_default() {
            for list in ["files", "envs"] {
                let items = generator.get(list).map(Node::items).unwrap_or_default();
                for mut path in items.iter().filter_map(Text::of) {
                    if let Some((_, file)) = path.text.split_once('=') {
                        path.text = file.to_owned().into();
                    }
                    paths.push(path);
                }
            }
            paths.extend(generator.get("env").and_then(Text::of));
        }
    }
    paths
}

/// A text without the lines on which the spans start: each is an item of a list in a block.
fn without(text: &str, spans: &[Span]) -> String {
    let mut kept = String::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let end = start + line.len();
        if !spans.iter().any(|span| (start..end).contains(&(span.start() as usize))) {
            kept.push_str(line);
        }
        start = end;
    }
    kept
}
