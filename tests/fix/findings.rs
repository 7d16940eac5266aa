//! Which findings are put right, across files.

use chartgate::policy::{Facts, Settings};
use chartgate::preflight::fix::{Scope, api_version};
use chartgate::yaml::{Node, Span, documents};

use crate::{Files, edited, judged, releases, repaired};

const HEAD: &str = "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata:\n  name: x\n  namespace: apps\nspec:\n  interval: 10m\n";

fn on(flux: &str) -> Facts {
    Facts::of(flux.parse().expect("it is a Flux"))
}

#[test]
fn what_mutate_fills_in_is_not_wanted_in_files() {
    // The annotation and the namespace are absent, or say nothing.
    for reference in [
        "  chartRef:\n    kind: HelmChart\n    name: x\n",
        "  chartRef:\n    kind: HelmChart\n    name: x\n    namespace: ''\n",
    ] {
        let text = format!("{HEAD}{reference}");
        assert_eq!(repaired(&text, &Facts::default()), (text, Vec::new()));
    }
}

#[test]
fn nothing_that_is_stated_is_taken_out() {
    for chart in [
        "  chart:\n    spec:\n      version: 1.0.0\n",
        "  chart:\n    spec:\n      chart: x\n      sourceRef: {kind: HelmRepository, name: x}\n",
        "  chart: {}\n",
    ] {
        let text =
            format!("{HEAD}{chart}  chartRef:\n    kind: HelmChart\n    name: x\n    namespace: apps\n");
        assert_eq!(repaired(&text, &Facts::default()), (text, Vec::new()));
    }
}

#[test]
fn all_of_a_release_is_put_right_at_once() {
    let text = format!(
        "{}  chart:\n  chartRef:\n    apiVersion: source.toolkit.fluxcd.io/v1beta1\n    name: ocirepository/x.apps\n",
        HEAD.replace("/v2", "/v2beta2")
    );
    let fixed = format!(
        "{HEAD}  chartRef:\n    apiVersion: source.toolkit.fluxcd.io/v1\n    name: x\n    kind: OCIRepository\n    namespace: apps\n"
    );
    // The chart that is null is in the way of v2 until it is gone, so the version follows in a second run.
    let (once, refused) = repaired(&text, &on("2.7"));
    assert_eq!(refused, ["spec stands in the way of v2: it takes either chart or chartRef"]);
    assert_eq!(repaired(&once, &on("2.7")), (fixed, Vec::new()));
}

#[test]
fn an_annotation_that_follows_the_version_follows_it() {
    let chart = "  chart: {spec: {chart: x, sourceRef: {kind: HelmRepository, name: x}}}\n";
    let text = format!(
        "{}{chart}",
        HEAD.replace("/v2", "/v2beta1")
            .replace("metadata:\n", "metadata:\n  annotations: {fluxcd.io/version: v2beta1}\n")
    );
    let (now, refused) = repaired(&text, &on("2.6"));
    assert_eq!((now, refused), (text.replace("v2beta1", "v2"), Vec::new()));
}

#[test]
fn the_newest_version_is_the_one_of_the_flux() {
    let chart = "  chart: {spec: {chart: x, sourceRef: {kind: HelmRepository, name: x}}}\n";
    let text = format!("{}{chart}", HEAD.replace("/v2", "/v2beta1"));
    for (flux, version) in [("2.1", "v2beta1"), ("2.2", "v2beta2"), ("2.3", "v2"), ("2.9", "v2")] {
        assert_eq!(repaired(&text, &on(flux)).0, text.replace("v2beta1", version), "{flux}");
    }
    // A version that the Flux does not have yet is not taken back.
    let newer = format!("{HEAD}{chart}");
    assert_eq!(repaired(&newer, &on("2.2")), (newer, Vec::new()));
}

