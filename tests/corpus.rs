//! Real repositories, through the reader and through the code of `chartgate preview`.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it skipped and how much it saw"
)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use chartgate::{
    cluster::schemas_of,
    policy::{Facts, Flux, HELM_GROUP, Settings},
    preflight::{self, Verdict, collect::collect},
    render::{Tree, ends},
    yaml::{self, Node},
};
use serde_json::Value;

fn corpus() -> Option<PathBuf> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    corpus.join("index.jsonl").exists().then_some(corpus)
}

/// A newest Flux that serves the version that the document is written in.
fn flux_of(document: &Value) -> Flux {
    let version =
        document["apiVersion"].as_str().and_then(|it| it.strip_prefix(HELM_GROUP)).unwrap_or_default();
    Flux::NEWEST.serving(version.trim_start_matches('/'))
}

#[test]
fn denies_nothing_that_is_deployed_today() {
    let Some(corpus) = corpus() else {
        eprintln!("skipped: no corpus");
        return;
    };
    let index = fs::read_to_string(corpus.join("index.jsonl")).expect("the index is readable");
    let (mut judged, mut denied) = (0, Vec::new());
    for line in index.lines() {
        let entry: Value = serde_json::from_str(line).expect("the index is JSON");
        let is_release =
            entry["rec"] == "hr" && matches!(entry["class"].as_str(), Some("chart" | "chartRef"));
        let is_resource =
            entry["kustomize_role"].as_array().is_none_or(|roles| !roles.contains(&"patch".into()));
        if !(is_release && is_resource) {
            continue;
        }
        let path = entry["path"].as_str().expect("an entry has a path");
        let text = fs::read_to_string(corpus.join(path)).expect("a file of the index is readable");
        let documents = preflight::documents(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        for document in documents.iter().filter(|document| document["kind"] == "HelmRelease") {
            let whole = document["spec"].get("chart").is_some() || document["spec"].get("chartRef").is_some();
            if !whole {
                continue;
            }
            judged += 1;
            let preview = preflight::preview(document, &Settings::default(), &Facts::of(flux_of(document)));
            if let Verdict::Denied { message } = preview.expect("a HelmRelease makes a review").verdict {
                denied.push(format!("{path}: {}", message.lines().next().unwrap_or_default()));
            }
        }
    }
    println!("{judged} HelmReleases judged, {} denied", denied.len());
    assert!(judged > 1_000, "only {judged} HelmReleases were found");
    assert_eq!(denied, [] as [String; 0]);
}

/// A check reads less than there is. Whatever rules read comes out as if it read all.
#[test]
fn what_a_check_passes_over_decides_nothing() {
    let Some(corpus) = corpus() else {
        eprintln!("skipped: no corpus");
        return;
    };
    let collected = collect(&[corpus.join("trees")], &|_| {}).expect("the corpus is readable");
    let rendered = |mut tree: Tree<'static>| {
        // Texts that live as long as the process are borrowed for as long as it takes.
        for source in &collected.sources {
            tree.add(source.key().to_owned().leak(), source.text.to_string().leak());
        }
        let rendered = ends::all(&tree, &collected.repositories);
        let objects =
            rendered.ends.iter().flat_map(|end| end.objects.iter().map(|object| said(&object.node)));
        let notes = rendered.ends.iter().flat_map(|end| &end.notes);
        (objects.collect::<Vec<_>>(), notes.map(|note| note.message.clone()).collect::<Vec<_>>())
    };
    let (some, all) = (rendered(Tree::of_what_decides()), rendered(Tree::default()));
    println!("{} objects, {} notes", all.0.len(), all.1.len());
    assert!(all.0.len() > 4_000, "only {} objects were rendered", all.0.len());
    assert!(some.0 == all.0, "{:?}", some.0.iter().zip(&all.0).find(|(some, all)| some != all));
    // What is lost is about what was passed over: a value that becomes no YAML once its variables are filled in.
    let mut lost = all.1;
    for note in &some.1 {
        let at = lost.iter().position(|it| it == note);
        lost.swap_remove(at.unwrap_or_else(|| panic!("only a check says {note}")));
    }
    lost.retain(|note| !note.ends_with("which is no YAML there"));
    assert_eq!(lost, [] as [String; 0]);
}

/// What rules read of an object.
fn said(object: &Node<'_>) -> String {
    let mut said = Vec::new();
    let paths: [&[&str]; 9] = [
        &["apiVersion"],
        &["kind"],
        &["metadata"],
        &["spec", "chart"],
        &["spec", "chartRef"],
        &["spec", "interval"],
        &["spec", "postRenderers"],
        &["spec", "ref"],
        &["spec", "sourceRef"],
    ];
    for path in paths {
        if let Some(value) = object.at(path) {
            value.write_json(&mut said);
            said.push(b'\n');
        }
    }
    String::from_utf8(said).expect("JSON is UTF-8")
}

/// The trees are what their teams have in force: all of it is read but what is a Helm template. The oddities never parsed for anybody.
#[test]
fn reads_every_document_or_says_where_it_cannot() {
    let Some(corpus) = corpus() else {
        eprintln!("skipped: no corpus");
        return;
    };
    let (mut read, mut refused) = (0, Vec::new());
    for path in files_below(&corpus.join("trees")) {
        let text = fs::read_to_string(&path).expect("the corpus is text");
        for document in yaml::documents(&text, 0) {
            match document {
                Ok(_) => read += 1,
                Err(_) if text.contains("{{") => {}
                Err(error) => {
                    let place = yaml::Lines::of(&text).position(error.offset);
                    refused.push(format!("{}:{place}: {error}", path.display()));
                }
            }
        }
    }
    println!("{read} documents read");
    assert!(read > 8_000, "only {read} documents were read");
    assert_eq!(refused, [] as [String; 0]);
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder is readable");
    let entries = entries.map(|entry| entry.expect("the folder is readable").path());
    let nested = entries.map(|path| if path.is_dir() { files_below(&path) } else { vec![path] });
    nested.collect::<Vec<_>>().concat()
}

#[test]
fn every_row_about_a_flux_is_what_its_crd_says() {
    let crds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/crds");
    if !crds.is_dir() {
        eprintln!("skipped: no CRDs");
        return;
    }
    let mut versions = 0;
    for flux in Flux::all() {
        let path = crds.join(flux.to_string()).join("helm.toolkit.fluxcd.io_helmreleases.yaml");
        let text = fs::read_to_string(&path).expect("each minor has the CRD of HelmRelease");
        let crd = preflight::documents(&text).expect("it is YAML").remove(0);
        assert_eq!(schemas_of(&crd), flux.served(), "Flux {flux}");
        versions += flux.served().len();
    }
    println!("{versions} served versions of {} minors", Flux::all().count());
}
