//! Small trees, one idea each.

use super::Use::{Dormant, Fragment, Kustomization, Resource, Unreached};
use super::*;
use crate::render::Reason;

/// Files by path and text.
fn tree<'a>(files: &[(&'a str, &'a str)]) -> Tree<'a> {
    let mut tree = Tree::default();
    for (path, text) in files {
        tree.add(path, text);
    }
    tree
}

/// A Kustomization of Flux in `flux-system`, with its path and what else is in its `spec`.
fn flux(name: &str, path: &str, spec: &str) -> String {
    let spec = spec.lines().map(|line| format!("  {line}\n")).collect::<Vec<_>>().concat();
    format!(
        "---\napiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata:\n  name: {name}\n  namespace: flux-system\n\
         spec:\n  path: {path}\n  sourceRef: {{kind: GitRepository, name: flux-system}}\n{spec}"
    )
}

/// A HelmRelease that names no namespace.
fn release(name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata:\n  name: {name}\nspec: {spec}\n"
    )
}

/// Each end in a line: what it is, its folder, and the objects in it with their `spec`.
fn ends(files: &[(&str, &str)], roots: &[&str]) -> Vec<String> {
    let roots: Vec<_> = roots.iter().map(|root| (*root).to_owned()).collect();
    let tree = tree(files);
    let rendered = all(&tree, &roots);
    assert!(rendered.ends.iter().all(|end| !end.ways.is_empty()), "an end has a way");
    rendered.ends.iter().map(line).collect()
}

fn line(end: &End<'_>) -> String {
    let objects = end.objects.iter().map(|object| {
        let mut spec = Vec::new();
        object.node.get("spec").unwrap_or(&object.node).write_json(&mut spec);
        let spec = String::from_utf8(spec).unwrap();
        format!(" {}/{} {spec}", object.namespace().unwrap_or("-"), object.name())
    });
    format!("{:?} {}:{}", end.kind, end.path, objects.collect::<String>())
}

/// The names of the steps of each way to the ends of a kind.
fn ways(files: &[(&str, &str)], kind: EndKind) -> Vec<Vec<String>> {
    let tree = tree(files);
    let rendered = all(&tree, &[]);
    let ends = rendered.ends.iter().filter(|end| end.kind == kind);
    let way = |way: &Way| {
        way.steps.iter().map(|step| step.name.replace("Kustomization flux-system/", "")).collect()
    };
    ends.map(|end| end.ways.iter().map(way).map(|steps: Vec<_>| steps.join(" > ")).collect()).collect()
}

fn notes(files: &[(&str, &str)]) -> Vec<(Reason, String)> {
    let tree = tree(files);
    let rendered = all(&tree, &[]);
    rendered.ends.into_iter().flat_map(|end| end.notes).map(|note| (note.reason, note.message)).collect()
}

