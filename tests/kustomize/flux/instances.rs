//! The sync of a `FluxInstance`, which the Flux Operator gives to kustomize together with the patches of the instance.

use std::fmt::Write as _;
use std::fs;

use chartgate::render::Tree;
use chartgate::render::flux;
use serde_json::{Value, json};

use super::oracle::{Oracle, Question};
use crate::oracle::difference;

/// What the operator makes of an instance, as far as it is not a controller (`syncTmpl` and `kustomizationTmpl` in `internal/builder/templates.go` of
/// flux-operator, which cannot be imported).
const SYNC: &str = "apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: flux-system, namespace: flux-system}
spec: {interval: 10m0s, path: clusters/x, prune: true, sourceRef: {kind: GitRepository, name: flux-system}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: kustomize-controller, namespace: flux-system}
spec: {replicas: 1, template: {spec: {containers: [{name: manager, args: [--watch]}]}}}
";

/// Patches of an instance.
const PATCHES: &[&str] = &[
    "- target: {kind: Kustomization}\n  patch: |\n    - {op: add, path: /spec/targetNamespace, value: apps}\n",
    "- target: {kind: Kustomization, name: flux-.*, group: kustomize.toolkit.fluxcd.io}\n  patch: |\n    spec: {path: other}\n    kind: Kustomization\n    apiVersion: kustomize.toolkit.fluxcd.io/v1\n    metadata: {name: any}\n",
    "- patch: |\n    apiVersion: kustomize.toolkit.fluxcd.io/v1\n    kind: Kustomization\n    metadata: {name: flux-system, namespace: flux-system}\n    spec: {postBuild: {substitute: {A: b}}, prune: null}\n",
    "- target: {kind: Deployment}\n  patch: |\n    - {op: replace, path: /spec/replicas, value: 3}\n",
    "- patch: |\n    apiVersion: apps/v1\n    kind: Deployment\n    metadata: {name: kustomize-controller, namespace: flux-system}\n    spec: {replicas: 4}\n",
    "- target: {name: flux-system}\n  patch: |\n    - {op: add, path: /spec/patches, value: [{patch: x, target: {kind: HelmRelease}}]}\n    - {op: replace, path: /spec/path, value: yes}\n",
    "- target: {kind: Kustomization}\n  patch: |\n    $patch: delete\n    kind: any\n    metadata: {name: any}\n",
];

#[test]
fn the_sync_of_an_instance_is_patched_as_the_operator_does() {
    let Some(mut oracle) = Oracle::find() else { return };
    // Each alone, and each together with the next one.
    let pairs = PATCHES.windows(2).map(<[_]>::concat);
    for patches in PATCHES.iter().map(|patch| (*patch).to_owned()).chain(pairs) {
        let scratch = tempfile::tempdir().unwrap();
        fs::write(scratch.path().join("sync.yaml"), SYNC).unwrap();
        let file = format!("namespace: flux-system\nresources: [sync.yaml]\npatches:\n{patches}");
        fs::write(scratch.path().join("kustomization.yaml"), file).unwrap();
        let nothing = json!({});
        let question = Question {
            root: scratch.path(),
            folder: "",
            kustomization: &nothing,
            strict: false,
            config: Vec::new(),
        };
        let printed = oracle.build(&question).unwrap();
        let mut theirs: Vec<Value> = printed.into_iter().filter(|it| it["kind"] == "Kustomization").collect();

        let mut instance = String::from(
            "apiVersion: fluxcd.controlplane.io/v1\nkind: FluxInstance\nmetadata: {name: flux, namespace: flux-system}\nspec:\n  \
             sync: {kind: GitRepository, path: clusters/x}\n  kustomize:\n    patches:\n",
        );
        for line in patches.lines() {
            writeln!(instance, "    {line}").unwrap();
        }
        let mut tree = Tree::default();
        tree.add("flux.yaml", &instance);
        let node = tree.files()[0].documents()[0].as_ref().unwrap();
        let mut notes = Vec::new();
        let ours = flux::sync_of(node, &tree, &mut notes).as_ref().map(chartgate::yaml::Node::to_json);
        assert!(notes.is_empty(), "{notes:?}");
        // What is not rendered of it says nothing about what it prints.
        for object in &mut theirs {
            let spec = object["spec"].as_object_mut().unwrap();
            spec.remove("interval");
            spec.remove("prune");
        }
        match (&ours, theirs.pop()) {
            (None, None) => {}
            (Some(ours), Some(theirs)) => assert_eq!(difference(ours, &theirs, ""), None, "{patches}"),
            (ours, theirs) => panic!("{patches}: {ours:?} here, {theirs:?} there"),
        }
    }
}
