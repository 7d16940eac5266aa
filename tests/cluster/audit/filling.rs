//! A cluster filled with the releases of real repositories, by those who apply them in real clusters.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Chartgate, Cluster, Namespace, Source, Write, chart, chart_ref, release, say};

/// How many releases of a namespace each of kubectl's ways gets; the others are applied as kustomize-controller does.
const OF_EACH_WAY: usize = 25;

/// How many are edited by hand afterwards.
const EDITED: usize = 8;

/// How many the real kustomize-controller applies.
const OF_THE_CONTROLLER: usize = 12;

/// A namespace, and the manifests that were accepted in it, by name.
pub(super) struct Filled<'a> {
    pub(super) namespace: Namespace<'a>,
    pub(super) manifests: BTreeMap<String, Value>,
    /// Those that were edited by hand afterwards: to apply them again changes their spec.
    pub(super) edited: BTreeSet<String>,
}

/// The HelmReleases of each tree of the corpus, each name once; `None`, said aloud, without the corpus.
fn corpus() -> Option<Vec<BTreeMap<String, Value>>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let Ok(index) = fs::read_to_string(corpus.join("index.jsonl")) else {
        say("skipped: no corpus");
        return None;
    };
    let mut trees: BTreeMap<String, BTreeMap<String, Value>> = BTreeMap::new();
    let mut read = BTreeSet::new();
    for line in index.lines() {
        let entry: Value = serde_json::from_str(line).expect("the index is JSON");
        let path = entry["path"].as_str().expect("an entry has a path");
        if entry["rec"] != "hr" || !read.insert(path.to_owned()) {
            continue;
        }
        let text = fs::read_to_string(corpus.join(path)).expect("a file of the index is readable");
        let Ok(documents) = chartgate::preflight::documents(&text) else { continue };
        // `trees/owner+repository/label/...`
        let tree = path.split('/').take(3).collect::<Vec<_>>().join("/");
        for mut document in documents {
            let Some(name) = document["metadata"]["name"].as_str().map(str::to_owned) else { continue };
            if document["kind"] == "HelmRelease" {
                document["metadata"]
                    .as_object_mut()
                    .expect("it has a name")
                    .retain(|key, _| ["name", "annotations", "labels"].contains(&key.as_str()));
                // As chartgate leaves them, once it has enforced: half of them, or all would only be annotated.
                let version = version_of(&document).to_owned();
                if name.len() % 2 == 0 && document["metadata"]["annotations"].is_null() {
                    document["metadata"]["annotations"] = json!({"fluxcd.io/version": version});
                }
                trees.entry(tree.clone()).or_default().entry(name).or_insert(document);
            }
        }
    }
    Some(trees.into_values().collect())
}

/// Releases that no repository has any more, or that no repository should have.
fn oddities() -> BTreeMap<String, Value> {
    let both = {
        let mut both = chart();
        both["chartRef"] = chart_ref()["chartRef"].clone();
        both
    };
    let sources = [("both", both), ("neither", json!({})), ("chart", chart()), ("chart-ref", chart_ref())];
    let versions = ["v2beta1", "v2beta2", "v2"];
    let mut all = BTreeMap::new();
    for version in versions {
        for (name, source) in &sources {
            // Without the annotation, with the right one, and with one that the manifest gets wrong.
            for annotation in [None, Some(version), Some("v1")] {
                let name = format!("{name}-{version}-{}", annotation.unwrap_or("plain"));
                let mut release = release(version, &name, source);
                if let Some(annotation) = annotation {
                    release["metadata"]["annotations"] = json!({"fluxcd.io/version": annotation});
                }
                all.insert(name, release);
            }
        }
    }
    all
}

