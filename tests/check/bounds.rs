//! What a stranger's repository may make a check do is bounded, and what only looks harmless is reported.

use super::scene::{CHART, CHART_REF, Scene, flux, release};

#[test]
fn of_many_faulty_documents_no_more_than_a_hundred_are_told() {
    for document in ["a: [\n", "apiVersion: v1\na: 1\na: 2\n"] {
        let scene = Scene::new(&[(
            "faulty.yaml",
            &format!("kind: HelmRelease\n{}", format!("---\n{document}").repeat(2_000)),
        )]);
        let lines = scene.lines(&["--allow-empty"]);
        assert_eq!(lines.len(), 101, "{document}");
        let said = "no more of this file is read: 100 documents are faulty up to here";
        assert!(lines.iter().any(|line| line.ends_with(said)), "{lines:?}");
    }
}

#[test]
fn what_variables_make_of_a_text_is_no_longer_than_an_object_may_be() {
    let too_much = "variables are not replaced in it: it becomes longer than an object of Kubernetes may be, or a pattern takes too long";
    for (text, value) in
        [("${B}".repeat(2_000), "c".repeat(10_000)), ("${B##*x*x*y}".to_owned(), "x".repeat(20_000))]
    {
        let scene = Scene::new(&[
            ("flux.yaml", &flux(&format!("  postBuild: {{substitute: {{B: {value}}}}}\n"))),
            ("apps/release.yaml", &release(&format!("{CHART}  releaseName: {text}\n"))),
        ]);
        assert_eq!(scene.lines(&[]), [format!("apps/release.yaml:14:16: error[unreadable]: {too_much}")]);
    }
}

#[test]
fn many_texts_that_variables_make_longer_are_too_much_together() {
    let values = "    - ${B}${B}${B}${B}${B}${B}${B}${B}${B}${B}\n".repeat(2_000);
    let scene = Scene::new(&[
        ("flux.yaml", &flux(&format!("  postBuild: {{substitute: {{B: {}}}}}\n", "c".repeat(100_000)))),
        ("apps/release.yaml", &release(&format!("{CHART}  values:\n    many:\n{values}"))),
    ]);
    let lines = scene.lines(&[]);
    let said =
        "more is made of this tree than is rendered: objects, components, copies or variables double here";
    assert!(!lines.is_empty() && lines.iter().all(|line| line.ends_with(said)), "{lines:?}");
}

#[test]
fn a_line_that_no_editor_shows_is_an_error() {
    let hidden = release(&format!("{CHART_REF}  # moved\u{2028}  chart: {{spec: {{version: '1'}}}}\n"));
    let scene = Scene::new(&[("hidden.yaml", &hidden), ("good.yaml", &release(CHART))]);
    let said =
        "a hidden line end (U+2028): for kubectl and kustomize a line of its own follows it; take it out";
    assert_eq!(scene.lines(&[]), [format!("hidden.yaml:11:10: error[unreadable]: {said}")]);
}

#[test]
fn what_kubectl_and_kustomize_read_otherwise_is_an_error_in_their_files_alone() {
    let object = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
    let odd = [
        ("dropped", "...\nb: c\n", "unreadable", "content behind the end of a document"),
        ("mark", "b: [http://x?y]\n", "unreadable", "a ? in \"http://x?y\""),
        ("number", "b:\n  80: c\n", "build-fails", "the key 80 is no text"),
        ("value", "b: {c, d: e}\n", "unreadable", "no value in braces or brackets"),
    ];
    let scene = Scene::new(&[("release.yaml", &release(CHART))]);
    for (name, text, _, _) in odd {
        scene.write(&format!("{name}.yaml"), format!("{object}{text}"));
        // Of a program that reads YAML otherwise.
        scene.write(&format!("other-{name}.yaml"), format!("a: HelmRelease\n{text}"));
    }
    let lines = scene.lines(&[]);
    assert_eq!(lines.len(), odd.len(), "{lines:#?}");
    for (name, _, rule, said) in odd {
        let is_told = |line: &String| {
            line.starts_with(&format!("{name}.yaml:")) && line.contains(&format!("error[{rule}]: {said}"))
        };
        assert!(lines.iter().any(is_told), "{name}: {lines:#?}");
    }
}

#[test]
fn a_faulty_object_beside_a_release_stops_its_build() {
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec:\n  template:\n    spec: {}\n    spec: {}\n";
    let scene = Scene::new(&[
        ("kustomization.yaml", "resources: [release.yaml, deployment.yaml]\n"),
        ("release.yaml", &release(CHART)),
        ("deployment.yaml", deployment),
    ]);
    assert_eq!(
        scene.lines(&[]),
        ["deployment.yaml:7:5: error[build-fails]: the key \"spec\" is there already, on line 6"]
    );
}

#[test]
fn of_definitions_the_names_are_kept_and_what_a_patch_does_to_them_is_left_open() {
    let definition = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: a\nspec:\n  group: b\n";
    let scene = Scene::new(&[
        (
            "kustomization.yaml",
            "resources: [release.yaml, definitions.yaml]\npatches:\n- target: {kind: CustomResourceDefinition}\n  patch: |\n    - {op: \
             replace, path: /spec/group, value: c}\n",
        ),
        ("release.yaml", &release(CHART)),
        ("definitions.yaml", &format!("---\n{definition}---\n{definition}")),
    ]);
    let lines = scene.lines(&[]);
    assert_eq!(
        lines,
        ["kustomization.yaml:1:27: error[build-fails]: CustomResourceDefinition a is there already"]
    );
}

#[test]
fn patterns_that_leave_files_out_are_tried_so_often_only() {
    let ignore = (0..4_000).fold(String::new(), |text, number| text + &format!("*a*a*a*a*b{number}\n"));
    let scene = Scene::new(&[("flux.yaml", &flux("")), (".sourceignore", &ignore)]);
    for number in 0..3_000 {
        let name = format!("apps/{}-{number}.yaml", "a".repeat(30));
        scene.write(&name, format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{number}}}\n"));
    }
    let said = scene.check(&["--allow-empty", "--quiet"]);
    let told = "flux.yaml:5:9: error[unreadable]: the artifact is not rendered: its files times the patterns that leave files out are too many";
    assert_eq!((said.code, said.out.lines().next()), (1, Some(told)), "{}", said.err);
}
