//! What a platform team gets from one `kubectl apply -k`: an installation that decides, one that only looks on, and what
//! happens to Flux while chartgate is away or being replaced.
//!
//! The manifests are applied as they are; the replicas run under the `ServiceAccount` and RBAC that they grant.

mod accepted;
mod attacks;
mod by_flux;
mod cert_manager;
mod client_ca;
mod closing;
mod elsewhere;
mod permissions;
mod prefilter;
mod readme;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{
    Cluster, Installation, Namespace, Write, chart_ref, eventually, manifests, release, say,
};

const NEWEST: &str = "2.9";

/// Generous: the machine may be busy. Alone, it takes a second.
const READY: Duration = Duration::from_secs(20);

/// Passes the schema, and can never work: no object can have this name.
fn bad(name: &str) -> Value {
    release("v2", name, &json!({"chartRef": {"kind": "OCIRepository", "name": "Podinfo"}}))
}

fn good(name: &str) -> Value {
    release("v2", name, &chart_ref())
}

#[test]
fn one_command_installs_it_and_the_first_bad_release_is_denied() {
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    let installation = Installation::apply(&cluster, "enforce");
    let start = Instant::now();
    installation.start();
    let ready = start.elapsed();
    assert!(ready < READY, "ready after {ready:?}");

    let mut first = None;
    installation.wait_until("a bad release is denied", &bad("app"), |status, message| {
        first = Some((status, message.to_owned()));
        status >= 400
    });
    let (status, denial) = first.expect("it was asked for");
    assert_eq!(status, 403, "{denial}");
    let said = "admission webhook \"mutate.chartgate.dev\" denied the request: [chart-ref-name] ";
    assert!(denial.starts_with(said), "{denial}");

    // The validating one judges by itself, too: here of what it did not see as a mutation.
    let namespace = cluster.namespace("first");
    let patched = namespace.releases("v2").create(&good("app"), Write::by("me")).accepted();
    assert_eq!(patched["metadata"]["annotations"]["fluxcd.io/version"], "v2");
    assert_eq!(patched["spec"]["chartRef"]["namespace"], namespace.name());
    say(&format!("two replicas ready after {ready:?}"));

    // chartgate adds the rules of /validate once, a moment after it is ready.
    installation.wait_until_closed();
    // Applied again, by the same person or as Flux does at every interval, nothing is written, caBundle least of all.
    let flux = ["--server-side", "--force-conflicts", "--field-manager=kustomize-controller"];
    for how in [&[][..], &flux] {
        cluster.apply(&manifests("enforce"), how);
        let before = versions(&cluster);
        cluster.apply(&manifests("enforce"), how);
        assert_eq!(versions(&cluster), before, "{how:?}");
    }
    let denied = namespace.releases("v2").create(&bad("other"), Write::by("me")).refused();
    assert!(denied.starts_with(said), "{denied}");
}

