//! What kustomize and Flux refuse to build is an error at the line that causes it. That they refuse it, and nothing else, is what the tests in
//! `tests/kustomize` ask the real ones.

use super::scene::{CHART, CHART_REF, SOURCE, Scene, flux, release};

const BASE: &str = "resources: [release.yaml, source.yaml]\n";

/// An overlay of a base, by its kustomization file and a patch.
fn overlay(kustomization: &str, patch: &str) -> Scene {
    Scene::new(&[
        ("base/kustomization.yaml", BASE),
        ("base/release.yaml", &release(CHART_REF)),
        ("base/source.yaml", SOURCE),
        ("prod/kustomization.yaml", &format!("resources: [../base]\n{kustomization}")),
        ("prod/patch.yaml", patch),
    ])
}

const PATCH: &str =
    "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: podinfo, namespace: apps}\n";

#[test]
fn each_fault_of_a_build_is_an_error_at_its_line() {
    let steps =
        |steps: &str| format!("patches:\n- target: {{kind: HelmRelease}}\n  patch: |-\n    - {steps}\n");
    let by_file = || "patches: [{path: patch.yaml}]\n".to_owned();
    for (kustomization, patch, expected) in [
        (
            by_file(),
            PATCH.replace("namespace: apps", "namespace: other"),
            "prod/patch.yaml:1:1: error[build-fails]: there is no HelmRelease podinfo in other that the patch can be for",
        ),
        (
            by_file(),
            PATCH.replace(", namespace: apps", ""),
            "prod/patch.yaml:1:1: error[build-fails]: there is no HelmRelease podinfo that the patch can be for",
        ),
        (
            by_file(),
            PATCH.replace("/v2", "/v2beta2"),
            "prod/patch.yaml:1:13: error[build-fails]: there is no HelmRelease podinfo in apps at v2beta2 that the patch can be for: it is at v2",
        ),
        (
            steps("{op: replace, path: /spec/chart/spec/version, value: 1.0.0}"),
            String::new(),
            "prod/kustomization.yaml:5:7: error[build-fails]: there is no /spec/chart/spec/version in the object (HelmRelease podinfo in apps)",
        ),
        (
            steps("{op: remove, path: /spec/timeout}"),
            String::new(),
            "prod/kustomization.yaml:5:7: error[build-fails]: there is no /spec/timeout to remove (HelmRelease podinfo in apps)",
        ),
        // Nobody reads what is there unless something goes in.
        (
            steps("{op: add, path: /spec/valuesFrom/1, value: {kind: Secret, name: a}}"),
            String::new(),
            "prod/kustomization.yaml:5:7: error[build-fails]: there is no /spec/valuesFrom/1 in the object (HelmRelease podinfo in apps)",
        ),
        (
            "patches:\n- target: {kind: HelmRelease}\n  path: patch.yaml\n".to_owned(),
            format!("{PATCH}---\n{PATCH}"),
            "prod/kustomization.yaml:3:3: error[build-fails]: a target is for one patch, and here are several",
        ),
        (
            "patches: [{path: gone.yaml}]\n".to_owned(),
            String::new(),
            "prod/kustomization.yaml:2:18: error[build-fails]: gone.yaml is not there",
        ),
        (
            "components: [../none]\n".to_owned(),
            String::new(),
            "prod/kustomization.yaml:2:14: error[build-fails]: ../none is not there",
        ),
        (
            "configMapGenerator: [{name: a, files: [x=gone.conf]}]\n".to_owned(),
            String::new(),
            "prod/kustomization.yaml:2:40: error[build-fails]: gone.conf is not there",
        ),
        (
            "secretGenerator: [{name: a, envs: [gone.env]}]\n".to_owned(),
            String::new(),
            "prod/kustomization.yaml:2:36: error[build-fails]: gone.env is not there",
        ),
        (
            "configMapGenerator: [{literals: [a=b]}]\n".to_owned(),
            String::new(),
            "prod/kustomization.yaml:2:22: error[build-fails]: a ConfigMap that is generated without a name",
        ),
        (
            "secretGenerator: [{name: a, behavior: merge, literals: [a=b]}]\n".to_owned(),
            String::new(),
            "prod/kustomization.yaml:2:19: error[build-fails]: there is no Secret a that the generator can change",
        ),
        (
            "replicas: [{name: podinfo, count: 2}]\n".to_owned(),
            String::new(),
            "prod/kustomization.yaml:2:19: error[build-fails]: there is no object \"podinfo\" whose replicas can be set",
        ),
        (
            "replacements:\n- sourceValue: x\n  targets:\n  - select: {kind: HelmRelease}\n    fieldPaths: [spec.none.at]\n"
                .to_owned(),
            String::new(),
            "prod/kustomization.yaml:5:5: error[build-fails]: there is no spec.none.at to write to (HelmRelease podinfo in apps)",
        ),
        (
            // It takes names in upper and lower case alike.
            "nameSpace: apps\nnone: x\n".to_owned(),
            String::new(),
            "prod/kustomization.yaml:3:1: error[build-fails]: none is no field of a kustomization file",
        ),
        (
            "apiVersion: kustomize.config.k8s.io/v1\n".to_owned(),
            String::new(),
            "prod/kustomization.yaml:2:13: error[build-fails]: apiVersion of a Kustomization is kustomize.config.k8s.io/v1beta1",
        ),
    ] {
        let scene = overlay(&kustomization, &patch);
        let lines = scene.lines(&[]);
        assert_eq!(lines.first().map(String::as_str), Some(expected), "{kustomization}{patch}: {lines:?}");
        assert_eq!(scene.check(&[]).code, 1, "{lines:?}");
    }
}

