//! Which files kustomize-controller gets to see: those in the artifact of the source, and of them those that it lists. What the real libraries do with
//! patterns is what `tests/kustomize/flux/artifact.rs` asks them.

use super::scene::{CHART_REF, SOURCE, Scene, release};

/// A release with a field that its CRD does not have, so that there is a finding where it is judged.
fn marked(name: &str) -> String {
    release(&format!("{CHART_REF}    version: 1.2.3\n"))
        .replace("podinfo\n  namespace", &format!("{name}\n  namespace"))
}

/// The line of that finding.
fn judged(path: &str) -> String {
    format!("{path}:11:5: error[schema]: spec.chartRef.version is no field of HelmRelease v2 in Flux 2.10")
}

fn kustomization(name: &str, path: &str) -> String {
    format!(
        "---\napiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {{name: {name}, namespace: flux-system}}\nspec:\n  \
         path: {path}\n  sourceRef: {{kind: GitRepository, name: flux-system}}\n"
    )
}

/// A cluster as `flux bootstrap` makes one, with more below `spec` of its GitRepository, and a Kustomization of a folder.
fn cluster_with(spec: &str, path: &str, files: &[(&str, &str)]) -> Scene {
    let sync = format!(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {{name: flux-system, namespace: flux-system}}\nspec:\n  \
         interval: 1m\n  url: https://git.example.org/fleet\n{spec}{}",
        kustomization("flux-system", "./clusters/prod")
    );
    let scene = Scene::new(&[
        ("clusters/prod/flux-system/gotk-sync.yaml", &sync),
        ("clusters/prod/apps.yaml", &kustomization("apps", path)),
        ("apps/web.yaml", &release(CHART_REF)),
        ("apps/source.yaml", SOURCE),
        (".git/config", ""),
    ]);
    for (path, text) in files {
        scene.write(path, text);
    }
    scene
}

fn cluster(files: &[(&str, &str)]) -> Scene {
    cluster_with("", "./apps", files)
}

const NO_OBJECT: &str = "extends: default\n";
const NONE: [&str; 0] = [];

/// What is reported about the first document of a file that is no object.
fn no_object(path: &str) -> String {
    format!("{path}:1:1: error[build-fails]: an object without a kind")
}

#[test]
fn hidden_files_and_folders_are_listed_and_judged() {
    let hidden = marked("hidden");
    for (files, expected) in [
        (&[("apps/.hidden.yaml", &*hidden)][..], judged("apps/.hidden.yaml")),
        (&[("apps/.yaml", &hidden)], judged("apps/.yaml")),
        (&[("apps/.more/x.yml", &hidden)], judged("apps/.more/x.yml")),
        (
            &[("apps/.more/kustomization.yaml", "resources: [x.yaml]\n"), ("apps/.more/x.yaml", &hidden)],
            judged("apps/.more/x.yaml"),
        ),
        (&[("apps/.yamllint.yaml", NO_OBJECT)], no_object("apps/.yamllint.yaml")),
        (&[("apps/.woodpecker.yml", NO_OBJECT)], no_object("apps/.woodpecker.yml")),
        (
            &[("apps/.more/kustomization.yaml", "resources: [gone.yaml]\n")],
            "apps/.more/kustomization.yaml:1:13: error[build-fails]: gone.yaml is not there".to_owned(),
        ),
    ] {
        assert_eq!(cluster(files).lines(&[]), [expected]);
    }
    let scene = cluster_with("", "./.flux/apps", &[(".flux/apps/web.yaml", &hidden)]);
    assert_eq!(scene.lines(&[]), [judged(".flux/apps/web.yaml")]);
}

