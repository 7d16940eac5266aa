//! What whole kustomizations make.

use super::*;
use crate::render::{Reason, Tree};
use crate::yaml::Span;

/// A tree of the files that a text holds, each behind a line `# path`.
fn tree(files: &str) -> Tree<'_> {
    let mut tree = Tree::default();
    for file in files.split("\n# ").filter(|file| !file.trim().is_empty()) {
        let (path, text) = file.split_once('\n').unwrap();
        tree.add(path, text);
    }
    tree
}

fn json(resource: &Resource<'_>) -> String {
    let mut json = Vec::new();
    resource.node.write_json(&mut json);
    String::from_utf8(json).unwrap()
}

/// What a folder prints, and what was left out.
fn build(files: &str, folder: &str) -> (Vec<String>, Vec<(Reason, String)>) {
    let tree = tree(files);
    let build = Kustomize::of(&tree).folder(folder).unwrap();
    let notes = build.all_notes().into_iter().map(|note| (note.reason, note.message.clone())).collect();
    (build.printed().iter().map(json).collect(), notes)
}

const RELEASE: &str =
    "\n# base/release.yaml\n{apiVersion: v2, kind: HelmRelease, metadata: {name: web}, spec: {a: 1}}";

#[test]
fn an_overlay_changes_what_its_base_makes() {
    let files = format!(
        "{RELEASE}
# base/kustomization.yaml
resources: [release.yaml]
# prod/kustomization.yaml
resources: [../base]
namespace: prod
namePrefix: my-
patches:
  - patch: |
      apiVersion: v2
      kind: HelmRelease
      metadata: {{name: web}}
      spec: {{a: null, b: 2}}
"
    );
    let printed = r#"{"apiVersion":"v2","kind":"HelmRelease","metadata":{"name":"my-web","namespace":"prod"},"spec":{"b":2}}"#;
    assert_eq!(build(&files, "prod"), (vec![printed.to_owned()], vec![]));
}

