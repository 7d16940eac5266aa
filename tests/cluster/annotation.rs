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
fn it_comes_back_where_somebody_removes_it() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let chartgate = Chartgate::start(cluster, OPTIONS);
    let namespace = chartgate.namespace("annotation-removed");
    apply(&namespace, &release("v2", "app", &chart())).accepted();
    let without = json!({"metadata": {"annotations": {KEY: null}}});
    let patched = namespace.releases("v2").merge_patch("app", &without, Write::by("kubectl-annotate"));
    assert_eq!(annotation(&patched.accepted()), "v2");
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