#[test]
fn two_objects_of_one_name_and_an_empty_kustomization_file_fail() {
    let scene = Scene::new(&[
        ("one/kustomization.yaml", "resources: [release.yaml]\n"),
        ("one/release.yaml", &release(CHART)),
        ("two/kustomization.yaml", "# nothing yet\n"),
        ("all/kustomization.yaml", "resources: [../one, ../one/release.yaml, ../two]\n"),
    ]);
    assert_eq!(
        scene.lines(&[]),
        [
            "all/kustomization.yaml:1:21: error[build-fails]: HelmRelease podinfo in apps is there already",
            "two/kustomization.yaml:1:1: error[build-fails]: the kustomization file is empty",
        ]
    );
}

#[test]
fn what_is_not_about_flux_makes_a_build_fail_all_the_same() {
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n";
    let scene = Scene::new(&[
        ("kustomization.yaml", "resources: [release.yaml, service.yaml, other.yaml]\n"),
        ("release.yaml", &release(CHART)),
        ("service.yaml", service),
        ("other.yaml", service),
        // Nobody names it, and it has nothing to do with Flux.
        ("tsconfig.json", "{ /* no JSON */ }"),
    ]);
    assert_eq!(
        scene.lines(&[]),
        ["kustomization.yaml:1:41: error[build-fails]: Service web is there already"]
    );
    scene.write("other.yaml", "a: [\n");
    let said = scene.check(&["--quiet"]);
    assert_eq!(said.code, 2);
    assert!(said.out.starts_with("other.yaml:1:4: error[unreadable]: "), "{}", said.out);
}

#[test]
fn a_generator_takes_no_name_that_is_taken() {
    let settings = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\n";
    let scene = Scene::new(&[
        (
            "kustomization.yaml",
            "resources: [release.yaml, settings.yaml]\nconfigMapGenerator: [{name: settings, literals: [a=b]}]\n",
        ),
        ("release.yaml", &release(CHART)),
        ("settings.yaml", settings),
    ]);
    assert_eq!(
        scene.lines(&[]),
        [
            "kustomization.yaml:2:22: error[build-fails]: ConfigMap settings is there already, so its generator takes behavior: merge or replace"
        ]
    );
    scene.write(
        "kustomization.yaml",
        "resources: [release.yaml]\nconfigMapGenerator:\n- {name: a}\n- {name: a, behavior: merge}\n- {name: a}\n",
    );
    assert_eq!(
        scene.lines(&[]),
        [
            "kustomization.yaml:5:3: error[build-fails]: ConfigMap a is there already, so its generator takes behavior: merge or replace"
        ]
    );
    for fine in ["behavior: merge", "behavior: replace", "namespace: other"] {
        scene.write(
            "kustomization.yaml",
            format!("resources: [release.yaml, settings.yaml]\nconfigMapGenerator: [{{name: settings, {fine}, literals: [a=b]}}]\n"),
        );
        assert_eq!(scene.lines(&[]), [] as [&str; 0], "{fine}");
    }
}