#[test]
fn a_version_stays_where_the_newer_schema_refuses_the_object() {
    let chart = |more: &str| {
        format!("  chart: {{spec: {{chart: x, {more}sourceRef: {{kind: HelmRepository, name: x}}}}}}\n")
    };
    let beta = HEAD.replace("/v2", "/v2beta1");
    for (spec, said) in [
        (
            chart("valuesFile: a.yaml, "),
            "spec.chart.spec.valuesFile stands in the way of v2: it has no such field; valuesFiles takes a list",
        ),
        (
            chart("") + "  postRenderers:\n    - {}\n    - kustomize:\n        patchesJson6902: []\n",
            "spec.postRenderers[].kustomize.patchesJson6902 stands in the way of v2: it has no such field; patches takes them",
        ),
        (
            chart("") + "  serviceAccountName: ''\n",
            "spec.serviceAccountName stands in the way of v2: it takes 1 to 253 characters",
        ),
        ("  values: {}\n".to_owned(), "spec stands in the way of v2: it takes either chart or chartRef"),
    ] {
        let text = format!("{beta}{spec}");
        assert_eq!(repaired(&text, &Facts::default()), (text, vec![said.to_owned()]));
    }
}

/// An object from a base and a patch, as it is rendered: the patch's values in the place of the base's.
fn rendered<'a>(files: &'a Files, patch: &Node<'a>) -> Node<'a> {
    let mut object = documents(&files.0[0].1, 0).remove(0).expect("it is YAML");
    for entry in patch.entries() {
        match entry.key.text.as_ref() {
            "spec" => {
                let spec = object.get_mut("spec").expect("it has one");
                for entry in entry.value.entries() {
                    spec.set(entry.key.clone(), entry.value.clone());
                }
            }
            _ => object.set(entry.key.clone(), entry.value.clone()),
        }
    }
    object
}

fn scope<'s, 'a>(
    object: &'s Node<'a>,
    found_by: &'s [Span],
    settings: &'s Settings,
    facts: &'s Facts,
    files: &'s Files,
) -> Scope<'s, 'a> {
    Scope { object, found_by, settings, installed: facts.serving(""), files }
}

#[test]
fn a_value_is_put_right_in_the_file_that_has_it() {
    let base = format!("{HEAD}  chartRef:\n    kind: HelmChart\n    name: x\n    namespace: apps\n");
    let patch = "kind: HelmRelease\nspec:\n  chartRef:\n    name: ocirepository/yy.apps # pinned\n";
    let files = Files(vec![("base.yaml", base), ("patch.yaml", patch.to_owned())]);
    let document = documents(patch, 1).remove(0).expect("it is YAML");
    let object = rendered(&files, &document);
    let found = judged(&object, &Facts::default(), &files);
    let (finding, suggested) = &found[0];
    let fix = suggested.as_ref().expect("it can be put right");
    assert_eq!((finding.rule.id, found.len()), ("chart-ref-name", 1));
    assert!(fix.edits.iter().all(|edit| edit.span.file() == 1), "{fix:?}");
    assert_eq!(
        edited(patch, &fix.edits),
        patch.replace(
            "ocirepository/yy.apps # pinned",
            "yy # pinned\n    kind: OCIRepository\n    namespace: apps"
        )
    );
}

#[test]
fn patches_and_targets_follow_the_version_by_which_they_find_the_object() {
    let beta = "helm.toolkit.fluxcd.io/v2beta1";
    let base = format!("{}  chartRef: {{kind: HelmChart, name: x}}\n", HEAD.replace("/v2", "/v2beta1"));
    let patch = format!("apiVersion: {beta} # p\nkind: HelmRelease\nspec:\n  interval: 5m\n");
    let silent = format!("apiVersion: {beta}\nkind: HelmRelease\nspec:\n  chart: null\n");
    let kustomization =
        "patches:\n- path: x\n  target:\n    kind: HelmRelease\n    version: v2beta1\n".to_owned();
    let files = Files(vec![
        ("base.yaml", base),
        ("patch.yaml", patch),
        ("silent.yaml", silent),
        ("kustomization.yaml", kustomization),
    ]);
    let read = |file: u32| documents(&files.0[file as usize].1, file).remove(0).expect("it is YAML");
    let (patch, silent, kustomization) = (read(1), read(2), read(3));
    let target =
        kustomization.get("patches").expect("it has some").items()[0].get("target").expect("it has one");
    let object = rendered(&files, &patch);
    let (settings, facts) = (Settings::default(), Facts::default());
    let place = |node: &Node<'_>, field: &str| node.get(field).expect("it says so").at;
    let found_by = [place(&patch, "apiVersion"), place(&silent, "apiVersion"), place(target, "version")];
    let edits =
        api_version(&scope(&object, &found_by, &settings, &facts, &files), "v2").expect("it can be done");
    for file in 0..4 {
        let own: Vec<_> = edits.iter().filter(|edit| edit.span.file() == file).cloned().collect();
        let text = &files.0[file as usize].1;
        assert_eq!(edited(text, &own), text.replace("v2beta1", "v2"));
    }
}