#[test]
fn what_is_not_there_is_noted_and_the_rest_goes_on() {
    let files = format!(
        "{RELEASE}
# base/kustomization.yaml
resources: [release.yaml, gone.yaml, https://example.com/x.yaml, ../../up, git@example.com:a/b]
patches: [{{path: gone.yaml}}]
helmCharts: [{{name: x}}]
"
    );
    let (printed, notes) = build(&files, "base");
    assert_eq!(printed.len(), 1);
    let notes: Vec<_> = notes.iter().map(|(reason, message)| (*reason, message.as_str())).collect();
    assert_eq!(
        notes,
        [
            (Reason::Missing, "gone.yaml is not there"),
            (Reason::Remote, "https://example.com/x.yaml is not in the tree"),
            (Reason::Remote, "../../up is not in the tree"),
            (Reason::Remote, "git@example.com:a/b is not in the tree"),
            (Reason::Missing, "gone.yaml is not there"),
            (Reason::Unsupported, "helmCharts is not rendered"),
        ]
    );
}

#[test]
fn a_cycle_is_noted_whoever_asks_first() {
    let files = "
# a/kustomization.yaml
resources: [../b]
# b/kustomization.yaml
resources: [../a, ../c/d]
# c/kustomization.yaml
resources: [d]
# c/d/kustomization.yaml
resources: [..]
";
    for folder in ["a", "b", "c", "c/d"] {
        let (printed, notes) = build(files, folder);
        assert!(printed.is_empty());
        assert!(notes.iter().all(|(_, message)| message.contains("leads back here")), "{notes:?}");
        assert!(!notes.is_empty());
    }
}

#[test]
fn a_chain_of_any_length_is_built() {
    let texts: Vec<_> = (0..5_000).map(|at| format!("resources: [../f{}]", at + 1)).collect();
    let paths: Vec<_> = (0..=5_000).map(|at| format!("f{at}/kustomization.yaml")).collect();
    let mut tree = Tree::default();
    for (path, text) in paths.iter().zip(texts.iter().map(String::as_str).chain(["resources: [x.yaml]"])) {
        tree.add(path, text);
    }
    tree.add("f5000/x.yaml", "{apiVersion: v1, kind: A, metadata: {name: x}}");
    let build = Kustomize::of(&tree).folder("f0").unwrap();
    assert_eq!((build.printed().len(), build.printed()[0].layers.len()), (1, 5_001));
}

/// Trees of a few lines a level, whose objects, components or values double at each: 40 levels never end.
#[test]
fn what_doubles_at_each_level_is_left_out_and_told() {
    const LEVELS: usize = 40;
    let twice = |kind: &str, level: usize| {
        let (field, next) = (if kind == "Component" { "components" } else { "resources" }, level + 1);
        let names = [format!("a{next}"), format!("b{next}")].map(|name| format!("../{name}"));
        format!(
            "{{kind: {kind}, apiVersion: kustomize.config.k8s.io/v1alpha1, {field}: [{}]}}",
            names.join(", ")
        )
    };
    let last = "resources: [x.yaml]";
    // Both folders of a level name both of the next, under other names.
    let prefixed = |level: usize, side: &str| {
        twice("Kustomization", level).replace('}', &format!(", namePrefix: {side}-}}"))
    };
    let mut files: Vec<[String; 2]> = Vec::new();
    for level in 0..LEVELS {
        for side in ["a", "b"] {
            files.push([format!("o/{side}{level}/kustomization.yaml"), prefixed(level, side)]);
            files.push([format!("c/{side}{level}/kustomization.yaml"), twice("Component", level)]);
        }
    }
    for side in ["a", "b"] {
        files.push([format!("o/{side}{LEVELS}/kustomization.yaml"), format!("{last}\nnamePrefix: {side}-")]);
        files.push([
            format!("o/{side}{LEVELS}/x.yaml"),
            "{apiVersion: v1, kind: A, metadata: {name: x}}".to_owned(),
        ]);
        files.push([format!("c/{side}{LEVELS}/kustomization.yaml"), "kind: Component".to_owned()]);
    }
    files.push(["c/top/kustomization.yaml".to_owned(), "components: [../a0]".to_owned()]);
    let copies = (0..LEVELS).map(|level| format!("- {{op: copy, from: /spec, path: /spec/c{level}}}\n"));
    files.push([
        "p/x.yaml".to_owned(),
        "{apiVersion: v1, kind: A, metadata: {name: x}, spec: {a: 1}}".to_owned(),
    ]);
    files.push(["p/patch.yaml".to_owned(), copies.collect()]);
    let patch = "resources: [x.yaml]\npatches: [{path: patch.yaml, target: {kind: A}}]";
    files.push(["p/kustomization.yaml".to_owned(), patch.to_owned()]);
    let mut tree = Tree::default();
    for [path, text] in &files {
        tree.add(path, text);
    }
    for folder in ["o/a0", "c/top", "p"] {
        let build = Kustomize::of(&tree).folder(folder).unwrap();
        let notes = build.all_notes();
        let told = notes.iter().find(|note| note.message.starts_with("more is made of this tree"));
        assert_eq!(told.map(|note| note.reason), Some(Reason::TooMuch), "{folder}: {notes:?}");
        let few = notes.len() < 10_000 && build.resources.len() < 100_000;
        assert!(few, "{folder}: {} notes, {} objects", notes.len(), build.resources.len());
    }
}

#[test]
fn a_value_knows_the_patch_and_the_base_that_set_it() {
    let files = format!(
        "{RELEASE}
# base/kustomization.yaml
resources: [release.yaml]
# prod/kustomization.yaml
resources: [../base]
patches: [{{path: patch.yaml, target: {{kind: HelmRelease}}}}]
# prod/patch.yaml
{{apiVersion: v2, kind: HelmRelease, metadata: {{name: any}}, spec: {{a: 2}}}}
"
    );
    let tree = tree(&files);
    let build = Kustomize::of(&tree).folder("prod").unwrap();
    let resource = &build.resources[0];
    let slice = |span: Span| (tree.file_of(span).path, &tree.file_of(span).text[span.range()]);
    let a = resource.node.at(&["spec", "a"]).unwrap();
    assert_eq!(slice(a.at), ("prod/patch.yaml", "2"));
    assert_eq!(slice(a.over.as_deref().unwrap().at), ("base/release.yaml", "1"));
    let name = resource.node.at(&["metadata", "name"]).unwrap();
    assert_eq!((slice(name.at), name.over.is_none()), (("base/release.yaml", "web"), true));
    let layers: Vec<_> = resource.layers.iter().map(|layer| (slice(layer.at).0, layer.by)).collect();
    assert_eq!(
        layers,
        [
            ("base/kustomization.yaml", By::Resources),
            ("prod/kustomization.yaml", By::Resources),
            ("prod/kustomization.yaml", By::Patch)
        ]
    );
}

#[test]
fn a_kustomization_that_is_in_no_file_is_built_in_a_folder() {
    let files = format!("{RELEASE}\n# base/kustomization.yaml\nresources: [release.yaml]\n");
    let tree = tree(&files);
    let kustomize = Kustomize::of(&tree);
    let (mut kustomization, notes) = kustomize.kustomization("base").unwrap();
    assert!(notes.is_empty());
    let at = kustomization.at;
    kustomization.namespace = Some(Text { text: "prod".into(), at });
    let build = kustomize.given("base", kustomization);
    let namespace = build.printed()[0].node.at(&["metadata", "namespace"]).unwrap().clone();
    assert_eq!((namespace.text(), namespace.at), (Some("prod"), at));
}

#[test]
fn a_patch_may_be_for_what_a_generator_makes() {
    let files = format!(
        "{RELEASE}
# base/kustomization.yaml
resources: [release.yaml]
configMapGenerator: [{{name: settings, literals: [a=b]}}]
patches: [{{patch: '{{apiVersion: v1, kind: ConfigMap, metadata: {{name: settings}}, data: {{a: c}}}}'}}]
"
    );
    let (printed, notes) = build(&files, "base");
    assert_eq!((printed.len(), notes), (2, Vec::new()));
}
