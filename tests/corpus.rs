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
    policy::{Facts, Flux, HELM_GROUP, Settings},
    preflight::{self, Verdict},
    yaml,
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