#[test]
fn hidden_files_that_nothing_lists_are_not_judged() {
    let hidden = marked("hidden");
    let scene = cluster(&[
        (".drafts/web.yaml", &hidden),
        (".drafts/kustomization.yaml", "resources: [web.yaml, gone.yaml, ../apps]\n"),
        (".drafts/broken/kustomization.yaml", "{{ nothing }}: [\n"),
        (".github/workflows/ci.yaml", "on: push\n"),
        (".binary.yaml", "\0"),
        ("apps/.x.json", "{}"),
        ("apps/.x.YAML", NO_OBJECT),
        // What git ignores is not in a commit, as a rule.
        (".gitignore", "apps/.local.yaml\n"),
        ("apps/.local.yaml", NO_OBJECT),
        // It is the file of another program.
        (".ignore", "apps/web.yaml\n"),
    ]);
    assert_eq!(scene.lines(&["--verbose"]), NONE);
    let out = scene.check(&[]).out;
    assert!(out.contains("1 HelmRelease judged") && out.contains("4 files"), "{out}");
    // Without Flux nothing lists them at all.
    let scene =
        Scene::new(&[("web.yaml", &release(CHART_REF)), (".hidden.yaml", &hidden), ("source.yaml", SOURCE)]);
    assert_eq!(scene.lines(&[]), NONE);
}

#[test]
fn an_ignore_comment_counts_in_a_listed_file_too() {
    let quiet =
        marked("hidden").replace("    version:", "    # chartgate: ignore[schema] our own CRD\n    version:");
    assert_eq!(cluster(&[("apps/.hidden.yaml", &quiet), (".drafts/x.yaml", &quiet)]).lines(&[]), NONE);
}

#[test]
fn the_default_exclusions_hold_until_there_is_a_pattern() {
    let left_out = [
        ("apps/cloudbuild.yaml", NO_OBJECT),
        ("apps/.sops.yaml", NO_OBJECT),
        ("apps/x/.github/x.yaml", NO_OBJECT),
    ];
    let all = ["apps/.sops.yaml", "apps/cloudbuild.yaml", "apps/x/.github/x.yaml"].map(no_object);
    let scene = cluster(&left_out);
    assert_eq!(scene.lines(&[]), NONE);
    for (path, text, is_pattern) in [
        (".sourceignore", "# docs/\n\n", false),
        (".sourceignore", "docs/\n", true),
        // One with a blank before it is no comment.
        (".sourceignore", " # docs/\n", true),
        ("docs/.sourceignore", "x.md\n", true),
        (".hidden/.sourceignore", "x.md\n", true),
    ] {
        scene.write(path, text);
        let expected: &[String] = if is_pattern { &all } else { &[] };
        assert_eq!(scene.lines(&[]), expected, "{path} {text:?}");
        scene.write(path, "");
    }
    let scene = cluster_with("  ignore: |\n    docs/\n", "./apps", &left_out);
    assert_eq!(scene.lines(&[]), all);
    let hidden = marked("cloud");
    assert_eq!(cluster(&[("apps/cloudbuild.yaml", &hidden)]).lines(&[]), NONE);
    let scene = cluster(&[("apps/cloudbuild.yaml", &hidden), (".sourceignore", "docs/\n")]);
    assert_eq!(scene.lines(&[]), [judged("apps/cloudbuild.yaml")]);
}

#[test]
fn the_last_pattern_that_matches_a_file_decides() {
    let other = marked("other");
    for (patterns, is_seen) in [
        ("apps/x.yaml\n", false),
        ("apps/x.yaml\r\n", false),
        ("# all but apps\n/*\n!/apps\n!/clusters\n", true),
        // The folder is walked all the same.
        ("/apps\n!/apps/*.yaml\n", true),
        ("*\n!*.yaml\n", true),
        ("apps/**\n!apps/web.yaml\n!apps/source.yaml\n", false),
        // Go knows no such parts.
        ("apps/x**.yaml\n", true),
        ("apps/[!a-w].yaml\n", true),
        ("apps/[^a-w].yaml\n", false),
    ] {
        let scene = cluster(&[("apps/x.yaml", &other), (".sourceignore", patterns)]);
        let expected: &[String] = if is_seen { &[judged("apps/x.yaml")] } else { &[] };
        assert_eq!(scene.lines(&[]), expected, "{patterns:?}");
    }
    // One above what is checked counts as well.
    let scene = cluster(&[("apps/x.yaml", &other), (".sourceignore", "/apps/x.yaml\n")]);
    assert_eq!(scene.lines(&["apps"]), NONE);
}

