//! Before and after, one layout at a time.

use crate::fixed;

const KIND: &str = r#"[{"op":"add","path":"/spec/chartRef/kind","value":"OCIRepository"}]"#;
const SPLIT: &str = r#"[{"op":"add","path":"/spec/chartRef/name","value":"x"},
    {"op":"add","path":"/spec/chartRef/kind","value":"OCIRepository"},
    {"op":"add","path":"/spec/chartRef/namespace","value":"apps"}]"#;
const NO_CHART: &str = r#"[{"op":"remove","path":"/spec/chart"}]"#;
const V2: &str = r#"[{"op":"replace","path":"/apiVersion","value":"helm.toolkit.fluxcd.io/v2"}]"#;

/// Prefixes a `spec` with what makes a release of it.
fn release(spec: &str) -> String {
    format!("kind: HelmRelease\n{spec}")
}

/// Each case is a `spec` before and after.
fn hold(operations: &str, cases: &[(&str, &str)]) {
    for (before, after) in cases {
        let (before, after) = (release(before), release(after));
        for (ends, before, after) in [
            ("\\n", before.clone(), after.clone()),
            ("\\r\\n", before.replace('\n', "\r\n"), after.replace('\n', "\r\n")),
            ("BOM", format!("\u{feff}{before}"), format!("\u{feff}{after}")),
        ] {
            let now = fixed(&before, operations).unwrap_or_else(|error| panic!("{before}\n{error}"));
            assert_eq!(now, after, "with {ends}, from\n{before}");
            let again = fixed(&now, operations);
            if !operations.contains("remove") {
                assert_eq!(again.as_deref(), Ok(&*now), "the second time");
            }
        }
    }
}

/// Each case is a `spec` and what is said about it.
fn refuse(operations: &str, cases: &[(&str, &str)]) {
    for (before, said) in cases {
        let refusal = fixed(&release(before), operations).expect_err(before);
        assert_eq!(refusal.to_string(), *said, "{before}");
    }
}

#[test]
fn replaces_a_value_where_it_stands() {
    hold(
        KIND,
        &[
            (
                "spec:\n  chartRef:\n    kind: ocirepository # c\n    name: x\n",
                "spec:\n  chartRef:\n    kind: OCIRepository # c\n    name: x\n",
            ),
            (
                "spec:\n  chartRef:\n    kind: 'ocirepository'\n",
                "spec:\n  chartRef:\n    kind: 'OCIRepository'\n",
            ),
            (
                "spec:\n  chartRef:\n    \"kind\"  :\t \"ocirepository\"\n",
                "spec:\n  chartRef:\n    \"kind\"  :\t \"OCIRepository\"\n",
            ),
            (
                "spec: {chartRef: {kind: ocirepository, name: x}}",
                "spec: {chartRef: {kind: OCIRepository, name: x}}",
            ),
            (
                "spec:\n  chartRef:\n    kind: !!str ocirepository\n",
                "spec:\n  chartRef:\n    kind: !!str OCIRepository\n",
            ),
            (
                "spec:\n  chartRef:\n    kind:\n      ocirepository\n",
                "spec:\n  chartRef:\n    kind:\n      OCIRepository\n",
            ),
            (
                "spec:\n  chartRef:\n    kind: |- \n      ocirepository\n\n    name: x\n",
                "spec:\n  chartRef:\n    kind: OCIRepository\n\n    name: x\n",
            ),
            (
                "spec:\n  chartRef:\n    kind: &k ocirepository\n",
                "spec:\n  chartRef:\n    kind: &k OCIRepository\n",
            ),
            (
                "spec:\n  chartRef:\n    kind: # none yet\n    name: x\n",
                "spec:\n  chartRef:\n    kind: OCIRepository # none yet\n    name: x\n",
            ),
            ("spec:\n  chartRef:\n    kind: ~\n", "spec:\n  chartRef:\n    kind: OCIRepository\n"),
            (
                "spec:\n  chartRef: {kind: ~, name: x}\n",
                "spec:\n  chartRef: {kind: OCIRepository, name: x}\n",
            ),
            ("spec:\n  chartRef: {\"kind\": null}\n", "spec:\n  chartRef: {\"kind\": \"OCIRepository\"}\n"),
            (
                "# ä\nspec:\n  # ö\n  chartRef:\n    ü: ß\n    kind: ocirepository # ✓\n",
                "# ä\nspec:\n  # ö\n  chartRef:\n    ü: ß\n    kind: OCIRepository # ✓\n",
            ),
        ],
    );
}

