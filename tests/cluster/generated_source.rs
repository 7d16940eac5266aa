//! Checks sources that helm-controller generated, by the status that a real API server stores: which moves would lose their
//! chart, and which would get stuck, under the shipped conditions.
//!
//! The cases and their outcomes are those that were run against helm-controller 1.6.3.

use serde_json::{Value, json};

use crate::audit::report;
use crate::harness::{Answer, Chartgate, Cluster, Namespace, Options, Write, release};

const FLUX: &str = "2.9";

/// The field manager that applies.
const APPLIER: &str = "kustomize-controller";

/// A stored release, and the manifest that is applied next.
struct Case {
    name: &'static str,
    before: Value,
    /// `status.helmChart`, as helm-controller wrote it.
    generated: Option<String>,
    after: Value,
    is_denied: bool,
}

fn applier() -> Write<'static> {
    Write::by(APPLIER).forced()
}

fn with_version(name: &str, spec: &Value) -> Value {
    let mut release = release("v2", name, spec);
    release["metadata"]["annotations"] = json!({"fluxcd.io/version": "v2"});
    release
}

fn chart(source_namespace: Option<&str>) -> Value {
    let mut source = json!({"kind": "HelmRepository", "name": "repo"});
    if let Some(namespace) = source_namespace {
        source["namespace"] = json!(namespace);
    }
    json!({"chart": {"spec": {"chart": "cfg", "sourceRef": source}}})
}

fn reference(kind: &str, namespace: &str, name: &str) -> Value {
    json!({"chartRef": {"kind": kind, "namespace": namespace, "name": name}})
}

/// The cases of a stored release, each one of its own in `own`.
fn cases(own: &str) -> Vec<Case> {
    let named = |name: &str| format!("{own}-{name}");
    let case = |name: &'static str, before, generated: Option<String>, after, is_denied| Case {
        name,
        before,
        generated,
        after,
        is_denied,
    };
    let home = |name: &'static str| reference("HelmChart", own, &named(name));
    vec![
        case("moves", chart(None), Some(format!("{own}/{}", named("moves"))), home("moves"), true),
        // After the deletion the status is empty, whichever manager applies the HelmChart again.
        case("again", home("again"), None, home("again"), false),
        case(
            "elsewhere",
            chart(Some("src")),
            Some(format!("src/{}", named("elsewhere"))),
            home("elsewhere"),
            false,
        ),
        case(
            "both",
            chart(Some("src")),
            Some(format!("src/{}", named("both"))),
            reference("HelmChart", "src", &named("both")),
            true,
        ),
        case("oci", reference("OCIRepository", own, "cfg"), None, home("oci"), false),
    ]
}

fn store(namespace: &Namespace<'_>, name: &str, spec: &Value, generated: Option<&str>) {
    let releases = namespace.releases("v2");
    releases.apply(&with_version(name, spec), applier()).accepted();
    if let Some(generated) = generated {
        let status = json!({"status": {"helmChart": generated}});
        releases.status().merge_patch(name, &status, Write::by("helm-controller")).accepted();
    }
}

fn denied_by(answer: &Answer) -> Option<&str> {
    let (_, rest) = (answer.status >= 400).then(|| answer.message().split_once('['))??;
    rest.split_once(']').map(|(rule, _)| rule)
}

#[test]
fn a_move_is_denied_where_helm_controller_would_delete_its_chart_and_only_there() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let chartgate = Chartgate::start(cluster, Options { failure_policy: "Fail", ..Options::default() });
    let namespace = chartgate.namespace("generated");
    let releases = namespace.releases("v2");
    for Case { name, before, generated, after, is_denied } in cases(namespace.name()) {
        store(&namespace, name, &before, generated.as_deref());
        let answer = releases.apply(&with_version(name, &after), applier());
        let expected = is_denied.then_some("generated-chart-name");
        assert_eq!(denied_by(&answer), expected, "{name}: {answer:?}");
    }
    // A new release never had a chart to lose.
    let new =
        with_version("new", &reference("HelmChart", namespace.name(), &format!("{}-new", namespace.name())));
    releases.create(&new, applier()).accepted();
}

#[test]
fn what_is_stored_may_stay_and_the_audit_says_the_same() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let stored = Namespace::create(cluster, "stored", &json!({}));
    let own = stored.name();
    // helm-controller has not yet seen the first of them; the others are Ready.
    let generated = format!("{own}/{own}-moving");
    let home = |name: &str| reference("HelmChart", own, &format!("{own}-{name}"));
    store(&stored, "moving", &home("moving"), Some(&generated));
    for name in ["again", "new", "from-oci"] {
        store(&stored, name, &home(name), None);
    }
    store(&stored, "elsewhere", &home("elsewhere"), Some(&format!("src/{own}-elsewhere")));

    let report = report(cluster, &["--namespace", own]);
    let releases = report["releases"].as_array().expect("a list");
    let outcome = |name: &str| {
        let release = releases.iter().find(|release| release["name"] == name).expect("it is stored");
        let findings = release["findings"].as_array().expect("a list");
        let denies = findings.iter().any(|finding| finding["denies"] == true);
        (release["enforced"]["outcome"].as_str().unwrap_or("allowed").to_owned(), denies)
    };
    assert_eq!(outcome("moving"), ("warned".to_owned(), true), "{report}");
    for name in ["again", "new", "from-oci", "elsewhere"] {
        // No source is there: that is a warning.
        assert_eq!(outcome(name), ("warned".to_owned(), false), "{name}: {report}");
    }

    let options = Options { failure_policy: "Fail", ..Options::default() };
    let chartgate = Chartgate::start(cluster, options);
    let guarded = chartgate.namespace("stored-too");
    let own = guarded.name();
    // Stored before the webhook knew of it: the status follows.
    let spec = reference("HelmChart", own, &format!("{own}-moving"));
    store(&guarded, "moving", &spec, Some(&format!("{own}/{own}-moving")));
    let again = guarded.releases("v2").apply(&with_version("moving", &spec), applier());
    assert!(again.warnings.iter().any(|it| it.starts_with("[generated-chart-name]")), "{again:?}");
    again.accepted();
    let annotate = json!({"metadata": {"annotations": {"a": "b"}}});
    guarded.releases("v2").merge_patch("moving", &annotate, Write::by("kubectl-annotate")).accepted();
}

#[test]
fn a_move_that_would_get_stuck_is_denied_where_cross_namespace_references_are_off() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let config = "chartRef: {crossNamespace: deny}\n";
    let chartgate = Chartgate::start(cluster, Options { config: Some(config), ..Options::default() });
    let namespace = chartgate.namespace("stuck");
    let (own, releases) = (namespace.name(), namespace.releases("v2"));
    let home = reference("HelmChart", own, "cfg");
    for (name, generated, expected) in [
        ("stuck", format!("src/{own}-stuck"), Some("cross-namespace-move")),
        ("at-home", format!("{own}/{own}-at-home"), None),
    ] {
        store(&namespace, name, &chart(None), Some(&generated));
        let answer = releases.apply(&with_version(name, &home), applier());
        assert_eq!(denied_by(&answer), expected, "{name}: {answer:?}");
    }
    // Without the annotation, so that the conditions of the default configuration do not leave it out.
    let foreign = releases.create(&release("v2", "foreign", &chart(Some("src"))), applier());
    assert_eq!(denied_by(&foreign), Some("cross-namespace-move"), "{foreign:?}");
}
