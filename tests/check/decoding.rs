//! What kustomize decodes strictly and refuses, and what it or kustomize-controller decodes leniently: with a warning, since the build goes on.

use super::scene::{CHART_REF, SOURCE, Scene, flux, release};

const RESOURCES: &str = "resources: [release.yaml, source.yaml]\n";

/// A folder `apps` with a kustomization file.
fn apps(kustomization: &str) -> Scene {
    Scene::new(&[
        ("apps/kustomization.yaml", kustomization),
        ("apps/release.yaml", &release(CHART_REF)),
        ("apps/source.yaml", SOURCE),
    ])
}

#[test]
fn an_unknown_field_and_a_wrong_type_fail_at_their_place_in_every_level() {
    for (more, expected) in [
        ("bogus: 1\n", "2:1 bogus is no field of a kustomization file"),
        ("buildMetadata: foo\n", "2:16 buildMetadata takes a list, not a text"),
        ("patches: [{ptch: x, patch: '[]', target: {kind: A}}]\n", "2:12 ptch is no field of a patch"),
        (
            "patches: [{patch: '[]', target: {kind: HelmRelease, apiVersion: v1}}]\n",
            "2:53 apiVersion is no field of a target",
        ),
        (
            "patches: [{patch: '[]', target: {kind: HelmRelease}, options: {allowNameChanges: true}}]\n",
            "2:64 allowNameChanges is no field of the options of a patch",
        ),
        (
            "patchesJson6902: [{ptch: x, patch: '[]', target: {kind: HelmRelease}}]\n",
            "2:20 ptch is no field of a patch",
        ),
        ("labels: [{pairs: {a: b}, includeSelector: true}]\n", "2:26 includeSelector is no field of labels"),
        (
            "labels: [{pairs: {a: b}, fields: [{path: spec/x, creat: true}]}]\n",
            "2:50 creat is no field of a field of labels",
        ),
        ("labels: [{pairs: {a: 1}}]\n", "2:22 pairs takes texts, not a number"),
        ("configMapGenerator: [{name: a, literal: [a=b]}]\n", "2:32 literal is no field of a generator"),
        (
            "secretGenerator: [{name: a, options: {disableNameSuffixHashes: true}}]\n",
            "2:39 disableNameSuffixHashes is no field of the options of a generator",
        ),
        ("generatorOptions: {annotations: {n: true}}\n", "2:37 annotations takes texts, not a boolean"),
        (
            "replacements: [{bogus: 1, sourceValue: x, targets: [{select: {kind: A}, fieldPaths: [a]}]}]\n",
            "2:17 bogus is no field of a replacement",
        ),
        (
            "replacements: [{sourceValue: x, targets: [{select: {kind: A}, options: {delimeter: x}}]}]\n",
            "2:73 delimeter is no field of the options of a replacement",
        ),
        (
            "replacements: [{sourceValue: x, targets: [{select: {kind: A}, options: {index: '1'}}]}]\n",
            "2:80 index takes a whole number, not a text",
        ),
        ("images: [{name: a, foo: b}]\n", "2:20 foo is no field of an image"),
        ("sortOptions: {order: fifo, foo: b}\n", "2:28 foo is no field of sortOptions"),
        ("helmCharts: [{name: a, repos: b}]\n", "2:24 repos is no field of a chart of helmCharts"),
        ("metadata: {name: 1}\n", "2:18 name takes a text, not a number"),
        // Names count in upper and lower case alike.
        ("Patches: [{PATCH: '[]', Target: {KIND: A}, Bogus: 1}]\n", "2:44 Bogus is no field of a patch"),
    ] {
        let scene = apps(&format!("{RESOURCES}{more}"));
        let (place, what) = expected.split_once(' ').expect("a place and a message");
        let expected = format!("apps/kustomization.yaml:{place}: error[build-fails]: {what}");
        let lines = scene.lines(&[]);
        assert!(lines.contains(&expected), "{more}: {lines:?}");
        assert_eq!(scene.check(&[]).code, 1);
    }
}