#[test]
fn what_a_kustomization_names_is_read_whatever_it_is_called() {
    let scene = Scene::new(&[
        (
            "kustomization.yaml",
            "resources: [.base, ignored.yaml, source.txt]\nconfigMapGenerator: [{name: a, envs: [.env]}]\n",
        ),
        (".base/kustomization.yaml", "resources: [.release.yaml]\n"),
        (".base/.release.yaml", &release(&format!("{CHART}{CHART_REF}"))),
        ("ignored.yaml", &release(CHART).replace("podinfo", "other")),
        ("source.txt", SOURCE),
        (".env", "A=b\n"),
        (".git/config", ""),
        (".gitignore", "ignored.yaml\n"),
    ]);
    let lines = scene.lines(&[]);
    assert!(
        matches!(&lines[..], [line] if line.starts_with(".base/.release.yaml:8:3: error[chart-and-chart-ref]")),
        "{lines:?}"
    );
    assert!(scene.check(&[]).out.contains("2 HelmReleases judged"), "{}", scene.check(&[]).out);
}

#[test]
fn a_folder_that_no_cluster_is_given_is_a_warning() {
    let scene = Scene::new(&[
        ("clusters/flux.yaml", &flux("")),
        ("apps/release.yaml", &release(CHART)),
        ("drafts/kustomization.yaml", "resources: [gone.yaml]\n"),
    ]);
    assert_eq!(
        scene.lines(&[]),
        ["drafts/kustomization.yaml:1:13: warning[build-fails]: gone.yaml is not there"]
    );
    scene.write("apps/kustomization.yaml", "resources: [release.yaml, gone.yaml]\n");
    let said = scene.check(&[]);
    assert!(said.out.contains("error[build-fails]: gone.yaml is not there"), "{}", said.out);
    assert!(said.out.contains("= rendered: by Kustomization flux-system/apps"), "{}", said.out);
}

#[test]
fn the_path_of_a_flux_kustomization_has_to_be_a_folder_of_its_source() {
    let flux = |name: &str, path: &str| {
        format!(
            "---\napiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {{name: {name}, namespace: flux-system}}\nspec:\n  \
             path: {path}\n  sourceRef: {{kind: GitRepository, name: flux-system}}\n"
        )
    };
    let all = flux("apps", "./apps") + &flux("gone", "./gone") + &flux("later", "./later");
    let scene = Scene::new(&[
        ("clusters/all.yaml", &all),
        ("apps/release.yaml", &release(CHART)),
        ("later/README.md", ""),
    ]);
    assert_eq!(
        scene.lines(&[]),
        ["clusters/all.yaml:13:9: error[build-fails]: ./gone is no folder of GitRepository flux-system"]
    );
    // Where the folder that holds all of it is not looked at, nothing says what is missing.
    assert_eq!(scene.lines(&["--allow-empty", "clusters"]), [] as [&str; 0]);
}

#[test]
fn a_variable_that_flux_cannot_replace_fails_at_its_line_also_in_values() {
    let substituting = |variables: &str| flux(&format!("  postBuild: {{substitute: {variables}}}\n"));
    let scene = Scene::new(&[
        ("flux.yaml", &substituting("{A: 'x: y'}")),
        (
            "apps/release.yaml",
            &release(&format!(
                "{CHART}  values:\n    one: ${{A-b}}\n    two: ${{A}}\n    run: |\n      echo\n      echo ${{A[@]}}\n"
            )),
        ),
        ("apps/service.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: '${A-b}'}\n"),
    ]);
    assert_eq!(
        scene.lines(&[]),
        [
            "apps/release.yaml:15:10: error[build-fails]: kustomize-controller refuses \"${A-b}\": missing closing brace",
            "apps/release.yaml:16:10: error[build-fails]: \"${A}\" becomes \"x: y\", which is no YAML there",
            "apps/release.yaml:18:7: error[build-fails]: kustomize-controller refuses \"echo ${A[@]}\": missing closing brace",
            "apps/service.yaml:3:18: error[build-fails]: kustomize-controller refuses \"${A-b}\": missing closing brace",
        ]
    );
    // Without variables nothing is replaced.
    scene.write("flux.yaml", substituting("{}"));
    assert_eq!(scene.lines(&[]), [] as [&str; 0]);
}

#[test]
fn a_variable_without_a_value_fails_from_flux_2_9_on() {
    let scene = Scene::new(&[
        ("flux.yaml", &flux("  postBuild: {substitute: {A: b}}\n")),
        (
            "apps/release.yaml",
            &release(&format!(
                "{CHART}  values:\n    known: ${{A}}\n    given: ${{B:-c}}\n    unset: x-${{B}}\n    nested: ${{A:-${{C}}}}\n"
            )),
        ),
        // Of the definitions that Flux brings, those of its newer versions ask to be left alone.
        (
            "apps/gotk-components.yaml",
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: \
             kustomizations.kustomize.toolkit.fluxcd.io\nspec:\n  description: ${var:position}\n",
        ),
    ]);
    let fails = |line, column, name| {
        let refuses = "has no value, which Flux refuses from 2.9 on (StrictPostBuildSubstitutions)";
        format!("apps/release.yaml:{line}:{column}: error[build-fails]: the variable {name} {refuses}")
    };
    assert_eq!(scene.lines(&["--flux", "2.9"]), [fails(17, 12, "B"), fails(18, 13, "C")]);
    assert_eq!(scene.lines(&["--flux", "2.8"]), [] as [&str; 0]);
}