#[test]
fn what_a_substitution_made_is_not_put_right_where_it_came_from() {
    let text = format!("{HEAD}  chartRef:\n    kind: ${{KIND}}\n    name: x\n    namespace: apps\n");
    let other = "substitute:\n  KIND: ocirepository\n".to_owned();
    let files = Files(vec![("a.yaml", text.clone()), ("ks.yaml", other.clone())]);
    let values = documents(&other, 1).remove(0).expect("it is YAML");
    let mut object = documents(&text, 0).remove(0).expect("it is YAML");
    let from = |at| Node::text_at("ocirepository", at);
    let places = [
        object.at(&["spec", "chartRef", "kind"]).expect("it is there").at,
        values.at(&["substitute", "KIND"]).expect("it is there").at,
    ];
    for (at, path) in places.into_iter().zip(["a.yaml", "ks.yaml"]) {
        *object
            .get_mut("spec")
            .and_then(|it| it.get_mut("chartRef"))
            .and_then(|it| it.get_mut("kind"))
            .expect("it is there") = from(at);
        let found = judged(&object, &Facts::default(), &files);
        let refusal = found[0].1.as_ref().expect_err("it does not stand there");
        assert_eq!(
            refusal.to_string(),
            format!(
                "spec.chartRef.kind does not stand as such in {path}: a substitution, a replacement or a patch makes it; change that"
            )
        );
    }
}

#[test]
fn a_null_in_a_patch_is_left_to_a_person() {
    let base = format!("{HEAD}  chartRef: {{kind: HelmChart, name: x, namespace: apps}}\n");
    let patch = "kind: HelmRelease\nspec:\n  chart: null\n".to_owned();
    let files = Files(vec![("base.yaml", base), ("patch.yaml", patch.clone())]);
    let document = documents(&patch, 1).remove(0).expect("it is YAML");
    let object = rendered(&files, &document);
    let found = judged(&object, &Facts::default(), &files);
    let refusal = found[0].1.as_ref().expect_err("it may serve others");
    assert_eq!(
        refusal.to_string(),
        "spec.chart comes from patch.yaml, which may serve other objects, too; remove it by hand"
    );
    assert_eq!(releases(&patch, 1).len(), 1);
}

#[test]
fn sources_step_up_where_their_schemas_allow_it() {
    let (settings, facts) = (Settings::default(), Facts::default());
    for (kind, spec, said) in [
        ("HelmRepository", "{url: https://x, interval: 1h30m}", Ok("v1")),
        (
            "HelmRepository",
            "{url: ftp://x, interval: 1h}",
            Err("spec.url stands in the way of v1: it takes a URL of http, https or oci"),
        ),
        (
            "HelmRepository",
            "{url: oci://x, interval: 1d}",
            Err("spec.interval stands in the way of v1: it takes a duration such as 1h30m"),
        ),
        (
            "HelmChart",
            "{chart: x, interval: 0.5h, valuesFile: a}",
            Err("spec.valuesFile stands in the way of v1: it has no such field; valuesFiles takes a list"),
        ),
        (
            "GitRepository",
            "{}",
            Err("apiVersion cannot be put right in a file: the schemas of GitRepository are not known"),
        ),
        (
            "OCIRepository",
            "{url: oci://x}",
            Err(
                "apiVersion cannot be put right in a file: there is no known step from source.toolkit.fluxcd.io/v1beta1 to source.toolkit.fluxcd.io/v1",
            ),
        ),
    ] {
        let text = format!(
            "# c\napiVersion: \"source.toolkit.fluxcd.io/v1beta1\" # c\nkind: {kind}\nspec: {spec}\n"
        );
        let files = Files::one(&text);
        let object = documents(&text, 0).remove(0).expect("it is YAML");
        let edits = api_version(&scope(&object, &[], &settings, &facts, &files), "v1");
        let now = edits.map(|edits| edited(&text, &edits)).map_err(|refusal| refusal.to_string());
        assert_eq!(now, said.map(|version| text.replace("v1beta1", version)).map_err(str::to_owned));
    }
}