#[test]
fn what_fits_is_no_error() {
    for more in [
        "commonAnnotations: {a: null}\nlabels: [null]\nimages: [null]\n",
        "generatorOptions: {disableNameSuffixHash: yes}\nmetadata: {name: x, labels: {a: b}}\n",
        "sortOptions: {order: legacy, legacySortOptions: {orderFirst: [Namespace]}}\nopenapi: {}\n",
        "replacements: [{sourceValue: 5m, targets: [{select: {kind: HelmRelease}, fieldPaths: [spec.timeout], options: {create: \
         true, index: 1.0}}]}]\n",
    ] {
        let scene = apps(&format!("{RESOURCES}{more}"));
        assert_eq!(scene.lines(&[]), [] as [&str; 0], "{more}");
    }
}

#[test]
fn kustomize_controller_reads_the_file_of_a_flux_kustomization_leniently() {
    let refuses = "and kustomize build refuses it";
    for (more, expected) in [
        (
            "bogus: 1\n",
            format!(
                "2:1: warning[strict-decoding]: bogus is no field of a kustomization file: kustomize-controller drops it without a word, {refuses}"
            ),
        ),
        (
            "commonAnnotations: {a: yes}\n",
            format!(
                "2:24: warning[strict-decoding]: commonAnnotations takes texts, not a boolean: kustomize-controller makes a text of it, {refuses}"
            ),
        ),
        // It knows no type where Go embeds a struct.
        (
            "patches: [{target: {name: 5}, patch: '[]'}]\n",
            "2:27: error[build-fails]: name takes a text, not a number".to_owned(),
        ),
        (
            "buildMetadata: foo\n",
            "2:16: error[build-fails]: buildMetadata takes a list, not a text".to_owned(),
        ),
    ] {
        let scene = apps(&format!("{RESOURCES}{more}"));
        scene.write("clusters/apps.yaml", flux(""));
        let lines = scene.lines(&[]);
        assert!(lines.contains(&format!("apps/kustomization.yaml:{expected}")), "{lines:?}");
        let grades = lines.iter().filter(|line| line.contains("error[")).count();
        assert_eq!(grades, usize::from(expected.contains("error[")), "{lines:?}");
    }
    // What it makes a text of is applied.
    let scene = apps(&format!("{RESOURCES}namePrefix: 1\ncommonLabels: {{a: 1.50}}\n"));
    scene.write("clusters/apps.yaml", flux(""));
    scene.write("apps/release.yaml", release(CHART_REF).replace("interval: 10m", "interval: none"));
    let lines = scene.lines(&[]);
    assert!(lines.iter().any(|line| line.contains("error[schema]: spec.interval")), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("build-fails")), "{lines:?}");
}

#[test]
fn a_folder_further_down_is_read_strictly_all_the_same() {
    let scene = apps(&format!("{RESOURCES}bogus: 1\n"));
    scene.write("all/kustomization.yaml", "resources: [../apps]\n");
    scene.write("clusters/all.yaml", flux("").replace("./apps", "./all"));
    assert_eq!(
        scene.lines(&[]),
        ["apps/kustomization.yaml:2:1: error[build-fails]: bogus is no field of a kustomization file"]
    );
    // The same folder for both.
    scene.write("clusters/apps.yaml", flux("").replace("name: apps", "name: too"));
    let lines = scene.lines(&[]);
    assert!(lines.iter().any(|line| line.contains("error[build-fails]: bogus is no field")), "{lines:?}");
    assert!(
        lines.iter().any(|line| line.contains("warning[strict-decoding]: bogus is no field")),
        "{lines:?}"
    );
}

#[test]
fn an_empty_entry_is_the_path_of_nothing() {
    for (kustomization, expected) in [
        (
            "resources: [release.yaml, source.yaml, null]\n",
            "1:40: error[build-fails]: an empty entry in resources",
        ),
        (
            "resources:\n- release.yaml\n- source.yaml\n-\n",
            "4:2: error[build-fails]: an empty entry in resources",
        ),
        (
            "resources: [release.yaml, source.yaml, '']\n",
            "1:40: error[build-fails]: an empty entry in resources",
        ),
        (
            "resources: [release.yaml, source.yaml]\ncomponents: [~]\n",
            "2:14: error[build-fails]: an empty entry in components",
        ),
        (
            "resources: [release.yaml, source.yaml]\ncrds: [~]\n",
            "2:8: error[build-fails]: an empty entry in crds",
        ),
    ] {
        let scene = apps(kustomization);
        assert_eq!(scene.lines(&[]), [format!("apps/kustomization.yaml:{expected}")], "{kustomization}");
        scene.write("clusters/apps.yaml", flux(""));
        assert_eq!(scene.lines(&[]), [format!("apps/kustomization.yaml:{expected}")], "{kustomization}");
    }
}