#[test]
fn a_variable_that_nobody_replaces_stays_and_is_judged_as_it_is() {
    let chart = "  chart:\n    spec:\n      chart: x\n      version: ${VERSION}\n      interval: ${INTERVAL}\n      sourceRef: {kind: \
                 HelmRepository, name: y}\n  values: {a: \"${A}\"}\n";
    let scene = Scene::new(&[("flux.yaml", &flux("")), ("apps/release.yaml", &release(chart))]);
    let told = || {
        let out = scene.check(&["--verbose"]).out;
        let is_finding =
            |line: &&str| ["error[", "warning[", "note["].iter().any(|start| line.starts_with(start));
        out.lines().filter(is_finding).map(str::to_owned).collect::<Vec<_>>()
    };
    let note = |field, text| {
        format!(
            "note[literal-variable]: spec.chart.spec.{field} stays \"{text}\": nothing replaces the variable"
        )
    };
    let stays = [
        note("version", "${VERSION}"),
        "error[schema]: spec.chart.spec.interval is \"${INTERVAL}\", which does not match ^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$".to_owned(),
        note("interval", "${INTERVAL}"),
    ];
    assert_eq!(told(), stays);
    // What a Secret brings may hold any.
    scene.write("flux.yaml", flux("  postBuild: {substituteFrom: [{kind: Secret, name: s}]}\n"));
    assert_eq!(told(), [] as [&str; 0]);
    let disabled = "metadata:\n  annotations: {kustomize.toolkit.fluxcd.io/substitute: disabled}\n";
    scene.write("apps/release.yaml", release(chart).replace("metadata:\n", disabled));
    assert_eq!(told(), stays);
}

#[test]
fn a_patch_that_is_passed_over_in_part_or_as_a_whole_is_a_warning() {
    let of_steps = |steps: &str| format!("patches:\n- target: {{kind: HelmRelease}}\n  patch: {steps}\n");
    let add = "{op: add, path: /spec/timeout, value: 1m}";
    for (kustomization, expected) in [
        (
            of_steps(&format!("|\n    - {add}\n    ---\n    - {add}")),
            "7:5: warning[patch-lost]: kustomize drops what comes behind the first document of a JSON patch",
        ),
        (
            of_steps("|\n    - {op: add, path: metadata/labels, value: {a: b}}"),
            "5:7: warning[patch-lost]: the path of the step does not begin with /, so that kustomize passes over its first part",
        ),
        (
            "patches:\n- patch: |\n    apiVersion: helm.toolkit.fluxcd.io/v2\n    kind: HelmRelease\n    metadata: {name: podinfo, namespace: \
             apps}\n    $patch: replace\n    spec: {chartRef: {version: no}}\n"
                .to_owned(),
            "7:13: warning[patch-lost]: kustomize passes over a patch with $patch: replace at its top",
        ),
        (
            of_steps(&format!("\"[{add}]\"")),
            "4:11: error[build-fails]: a JSON patch that begins with [ is read as JSON, and this is none: key must be a string at line 1 column 3",
        ),
        (
            of_steps("|\n    - {op: remove, path: /metadata/name}"),
            "5:7: error[build-fails]: HelmRelease podinfo in apps becomes an object of kind HelmRelease without a name (metadata.name)",
        ),
        (
            of_steps("|\n    - {op: replace, path: '', value: {a: b}}"),
            "5:7: error[build-fails]: HelmRelease podinfo in apps becomes an object without a kind",
        ),
    ] {
        let lines = overlay(&kustomization, "").lines(&[]);
        let expected = format!("prod/kustomization.yaml:{expected}");
        assert!(lines.contains(&expected), "{kustomization}: {lines:?}");
    }
    // Behind a comment, flow style is YAML like any other.
    let commented = of_steps(&format!("|\n    # one step\n    [{add}]"));
    assert_eq!(overlay(&commented, "").lines(&[]), [] as [&str; 0]);
}

