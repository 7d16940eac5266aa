//! The rule `schema`. That it refuses what the API server refuses, and nothing else, is what `tests/cluster/schema.rs` asks a real one.

use std::fs;

use super::scene::{CHART, CHART_REF, SOURCE, Scene, release};

/// The findings about one release beside its source.
fn findings(spec: &str, arguments: &[&str]) -> Vec<String> {
    Scene::new(&[("release.yaml", &release(spec)), ("source.yaml", SOURCE)]).lines(arguments)
}

#[test]
fn each_kind_of_fault_is_an_error_at_its_line() {
    let at = |field: &str| format!("{CHART_REF}{field}");
    for (spec, expected) in [
        (
            at("    version: 1.0.0\n"),
            "11:5: error[schema]: spec.chartRef.version is no field of HelmRelease v2 in Flux 2.10",
        ),
        (at("  timout: 5m\n"), "11:3: error[schema]: spec.timout is no field of HelmRelease v2 in Flux 2.10"),
        (at("  timeout: 5\n"), "11:12: error[schema]: spec.timeout is the number 5, not a string"),
        (at("  suspend: \"yes\"\n"), "11:12: error[schema]: spec.suspend is a string, not a boolean"),
        (at("  install: []\n"), "11:3: error[schema]: spec.install is a list, not a map"),
        (
            at("  timeout: 5\"\n"),
            "11:12: error[schema]: spec.timeout is \"5\\\"\", which does not match ^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$",
        ),
        (
            at("  install: {crds: Replace}\n"),
            "11:19: error[schema]: spec.install.crds is \"Replace\", not one of Skip, Create, CreateReplace",
        ),
        (at("  maxHistory: null\n"), "11:3: error[schema]: spec.maxHistory is null"),
        (at("  dependsOn: [{namespace: apps}]\n"), "11:15: error[schema]: spec.dependsOn[0].name is missing"),
        (
            at("  releaseName: \"\"\n"),
            "11:16: error[schema]: spec.releaseName has 0 characters, at least 1 are required",
        ),
        (
            at("  upgrade:\n    strategy: {name: RemediateOnFailure, retryInterval: 5m}\n"),
            "12:5: error[schema]: spec.upgrade.strategy: .retryInterval can only be set when .name is 'RetryOnFailure'",
        ),
    ] {
        assert_eq!(findings(&spec, &[]), [format!("release.yaml:{expected}")], "{spec}");
    }
}

#[test]
fn what_a_rule_about_charts_says_is_said_once() {
    let both = format!("{CHART}{CHART_REF}");
    let lines = findings(&both, &[]);
    assert!(lines.len() == 1 && lines[0].contains("error[chart-and-chart-ref]"), "{lines:?}");
    let lines = findings("  chartRef:\n    kind: GitRepository\n    name: podinfo\n", &[]);
    assert!(lines.len() == 1 && lines[0].contains("error[chart-ref-kind]"), "{lines:?}");
    let lines = findings("  timeout: 1m\n", &[]);
    assert!(lines.len() == 1 && lines[0].contains("error[no-chart-source]"), "{lines:?}");
}

#[test]
fn metadata_and_sources_are_validated_too() {
    let scene = Scene::new(&[
        (
            "release.yaml",
            &release(CHART_REF).replace("  namespace", "  labels: {tier: 1, a: b c}\n  namespace"),
        ),
        ("source.yaml", &SOURCE.replace("  interval: 10m\n", "  interval: 10m\n  branch: main\n")),
        (
            "old.yaml",
            "apiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmChart\nmetadata: {name: a, namespace: apps}\nspec:\n  \
         interval: 5m\n  chart: podinfo\n  sourceRef: {kind: OCIRepository, name: podinfo}\n",
        ),
    ]);
    assert_eq!(
        scene.lines(&[]),
        [
            "old.yaml:7:21: error[schema]: spec.sourceRef.kind is \"OCIRepository\", not one of HelmRepository, GitRepository, Bucket",
            "release.yaml:5:18: error[schema]: metadata.labels.tier is the number 1, not a string",
            "release.yaml:5:24: error[schema]: metadata.labels.a is \"b c\", which does not match ^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$",
            "source.yaml:8:3: error[schema]: spec.branch is no field of OCIRepository v1 in Flux 2.10",
        ]
    );
}

#[test]
fn a_field_of_a_newer_flux_is_named_with_the_minor_that_brings_it() {
    let spec = format!("{CHART_REF}  install:\n    strategy: {{name: RetryOnFailure}}\n");
    assert!(findings(&spec, &[]).is_empty());
    let scene =
        Scene::new(&[("release.yaml", &release(&spec)), ("source.yaml", &SOURCE.replace("/v1", "/v1beta2"))]);
    let said = scene.check(&["--flux", "2.5"]);
    assert!(
        said.out.contains("spec.install.strategy is no field of HelmRelease v2 in Flux 2.5"),
        "{}",
        said.out
    );
    assert!(said.out.contains("remove it: it comes with Flux 2.7."), "{}", said.out);
}