#[test]
fn a_component_without_a_version_fails_at_the_path_of_a_flux_kustomization_alone() {
    let scene = apps(&format!("kind: Component\n{RESOURCES}"));
    scene.write("all/kustomization.yaml", "components: [../apps]\n");
    scene.write("clusters/apps.yaml", flux("").replace("./apps", "./all"));
    assert_eq!(scene.lines(&[]), [] as [&str; 0]);
    scene.write("clusters/apps.yaml", flux(""));
    assert_eq!(
        scene.lines(&[]),
        [
            "apps/kustomization.yaml:1:7: error[build-fails]: a Component without an apiVersion: kustomize-controller fills in that of a \
             Kustomization, which kustomize refuses; set apiVersion: kustomize.config.k8s.io/v1alpha1"
        ]
    );
    scene.write("apps/kustomization.yaml", format!("apiVersion: ''\nkind: Component\n{RESOURCES}"));
    assert_eq!(scene.lines(&[]), [] as [&str; 0]);
}

#[test]
fn a_component_of_another_version_is_refused_where_nothing_names_it() {
    let scene = apps(&format!("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Component\n{RESOURCES}"));
    let expected = "apps/kustomization.yaml:1:13: error[build-fails]: apiVersion of a Component is kustomize.config.k8s.io/v1alpha1";
    assert_eq!(scene.lines(&[]), [expected]);
    assert_eq!(scene.check(&[]).code, 1);
}

#[test]
fn a_file_of_replacements_is_decoded_leniently() {
    let scene = apps(&format!("{RESOURCES}replacements: [{{path: all.yaml}}]\n"));
    scene.write(
        "apps/all.yaml",
        "sourceValue: 5\nbogus: 1\ntargets: [{select: {kind: HelmRelease, bogus: 2}, fieldPaths: [spec.timeout], options: {create: true}}]\n",
    );
    let dropped = |place, title| {
        format!(
            "apps/all.yaml:{place}: warning[strict-decoding]: bogus is no field of {title}: kustomize drops it without a word"
        )
    };
    let lines = scene.lines(&[]);
    // The number is no error: where the field is new, kustomize writes it as it looks.
    assert!(lines[0].contains("error[schema]: spec.timeout is the number 5"), "{lines:?}");
    assert_eq!(lines[1..], [dropped("2:1", "a replacement"), dropped("3:40", "a target")], "{lines:?}");
}

const PATCH: &str =
    "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: podinfo, namespace: apps}\n";

/// The findings where `patch.yaml` is a patch of a HelmRelease, by a path and in the kustomization file itself.
fn patched(patch: &str) -> [Vec<String>; 2] {
    let target = "target: {kind: HelmRelease}";
    let scene = apps(&format!("{RESOURCES}patches: [{{path: patch.yaml, {target}}}]\n"));
    scene.write("apps/release.yaml", release(&format!("{CHART_REF}  values: {{a: {{b: 1}}}}\n")));
    scene.write("apps/patch.yaml", patch);
    let by_path = scene.lines(&[]);
    assert_eq!(scene.check(&[]).code, i32::from(by_path.iter().any(|line| line.contains("error["))));
    scene.write("apps/patch.yaml", "");
    let indented = patch.trim_end().replace('\n', "\n    ");
    let inline = format!("patches:\n- {target}\n  patch: |\n    {indented}\n");
    scene.write("apps/kustomization.yaml", format!("{RESOURCES}{inline}"));
    [by_path, scene.lines(&[])]
}