#[test]
fn patches_inside_of_patches_reach_every_release() {
    let patches = "patches:\n- target: {kind: Kustomization}\n  patch: |\n    apiVersion: kustomize.toolkit.fluxcd.io/v1\n    \
                   kind: Kustomization\n    metadata: {name: _}\n    spec:\n      patches:\n      - target: {kind: HelmRelease}\n        \
                   patch: |\n          kind: HelmRelease\n          metadata: {name: _}\n          spec: {timeout: 5m}\n";
    let files = [
        ("flux/apps.yaml", &*flux("apps", "./apps", patches)),
        ("apps/web/ks.yaml", &flux("web", "./web", "targetNamespace: web")),
        ("web/release.yaml", &release("web", "{interval: 1h}")),
    ];
    assert_eq!(
        ends(&files, &[]),
        ["Kustomization apps:", r#"Kustomization web: web/web {"interval":"1h","timeout":"5m"}"#]
    );
    assert_eq!(ways(&files, EndKind::Kustomization), [["apps"], ["apps > web"]]);
    let tree = tree(&files);
    let rendered = all(&tree, &[]);
    let timeout = rendered.ends[1].objects[0].node.at(&["spec", "timeout"]).unwrap();
    assert_eq!(tree.file_of(timeout.at).path, "flux/apps.yaml");
    assert_eq!(&tree.file_of(timeout.at).text[timeout.at.range()], "5m");
    assert_eq!(rendered.uses, [Unreached, Resource, Resource]);
}

#[test]
fn a_folder_without_a_kustomization_is_listed() {
    let files = [
        ("flux.yaml", &*flux("apps", "apps", "")),
        ("apps/a.yaml", &release("a", "{}")),
        ("apps/deep/b.yml", &release("b", "{}")),
        ("apps/built/kustomization.yaml", "resources: [c.yaml]\nnamespace: c\n"),
        ("apps/built/c.yaml", &release("c", "{}")),
        ("apps/built/unused.yaml", &release("unused", "{}")),
    ];
    assert_eq!(
        ends(&files, &[]),
        [
            "Kustomization apps: flux-system/a {} c/c {} flux-system/b {}",
            "File apps/built/unused.yaml: -/unused {}"
        ]
    );
}

#[test]
fn the_namespace_is_the_target_then_the_folders_then_the_objects_then_the_kustomizations() {
    let own = release("own", "{}").replace("  name: own", "  name: own\n  namespace: mine");
    let both = format!("{}{own}", release("none", "{}"));
    let files = [
        ("flux/one.yaml", &*flux("one", "plain", "")),
        ("flux/two.yaml", &flux("two", "plain", "targetNamespace: target")),
        ("flux/three.yaml", &flux("three", "folder", "")),
        (
            "flux/four.yaml",
            &flux("four", "folder", "targetNamespace: target\nnamePrefix: a-\nnameSuffix: -z"),
        ),
        ("plain/x.yaml", &both),
        ("folder/kustomization.yaml", "namespace: folder\nnamePrefix: lost-\nresources: [x.yaml]\n"),
        ("folder/x.yaml", &both),
    ];
    assert_eq!(
        ends(&files, &[]),
        [
            "Kustomization plain: flux-system/none {} mine/own {}",
            "Kustomization plain: target/none {} target/own {}",
            "Kustomization folder: folder/lost-none {} folder/lost-own {}",
            "Kustomization folder: target/a-none-z {} target/a-own-z {}",
        ]
    );
}

#[test]
fn clusters_that_differ_are_ends_and_clusters_that_do_not_are_ways() {
    let set = |value: &str| flux("apps", "base", &format!("postBuild: {{substitute: {{TAG: {value}}}}}"));
    let files = [
        ("clusters/a.yaml", &*set("'1'")),
        ("clusters/b.yaml", &set("two")),
        ("clusters/c.yaml", &set("two")),
        ("base/web.yaml", &release("web", "{tag: '${TAG}'}")),
    ];
    assert_eq!(
        ends(&files, &[]),
        [
            r#"Kustomization base: flux-system/web {"tag":1}"#,
            r#"Kustomization base: flux-system/web {"tag":"two"}"#
        ]
    );
    let tree = tree(&files);
    let rendered = all(&tree, &[]);
    assert_eq!(rendered.ends.iter().map(|end| end.ways.len()).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn two_ways_to_one_end_are_both_told() {
    let files = [
        ("clusters/a.yaml", &*flux("a", "apps", "")),
        ("clusters/b.yaml", &flux("b", "apps", "")),
        ("apps/ks.yaml", &flux("web", "web", "")),
        ("web/web.yaml", &release("web", "{}")),
    ];
    assert_eq!(ways(&files, EndKind::Kustomization), [vec!["a"], vec!["b"], vec!["a > web", "b > web"]]);
}

#[test]
fn variables_come_from_config_maps_of_the_cluster_and_secrets_stay_closed() {
    let from =
        "postBuild:\n  substitute: {OWN: 'o'}\n  substituteFrom:\n  - {kind: ConfigMap, name: settings}\n";
    let secret = format!("{from}  - {{kind: Secret, name: closed}}\n");
    let settings = |value: &str| {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings}}\ndata: {{TAG: '{value}'}}\n")
    };
    let files = [
        ("a/apps.yaml", &*flux("a", "a/all", "")),
        ("a/all/apps.yaml", &flux("apps", "base", from)),
        ("a/all/settings.yaml", &flux("settings", "a/settings", "")),
        ("a/settings/settings.yaml", &settings("1.0.0")),
        ("b/apps.yaml", &flux("b", "b/all", "")),
        ("b/all/apps.yaml", &flux("apps", "base", &secret)),
        ("b/all/settings.yaml", &settings("2.0.0")),
        ("base/web.yaml", &release("web", "{a: '${TAG}-${OWN}', b: 'x${ELSE:=d}', c: 'y${ELSE}'}")),
    ];
    let ends = ends(&files, &[]);
    let webs: Vec<_> = ends.iter().filter(|end| end.contains("web")).collect();
    assert_eq!(
        webs,
        [
            r#"Kustomization base: flux-system/web {"a":"2.0.0-o","b":"x${ELSE:=d}","c":"y${ELSE}"}"#,
            r#"Kustomization base: flux-system/web {"a":"1.0.0-o","b":"xd","c":true}"#,
        ]
    );
}

#[test]
fn patches_of_a_flux_instance_change_what_it_follows() {
    let instance = "apiVersion: fluxcd.controlplane.io/v1\nkind: FluxInstance\nmetadata: {name: flux, namespace: flux-system}\nspec:\n  \
                    sync: {kind: GitRepository, path: clusters/x}\n  kustomize:\n    patches:\n    \
                    - target: {kind: Deployment}\n      patch: '- {op: add, path: /spec/replicas, value: 2}'\n    \
                    - patch: '{apiVersion: v1, kind: Service, metadata: {name: source-controller, namespace: flux-system}}'\n    \
                    - target: {kind: Kustomization, name: flux-system}\n      patch: |\n        \
                    - {op: add, path: /spec/postBuild, value: {substitute: {A: b}}}\n        \
                    - {op: add, path: /spec/targetNamespace, value: apps}\n    \
                    - target: {kind: Kustomization}\n      patch: '- {op: remove, path: /spec/nothing}'\n";
    let files =
        [("flux.yaml", instance), ("clusters/x/web.yaml", &*release("web", "{values: {a: 'x-${A}'}}"))];
    assert_eq!(ends(&files, &[]), [r#"Kustomization clusters/x: apps/web {"values":{"a":"x-b"}}"#]);
    let mut tree = Tree::default();
    for (path, text) in &files {
        tree.add(path, text);
    }
    let rendered = all(&tree, &[]);
    let notes: Vec<_> = rendered.ends[0].notes.iter().map(|note| &*note.message).collect();
    assert_eq!(notes, ["there is no /spec/nothing to remove (Kustomization flux-system in flux-system)"]);
}

#[test]
fn the_top_of_a_cluster_is_what_its_own_folder_prints() {
    let patch = "resources: [sync.yaml]\npatches:\n- target: {kind: Kustomization}\n  patch: |\n    \
                 - {op: add, path: /spec/postBuild, value: {substitute: {A: b}}}\n";
    let files = [
        ("clusters/x/flux-system/kustomization.yaml", patch),
        ("clusters/x/flux-system/sync.yaml", &*flux("flux-system", "./clusters/x", "")),
        ("clusters/x/apps.yaml", &flux("apps", "./apps/${A}", "")),
        ("apps/b/web.yaml", &release("web", "{}")),
        ("apps/c/web.yaml", &release("web", "{}")),
    ];
    assert_eq!(
        ends(&files, &[]),
        [
            "Kustomization clusters/x:",
            "Kustomization apps/b: flux-system/web {}",
            "File apps/c/web.yaml: -/web {}"
        ]
    );
    assert_eq!(ways(&files, EndKind::Kustomization), [["flux-system"], ["flux-system > apps"]]);
}

#[test]
fn a_folder_that_sets_up_a_cluster_is_built_by_flux_in_the_end() {
    let files = [
        (
            "clusters/x/kustomization.yaml",
            "resources: [../../sync.yaml, ../../apps.yaml]\npatches: [{path: patch.yaml}]\n",
        ),
        ("clusters/x/patch.yaml", &*flux("flux-system", "./clusters/x", "postBuild: {substitute: {A: b}}")),
        ("sync.yaml", &flux("flux-system", "./nowhere", "")),
        ("apps.yaml", &flux("apps", "./apps/${A}", "")),
        ("apps/b/web.yaml", &release("web", "{a: '${A}'}")),
    ];
    assert_eq!(
        ends(&files, &[]),
        ["Kustomization clusters/x:", r#"Kustomization apps/b: flux-system/web {"a":"${A}"}"#]
    );
    assert_eq!(
        ways(&files, EndKind::Kustomization),
        [
            ["clusters/x/kustomization.yaml > flux-system"],
            ["clusters/x/kustomization.yaml > flux-system > apps"]
        ]
    );
    assert_eq!(notes(&files), []);
}

#[test]
fn a_flux_instance_follows_its_path() {
    let instance = "apiVersion: fluxcd.controlplane.io/v1\nkind: FluxInstance\nmetadata: {name: flux, namespace: flux-system}\n\
                    spec: {sync: {kind: OCIRepository, url: 'oci://x', ref: latest, path: clusters/x}}\n";
    let files =
        [("clusters/x/flux/instance.yaml", instance), ("clusters/x/web.yaml", &*release("web", "{}"))];
    assert_eq!(ends(&files, &[]), ["Kustomization clusters/x: flux-system/web {}"]);
    assert_eq!(ways(&files, EndKind::Kustomization), [["flux-system"]]);
}

#[test]
fn releases_in_a_resource_set_are_rendered_with_open_inputs() {
    let set = format!(
        "apiVersion: fluxcd.controlplane.io/v1\nkind: ResourceSet\nmetadata: {{name: sets, namespace: apps}}\nspec:\n  inputs: [{{t: a}}]\n  \
         resources:\n  - {}",
        release("web-<< inputs.t >>", "{}").trim_start_matches("---\n").replace('\n', "\n    ")
    );
    let files = [("flux.yaml", &*flux("apps", "apps", "")), ("apps/set.yaml", &set)];
    assert_eq!(ends(&files, &[]), ["Kustomization apps:", "ResourceSet : apps/web-<< inputs.t >> {}"]);
    assert_eq!(ways(&files, EndKind::ResourceSet), [["apps > ResourceSet apps/sets"]]);
    assert_eq!(ends(&files[1..], &[]), ["ResourceSet : apps/web-<< inputs.t >> {}"]);
}

#[test]
fn kustomizations_that_print_each_other_are_rendered_once() {
    let files = [
        ("a/ks.yaml", &*flux("b", "b", "")),
        ("b/ks.yaml", &flux("a", "a", "")),
        ("b/web.yaml", &release("web", "{}")),
    ];
    assert_eq!(ends(&files, &[]), ["Kustomization b: flux-system/web {}", "Kustomization a:"]);
    assert_eq!(ways(&files, EndKind::Kustomization), [["b"], ["b > a"]]);
}

#[test]
fn what_changes_each_time_ends_with_a_note() {
    let files = [
        ("x/ks.yaml", &*flux("a", "x", "postBuild: {substitute: {A: '${A}x'}}")),
        ("x/web.yaml", &release("web", "{}")),
    ];
    assert_eq!(ends(&files, &[]), ["Kustomization x: flux-system/web {}"]);
    let message = "Kustomization flux-system/a prints itself with other content each time".to_owned();
    assert!(notes(&files).contains(&(Reason::Refused, message)), "{:?}", notes(&files));
}

#[test]
fn components_of_flux_are_applied_and_may_be_missing() {
    let files = [
        (
            "one.yaml",
            &*flux("one", "apps", "components: [../component, ../none]\nignoreMissingComponents: true"),
        ),
        ("two.yaml", &flux("two", "apps", "components: [../none]")),
        ("apps/web.yaml", &release("web", "{}")),
        (
            "component/kustomization.yaml",
            "kind: Component\nresources: [more.yaml]\npatches:\n- target: {kind: HelmRelease, name: web}\n  patch: '- {op: add, path: /spec/a, value: 1}'\n",
        ),
        ("component/more.yaml", &release("more", "{}")),
    ];
    assert_eq!(
        ends(&files, &[]),
        [
            r#"Kustomization apps: flux-system/web {"a":1} flux-system/more {}"#,
            "Kustomization apps: flux-system/web {}"
        ]
    );
    assert_eq!(notes(&files), [(Reason::Missing, "../none is not there".to_owned())]);
}

#[test]
fn old_patches_of_flux_are_patches() {
    let old = "patchesStrategicMerge:\n- apiVersion: helm.toolkit.fluxcd.io/v2\n  kind: HelmRelease\n  metadata: {name: web}\n  spec: {a: 1}\n\
               patchesJson6902:\n- target: {kind: HelmRelease, name: web}\n  patch:\n  - {op: add, path: /spec/b, value: 2}\n";
    let files = [("flux.yaml", &*flux("one", "apps", old)), ("apps/web.yaml", &release("web", "{}"))];
    assert_eq!(ends(&files, &[]), [r#"Kustomization apps: flux-system/web {"a":1,"b":2}"#]);
}

#[test]
fn common_metadata_is_set_on_everything_and_last() {
    let common =
        "commonMetadata: {annotations: {a: '${A}'}, labels: {l: '1'}}\npostBuild: {substitute: {A: b}}";
    let files = [("flux.yaml", &*flux("one", "apps", common)), ("apps/web.yaml", &release("web", "{}"))];
    let tree = tree(&files);
    let node = &all(&tree, &[]).ends[0].objects[0].node;
    assert_eq!(node.text_of(&["metadata", "annotations", "a"]), Some("${A}"));
    assert_eq!(node.text_of(&["metadata", "labels", "l"]), Some("1"));
}

#[test]
fn what_is_not_in_the_tree_is_noted() {
    let elsewhere = flux("far", "./", "").replace("name: flux-system}", "name: podinfo}");
    let files = [
        ("a.yaml", &*flux("home", "here", "")),
        ("b.yaml", &flux("gone", "./gone", "")),
        ("c.yaml", &flux("open", "./${WHERE}", "")),
        ("d.yaml", &elsewhere),
        ("here/web.yaml", &release("web", "{}")),
    ];
    assert_eq!(
        notes(&files),
        [
            (Reason::Missing, "./gone is no folder of GitRepository flux-system".to_owned()),
            (Reason::Unknown, "the path ./${WHERE} is known in the cluster only".to_owned()),
            (Reason::Remote, "the path is that of another source: GitRepository podinfo".to_owned()),
        ]
    );
}

#[test]
fn the_top_of_an_artifact_is_not_taken_for_that_of_the_tree() {
    let top = |kind: &str| flux("all", "./", "").replace("kind: GitRepository", &format!("kind: {kind}"));
    let web = release("web", "{}");
    let built = |kind: &str| {
        let top = top(kind);
        let files = [("clusters/all.yaml", &*top), ("apps/web.yaml", &web)];
        (
            ends(&files, &[]).iter().any(|line| line.contains("/web ") && line.starts_with("Kustomization")),
            notes(&files),
        )
    };
    assert_eq!(built("GitRepository"), (true, Vec::new()));
    let message = "nothing says that OCIRepository flux-system holds this tree".to_owned();
    assert_eq!(built("OCIRepository"), (false, vec![(Reason::Unknown, message)]));
}

#[test]
fn a_kustomization_of_another_source_does_not_build_a_folder_of_this_tree() {
    let of = |name: &str, source: &str, path: &str| {
        flux(name, path, "").replace("name: flux-system}", &format!("name: {source}}}"))
    };
    let source = |name: &str, url: &str| {
        format!(
            "---\napiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {{name: {name}}}\nspec: {{url: {url}}}\n"
        )
    };
    let web = release("web", "{}");
    let built = |all: &str| {
        let files = [("clusters/east/all.yaml", all), ("apps/web.yaml", &web)];
        let lines = ends(&files, &[]);
        lines.iter().filter(|line| line.starts_with("Kustomization apps:")).count()
    };
    let own = of("apps", "flux-system", "./apps");
    let top = of("flux-system", "flux-system", "./clusters/east");
    let vendor = of("vendor", "vendor", "./apps");
    // What applies it is of flux-system.
    assert_eq!(built(&format!("{own}{top}{vendor}")), 1);
    // Two names of one repository.
    let same = source("flux-system", "ssh://git@example.org/fleet")
        + &source("vendor", "https://example.org/fleet.git");
    assert_eq!(built(&format!("{own}{top}{vendor}{same}")), 2);
    // Nothing applies them, but their sources are described here.
    let two =
        source("flux-system", "https://example.org/fleet") + &source("vendor", "https://example.org/vendor");
    assert_eq!(built(&format!("{own}{own}{vendor}")), 2, "it is a guess");
    assert_eq!(built(&format!("{own}{own}{vendor}{two}")), 1);
}

#[test]
fn repositories_side_by_side_have_their_own_roots() {
    let files = [
        ("one/flux/apps.yaml", &*flux("apps", "./apps", "")),
        ("one/apps/web.yaml", &release("one", "{}")),
        ("two/flux/apps.yaml", &flux("apps", "./apps", "")),
        ("two/apps/web.yaml", &release("two", "{}")),
        ("two/flux/apps/web.yaml", &release("nearer", "{}")),
    ];
    let one = "Kustomization one/apps: flux-system/one {}";
    assert_eq!(
        ends(&files, &["two", "one"]),
        [one, "Kustomization two/apps: flux-system/two {}", "File two/flux/apps/web.yaml: -/nearer {}"]
    );
    assert_eq!(
        ends(&files, &[]),
        [one, "Kustomization two/flux/apps: flux-system/nearer {}", "File two/apps/web.yaml: -/two {}"]
    );
}

#[test]
fn without_flux_the_overlays_are_the_ends() {
    let files = [
        ("base/kustomization.yaml", "resources: [web.yaml]\n"),
        ("base/web.yaml", &*release("web", "{}")),
        (
            "prod/kustomization.yaml",
            "resources: [../base]\npatches: [{path: patch.yaml}]\ncomponents: [../part]\n",
        ),
        ("prod/patch.yaml", &release("web", "{a: 1}")),
        ("part/kustomization.yaml", "kind: Component\n"),
        ("spare/kustomization.yaml", "kind: Component\nresources: [extra.yaml]\n"),
        ("spare/extra.yaml", &release("extra", "{}")),
        ("alone.yaml", &release("alone", "{}")),
    ];
    assert_eq!(ends(&files, &[]), [r#"Folder prod: -/web {"a":1}"#, "File alone.yaml: -/alone {}"]);
    let tree = tree(&files);
    assert_eq!(
        all(&tree, &[]).uses,
        [Kustomization, Resource, Kustomization, Fragment, Kustomization, Kustomization, Dormant, Unreached]
    );
}
