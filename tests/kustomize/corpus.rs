//! Every kustomization of the real repositories.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use chartgate::render::kustomize::{Build, Kustomize};
use chartgate::render::{Note, Reason, Tree};
use serde_json::Value;

use crate::go_tools::announce;
use crate::oracle::{Oracle, Printed, by_name, difference, json};
use crate::scratch::Scratch;

/// What came of comparing.
#[derive(Debug, Default)]
struct Tally {
    folders: usize,
    built: usize,
    objects: usize,
    equal: usize,
    /// Fields that are equal but for the hash in the name of a generated object.
    hashes: usize,
    stand_ins: usize,
    remote: usize,
    /// What was not compared, by the reason.
    not_judged: BTreeMap<String, Vec<String>>,
    unequal: Vec<String>,
}

pub(crate) fn trees() -> Option<Vec<PathBuf>> {
    let trees = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus/trees");
    let entries = |folder: &Path| -> Vec<PathBuf> {
        let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    };
    trees.exists().then(|| entries(&trees).iter().flat_map(|repository| entries(repository)).collect())
}

/// The files below a folder, with their paths in it.
pub(crate) fn files(root: &Path) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut stack = vec![root.to_owned()];
    while let Some(folder) = stack.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                stack.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                files.push((path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), text));
            }
        }
    }
    files.sort();
    files
}

fn is_judged(object: &Value) -> bool {
    let version = object["apiVersion"].as_str().unwrap_or_default();
    version.split('/').next().is_some_and(|group| {
        group.ends_with(".toolkit.fluxcd.io") || group.ends_with(".extensions.fluxcd.io")
    })
}

impl Tally {
    fn compare(&mut self, folder: &str, build: &Build<'_>, printed: Printed) {
        self.folders += 1;
        let theirs = match printed {
            Ok(objects) => {
                let generated = generated(&objects);
                let judged = objects.into_iter().filter(is_judged);
                by_name(judged.map(|mut object| {
                    self.hashes += without_hashes(&mut object, &generated);
                    object
                }))
            }
            Err(error) => {
                // What is elsewhere was taken out of the copy, which may leave nothing.
                let is_told = |note: &&Note| note.reason.is_failure() || note.reason == Reason::Remote;
                if !may_fail_unseen(&error) && !build.all_notes().iter().any(is_told) {
                    let told = format!("{folder}: kustomize refuses it, and nothing is said here: {error}");
                    self.unequal.push(told);
                }
                self.not_judged.entry(reason(&error)).or_default().push(format!("{folder}: {error}"));
                return;
            }
        };
        self.built += 1;
        // A stand-in has been put where something is missing.
        if let Some(wrong) = build.all_notes().into_iter().find(|note| note.reason == Reason::Refused) {
            self.unequal.push(format!("{folder}: kustomize builds it, and here is said: {}", wrong.message));
        }
        let ours = by_name(build.printed().iter().map(json).filter(is_judged));
        let names: std::collections::BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
        for name in names {
            self.objects += 1;
            let difference = match (ours.get(name).map(Vec::as_slice), theirs.get(name).map(Vec::as_slice)) {
                (Some([ours]), Some([theirs])) => difference(ours, theirs, ""),
                (ours, theirs) => {
                    let count = |side: Option<&[Value]>| side.map_or(0, <[Value]>::len);
                    Some(format!("{} here, {} there", count(ours), count(theirs)))
                }
            };
            match difference {
                None => self.equal += 1,
                Some(difference) => self.unequal.push(format!("{folder}: {name}: {difference}")),
            }
        }
    }
}

/// Whether an error is about something that is out of the tree, or takes a plugin.
fn may_fail_unseen(error: &str) -> bool {
    ["must specify --enable-helm", "unable to load builtin", "external plugins disabled"]
        .iter()
        .any(|known| error.contains(known))
}