/// Fills the cluster. chartgate is asked about every namespace, and is to look on meanwhile.
pub(super) fn fill<'a>(cluster: &'a Cluster, chartgate: &Chartgate<'a>) -> Option<Vec<Filled<'a>>> {
    let mut trees = corpus()?;
    let controlled: BTreeMap<_, _> = trees[0]
        .iter()
        .filter(|(_, release)| {
            release["spec"].get("chart").is_some() != release["spec"].get("chartRef").is_some()
        })
        .take(OF_THE_CONTROLLER)
        .map(|(name, release)| (name.clone(), release.clone()))
        .collect();
    trees.push(oddities());
    let mut filled: Vec<_> =
        trees.into_iter().map(|tree| fill_one(chartgate.namespace("audit"), tree)).collect();
    filled.extend(by_the_controller(cluster, chartgate.namespace("audit-flux"), controlled));
    filled.retain(|filled| !filled.manifests.is_empty());
    Some(filled)
}

fn fill_one(namespace: Namespace<'_>, tree: BTreeMap<String, Value>) -> Filled<'_> {
    let all: Vec<&Value> = tree.values().collect();
    let ways: [&[&str]; 3] =
        [&["apply", "--server-side", "--field-manager=kustomize-controller"], &["apply"], &["create"]];
    let (first, rest) = all.split_at(all.len().min(OF_EACH_WAY * ways.len()));
    for (way, batch) in ways.iter().zip(first.chunks(OF_EACH_WAY)) {
        // What the CRD refuses is left out; kubectl goes on with the others.
        let list = json!({"apiVersion": "v1", "kind": "List", "items": batch});
        let output = namespace.kubectl(way, &list);
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(!err.contains("chartgate.dev"), "chartgate only looks on: {err}");
    }
    for release in rest {
        _ = namespace.releases(version_of(release)).apply(release, Write::by("kustomize-controller"));
    }
    let stored = namespace.releases("v2").list().accepted();
    let names: BTreeSet<_> = stored["items"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|release| release["metadata"]["name"].as_str().map(str::to_owned))
        .collect();
    let manifests: BTreeMap<_, _> = tree.into_iter().filter(|(name, _)| names.contains(name)).collect();
    let edited: BTreeSet<_> = manifests.keys().step_by(3).take(EDITED).cloned().collect();
    for version in ["v2beta1", "v2beta2", "v2"] {
        // As the manifests have it: at another version, the schema may refuse what was taken at theirs.
        let of_version = |name: &&String| version_of(&manifests[*name]) == version;
        edit(&namespace, version, edited.iter().filter(of_version));
    }
    Filled { namespace, manifests, edited }
}

/// The version part of a manifest's `apiVersion`.
pub(super) fn version_of(manifest: &Value) -> &str {
    manifest["apiVersion"].as_str().and_then(|it| it.rsplit('/').next()).unwrap_or_default()
}

/// Changes intervals by hand, with kubectl edit, so that somebody else owns them.
fn edit<'n>(namespace: &Namespace<'_>, version: &str, names: impl Iterator<Item = &'n String>) {
    let names: Vec<_> = names.collect();
    if names.is_empty() {
        return;
    }
    let output = namespace
        .kubectl_command()
        .args(["edit", &format!("helmreleases.{version}.helm.toolkit.fluxcd.io")])
        .args(names)
        .env("KUBE_EDITOR", r"sed -i s/interval:.*/interval:\ 17m/")
        .output()
        .expect("kubectl was built with the server");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Lets the real kustomize-controller apply some.
fn by_the_controller<'a>(
    cluster: &'a Cluster,
    namespace: Namespace<'a>,
    manifests: BTreeMap<String, Value>,
) -> Option<Filled<'a>> {
    // The controller of today knows the sources of 2.6, and not those of 2.3.
    let controller = (cluster.flux() == "2.6").then(|| cluster.kustomize_controller()).flatten()?;
    let source = Source::create(controller, &namespace);
    let files: Vec<_> =
        manifests.iter().map(|(name, release)| (format!("{name}.yaml"), release.to_string())).collect();
    let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    source.publish(&files).expect("they are in force in a real cluster");
    // Or it would apply them again between an audit and what that is held against.
    let kustomizations = namespace.objects("kustomize.toolkit.fluxcd.io/v1", "kustomizations");
    kustomizations.merge_patch("source", &json!({"spec": {"suspend": true}}), Write::by("flux")).accepted();
    Some(Filled { namespace, manifests, edited: BTreeSet::new() })
}
