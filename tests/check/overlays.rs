//! What overlays and patches make of a release is what counts.

use super::scene::{CHART, CHART_REF, SOURCE, Scene, release};

const BASE: &str = "resources: [release.yaml, source.yaml]\n";

/// A base on chartRef, and an overlay that still pins the version of the chart.
fn pinned(patch: &str) -> Scene {
    Scene::new(&[
        ("base/kustomization.yaml", BASE),
        ("base/release.yaml", &release(CHART_REF)),
        ("base/source.yaml", SOURCE),
        ("prod/kustomization.yaml", "resources: [../base]\npatches: [{path: pin.yaml}]\n"),
        ("prod/pin.yaml", patch),
    ])
}

const PIN: &str = "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata:\n  name: podinfo\n  namespace: apps\nspec:\n  \
    chart:\n    spec:\n      version: 6.5.4\n";

#[test]
fn an_overlay_that_pins_the_version_is_found_at_its_own_line_and_the_base_is_named() {
    let scene = pinned(PIN);
    assert_eq!(
        scene.lines(&[]),
        ["prod/pin.yaml:9:16: error[partial-chart]: spec.chart.spec.version is set beside spec.chartRef"]
    );
    let said = scene.check(&[]);
    assert_eq!(said.code, 1);
    insta::assert_snapshot!(said.out);
}

#[test]
fn without_the_pin_there_is_nothing_to_find() {
    let scene = pinned(&PIN.replace("  chart:\n    spec:\n      version: 6.5.4\n", "  timeout: 5m\n"));
    assert_eq!(scene.lines(&[]), [] as [&str; 0]);
    assert_eq!(scene.check(&[]).code, 0);
}

#[test]
fn a_pin_in_the_kustomization_file_itself_is_found_there() {
    let scene = pinned("");
    scene.write(
        "prod/kustomization.yaml",
        "resources: [../base]\npatches:\n  - target: {kind: HelmRelease}\n    patch: |\n      - op: add\n        path: \
         /spec/chart\n        value: {spec: {version: 6.5.4}}\n",
    );
    let lines = scene.lines(&[]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("prod/kustomization.yaml:"), "{lines:?}");
    assert!(
        lines[0].ends_with("error[partial-chart]: spec.chart.spec.version is set beside spec.chartRef"),
        "{lines:?}"
    );
}

#[test]
fn one_fault_of_a_base_is_told_once_however_many_overlays_render_it() {
    let scene = pinned(PIN);
    scene.write("base/release.yaml", release(&CHART_REF.replace("OCI", "oci")));
    scene.write(
        "prod/pin.yaml",
        PIN.replace("  chart:\n    spec:\n      version: 6.5.4\n", "  timeout: 5m\n"),
    );
    scene.write("test/kustomization.yaml", "resources: [../base]\n");
    let lines = scene.lines(&[]);
    let expected = "base/release.yaml:9:11: error[chart-ref-kind]: spec.chartRef.kind \"ociRepository\" is spelled OCIRepository";
    assert_eq!(lines, [expected]);
    assert!(scene.check(&[]).out.contains("prod/kustomization.yaml, and 1 more"), "{}", scene.check(&[]).out);
}

#[test]
fn a_base_that_is_unfinished_on_purpose_is_not_cried_about() {
    let scene = Scene::new(&[
        ("base/kustomization.yaml", "resources: [release.yaml]\n"),
        ("base/release.yaml", &release("")),
        ("prod/kustomization.yaml", "resources: [../base]\npatches: [{path: chart.yaml}]\n"),
        ("prod/chart.yaml", &release(CHART).replace("  interval: 10m\n", "")),
    ]);
    assert_eq!(scene.lines(&[]), [] as [&str; 0]);
    let said = scene.check(&[]);
    assert_eq!(said.code, 0, "{}", said.out);
    assert!(said.out.contains("1 HelmRelease judged"), "{}", said.out);
}

#[test]
fn a_source_that_is_nowhere_in_the_tree_is_missed_and_one_that_is_remote_is_not() {
    let scene = Scene::new(&[
        ("kustomization.yaml", "resources: [release.yaml]\n"),
        ("release.yaml", &release(CHART_REF)),
    ]);
    assert_eq!(
        scene.lines(&[]),
        ["release.yaml:8:3: warning[chart-ref-source-missing]: OCIRepository \"apps/podinfo\" is not there"]
    );
    scene.write("kustomization.yaml", "resources: [release.yaml, https://example.com/sources.yaml]\n");
    assert_eq!(scene.lines(&[]), [] as [&str; 0]);
    assert!(scene.check(&["--verbose"]).out.contains("note[not-judged]: https://example.com/sources.yaml"));
    // A file by itself says nothing about what else there is.
    assert_eq!(scene.lines(&["release.yaml"]), [] as [&str; 0]);
}