#[test]
fn what_flux_refuses_or_leaves_out_of_what_it_built_is_an_error() {
    let object = |text: &str| format!("{text}metadata: {{name: other}}\n");
    let map = "apiVersion: v1\nkind: ConfigMap\n";
    let refused = "error[build-fails]: kustomize-controller takes";
    let left_out = "error[not-applied]: Flux leaves the object out without a word: its";
    let post_build = "  postBuild: {substitute: {EMPTY: \"\"}}\n";
    let bad = release(&format!("{CHART}{CHART_REF}")).replace('\n', "\n  ");
    for (text, expected) in [
        (object("kind: ConfigMap\n"), vec![format!("1:1: {refused} no object without apiVersion, and applies nothing")]),
        (object("apiVersion: ''\nkind: ConfigMap\n"), vec![format!("1:13: {refused} no object without apiVersion, and applies nothing")]),
        (object("apiVersion: v1\nkind: 12\n"), vec![format!("2:7: {refused} no object whose kind is no text, and applies nothing")]),
        (object("apiVersion: 1\nkind: ConfigMap\n"), vec![format!("1:13: {left_out} apiVersion is 1, which is no text")]),
        (format!("{map}metadata: {{name: 12}}\n"), vec![format!("3:18: {left_out} metadata.name is 12, which is no text")]),
        (format!("{map}metadata: {{name: \"${{EMPTY}}\"}}\n"), vec![format!("3:18: {left_out} metadata.name is empty")]),
        (
            format!("{map}metadata: {{name: other}}\nitems: [a]\n"),
            vec![format!("4:9: {refused} an object with items for a list of objects, and this is none")],
        ),
        (
            format!("{map}metadata: {{name: other}}\nitems:\n- {bad}\n"),
            vec![
                "4:1: error[not-applied]: Flux applies what is in items in place of the object itself, which is left out without a word".to_owned(),
                "12:5: error[chart-and-chart-ref]: spec.chart and spec.chartRef are both set".to_owned(),
                "18:5: warning[chart-ref-source-missing]: OCIRepository \"apps/podinfo\" is not there".to_owned(),
            ],
        ),
        (
            object("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"),
            vec!["1:13: error[not-applied]: Flux leaves a file of kustomize that is named as an object out without a word: name its folder".to_owned()],
        ),
    ] {
        let scene = Scene::new(&[
            ("flux.yaml", &flux(post_build)),
            ("apps/release.yaml", &release(CHART)),
            ("apps/other.yaml", &text),
        ]);
        let expected: Vec<_> = expected.iter().map(|expected| format!("apps/other.yaml:{expected}")).collect();
        assert_eq!(scene.lines(&[]), expected, "{text}");
    }
}

#[test]
fn a_release_that_asks_flux_to_leave_it_alone_is_not_judged() {
    let bad = release(&format!("{CHART}{CHART_REF}"));
    let scene = Scene::new(&[("flux.yaml", &flux("")), ("apps/release.yaml", &bad)]);
    let with = |field: &str, key: &str, value: &str| {
        let asked = format!("metadata:\n  {field}: {{kustomize.toolkit.fluxcd.io/{key}: {value}}}\n");
        scene.write("apps/release.yaml", bad.replace("metadata:\n", &asked));
        let said = scene.check(&["--allow-empty", "--verbose"]);
        (
            said.code,
            said.out.contains("note[not-judged]: Flux does not apply the HelmRelease, which asks for that"),
        )
    };
    assert_eq!(with("annotations", "reconcile", "disabled"), (0, true));
    assert_eq!(with("labels", "reconcile", "Disabled"), (0, true));
    assert_eq!(with("annotations", "ssa", "ignore"), (0, true));
    assert_eq!(with("annotations", "ssa", "IfNotPresent"), (1, false));
    assert_eq!(with("annotations", "reconcile", "enabled"), (1, false));
}

#[test]
fn a_path_of_flux_stays_in_its_source() {
    let scene = Scene::new(&[
        ("clusters/flux.yaml", &flux("").replace("./apps", "../../apps")),
        ("apps/release.yaml", &release(&format!("{CHART}{CHART_REF}"))),
        (".git/config", ""),
    ]);
    let said = scene.check(&["--format", "github"]);
    assert_eq!((said.code, said.out.contains("chart-and-chart-ref")), (1, true), "{}", said.out);
    assert!(!said.out.contains("leads out"), "{}", said.out);
}

