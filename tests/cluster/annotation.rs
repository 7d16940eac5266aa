//! The version annotation at a real API server: filled, kept current, and left to a manifest that owns it.

use serde_json::{Value, json};

use crate::harness::{Answer, Chartgate, Cluster, Namespace, Options, Write, chart, release};

/// The last minor that serves all three versions of the API.
const FLUX: &str = "2.6";

const OPTIONS: Options<'_> = Options::with_arguments(&["--flux", FLUX]);

const APPLIER: &str = "kustomize-controller";

const KEY: &str = "fluxcd.io/version";

const OWNED: &str = "Warning: [version-annotation] a manifest sets annotation fluxcd.io/version to \"v2beta2\"; it \
                     should be v2, or left out\n";

#[test]
fn a_new_release_gets_the_version_that_it_was_sent_in() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let chartgate = Chartgate::start(cluster, OPTIONS);
    let namespace = chartgate.namespace("annotation-new");
    for version in ["v2beta1", "v2beta2", "v2"] {
        let created = namespace.releases(version).create(&release(version, version, &chart()), me());
        assert_eq!(annotation(&created.accepted()), version);
        let name = format!("{version}-applied");
        let applied = namespace.releases(version).apply(&release(version, &name, &chart()), me());
        assert_eq!(annotation(&applied.accepted()), version);
    }
}

#[test]
fn it_follows_a_bump_and_belongs_to_nobody() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let chartgate = Chartgate::start(cluster, OPTIONS);
    let namespace = chartgate.namespace("annotation-bump");
    let before = apply(&namespace, &release("v2beta1", "app", &chart())).accepted();
    assert_eq!(annotation(&before), "v2beta1");

    let bumped = apply(&namespace, &release("v2", "app", &chart()));
    assert_eq!(bumped.warnings, [] as [&str; 0], "nobody has to do anything about it");
    let bumped = bumped.accepted();
    assert_eq!(annotation(&bumped), "v2");
    assert_eq!(owners(&bumped), [] as [&str; 0]);

    let again = apply(&namespace, &release("v2", "app", &chart())).accepted();
    assert_eq!(again["metadata"]["resourceVersion"], bumped["metadata"]["resourceVersion"]);
}

#[test]
fn what_somebody_else_makes_of_it_lasts_until_the_next_apply() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let chartgate = Chartgate::start(cluster, OPTIONS);
    let namespace = chartgate.namespace("annotation-changed");
    apply(&namespace, &release("v2beta2", "app", &chart())).accepted();
    for (value, expected) in [(Value::Null, "absent"), (json!("v2"), "v2"), (json!("v1"), "v1")] {
        let edit = json!({"metadata": {"annotations": {KEY: value}}});
        let patched = namespace.releases("v2").merge_patch("app", &edit, Write::by("kubectl-annotate"));
        let about_it = |warning: &&str| warning.starts_with("[version-annotation]");
        assert_eq!(ours(&patched).into_iter().find(about_it), None);
        assert_eq!(annotation(&patched.accepted()), expected);
        let applied = apply(&namespace, &release("v2beta2", "app", &chart()));
        assert_eq!(annotation(&applied.accepted()), "v2beta2");
    }
}

#[test]
fn a_write_of_another_manager_at_another_version_does_not_change_it() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let chartgate = Chartgate::start(cluster, OPTIONS);
    let namespace = chartgate.namespace("annotation-others");
    apply(&namespace, &release("v2beta2", "app", &chart())).accepted();
    let releases = namespace.releases("v2");
    let mut part = release("v2", "app", &json!({}));
    part["spec"] = json!({"chart": {"spec": {"interval": "5m"}}});
    for written in [
        // `flux reconcile`, helm-controller's finalizer, kubectl edit, a tool that applies one field.
        releases.merge_patch(
            "app",
            &json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": "now"}}}),
            Write::by("flux"),
        ),
        releases.merge_patch(
            "app",
            &json!({"metadata": {"finalizers": ["finalizers.fluxcd.io"]}}),
            Write::by("helm-controller"),
        ),
        releases.merge_patch("app", &json!({"spec": {"timeout": "5m"}}), Write::by("kubectl-edit")),
        releases.apply(&part, Write::by("lens")),
    ] {
        assert!(!ours(&written).iter().any(|warning| warning.contains("annotation")), "{written:?}");
        assert_eq!(annotation(&written.accepted()), "v2beta2");
    }
    // Otherwise the test leaves an object that nothing here can delete.
    let freed = json!({"metadata": {"finalizers": null}});
    releases.merge_patch("app", &freed, Write::by("helm-controller")).accepted();
}