#[test]
fn spec_ignore_of_the_source_comes_last() {
    let other = marked("other");
    let files = [("apps/x.yaml", &*other)];
    let ignoring = |patterns: &str| format!("  ignore: {patterns:?}\n");
    assert_eq!(cluster_with(&ignoring("/apps/x.yaml\n"), "./apps", &files).lines(&[]), NONE);
    let scene = cluster_with(&ignoring("!/apps/x.yaml\n"), "./apps", &files);
    scene.write(".sourceignore", "/apps/x.yaml\n");
    assert_eq!(scene.lines(&[]), [judged("apps/x.yaml")]);
    assert_eq!(
        cluster_with(&ignoring("/*\n!/clusters\n"), "./apps", &[]).lines(&["--allow-empty"]),
        [
            "clusters/prod/apps.yaml:6:9: error[build-fails]: ./apps is no folder of GitRepository flux-system: spec.ignore of the source leaves it out"
        ]
    );
    // What it comes to is known in the cluster only.
    assert_eq!(
        cluster_with(&ignoring("/*\n!/${FOLDER}\n"), "./apps", &files).lines(&[]),
        [judged("apps/x.yaml")]
    );
}

#[test]
fn spec_ignore_counts_as_it_is_patched_and_for_each_source_by_itself() {
    let other = marked("other");
    let scene = cluster(&[("apps/x.yaml", &other)]);
    scene.write(
        "clusters/prod/flux-system/kustomization.yaml",
        "resources: [gotk-sync.yaml]\npatches:\n- target: {kind: GitRepository}\n  patch: '- {op: add, path: /spec/ignore, value: x.yaml}'\n",
    );
    assert_eq!(scene.lines(&[]), NONE);
    let scene = cluster_with("  ignore: |\n    x.yaml\n", "./apps", &[("apps/x.yaml", &other)]);
    let second = kustomization("second", "./apps").replace("name: flux-system}", "name: second}");
    scene.write(
        "clusters/prod/second.yaml",
        format!(
            "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {{name: second, namespace: flux-system}}\nspec:\n  \
             interval: 1m\n  url: https://git.example.org/fleet\n{second}"
        ),
    );
    assert_eq!(scene.lines(&[]), [judged("apps/x.yaml")]);
}

#[test]
fn a_named_file_that_the_artifact_leaves_out_is_not_there() {
    let kustomization = |more: &str| format!("resources: [web.yaml, source.yaml]\n{more}");
    let (patch, generator) =
        ("patches: [{path: x.yaml}]\n", "configMapGenerator: [{name: a, files: [logo.png]}]\n");
    let component = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nnamePrefix: a-\n";
    for (path, text, more, ignores, expected) in [
        (
            "apps/x.yaml",
            &*marked("x"),
            "- x.yaml\n",
            "apps/x.yaml\n",
            "4:3: error[build-fails]: x.yaml is not in the artifact: .sourceignore leaves it out",
        ),
        (
            "apps/x.yaml",
            &release("  timeout: 5m\n"),
            patch,
            "apps/x.yaml\n",
            "2:18: error[build-fails]: x.yaml is not in the artifact: .sourceignore leaves it out",
        ),
        (
            "part/kustomization.yaml",
            component,
            "components: [../part]\n",
            "/part\n",
            "2:14: error[build-fails]: ../part is not in the artifact: .sourceignore leaves it out",
        ),
        (
            ".github/x.yaml",
            &marked("x"),
            "- ../.github/x.yaml\n",
            "",
            "4:3: error[build-fails]: ../.github/x.yaml is not in the artifact: source-controller leaves it out by default",
        ),
        (
            "apps/logo.png",
            "",
            generator,
            "",
            "2:40: error[build-fails]: logo.png is not in the artifact: source-controller leaves it out by default",
        ),
    ] {
        let list = if more.starts_with('-') {
            format!("resources:\n- web.yaml\n- source.yaml\n{more}")
        } else {
            kustomization(more)
        };
        let scene = cluster(&[("apps/kustomization.yaml", &list), (path, text), (".sourceignore", ignores)]);
        assert_eq!(scene.lines(&[]), [format!("apps/kustomization.yaml:{expected}")]);
    }
    // One pattern, and the others hold no more.
    let files = [
        ("apps/kustomization.yaml", &*kustomization(generator)),
        ("apps/logo.png", ""),
        (".sourceignore", "docs/\n"),
    ];
    assert_eq!(cluster(&files).lines(&[]), NONE);
    // Where nothing describes the source, it may have a spec.ignore.
    let scene = cluster(&files[..2]);
    scene.write(
        "clusters/prod/flux-system/gotk-sync.yaml",
        self::kustomization("flux-system", "./clusters/prod"),
    );
    assert_eq!(scene.lines(&[]), NONE);
    // kustomize alone knows no artifacts.
    let scene = Scene::new(&[
        ("kustomization.yaml", "resources: [web.yaml, source.yaml, x.yaml]\n"),
        ("web.yaml", &release(CHART_REF)),
        ("source.yaml", SOURCE),
        ("x.yaml", &marked("x")),
        (".sourceignore", "x.yaml\n"),
    ]);
    assert_eq!(scene.lines(&[]), [judged("x.yaml")]);
}