#[test]
fn a_generated_config_map_without_a_hash_brings_variables() {
    let post_build = "  postBuild: {substituteFrom: [{kind: ConfigMap, name: settings}]}\n";
    let scene = Scene::new(&[
        ("clusters/apps.yaml", &flux(post_build)),
        ("clusters/all.env", "KIND=OCIRepository\n"),
        ("apps/release.yaml", &release("  chartRef: {kind: \"${KIND}\", name: podinfo}\n")),
        ("apps/source.yaml", SOURCE),
    ]);
    let generated = |namespace, options: &str, data: &str| {
        let generator = format!("{{name: settings, namespace: {namespace}, options: {options}, {data}}}");
        scene.write(
            "clusters/kustomization.yaml",
            format!("resources: [apps.yaml]\nconfigMapGenerator: [{generator}]\n"),
        );
        scene.lines(&[])
    };
    let (namespace, bare) = ("flux-system", "{disableNameSuffixHash: true}");
    let wrong = "literals: [KIND=HelmRepository]";
    let refused = [
        "apps/release.yaml:8:20: error[chart-ref-kind]: spec.chartRef.kind \"HelmRepository\" is not allowed by Flux 2.10",
    ];
    assert_eq!(generated(namespace, bare, wrong), refused);
    assert_eq!(generated(namespace, bare, "envs: [all.env]"), [] as [&str; 0]);
    // With a hash it is called otherwise; what a file has that is no manifest, nobody reads; and a ConfigMap elsewhere is another one.
    assert_eq!(generated(namespace, "{}", wrong), [] as [&str; 0]);
    assert_eq!(generated("other", bare, wrong), [] as [&str; 0]);
    scene.write("clusters/more.txt", "x");
    assert_eq!(generated(namespace, bare, &format!("{wrong}, files: [more.txt]")), [] as [&str; 0]);
}

#[test]
fn a_patch_whose_target_selects_nothing_is_a_warning() {
    let target = |target: &str| format!("patches:\n- target: {{{target}}}\n  path: patch.yaml\n");
    let lost = "prod/kustomization.yaml:3:11: warning[patch-lost]: the patch is for no object: ";
    for (chosen, expected) in [
        (
            "kind: HelmRelease, version: v2beta2",
            Some("its target asks for another version than that of HelmRelease podinfo in apps, v2"),
        ),
        ("kind: HelmRelease, name: podinf", Some("its target selects none")),
        ("kind: helmrelease", Some("its target selects none")),
        ("kind: HelmRelease, labelSelector: a=b", Some("its target selects none")),
        ("kind: HelmRelease, name: pod.*", None),
        ("group: helm.toolkit.fluxcd.io, version: v2, kind: HelmRelease", None),
    ] {
        let lines = overlay(&target(chosen), PATCH).lines(&[]);
        let expected: Vec<_> = expected.map(|expected| format!("{lost}{expected}")).into_iter().collect();
        assert_eq!(lines, expected, "{chosen}");
    }
    // One that deletes its object was for something.
    let delete = format!("{PATCH}$patch: delete\n");
    assert_eq!(overlay(&target("kind: HelmRelease"), &delete).lines(&["--allow-empty"]), [] as [&str; 0]);
    // A component may be meant for folders of all sorts.
    let scene = overlay("components: [../component]\n", "");
    scene.write(
        "component/kustomization.yaml",
        "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\npatches: [{target: {kind: HelmRelease, name: other}, patch: '- {op: \
         add, path: /spec/timeout, value: 1m}'}]\n",
    );
    assert_eq!(scene.lines(&[]), [] as [&str; 0]);
}

#[test]
fn what_source_controller_leaves_out_is_not_judged() {
    let bad = release(&format!("{CHART}{CHART_REF}"));
    let scene = Scene::new(&[("apps/bad.yaml", &bad), ("apps/good.yaml", &release(CHART))]);
    assert_eq!(scene.check(&[]).code, 1);
    scene.write(".sourceignore", "/apps/*\n!/apps/good.yaml\n");
    assert_eq!(scene.check(&[]).code, 0);
    assert_eq!(scene.check(&["apps"]).code, 0, "also from below");
}

#[test]
fn the_steps_of_a_resource_set_are_read() {
    let set = "apiVersion: fluxcd.controlplane.io/v1\nkind: ResourceSet\nmetadata: {name: set, namespace: apps}\nspec:\n  steps:\n  - name: one\n    \
               resources:\n    - ";
    let both = release(&format!("{CHART}{CHART_REF}")).replace('\n', "\n      ");
    let lines = Scene::new(&[("set.yaml", &format!("{set}{}\n", both.trim_end()))]).lines(&[]);
    assert!(lines[0].starts_with("set.yaml:15:9: error[chart-and-chart-ref]"), "{lines:?}");
}