/// Every object of the overlay with its resourceVersion.
fn versions(cluster: &Cluster) -> String {
    let columns = "{range .items[*]}{.kind} {.metadata.name} {.metadata.resourceVersion}{\"\\n\"}{end}";
    let output = cluster
        .kubectl()
        .args(["get", "--output", &format!("jsonpath={columns}"), "-k"])
        .arg(manifests("enforce"))
        .output()
        .expect("kubectl starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("kubectl prints UTF-8")
}

#[test]
fn the_audit_overlay_lets_the_same_release_pass_untouched_and_counts_it() {
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    let installation = Installation::apply(&cluster, "audit");
    installation.start();
    installation.wait_until_called();
    let namespace = cluster.namespace("audit");
    let releases = namespace.releases("v2");

    let before = installation.metrics(FOUND);
    let answer = releases.create(&bad("app"), Write::by("me"));
    assert_eq!(answer.warnings, [""; 0]);
    let stored = answer.accepted();
    assert_eq!(stored["metadata"]["annotations"], Value::Null);
    assert_eq!(stored["spec"], bad("app")["spec"]);
    // Once by each webhook.
    assert!(installation.metrics(FOUND) >= before + 2, "{}", installation.logs());

    installation.kill_all();
    releases.create(&bad("other"), Write::by("me")).accepted();
    releases.merge_patch("app", &json!({"spec": {"interval": "5m"}}), Write::by("me")).accepted();
    releases.delete("app").accepted();
}

/// The findings of the rule that [`bad`] breaks, where they are only recorded.
const FOUND: &str = "chartgate_findings_total{rule=\"chart-ref-name\",level=\"error\",mode=\"audit\"}";

#[test]
fn while_every_replica_is_away_only_a_spec_that_is_to_be_judged_waits() {
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    let installation = Installation::apply(&cluster, "enforce");
    installation.start();
    installation.wait_until_closed();
    let namespace = cluster.namespace("away");
    let releases = namespace.releases("v2");
    let me = Write::by("me");
    let mut finalised = good("finalised");
    finalised["metadata"]["finalizers"] = json!(["finalizers.fluxcd.io"]);
    for object in [&good("app"), &good("gone"), &finalised] {
        releases.apply(object, me).accepted();
    }

    installation.kill_all();
    let start = Instant::now();
    releases.merge_patch("app", &json!({"metadata": {"labels": {"team": "a"}}}), me).accepted();
    let reconcile = json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": "now"}}});
    releases.merge_patch("app", &reconcile, me).accepted();
    // What chartgate has a word about, so that no prefilter leaves it out; the spec is the same.
    for version in ["v1", "v2"] {
        let annotation = json!({"metadata": {"annotations": {"fluxcd.io/version": version}}});
        releases.merge_patch("app", &annotation, me).accepted();
    }
    let status = json!({"status": {"observedGeneration": 1}});
    let reported = releases.status().merge_patch("app", &status, Write::by("helm-controller")).accepted();
    assert_eq!(reported["status"]["observedGeneration"], 1);
    let finalizer = json!({"metadata": {"finalizers": ["finalizers.fluxcd.io"]}});
    releases.merge_patch("app", &finalizer, Write::by("helm-controller")).accepted();
    // What Flux does at every interval. What chartgate filled in before stays, so the spec is the same.
    let again = releases.apply(&good("app"), me).accepted();
    assert_eq!(again["spec"]["chartRef"]["namespace"], namespace.name());
    releases.delete("gone").accepted();
    assert_eq!(releases.get("gone").status, 404);
    releases.delete("finalised").accepted();
    releases.remove_finalizers("finalised", Write::by("helm-controller")).accepted();
    assert_eq!(releases.get("finalised").status, 404);

    // Whatever repairs chartgate does not wait for it either.
    cluster.apply(&manifests("enforce"), &[]);
    let mut own = good("chartgate");
    own["spec"]["targetNamespace"] = json!("chartgate-system");
    let flux = Namespace::named(&cluster, "flux-system".to_owned(), &json!({}));
    flux.releases("v2").create(&own, me).accepted();
    let system = Namespace::existing(&cluster, "chartgate-system").releases("v2");
    system.create(&good("anything"), me).accepted();
    // A changed spec that no rule can have a word about.
    releases.merge_patch("app", &json!({"spec": {"interval": "5m"}}), me).accepted();
    say(&format!("what may go on took {:?} in all", start.elapsed()));

    // All that waits: a new or changed spec that is not provably in order.
    let change = json!({"spec": {"chartRef": {"namespace": null}}});
    let refused =
        [releases.merge_patch("app", &change, me).refused(), releases.create(&good("new"), me).refused()];
    for message in refused {
        let said = "failed calling webhook \"validate.chartgate.dev\"";
        assert!(message.contains(said), "{message}");
    }

    installation.start_one();
    eventually("the change is stored when a replica is back", READY, || {
        let answer = releases.merge_patch("app", &change, me);
        if answer.status == 200 { Ok(()) } else { Err(answer.message().to_owned()) }
    });
}