#[test]
fn of_a_key_twice_in_a_patch_one_value_counts_and_the_other_is_a_warning() {
    for (patch, what) in [
        // Of a strategic merge patch, the first.
        (
            format!("{PATCH}spec:\n  interval: 5m\n  interval: none\n"),
            vec![
                "6:3: warning[strict-decoding]: the key \"interval\" is there twice: kustomize takes the first value",
            ],
        ),
        (
            format!("{PATCH}spec:\n  interval: none\n  interval: 5m\n"),
            vec![
                "5:13: error[schema]: spec.interval is \"none\", which does not match ^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$",
                "6:3: warning[strict-decoding]: the key \"interval\" is there twice: kustomize takes the first value",
            ],
        ),
        (
            format!("{PATCH}spec: {{interval: 5m}}\nspec: {{interval: none}}\n"),
            vec![
                "5:1: warning[strict-decoding]: the key \"spec\" is there twice: kustomize takes the first value",
            ],
        ),
        (
            format!("{PATCH}spec:\n  values: {{a: {{b: 2, b: 3}}}}\n"),
            vec![
                "5:22: warning[strict-decoding]: the key \"b\" is there twice: kustomize takes the first value",
            ],
        ),
        // It copies both into what is new, and stops at them.
        (
            format!("{PATCH}spec:\n  values: {{c: {{b: 2, b: 3}}}}\n"),
            vec![
                "5:22: error[build-fails]: the key \"b\" is there twice in a value that the patch adds as it is (HelmRelease podinfo in apps)",
            ],
        ),
        (
            format!("{PATCH}spec:\n  valuesFrom: [{{kind: Secret, kind: ConfigMap, name: a}}]\n"),
            vec![
                "5:31: error[build-fails]: the key \"kind\" is there twice in a value that the patch adds as it is (HelmRelease podinfo in apps)",
            ],
        ),
        // Of a JSON patch, the last.
        (
            "- {op: add, path: /spec/interval, value: none, value: 5m}\n".to_owned(),
            vec![
                "1:48: warning[strict-decoding]: the key \"value\" is there twice: kustomize takes the last value",
            ],
        ),
        (
            "- {op: add, path: /spec/values, value: {a: 1, a: 2}}\n".to_owned(),
            vec![
                "1:47: warning[strict-decoding]: the key \"a\" is there twice: kustomize takes the last value",
            ],
        ),
    ] {
        let [by_path, inline] = patched(&patch);
        let expected: Vec<_> = what.iter().map(|what| format!("apps/patch.yaml:{what}")).collect();
        assert_eq!(by_path, expected, "{patch}");
        let without_place = |line: &str| line.split_once(": ").map(|(_, what)| what.to_owned());
        let messages = |lines: &[String]| lines.iter().filter_map(|it| without_place(it)).collect::<Vec<_>>();
        assert_eq!(messages(&inline), messages(&by_path), "{patch}");
    }
}

#[test]
fn of_a_key_twice_in_a_file_of_replacements_the_last_value_counts() {
    let scene = apps(&format!("{RESOURCES}replacements: [{{path: all.yaml}}]\n"));
    scene.write(
        "apps/all.yaml",
        "sourceValue: none\nsourceValue: 5m\ntargets: [{select: {kind: HelmRelease}, fieldPaths: [spec.interval]}]\n",
    );
    assert_eq!(
        scene.lines(&[]),
        [
            "apps/all.yaml:2:1: warning[strict-decoding]: the key \"sourceValue\" is there twice: kustomize takes the last value"
        ]
    );
}

#[test]
fn a_key_twice_in_an_object_fails_the_build_and_is_no_unreadable_file() {
    let twice = release(&format!("{CHART_REF}  suspend: true\n  suspend: false\n"));
    let scene = apps(RESOURCES);
    scene.write("apps/release.yaml", &twice);
    let expected =
        "apps/release.yaml:12:3: error[build-fails]: the key \"suspend\" is there already, on line 11";
    assert_eq!(scene.lines(&[]), [expected]);
    assert_eq!(scene.check(&[]).code, 1);
    // It is no patch, either, that a kustomization uses both ways.
    scene.write("apps/kustomization.yaml", format!("{RESOURCES}patches: [{{path: release.yaml}}]\n"));
    assert!(scene.lines(&[]).contains(&expected.to_owned()));
    // A program that is not about Kubernetes may read such a file.
    let scene = apps(RESOURCES);
    scene.write("settings.json", "{\"a\": 1, \"a\": 2}");
    assert_eq!(scene.lines(&[]), [] as [&str; 0]);
}
