//! Checks the content of an OCIRepository, where a release takes its chart from it.

use super::scene::{CHART_REF, SOURCE, Scene, release};

const KUSTOMIZATION: &str = "resources: [release.yaml, source.yaml]\n";

/// A release and its source, in a folder of their own.
fn with_source(source: &str) -> Scene {
    Scene::new(&[
        ("kustomization.yaml", KUSTOMIZATION),
        ("release.yaml", &release(CHART_REF)),
        ("source.yaml", source),
    ])
}

#[test]
fn each_fault_of_a_source_is_found_at_its_own_line() {
    for (reference, flux, expected) in [
        ("{tag: latest}", "2.6", Some("error[oci-tag-mismatch]")),
        ("{}", "2.6", Some("error[oci-tag-mismatch]")),
        ("{tag: latest}", "2.7", None),
        ("{tag: \"1.2\"}", "2.9", Some("warning[oci-tag-mismatch]")),
        ("{tag: 1.2.3+build}", "2.9", Some("error[oci-tag-mismatch]")),
        ("{tag: 1.2.3_build}", "2.9", None),
        ("{tag: 1.2.3_build}", "2.3", Some("error[oci-tag-mismatch]")),
        ("{tag: 6.5.4, semver: 6.x}", "2.9", Some("warning[semver-shadows-tag]")),
        ("{tag: \"${TAG}\"}", "2.6", None),
    ] {
        // Before 2.6 there is no v1.
        let old = ["2.3"].contains(&flux);
        let version = if old { "fluxcd.io/v1beta2\nkind: OCI" } else { "fluxcd.io/v1\nkind: OCI" };
        let source = SOURCE.replace("{tag: 6.5.4}", reference).replace("fluxcd.io/v1\nkind: OCI", version);
        let lines = with_source(&source).lines(&["--flux", flux]);
        let expected: Vec<_> = expected.into_iter().collect();
        assert_eq!(lines.len(), expected.len(), "{reference} on {flux}: {lines:?}");
        for (line, expected) in lines.iter().zip(expected) {
            assert!(line.starts_with("source.yaml:9:") && line.contains(expected), "{line}");
        }
    }
}

#[test]
fn the_version_of_a_source_is_one_that_flux_serves() {
    let of = |kind: &str, version: &str| {
        let spec = if kind == "OCIRepository" {
            "url: oci://example.com/podinfo"
        } else {
            "url: https://example.com"
        };
        format!(
            "apiVersion: source.toolkit.fluxcd.io/{version}\nkind: {kind}\nmetadata:\n  name: podinfo\n  namespace: apps\n\
             spec:\n  interval: 10m\n  {spec}\n"
        )
    };
    for (kind, version, flux, expected) in [
        ("HelmRepository", "v1", "2.3", None),
        (
            "HelmRepository",
            "v1",
            "2.2",
            Some("error: HelmRepository \"v1\" comes with Flux 2.3; Flux 2.2 has none"),
        ),
        ("HelmRepository", "v1beta2", "2.2", None),
        (
            "HelmRepository",
            "v1beta2",
            "2.7",
            Some("warning: HelmRepository v1beta2 is deprecated: set apiVersion to v1"),
        ),
        (
            "HelmRepository",
            "v1beta2",
            "2.8",
            Some("error: HelmRepository \"v1beta2\" is not served by Flux 2.8"),
        ),
        (
            "HelmRepository",
            "v1beta1",
            "2.6",
            Some("warning: HelmRepository v1beta1 is deprecated: set apiVersion to v1"),
        ),
        (
            "HelmRepository",
            "v1beta1",
            "2.7",
            Some("error: HelmRepository \"v1beta1\" is not served by Flux 2.7"),
        ),
        ("OCIRepository", "v1beta2", "2.5", None),
        (
            "OCIRepository",
            "v1beta2",
            "2.9",
            Some("error: OCIRepository \"v1beta2\" is not served by Flux 2.9"),
        ),
    ] {
        let scene = Scene::new(&[("source.yaml", &of(kind, version))]);
        let lines = scene.lines(&["--allow-empty", "--flux", flux]);
        let told: Vec<_> = lines.iter().filter(|line| line.contains("[deprecated-api-version]")).collect();
        let place = "source.yaml:1:13: ";
        let expected: Vec<_> = expected
            .map(|expected| format!("{place}{}", expected.replacen(": ", "[deprecated-api-version]: ", 1)))
            .into_iter()
            .collect();
        assert_eq!(told, expected.iter().collect::<Vec<_>>(), "{kind} {version} on {flux}");
        let fixed = expected.iter().any(|it| it.contains("v1beta"));
        scene.check(&["--allow-empty", "--fix", "--flux", flux]);
        let text = std::fs::read_to_string(scene.path().join("source.yaml")).expect("it is there");
        assert_eq!(text, of(kind, if fixed { "v1" } else { version }), "{kind} {version} on {flux}");
    }
}

