//! What Flux makes of real repositories.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it skipped and how much it saw"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use chartgate::render::Tree;
use chartgate::render::ends::{self, End, EndKind, Kind, Rendered, Use};

/// A file of the corpus: its path in it, and its text.
type Read = (String, String);

/// The trees of the corpus, each with the files in it.
fn corpus() -> Option<Vec<Read>> {
    let trees = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus/trees");
    if !trees.is_dir() {
        eprintln!("skipped: no corpus");
        return None;
    }
    let mut files: Vec<Read> = files_below(&trees)
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&trees).expect("it is below").to_string_lossy().into_owned();
            (name, fs::read_to_string(&path).expect("the corpus is text"))
        })
        .collect();
    files.sort();
    Some(files)
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder is readable");
    let entries = entries.map(|entry| entry.expect("the folder is readable").path());
    let nested = entries.map(|path| if path.is_dir() { files_below(&path) } else { vec![path] });
    nested.collect::<Vec<_>>().concat()
}

fn tree(files: &[Read]) -> Tree<'_> {
    let mut tree = Tree::default();
    for (path, text) in files {
        tree.add(path, text);
    }
    tree
}

fn releases<'r, 'a: 'r>(ends: impl IntoIterator<Item = &'r End<'a>>) -> Vec<&'r ends::Object<'a>> {
    ends.into_iter().flat_map(|end| &end.objects).filter(|object| object.kind == Kind::HelmRelease).collect()
}

/// An end in a line: what leads to it, and what it prints.
fn line(end: &End<'_>) -> String {
    let objects = end.objects.iter().map(|object| {
        let mut json = Vec::new();
        object.node.write_json(&mut json);
        String::from_utf8(json).expect("JSON is text")
    });
    format!("{:?} {} {:?} {:?} {}", end.kind, end.path, end.ways, end.notes, objects.collect::<String>())
}

#[test]
fn real_repositories_are_rendered_to_their_ends() {
    let Some(files) = corpus() else { return };
    let tree = tree(&files);
    let rendered = ends::all(&tree, &[]);
    let of = |kind| rendered.ends.iter().filter(move |end| end.kind == kind);
    for kind in [EndKind::Kustomization, EndKind::ResourceSet, EndKind::Folder, EndKind::File] {
        let found: BTreeSet<_> = releases(of(kind)).iter().map(|object| object.document).collect();
        let (ends, releases) = (of(kind).count(), releases(of(kind)).len());
        println!("{kind:?}: {ends} ends with {releases} HelmReleases, made of {} documents", found.len());
    }
    let built = || of(EndKind::Kustomization).chain(of(EndKind::Folder));
    let releases_built = releases(built());
    let has = |object: &ends::Object<'_>, field: &str| object.node.at(&["spec", field]).is_some();
    let neither = releases_built.iter().filter(|it| !has(it, "chart") && !has(it, "chartRef")).count();
    let supplied = |object: &&&ends::Object<'_>| {
        let own = object.node.at(&["metadata", "namespace"]);
        own.is_some_and(|namespace| namespace.at.file() != object.document.file() || namespace.over.is_some())
    };
    println!("neither chart nor chartRef: {neither}");
    println!(
        "a namespace that the document does not have: {}",
        releases_built.iter().filter(supplied).count()
    );
    let uses = rendered.uses.iter().fold(BTreeMap::<Use, usize>::new(), |mut uses, it| {
        *uses.entry(*it).or_default() += 1;
        uses
    });
    println!("files: {uses:?}");
    assert_eq!(neither, 0, "bases and patches are not ends");
    assert!(releases_built.len() > 2_400, "only {} HelmReleases were built", releases_built.len());
    assert!(of(EndKind::Kustomization).count() > 1_900);
    let again = ends::all(&tree, &[]);
    let lines = |rendered: &Rendered<'_>| rendered.ends.iter().map(line).collect::<Vec<_>>();
    assert_eq!(lines(&rendered), lines(&again), "the same files give the same ends in the same order");
}