#[test]
fn quotes_a_value_that_needs_it() {
    for (value, written) in [
        ("yes", "\"yes\""),
        ("1.10", "\"1.10\""),
        ("a: b", "\"a: b\""),
        ("#", "\"#\""),
        ("", "\"\""),
        ("a\\\"b", "\"a\\\"b\""),
        ("x.y-z", "x.y-z"),
        ("é", "é"),
    ] {
        let operations = format!(r#"[{{"op":"add","path":"/spec/chartRef/name","value":"{value}"}}]"#);
        let before = "spec:\n  chartRef:\n    name: old # c\n";
        hold(&operations, &[(before, &before.replace("old", written))]);
    }
}

#[test]
fn puts_new_keys_beside_the_others() {
    hold(
        SPLIT,
        &[
            (
                "spec:\n  chartRef:\n    name: OCIRepository/x.apps # c\n  # about values\n  values: {}\n",
                "spec:\n  chartRef:\n    name: x # c\n    kind: OCIRepository\n    namespace: apps\n  # about values\n  values: {}\n",
            ),
            (
                "spec:\n  chartRef:\n    name: OCIRepository/x.apps",
                "spec:\n  chartRef:\n    name: x\n    kind: OCIRepository\n    namespace: apps",
            ),
            (
                "spec:\n  chartRef:\n    # a\n    name: OCIRepository/x.apps\n    # b\n\n    # c\nother: 1\n",
                "spec:\n  chartRef:\n    # a\n    name: x\n    kind: OCIRepository\n    namespace: apps\n    # b\n\n    # c\nother: 1\n",
            ),
            (
                "spec:\n    chartRef:\n          'name': 'OCIRepository/x.apps'\n",
                "spec:\n    chartRef:\n          'name': 'x'\n          'kind': 'OCIRepository'\n          'namespace': 'apps'\n",
            ),
            (
                "spec:\n  chartRef: {name: OCIRepository/x.apps}\n",
                "spec:\n  chartRef: {name: x, kind: OCIRepository, namespace: apps}\n",
            ),
            (
                "spec:\n  chartRef: { name: OCIRepository/x.apps, } # c\n",
                "spec:\n  chartRef: { name: x, kind: OCIRepository, namespace: apps, } # c\n",
            ),
            (
                "spec:\n  chartRef: {\n    name: OCIRepository/x.apps # c\n  }\n",
                "spec:\n  chartRef: {\n    name: x, # c\n    kind: OCIRepository,\n    namespace: apps\n  }\n",
            ),
            (
                "spec:\n  chartRef: {\n    name: OCIRepository/x.apps, # c\n  }\n",
                "spec:\n  chartRef: {\n    name: x, # c\n    kind: OCIRepository,\n    namespace: apps,\n  }\n",
            ),
            (
                "spec: {\"chartRef\": {\"name\": \"OCIRepository/x.apps\"}}\n",
                "spec: {\"chartRef\": {\"name\": \"x\", \"kind\": \"OCIRepository\", \"namespace\": \"apps\"}}\n",
            ),
            (
                "spec:\n  chartRef:\n    name: OCIRepository/x.apps\n---\n# next\nkind: Other\n",
                "spec:\n  chartRef:\n    name: x\n    kind: OCIRepository\n    namespace: apps\n---\n# next\nkind: Other\n",
            ),
            (
                "spec:\n  chartRef:\n    name: OCIRepository/x.apps\n    more:\n      - a\n      - b: |\n          c\n\n  # d\n",
                "spec:\n  chartRef:\n    name: x\n    more:\n      - a\n      - b: |\n          c\n    kind: OCIRepository\n    namespace: apps\n\n  # d\n",
            ),
            (
                "spec:\n  chartRef:\n    name: OCIRepository/x.apps\n    more: |+ # kept\n      c\n\n# d\n",
                "spec:\n  chartRef:\n    name: x\n    more: |+ # kept\n      c\n\n    kind: OCIRepository\n    namespace: apps\n# d\n",
            ),
        ],
    );
}

#[test]
fn an_empty_map_gets_its_first_key() {
    let empty = "spec:\n  chartRef: {} # c\n";
    hold(KIND, &[(empty, "spec:\n  chartRef: {kind: OCIRepository} # c\n")]);
    hold(KIND, &[("spec: {\"chartRef\": {}}", "spec: {\"chartRef\": {\"kind\": \"OCIRepository\"}}")]);
}

#[test]
fn takes_an_entry_out_and_no_comment_of_others() {
    hold(
        NO_CHART,
        &[
            (
                "spec:\n  # above\n  chart: null # own\n  # below\n  chartRef: x\n",
                "spec:\n  # above\n  # below\n  chartRef: x\n",
            ),
            ("spec:\n  chartRef: x # a\n  chart:\n# b\n", "spec:\n  chartRef: x # a\n# b\n"),
            ("spec:\n  chartRef: x # a\n  chart: ~", "spec:\n  chartRef: x # a"),
            ("spec:\n  chart: null\n", "spec:\n  {}\n"),
            ("spec:\n  \"chart\": null\n\n  a: 1\n", "spec:\n\n  a: 1\n"),
            ("spec: {chart: null, a: 1}\n", "spec: {a: 1}\n"),
            ("spec: {a: 1, chart: null}\n", "spec: {a: 1}\n"),
            ("spec: {a: 1, chart: null, }\n", "spec: {a: 1, }\n"),
            ("spec: {chart: null}\n", "spec: {}\n"),
            (
                "spec: {\n  a: 1,\n  chart: null, # own\n  # b\n  b: 2\n}\n",
                "spec: {\n  a: 1,\n  # b\n  b: 2\n}\n",
            ),
            ("spec: {\n  \"a\": 1,\n  \"chart\": null\n}\n", "spec: {\n  \"a\": 1\n}\n"),
        ],
    );
}

#[test]
fn works_in_json_files() {
    let json = "{\n\t\"kind\": \"HelmRelease\",\n\t\"spec\": {\n\t\t\"chart\": null,\n\t\t\"chartRef\": {\n\t\t\t\"name\": \"OCIRepository/x.apps\"\n\t\t}\n\t}\n}\n";
    let after = "{\n\t\"kind\": \"HelmRelease\",\n\t\"spec\": {\n\t\t\"chart\": null,\n\t\t\"chartRef\": {\n\t\t\t\"name\": \"x\",\n\t\t\t\"kind\": \"OCIRepository\",\n\t\t\t\"namespace\": \"apps\"\n\t\t}\n\t}\n}\n";
    assert_eq!(fixed(json, SPLIT).as_deref(), Ok(after));
    assert_eq!(fixed(json, NO_CHART), Ok(json.replace("\t\t\"chart\": null,\n", "")));
    let compact = r#"{"kind":"HelmRelease","spec":{"chartRef":{"kind":"ocirepository"},"chart":null}}"#;
    assert_eq!(fixed(compact, KIND), Ok(compact.replace("ocirepository", "OCIRepository")));
    assert_eq!(fixed(compact, NO_CHART), Ok(compact.replace(",\"chart\":null", "")));
    for text in
        [&fixed(json, SPLIT), &fixed(json, NO_CHART), &fixed(compact, KIND), &fixed(compact, NO_CHART)]
    {
        serde_json::from_str::<serde_json::Value>(text.as_ref().unwrap()).expect("it is JSON still");
    }
}

#[test]
fn works_in_lists_and_later_documents() {
    let list = "apiVersion: v1\nkind: List\nitems:\n- kind: Other\n- chart: 1\n  kind: HelmRelease\n  spec:\n  - x\n- kind: x\n";
    assert_eq!(
        fixed(list, r#"[{"op":"remove","path":"/chart"}]"#).map_err(|it| it.to_string()),
        Ok(list.replace("- chart: 1\n  kind: H", "- kind: H"))
    );
    let list = "items:\n  - kind: Other\n    spec: &s {chartRef: 1}\n  - kind: HelmRelease\n    spec:\n      chartRef:\n        kind: ocirepository\n";
    assert_eq!(fixed(list, KIND), Ok(list.replace("ocirepository", "OCIRepository")));
    let many = "# one\nkind: A\n---\n---\n{b\n--- # two\napiVersion: helm.toolkit.fluxcd.io/v2beta1\nkind: HelmRelease\n...\n---\nkind: B\n";
    assert_eq!(fixed(many, V2), Ok(many.replace("v2beta1", "v2")));
}

#[test]
fn what_is_right_is_left_alone() {
    let text = "kind: HelmRelease\nspec:\n  chartRef: {kind: OCIRepository}\n";
    assert_eq!(fixed(text, KIND).as_deref(), Ok(text));
    assert_eq!(fixed(text, NO_CHART).as_deref(), Ok(text));
}

#[test]
fn overrides_beside_a_merge() {
    hold(
        KIND,
        &[
            (
                "x: &ref\n  kind: ocirepository\n  name: x\nspec:\n  chartRef:\n    <<: *ref\n    # c\n    namespace: apps\n",
                "x: &ref\n  kind: ocirepository\n  name: x\nspec:\n  chartRef:\n    <<: *ref\n    # c\n    namespace: apps\n    kind: OCIRepository\n",
            ),
            (
                "x: &ref {kind: ocirepository}\nspec:\n  chartRef: {<<: *ref}\n",
                "x: &ref {kind: ocirepository}\nspec:\n  chartRef: {<<: *ref, kind: OCIRepository}\n",
            ),
            (
                "x: &ref {kind: ocirepository}\nspec:\n  chartRef:\n    <<: *ref\n",
                "x: &ref {kind: ocirepository}\nspec:\n  chartRef:\n    <<: *ref\n    kind: OCIRepository\n",
            ),
            (
                "spec:\n  chartRef:\n    <<: {kind: ocirepository}\n",
                "spec:\n  chartRef:\n    <<: {kind: ocirepository}\n    kind: OCIRepository\n",
            ),
            (
                "x: &ref {kind: HelmChart}\nspec:\n  chartRef:\n    <<: *ref\n    kind: ocirepository\n",
                "x: &ref {kind: HelmChart}\nspec:\n  chartRef:\n    <<: *ref\n    kind: OCIRepository\n",
            ),
        ],
    );
}

#[test]
fn never_changes_what_others_are_read_from() {
    let said = |line| {
        format!(
            "spec.chartRef.kind is read from the anchor at a.yaml:{line}, which other values are read from, too; change it there, or write spec.chartRef.kind out"
        )
    };
    let (map, scalar) = (said("2:9"), said("2:7"));
    refuse(
        KIND,
        &[
            ("x: &ref {kind: ocirepository}\nspec:\n  chartRef: *ref\n", &map),
            ("x: &k ocirepository\nspec:\n  chartRef:\n    kind: *k\n", &scalar),
        ],
    );
    let used_later = said("4:11");
    refuse(
        KIND,
        &[("spec:\n  chartRef:\n    kind: &k ocirepository\nx: *k\n", &used_later.replace("4:11", "4:14"))],
    );
}

#[test]
fn refuses_what_it_cannot_do() {
    refuse(
        KIND,
        &[
            (
                "spec:\n  chartRef: x\n",
                "spec.chartRef.kind cannot be put right in a file: what it belongs in is no map",
            ),
            ("spec: {}\n", "spec.chartRef.kind cannot be put right in a file: what it belongs in is missing"),
            (
                "spec:\n  chartRef:\n    kind: [a]\n",
                "spec.chartRef.kind cannot be put right in a file: a list or a map stands there",
            ),
            (
                "spec:\n  chartRef:\n    kind: | # c\n      ocirepository\n",
                "spec.chartRef.kind is written in a.yaml in a way that cannot be changed without touching what is beside it",
            ),
        ],
    );
    let annotations = r#"[{"op":"add","path":"/metadata","value":{"a":"b"}}]"#;
    refuse(
        annotations,
        &[("spec: {}\n", "metadata cannot be put right in a file: a list or a map would have to be written")],
    );
    refuse(
        r#"[{"op":"move","from":"/a","path":"/b"}]"#,
        &[(
            "spec: {}\n",
            "b cannot be put right in a file: it takes an operation other than add, replace and remove",
        )],
    );
    refuse(
        r#"[{"op":"remove","path":""}]"#,
        &[("spec: {}\n", " cannot be put right in a file: it is the object itself")],
    );
}