#[test]
fn a_kustomization_file_that_the_artifact_leaves_out_is_none() {
    let scene = cluster(&[
        ("apps/kustomization.yaml", "resources: [web.yaml, source.yaml]\n"),
        ("apps/x.yaml", &marked("x")),
        (".sourceignore", "/apps/kustomization.yaml\n"),
    ]);
    assert_eq!(scene.lines(&[]), [judged("apps/x.yaml")]);
}

#[cfg(unix)]
#[test]
fn links_are_in_no_artifact() {
    use std::os::unix::fs::symlink;
    let linked = |files: &[(&str, &str)], target: &str, link: &str| {
        let scene = cluster(files);
        symlink(target, scene.path().join(link)).unwrap();
        scene.lines(&[])
    };
    let left_out = |name: &str| {
        format!(
            "apps/kustomization.yaml:1:36: error[build-fails]: {name} is not in the artifact: source-controller leaves links out"
        )
    };
    let x = marked("x");
    let names = |name: &str| format!("resources: [web.yaml, source.yaml, {name}]\n");
    // Listed, it would be there twice.
    assert_eq!(linked(&[("base/x.yaml", &x)], "../base/x.yaml", "apps/x.yaml"), [judged("base/x.yaml")]);
    assert_eq!(linked(&[("base/x.yaml", &x)], "../base", "apps/base"), [judged("base/x.yaml")]);
    assert_eq!(
        linked(
            &[("apps/kustomization.yaml", &names("x.yaml")), ("base/x.yaml", &release(CHART_REF))],
            "../base/x.yaml",
            "apps/x.yaml"
        ),
        [left_out("x.yaml")]
    );
    assert_eq!(
        linked(
            &[
                ("apps/kustomization.yaml", &names("base")),
                ("base/kustomization.yaml", "resources: [x.yaml]\n"),
                ("base/x.yaml", &release(CHART_REF))
            ],
            "../base",
            "apps/base"
        ),
        [left_out("base")]
    );
    // The folder is listed, so that the other file counts as well.
    assert_eq!(
        linked(
            &[("base/k.yaml", "resources: [web.yaml]\n"), ("apps/x.yaml", &x)],
            "../base/k.yaml",
            "apps/kustomization.yaml"
        ),
        [judged("apps/x.yaml")]
    );
    assert_eq!(linked(&[], "../nowhere.yaml", "apps/x.yaml"), NONE);
    let scene = cluster_with("", "./linked", &[]);
    symlink("apps", scene.path().join("linked")).unwrap();
    assert_eq!(
        scene.lines(&[]),
        [
            "clusters/prod/apps.yaml:6:9: error[build-fails]: ./linked is no folder of GitRepository flux-system: source-controller leaves links out"
        ]
    );
    // kustomize alone follows them.
    let scene = Scene::new(&[
        ("kustomization.yaml", "resources: [x.yaml, source.yaml]\n"),
        ("source.yaml", SOURCE),
        ("base/x.txt", &x),
    ]);
    symlink("base/x.txt", scene.path().join("x.yaml")).unwrap();
    assert_eq!(scene.lines(&[]), [judged("x.yaml")]);
}