#[test]
fn a_restore_leaves_it_to_the_next_apply() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let chartgate = Chartgate::start(cluster, OPTIONS);
    let namespace = chartgate.namespace("annotation-restored");
    let restored =
        namespace.releases("v2").create(&release("v2", "app", &chart()), Write::by("velero-server"));
    assert_eq!(ours(&restored), [] as [&str; 0]);
    assert_eq!(annotation(&restored.accepted()), "absent");
    let applied = apply(&namespace, &release("v2beta2", "app", &chart()));
    assert_eq!(annotation(&applied.accepted()), "v2beta2");
}

#[test]
fn kubectl_and_helm_are_appliers_without_server_side_apply() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let chartgate = Chartgate::start(cluster, OPTIONS);
    let namespace = chartgate.namespace("annotation-updates");
    for version in ["v2beta2", "v2"] {
        let output = namespace.kubectl(&["apply"], &release(version, "app", &chart()));
        assert!(output.status.success(), "{output:?}");
        assert_eq!(annotation(&namespace.releases("v2").get("app").accepted()), version);
    }
    // Flux takes over at the version of its own manifest.
    let taken = apply(&namespace, &release("v2beta2", "app", &chart())).accepted();
    assert_eq!(annotation(&taken), "v2beta2");
    let installed =
        namespace.releases("v2beta1").create(&release("v2beta1", "chart", &chart()), Write::by("helm"));
    assert_eq!(annotation(&installed.accepted()), "v2beta1");
    let finalized = json!({"metadata": {"labels": {"a": "b"}}});
    let touched = namespace.releases("v2").merge_patch("chart", &finalized, Write::by("helm-controller"));
    assert_eq!(annotation(&touched.accepted()), "v2beta1");
}

#[test]
fn a_value_that_a_manifest_owns_is_left_alone_with_a_warning() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let chartgate = Chartgate::start(cluster, OPTIONS);
    let namespace = chartgate.namespace("annotation-owned");
    let mut stale = release("v2", "app", &chart());
    stale["metadata"]["annotations"] = json!({KEY: "v2beta2"});
    for _ in 0..2 {
        let output = namespace.kubectl(&["apply", "--server-side"], &stale);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), OWNED);
        let stored = namespace.releases("v2").get("app").accepted();
        assert_eq!(annotation(&stored), "v2beta2");
        assert_eq!(owners(&stored), ["kubectl"]);
    }

    // The manifest lets go of it: the annotation goes with the last owner, and is filled again.
    let output = namespace.kubectl(&["apply", "--server-side"], &release("v2", "app", &chart()));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let stored = namespace.releases("v2").get("app").accepted();
    assert_eq!(annotation(&stored), "v2");
    assert_eq!(owners(&stored), [] as [&str; 0]);
}

#[test]
fn a_value_that_a_manifest_owns_and_that_is_right_is_no_news() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let chartgate = Chartgate::start(cluster, OPTIONS);
    let namespace = chartgate.namespace("annotation-right");
    let mut right = release("v2", "app", &chart());
    right["metadata"]["annotations"] = json!({KEY: "v2"});
    let output = namespace.kubectl(&["apply", "--server-side"], &right);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

/// The warnings of chartgate: the API server warns about deprecated versions in its own words.
fn ours(answer: &Answer) -> Vec<&str> {
    answer.warnings.iter().map(String::as_str).filter(|warning| warning.starts_with('[')).collect()
}

fn me() -> Write<'static> {
    Write::by("me")
}

/// Applies a release as Flux does, on the server side and by force.
fn apply(namespace: &Namespace<'_>, release: &Value) -> Answer {
    let version = release["apiVersion"].as_str().and_then(|version| version.split('/').nth(1));
    let releases = namespace.releases(version.expect("the test names a version"));
    releases.apply(release, Write::by(APPLIER).forced())
}

fn annotation(release: &Value) -> &str {
    release["metadata"]["annotations"][KEY].as_str().unwrap_or("absent")
}

/// The field managers that own the annotation.
fn owners(release: &Value) -> Vec<&str> {
    let entries = release["metadata"]["managedFields"].as_array().expect("every stored object has them");
    let owning = entries
        .iter()
        .filter(|entry| !entry["fieldsV1"]["f:metadata"]["f:annotations"][format!("f:{KEY}")].is_null());
    owning.map(|entry| entry["manager"].as_str().expect("every entry has one")).collect()
}
