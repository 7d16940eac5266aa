//! `--fix` changes all that belongs together, or nothing of it.

use std::fs;

use super::scene::{CHART, Scene, release};

fn old(spec: &str) -> String {
    release(spec).replace("fluxcd.io/v2", "fluxcd.io/v2beta2")
}

const BASE: &str = "resources: [release.yaml]\n";

fn text(scene: &Scene, path: &str) -> String {
    fs::read_to_string(scene.path().join(path)).expect("it is there")
}

#[test]
fn patches_and_targets_in_every_overlay_go_to_the_new_version_with_the_base() {
    let patch = "apiVersion: helm.toolkit.fluxcd.io/v2beta2 # by hand\nkind: HelmRelease\nmetadata: {name: podinfo, namespace: apps}\n\
                 spec: {timeout: 5m}\n";
    let flux = format!(
        "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {{name: apps, namespace: flux-system}}\nspec:\n  \
         path: ./prod\n  sourceRef: {{kind: GitRepository, name: flux-system}}\n  patches:\n  - patch: |\n      {}\n",
        patch.trim_end().replace('\n', "\n      ")
    );
    let files = [
        ("base/kustomization.yaml", BASE.to_owned()),
        ("base/release.yaml", old(CHART)),
        (
            "prod/kustomization.yaml",
            "resources: [../base]\npatches:\n- path: patch.yaml\n- target: {kind: HelmRelease, version: 'v2beta2'}\n  patch: '- {op: \
             add, path: /spec/suspend, value: true}'\n"
                .to_owned(),
        ),
        ("prod/patch.yaml", patch.to_owned()),
        ("test/kustomization.yaml", "resources: [../base]\npatches: [{path: patch.yaml}]\n".to_owned()),
        ("test/patch.yaml", patch.replace("5m", "7m")),
        ("flux.yaml", flux),
    ];
    let scene = Scene::new(&files.each_ref().map(|(path, text)| (*path, &**text)));
    let said = scene.check(&["--fix"]);
    assert_eq!((said.code, &*said.err), (0, "5 changes in 5 files\n"), "{}", said.out);
    for (path, before) in &files {
        assert_eq!(text(&scene, path), before.replace("v2beta2", "v2"), "{path}");
    }
}

#[test]
fn what_would_not_be_built_as_before_is_left_alone_with_all_that_belongs_to_it() {
    // The version is an expression that the new one does not match, and so is the source of a replacement.
    for overlay in [
        "patches:\n- target: {kind: HelmRelease, version: v2beta.*}\n  patch: '- {op: add, path: /spec/suspend, value: true}'\n",
        "replacements:\n- source: {kind: HelmRelease, version: v2beta2, fieldPath: spec.interval}\n  targets:\n  - select: {kind: \
         HelmRelease}\n    fieldPaths: [spec.timeout]\n    options: {create: true}\n",
    ] {
        let files = [
            ("base/kustomization.yaml", BASE.to_owned()),
            ("base/release.yaml", old(CHART)),
            ("prod/kustomization.yaml", format!("resources: [../base]\n{overlay}")),
            ("other/release.yaml", old(CHART).replace("podinfo", "other")),
        ];
        let scene = Scene::new(&files.each_ref().map(|(path, text)| (*path, &**text)));
        let said = scene.check(&["--fix"]);
        assert_eq!(said.code, 1, "{overlay}{}", said.err);
        let refused = said.err.lines().next().unwrap_or_default();
        assert!(
            refused.starts_with("not fixed: deprecated-api-version of HelmRelease apps/podinfo: "),
            "{}",
            said.err
        );
        assert!(said.err.ends_with("1 change in 1 file\n"), "{}", said.err);
        for (path, before) in &files[..3] {
            assert_eq!(&text(&scene, path), before, "{path}");
        }
        assert_eq!(text(&scene, "other/release.yaml"), files[3].1.replace("v2beta2", "v2"));
    }
}

#[test]
fn a_field_that_stands_in_the_way_is_named() {
    for (spec, said) in [
        (
            CHART.replace("      chart: podinfo\n", "      chart: podinfo\n      valuesFile: a.yaml\n"),
            "spec.chart.spec.valuesFile",
        ),
        (
            format!("{CHART}  postRenderers: [{{kustomize: {{patchesStrategicMerge: []}}}}]\n"),
            "spec.postRenderers[].kustomize.patchesStrategicMerge",
        ),
    ] {
        let scene = Scene::new(&[("release.yaml", &old(&spec))]);
        let err = scene.check(&["--fix"]).err;
        let expected = format!(
            "not fixed: deprecated-api-version of HelmRelease apps/podinfo: {said} stands in the way of v2: "
        );
        assert!(err.starts_with(&expected), "{err}");
        assert!(err.ends_with("0 changes in 0 files\n"), "{err}");
        assert_eq!(text(&scene, "release.yaml"), old(&spec));
    }
}

#[test]
fn a_patch_at_the_old_version_of_a_new_base_is_put_right() {
    let scene = Scene::new(&[
        ("base/kustomization.yaml", BASE),
        ("base/release.yaml", &release(CHART)),
        ("prod/kustomization.yaml", "resources: [../base]\npatches: [{path: patch.yaml}]\n"),
        (
            "prod/patch.yaml",
            "apiVersion: \"helm.toolkit.fluxcd.io/v2beta2\"\nkind: HelmRelease\nmetadata: {name: podinfo, namespace: apps}\nspec: {timeout: 5m}\n",
        ),
    ]);
    let said = scene.check(&["--fix"]);
    assert_eq!((said.code, &*said.err), (0, "1 change in 1 file\n"), "{}", said.out);
    assert!(text(&scene, "prod/patch.yaml").starts_with("apiVersion: \"helm.toolkit.fluxcd.io/v2\"\n"));
}

#[test]
fn a_utf_16_file_is_read_and_not_rewritten() {
    let units = old(CHART);
    let bytes: Vec<u8> =
        [0xff, 0xfe].into_iter().chain(units.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let scene = Scene::new(&[]);
    scene.write("release.yaml", &bytes);
    assert!(scene.lines(&[])[0].starts_with("release.yaml:1:13: error[deprecated-api-version]"));
    let said = scene.check(&["--fix"]);
    assert_eq!(said.code, 2);
    assert_eq!(said.err, "error: release.yaml is UTF-16; save it as UTF-8, then run the command again\n");
    assert_eq!(fs::read(scene.path().join("release.yaml")).expect("it is there"), bytes);
}