#[test]
fn what_a_cluster_fills_in_is_not_guessed() {
    let filled = "  chartRef:\n    kind: OCIRepository\n    name: ${APP}-chart\n    namespace: ${NS:=apps}\n";
    let scene = Scene::new(&[("release.yaml", &release(filled))]);
    assert_eq!(scene.lines(&[]), [] as [&str; 0]);
    scene.write("release.yaml", release(&filled.replace("${APP}-chart", "App_chart")));
    assert_eq!(scene.lines(&[]).len(), 1);
}

#[test]
fn a_value_that_no_rule_reads_is_read_where_a_replacement_copies_it() {
    let scene = Scene::new(&[
        (
            "kustomization.yaml",
            "resources: [release.yaml, source.yaml]\nreplacements:\n- source: {kind: HelmRelease, fieldPath: \
             spec.values.source.name}\n  targets:\n  - select: {kind: HelmRelease}\n    fieldPaths: [spec.chartRef.name]\n",
        ),
        ("release.yaml", &release(&format!("{CHART_REF}  values:\n    source: {{name: other}}\n"))),
        ("source.yaml", SOURCE),
    ]);
    let lines = scene.lines(&[]);
    assert_eq!(
        lines,
        ["release.yaml:8:3: warning[chart-ref-source-missing]: OCIRepository \"apps/other\" is not there"]
    );
}

#[test]
fn values_files_of_a_base_are_lost_where_an_overlay_moves_it() {
    let chart = CHART
        .replace("      chart: podinfo\n", "      chart: podinfo\n      valuesFiles: [values-prod.yaml]\n");
    let scene = Scene::new(&[
        ("base/release.yaml", &release(&chart)),
        ("base/kustomization.yaml", "resources: [release.yaml]\n"),
    ]);
    let moved_to = |kind: &str| {
        let merge = format!("  chart: null\n  chartRef: {{kind: {kind}, name: podinfo}}\n");
        scene.write("prod/patch.yaml", release("").replace("  interval: 10m\n", &merge));
        scene.write("prod/kustomization.yaml", "resources: [../base]\npatches: [{path: patch.yaml}]\n");
        let is_it = |line: &String| line.contains("values-files-lost");
        scene.lines(&[]).into_iter().filter(is_it).collect::<Vec<_>>()
    };
    let lost = |kind| {
        format!(
            "prod/patch.yaml:8:3: warning[values-files-lost]: the valuesFiles of spec.chart are lost with an {kind}: inline them or use a HelmChart"
        )
    };
    for kind in ["OCIRepository", "ExternalArtifact"] {
        assert_eq!(moved_to(kind), [lost(kind)]);
    }
    assert_eq!(moved_to("HelmChart"), [] as [&str; 0]);
    scene.write("base/release.yaml", release(CHART));
    assert_eq!(moved_to("OCIRepository"), [] as [&str; 0]);
}

#[test]
fn a_move_to_another_chart_is_a_reinstall() {
    let scene = Scene::new(&[
        ("base/kustomization.yaml", "resources: [release.yaml]\n"),
        ("base/release.yaml", &release(CHART)),
        ("prod/kustomization.yaml", "resources: [../base, source.yaml]\npatches: [{path: patch.yaml}]\n"),
    ]);
    let moved_to = |name: &str, strategy: &str, arguments: &[&str]| {
        let merge = format!("{strategy}  chart: null\n  chartRef: {{kind: OCIRepository, name: podinfo}}\n");
        scene.write("prod/patch.yaml", release("").replace("  interval: 10m\n", &merge));
        scene.write("prod/source.yaml", SOURCE.replace("example.com/podinfo", name));
        let is_it = |line: &String| line.contains("chart-name-changes");
        scene.lines(arguments).into_iter().filter(is_it).collect::<Vec<_>>()
    };
    let none: [&str; 0] = [];
    assert_eq!(moved_to("example.com/charts/podinfo", "", &[]), none);
    let reported = "warning[chart-name-changes]: the chart changes from \"podinfo\" to \"other\": Flux uninstalls and reinstalls the release";
    assert_eq!(moved_to("example.com/charts/other", "", &[]), [format!("prod/patch.yaml:8:3: {reported}")]);
    let strategy = "  upgrade: {chartNameChangeStrategy: InPlaceUpdate}\n";
    assert_eq!(moved_to("example.com/charts/other", strategy, &[]), none);
    let old = moved_to("example.com/charts/other", strategy, &["--flux", "2.8"]);
    assert_eq!(old, [format!("prod/patch.yaml:9:3: {reported}")]);
    assert_eq!(moved_to("example.com/${CHART}", "", &[]), none);
}