#[test]
fn advice_names_what_was_meant() {
    let advice =
        |spec: &str| Scene::new(&[("release.yaml", &release(spec)), ("source.yaml", SOURCE)]).check(&[]).out;
    for (spec, expected) in [
        (format!("{CHART_REF}  timout: 5m\n"), "rename it to spec.timeout, or remove it."),
        (
            format!("{CHART_REF}    version: 1.0.0\n"),
            "set spec.ref.tag, or a range in spec.ref.semver, of the OCIRepository",
        ),
        (format!("{CHART_REF}  timeout: 5\n"), "write a duration with its unit, such as 10m or 1h30m."),
        (format!("{CHART_REF}  storageNamespace: 5\n"), "put it in quotes: \"5\"."),
        (
            CHART.replace("HelmRepository", "OCIRepository"),
            "name it in spec.chartRef, and remove spec.chart.",
        ),
    ] {
        let said = advice(&spec);
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn a_value_that_is_still_replaced_is_not_judged() {
    let spec =
        format!("{CHART_REF}  timeout: ${{timeout}}\n  maxHistory: ${{history}}\n  install: ${{install}}\n");
    assert_eq!(findings(&spec, &[]), Vec::<String>::new());
}

#[test]
fn a_patch_is_shown_where_it_sets_the_fault_and_what_it_overrides() {
    let scene = Scene::new(&[
        ("base/kustomization.yaml", "resources: [release.yaml, source.yaml]\n"),
        ("base/release.yaml", &release(&format!("{CHART_REF}  timeout: 5m\n"))),
        ("base/source.yaml", SOURCE),
        (
            "prod/kustomization.yaml",
            "resources: [../base]\npatches:\n- target: {kind: HelmRelease}\n  patch: |-\n    - {op: replace, path: /spec/timeout, value: soon}\n",
        ),
    ]);
    let said = scene.check(&[]).out;
    assert!(said.contains("prod/kustomization.yaml:5:49"), "{said}");
    assert!(said.contains("spec.timeout is \"soon\""), "{said}");
    assert!(said.contains("it overrides this"), "{said}");
}

/// A base that no Flux Kustomization leads to may get the rest from something that is not here.
#[test]
fn what_a_base_lacks_is_no_error_where_flux_kustomizations_lead_elsewhere() {
    let base = release(CHART_REF).replace("  interval: 10m\n", "  timeout: 1m\n");
    let files = [("base/kustomization.yaml", "resources: [release.yaml]\n"), ("base/release.yaml", &*base)];
    let mut scene = Scene::new(&files);
    scene.write("source.yaml", SOURCE);
    assert_eq!(scene.lines(&[]), ["base/release.yaml:6:1: error[schema]: spec.interval is missing"]);
    scene = Scene::new(&files);
    scene.write("source.yaml", SOURCE);
    scene.write(
        "cluster/apps.yaml",
        "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: apps, namespace: flux-system}\nspec:\n  \
         interval: 1h\n  path: ./other\n  prune: true\n  sourceRef: {kind: GitRepository, name: flux-system}\n",
    );
    scene.write("other/source.yaml", SOURCE.replace("name: podinfo", "name: other"));
    assert_eq!(scene.lines(&[]), Vec::<String>::new());
}

#[test]
fn a_crd_of_a_file_decides_with_rules_that_are_new() {
    let schema = |rule: &str| {
        format!(
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: helmreleases.helm.toolkit.fluxcd.io}}\n\
             spec:\n  group: helm.toolkit.fluxcd.io\n  names: {{kind: HelmRelease}}\n  versions:\n  - name: v2\n    served: true\n    \
             schema:\n      openAPIV3Schema:\n        type: object\n        properties:\n          spec:\n            type: object\n            \
             required: [interval]\n            x-kubernetes-validations:\n            - {{rule: {rule:?}, message: it is new}}\n            \
             properties:\n              interval: {{type: string}}\n              chartRef:\n                type: object\n                \
             properties: {{kind: {{type: string, enum: [OCIRepository]}}, name: {{type: string}}}}\n"
        )
    };
    let scene = Scene::new(&[("release.yaml", &release(CHART_REF)), ("source.yaml", SOURCE)]);
    let crds = tempfile::tempdir().unwrap();
    let said = |rule: &str| {
        let file = crds.path().join("crd.yaml");
        fs::write(&file, schema(rule)).unwrap();
        scene.check(&["--verbose", "--crd", file.to_str().unwrap()]).out
    };
    assert!(!said("self.interval == '10m'").contains("it is new"));
    let refused = said("self.interval != '10m' && self.chartRef.name.startsWith('pod')");
    assert!(refused.contains("error[schema]: spec: it is new"), "{refused}");
    // `url` is one of the functions that Kubernetes adds.
    let unknown = said("url(self.interval).getHost() == 'a'");
    assert!(
        unknown.contains("note[not-judged]: a rule of the CRD that chartgate cannot evaluate: it is new"),
        "{unknown}"
    );
}