#[test]
fn directives_in_values_are_followed_as_kustomize_does() {
    let in_values = |values: &str| {
        let patch = format!("{PATCH}spec:\n  values:\n    {values}\n");
        let scene = overlay("patches: [{path: patch.yaml}]\n", &patch);
        let values = "  values: {map: {a: 1, b: {c: 2}}, list: [{name: x}], text: x}\n";
        scene.write("base/release.yaml", release(&format!("{CHART_REF}{values}")));
        scene.lines(&[])
    };
    let refused = |what: &str, column: usize| {
        vec![format!("prod/patch.yaml:6:{column}: error[build-fails]: {what} (HelmRelease podinfo in apps)")]
    };
    let unknown = |column| refused("$patch takes merge, replace or delete", column);
    let copied = |column| {
        let what = "kustomize replaces this list as a whole, and copies $patch into the object";
        vec![format!("prod/patch.yaml:6:{column}: warning[patch-lost]: {what}")]
    };
    for (values, expected) in [
        ("map: {$patch: delete}", Vec::new()),
        ("map: {$patch: replace, z: 1}", Vec::new()),
        ("map: {b: {$patch: delete}}", Vec::new()),
        ("new: {$patch: merge, z: 1}", Vec::new()),
        ("$patch: replace", Vec::new()),
        // It is taken for a key there.
        ("new: {$patch: wrong, z: 1}", Vec::new()),
        ("map: {$patch: wrong, z: 1}", unknown(19)),
        ("map: {$patch: ~, z: 1}", unknown(19)),
        ("new: {map: {$patch: wrong}}", unknown(25)),
        ("map: {$patch: replace, b: {$patch: wrong}}", unknown(40)),
        ("text: {$patch: delete}", refused("the patch sets a map where there is a text", 11)),
        ("list: {$patch: delete}", refused("the patch sets a map where there is a list", 11)),
        ("list: [{$patch: delete, name: x}]", copied(13)),
        ("map: {list: [[{$patch: replace}]]}", copied(20)),
    ] {
        assert_eq!(in_values(values), expected, "{values}");
    }
}

#[test]
fn a_label_whose_key_is_no_text_without_quotes_fails() {
    let made = |kustomization: &str| {
        let scene = Scene::new(&[
            ("kustomization.yaml", &format!("{BASE}{kustomization}\n")),
            ("release.yaml", &release(CHART_REF)),
            ("source.yaml", SOURCE),
        ]);
        scene.lines(&[])
    };
    for key in [
        "y",
        "Y",
        "no",
        "true",
        "5",
        "1.50",
        "0x1f",
        "1e3",
        "\"5\"",
        "\"true\"",
        "\"null\"",
        "2001-01-01",
        "\"\"",
    ] {
        let expected = format!(
            "kustomization.yaml:2:17: error[build-fails]: kustomize writes the key {key} into objects as one that is no text, and fails"
        );
        assert_eq!(made(&format!("commonLabels: {{ {key}: a}}")), [expected], "{key}");
    }
    for (kustomization, column) in [
        ("labels: [{pairs: {y: a}}]", 19),
        ("commonAnnotations: {5: a}", 21),
        ("configMapGenerator: [{name: c, options: {labels: {y: a}}}]", 51),
    ] {
        let place = format!("kustomization.yaml:2:{column}: error[build-fails]: kustomize writes the key");
        let lines = made(kustomization);
        assert!(lines.len() == 1 && lines[0].starts_with(&place), "{kustomization}: {lines:?}");
    }
    for fine in ["\"y\": a, \"no\": b, v1: c", "1.5.0: a, 1-2: b", "\"yes\": a", "\"12:30\": a"] {
        let lines = made(&format!("labels: [{{pairs: {{{fine}}}}}]"));
        assert!(!lines.iter().any(|line| line.contains("build-fails")), "{fine}: {lines:?}");
    }
    // Nothing gets it as a new key.
    assert_eq!(made("generatorOptions: {labels: {y: a}}"), [] as [&str; 0]);
    assert_eq!(made("metadata: {labels: {y: a}}"), [] as [&str; 0]);
    let scene =
        Scene::new(&[("kustomization.yaml", "resources: [release.yaml]\ncommonLabels: {\"5\": a}\n")]);
    let labelled = release(CHART_REF).replace("metadata:\n", "metadata:\n  labels: {\"5\": b}\n");
    scene.write("release.yaml", labelled);
    assert!(!scene.lines(&[]).iter().any(|line| line.contains("build-fails")));
}