/// What objects of kind `ConfigMap` and `Secret` are called that may be generated, with and without the hash of their content. Generators are not rendered, and
/// most of the files that they read are not in the corpus.
pub(crate) fn generated(objects: &[Value]) -> BTreeMap<String, String> {
    let kinds = objects.iter().filter(|object| object["kind"] == "ConfigMap" || object["kind"] == "Secret");
    let names = kinds.filter_map(|object| object["metadata"]["name"].as_str());
    let mut hashed = BTreeMap::new();
    for name in names {
        if let Some((bare, hash)) = name.rsplit_once('-').filter(|(_, hash)| is_hash(hash)) {
            hashed.insert(format!("{bare}-{hash}"), bare.to_owned());
        }
    }
    hashed
}

/// Whether a text is made of the ten letters and digits that kustomize writes hashes with.
fn is_hash(text: &str) -> bool {
    text.len() == 10 && text.chars().all(|letter| "gh2k456789mbcdtf".contains(letter))
}

/// Takes the hashes out of the names of generated objects, and says how many there were.
pub(crate) fn without_hashes(value: &mut Value, generated: &BTreeMap<String, String>) -> usize {
    match value {
        Value::String(text) => match generated.get(text) {
            Some(bare) => {
                text.clone_from(bare);
                1
            }
            None => 0,
        },
        Value::Array(items) => items.iter_mut().map(|item| without_hashes(item, generated)).sum(),
        Value::Object(fields) => fields.values_mut().map(|field| without_hashes(field, generated)).sum(),
        _ => 0,
    }
}

/// What an error of kustomize is about, in few words.
pub(crate) fn reason(error: &str) -> String {
    let known = [
        "another source",
        "must specify --enable-helm",
        "unable to load builtin",
        "external plugins disabled",
        "no matches for Id",
        "already registered id",
        "nothing selected by",
        "invalid Kustomization",
        "MalformedYAMLError",
        "missing metadata.name",
        "no such file or directory",
    ];
    let found = known.iter().find(|known| error.contains(**known));
    found.map_or_else(|| error.rsplit(": ").next().unwrap_or(error).to_owned(), |known| (*known).to_owned())
}

#[test]
fn real_repositories_are_rendered_as_kustomize_does() {
    let Some(trees) = trees() else {
        eprintln!("skipped: no corpus");
        return;
    };
    let Some(oracle) = Oracle::find() else { return };
    let mut tally = Tally::default();
    for root in trees {
        let files = files(&root);
        let mut tree = Tree::default();
        for (path, text) in &files {
            tree.add(path, text);
        }
        let scratch = tempfile::tempdir().unwrap();
        let done = Scratch::write(&tree, scratch.path());
        tally.stand_ins += done.stand_ins;
        tally.remote += done.remote;
        let mut folders: Vec<String> = tree
            .files()
            .iter()
            .map(|file| file.folder().to_owned())
            .filter(|folder| tree.kustomization(folder).is_some())
            .collect();
        folders.sort();
        folders.dedup();
        let printed = oracle.build(scratch.path(), &folders);
        let kustomize = Kustomize::of(&tree);
        let label = root.strip_prefix(root.ancestors().nth(2).unwrap()).unwrap().display().to_string();
        for (folder, printed) in folders.iter().zip(printed) {
            let build = kustomize.folder(folder).expect("the folder has a kustomization");
            tally.compare(&format!("{label}/{folder}"), &build, printed);
        }
    }
    let Tally { folders, built, objects, equal, hashes, stand_ins, remote, not_judged, unequal } = tally;
    announce(&format!(
        "{folders} folders, {built} built by kustomize, {objects} objects compared, {equal} equal, {} unequal",
        unequal.len()
    ));
    announce(&format!(
        "{hashes} fields name a generated object, whose hash is not rendered: compared without it"
    ));
    announce(&format!("{stand_ins} stand-ins, {remote} entries out of the tree left out"));
    for (reason, folders) in &not_judged {
        announce(&format!("not judged, {}: {reason}; such as {}", folders.len(), folders[0]));
    }
    assert!(unequal.is_empty(), "{}", unequal.join("\n"));
    assert!(built * 10 > folders * 9, "most folders can be built");
}