#[test]
fn a_tag_in_the_url_and_a_chart_that_is_unpacked_are_found() {
    let lines = with_source(&SOURCE.replace("com/podinfo\n", "com/podinfo:6.5.4\n")).lines(&[]);
    let expected = "source.yaml:8:8: error[source-url-has-tag]: OCIRepository \"apps/podinfo\" has a tag in its url: \":6.5.4\"";
    assert_eq!(lines, [expected]);
    let unpacked = with_source(&SOURCE.replace("operation: copy", "operation: extract"));
    let expected = "warning[layer-selector-missing]: OCIRepository \"apps/podinfo\" is unpacked";
    assert!(
        matches!(&unpacked.lines(&[])[..], [line] if line.contains(expected)),
        "{:?}",
        unpacked.lines(&[])
    );
}

#[test]
fn what_an_overlay_makes_of_the_source_counts() {
    let scene = Scene::new(&[
        ("base/kustomization.yaml", KUSTOMIZATION),
        ("base/release.yaml", &release(CHART_REF)),
        ("base/source.yaml", &SOURCE.replace("  layerSelector: {operation: copy}\n", "")),
        ("prod/kustomization.yaml", "resources: [../base]\npatches: [{path: copy.yaml}]\n"),
        (
            "prod/copy.yaml",
            "apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata:\n  name: podinfo\n  namespace: apps\n\
             spec:\n  layerSelector: {operation: copy}\n",
        ),
    ]);
    assert_eq!(scene.lines(&[]), [] as [&str; 0]);
    scene.write("test/kustomization.yaml", "resources: [../base]\n");
    let lines = scene.lines(&[]);
    assert!(matches!(&lines[..], [line] if line.contains("layer-selector-missing")), "{lines:?}");
}

#[test]
fn a_source_that_nothing_takes_a_chart_from_is_not_judged() {
    let scene = Scene::new(&[("source.yaml", SOURCE.replace("{tag: 6.5.4}", "{tag: latest}").as_str())]);
    let said = scene.check(&["--flux", "2.6", "--quiet", "--allow-empty"]);
    assert_eq!(said.out, "");
}

#[test]
fn a_chart_ref_with_the_name_of_a_generated_chart_is_a_note() {
    let named = "  chartRef:\n    kind: HelmChart\n    name: apps-podinfo\n    namespace: apps\n";
    let scene = Scene::new(&[("release.yaml", release(named).as_str())]);
    assert_eq!(scene.lines(&[]), [] as [&str; 0]);
    assert_eq!(scene.check(&["--fail-on", "warning"]).code, 0);
    let noted = scene.check(&["--verbose"]).out;
    assert!(noted.contains("note[generated-chart-name]"), "{noted}");
}

#[test]
fn configurations_that_rename_references_leave_the_source_open() {
    let scene = Scene::new(&[
        ("kustomization.yaml", "resources: [base, release.yaml]\nnamePrefix: a-\n"),
        ("base/kustomization.yaml", "resources: [source.yaml]\nconfigurations: [names.yaml]\n"),
        ("base/source.yaml", SOURCE),
        ("release.yaml", &release(CHART_REF)),
    ]);
    let names = |path: &str| {
        let specs = format!("fieldSpecs: [{{kind: HelmRelease, path: {path}}}]");
        scene.write("base/names.yaml", format!("nameReference: [{{kind: OCIRepository, {specs}}}]\n"));
        scene.lines(&[])
    };
    assert_eq!(names("spec/chartRef/name"), [] as [&str; 0]);
    assert!(
        scene.check(&["--verbose"]).out.contains("what it says about spec/chartRef/name is not rendered")
    );
    let missing =
        "release.yaml:8:3: warning[chart-ref-source-missing]: OCIRepository \"apps/podinfo\" is not there";
    assert_eq!(names("spec/valuesFrom/name"), [missing]);
}