#[test]
fn what_a_listed_folder_holds_twice_is_named_at_the_path() {
    let scene = Scene::new(&[
        ("clusters/apps.yaml", &flux("")),
        ("apps/one.yaml", &release(CHART_REF)),
        ("apps/two.yaml", &release(CHART_REF)),
        ("apps/source.yaml", SOURCE),
    ]);
    assert_eq!(
        scene.lines(&[]),
        [
            "clusters/apps.yaml:5:9: error[build-fails]: HelmRelease podinfo in apps is there already: in apps/one.yaml, and in apps/two.yaml"
        ]
    );
    std::fs::remove_file(scene.path().join("apps/two.yaml")).unwrap();
    scene.write(
        "apps/part/kustomization.yaml",
        "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n",
    );
    assert_eq!(
        scene.lines(&[]),
        [
            "clusters/apps.yaml:5:9: error[build-fails]: apps/part is a Component, which belongs under components"
        ]
    );
}

#[test]
fn a_file_that_is_named_or_listed_and_cannot_be_read_is_no_missing_one() {
    let latin = b"a: \xe4\n";
    let unreadable = |path: &str| {
        format!("{path}:1:1: error[unreadable]: the file is no UTF-8 from byte 3 on; save it as UTF-8")
    };
    let named = |place: &str, what: &str| {
        format!("{place}: error[build-fails]: {what} is no UTF-8 from byte 3 on; save it as UTF-8")
    };
    let base = &release(CHART_REF);
    for path in [".hidden.yaml", "open.yaml"] {
        let kustomization = format!("resources: [release.yaml, source.yaml, {path}]\n");
        let scene = Scene::new(&[
            ("kustomization.yaml", &kustomization),
            ("release.yaml", base),
            ("source.yaml", SOURCE),
        ]);
        scene.write(path, latin);
        let mut expected = [unreadable(path), named("kustomization.yaml:1:40", path)];
        expected.sort();
        assert_eq!(scene.lines(&[]), expected);
    }
    let scene = Scene::new(&[("kustomization.yaml", "resources: [.more]\n")]);
    scene.write(".more/kustomization.yaml", latin);
    assert_eq!(
        scene.lines(&["--allow-empty"]),
        [
            unreadable(".more/kustomization.yaml"),
            "kustomization.yaml:1:13: error[build-fails]: .more cannot be read".to_owned()
        ]
    );
    let scene = Scene::new(&[
        ("clusters/apps.yaml", &flux("")),
        ("apps/release.yaml", base),
        ("apps/source.yaml", SOURCE),
    ]);
    scene.write("apps/.hidden.yaml", latin);
    assert_eq!(
        scene.lines(&[]),
        [
            "clusters/apps.yaml:5:9: error[build-fails]: kustomize-controller lists apps/.hidden.yaml, which is no UTF-8 from byte 3 on; save it as UTF-8"
        ]
    );
}

#[test]
fn a_comma_in_a_value_for_a_target_path_is_reported() {
    let check = |reference: &str, data: &str| {
        let map = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: values, namespace: apps}}\ndata: {data}\n"
        );
        let from = format!("  valuesFrom:\n  - {{kind: ConfigMap, name: values, {reference}}}\n");
        let scene = Scene::new(&[
            ("kustomization.yaml", "resources: [release.yaml, source.yaml, map.yaml]\n"),
            ("release.yaml", &release(&format!("{CHART_REF}{from}"))),
            ("source.yaml", SOURCE),
            ("map.yaml", &map),
        ]);
        scene.lines(&[])
    };
    let path = "valuesKey: brokers, targetPath: kafka.brokers";
    let place = |level: &str, what: &str| {
        vec![format!(
            "release.yaml:12:69: {level}[split-value]: the value for targetPath \"kafka.brokers\" {what}"
        )]
    };
    for (data, expected) in [
        ("{brokers: 'a:1'}", Vec::new()),
        ("{brokers: 'a:1\\,b:1'}", Vec::new()),
        ("{brokers: '{a,b}'}", Vec::new()),
        ("{brokers: '${BROKERS},b'}", Vec::new()),
        ("{others: 'a,b'}", Vec::new()),
        (
            "{brokers: 'a:1,b:1'}",
            place("error", "is cut at a comma, and the rest is refused: key \"b:1\" has no value"),
        ),
        ("{brokers: 'a,b=c'}", place("warning", "is cut at a comma, and the rest sets \"b\"")),
        ("{brokers: 'a,'}", place("warning", "loses the comma at its end")),
        ("{brokers: '{a,b'}", place("error", "begins a list with { and does not end it")),
    ] {
        assert_eq!(check(path, data), expected, "{data}");
    }
    let commas = "{values.yaml: 'a,b', brokers: 'a,b'}";
    assert_eq!(check("targetPath: a", commas).len(), 1);
    assert_eq!(check("valuesKey: brokers, targetPath: a, literal: true", commas), [] as [&str; 0]);
    assert_eq!(check("valuesKey: brokers", commas), [] as [&str; 0]);
}
