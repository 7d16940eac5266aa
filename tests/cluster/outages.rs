//! The API server crashes and comes back, and etcd throws its history away, under an installation that runs.

use std::collections::BTreeSet;
use std::thread::scope;
use std::time::Duration;

use serde_json::{Value, json};

use crate::facts::{AFTER_A_PAUSE, fixable, is_in_mode_within, put_source, says};
use crate::harness::{
    CONFIGURATIONS, Cluster, Installation, Load, Namespace, Trust, Write, eventually, handshake, say,
};

/// A leaf every 10 to 22 seconds, each of which outlives an API server that is away for half a minute.
const ROTATING: &str =
    "mode: enforce\ncertificates: {caLifetime: 240s, leafLifetime: 60s, renewBefore: 50s}\n";

/// Rotations are a matter of seconds; the machine may be busy.
const ROTATED: Duration = Duration::from_mins(3);

fn set_mode(cluster: &Cluster, namespace: &Namespace<'_>, mode: &str) {
    let patch = json!({"metadata": {"labels": {"chartgate.dev/mode": mode}}});
    let namespaces = cluster.objects("v1", "namespaces");
    namespaces.merge_patch(namespace.name(), &patch, Write::by("me")).accepted();
}

/// Waits until a missing source is warned about, or one that is there no more.
fn is_missed(namespace: &Namespace<'_>, expected: bool) {
    let releases = namespace.releases("v2");
    eventually(&format!("a missing source is warned about: {expected}"), AFTER_A_PAUSE, || {
        let answer = releases.create(&fixable("app"), Write::by("me").dry_run());
        if says(&answer, "chart-ref-source-missing") == expected {
            Ok(())
        } else {
            Err(format!("{answer:?}"))
        }
    });
}

#[test]
fn after_a_restart_of_the_api_server_reviews_facts_and_certificates_go_on() {
    let Some(cluster) = Cluster::start("2.9") else { return };
    let installation = Installation::apply(&cluster, "enforce");
    installation.configure(ROTATING);
    let trust = Trust::of(&cluster);
    trust.fail_closed();
    installation.start();
    installation.wait_until_called();
    let namespace = Namespace::create(&cluster, "restart", &json!({"chartgate.dev/mode": "audit"}));
    is_in_mode_within(AFTER_A_PAUSE, &namespace, "audit");
    set_mode(&cluster, &namespace, "warn");
    is_in_mode_within(AFTER_A_PAUSE, &namespace, "warn");
    is_missed(&namespace, true);

    cluster.restart_api_server();
    let under_load = cluster.namespace("load");
    let load = Load::default();
    scope(|scope| {
        // Ends the client, also when an assertion below does not hold.
        let _end = load.end();
        scope.spawn(|| load.apply(&under_load, "app", Duration::ZERO));
        // Both watches may not have been begun anew when this is written.
        set_mode(&cluster, &namespace, "audit");
        put_source(&namespace, "podinfo");
        is_in_mode_within(AFTER_A_PAUSE, &namespace, "audit");
        set_mode(&cluster, &namespace, "warn");
        is_missed(&namespace, false);
        let mut leaves = BTreeSet::new();
        eventually("certificates rotate", ROTATED, || {
            leaves.insert(trust.secret()["data"]["tls.crt"].to_string());
            if leaves.len() > 2 { Ok(()) } else { Err(installation.logs()) }
        });
    });
    say(&format!("{} calls after the restart, {} failed", load.made(), load.failed().len()));
    assert!(load.failed().is_empty(), "{:#?}", load.failed());
    assert!(load.made() > 50, "{} calls are no load", load.made());
    for address in installation.addresses() {
        handshake(address, &trust.bundles()[1]).expect("the live caBundle verifies what is shown");
    }
}

#[test]
fn after_watches_have_expired_and_etcd_was_compacted_what_changed_is_taken_up() {
    let Some(cluster) = Cluster::start("2.9") else { return };
    let mut door = cluster.door();
    door.open();
    let mut installation = Installation::apply(&cluster, "enforce");
    installation.through(&door);
    installation.start();
    installation.wait_until_called();
    let trust = Trust::of(&cluster);
    let namespace = Namespace::create(&cluster, "expired", &json!({"chartgate.dev/mode": "audit"}));
    is_in_mode_within(AFTER_A_PAUSE, &namespace, "audit");

    // A compaction alone is felt by nobody who watches.
    cluster.compact();
    set_mode(&cluster, &namespace, "warn");
    is_in_mode_within(AFTER_A_PAUSE, &namespace, "warn");
    is_missed(&namespace, true);

    // From here on chartgate hears nothing, and what it knows is from before this version.
    door.shut();
    let list = cluster.get("/api/v1/namespaces?limit=1").accepted();
    let known = list["metadata"]["resourceVersion"].as_str().expect("a list has a version");
    set_mode(&cluster, &namespace, "audit");
    put_source(&namespace, "podinfo");
    let bundles = trust.bundles();
    trust.empty(CONFIGURATIONS[0]);
    cluster.compact();
    cluster.restart_api_server();
    assert_is_gone(&cluster, &format!("watch=true&timeoutSeconds=5&resourceVersion={known}"));
    assert_is_gone(&cluster, &format!("resourceVersionMatch=Exact&limit=1&resourceVersion={known}"));

    door.open();
    eventually("the caBundle is restored", AFTER_A_PAUSE, || {
        if trust.bundles() == bundles { Ok(()) } else { Err(installation.logs()) }
    });
    is_in_mode_within(AFTER_A_PAUSE, &namespace, "audit");
    set_mode(&cluster, &namespace, "warn");
    is_in_mode_within(AFTER_A_PAUSE, &namespace, "warn");
    is_missed(&namespace, false);
    assert_eq!(installation.metrics("chartgate_panics_total"), 0);
}

/// The API server itself says that what it is asked for is no longer there.
fn assert_is_gone(cluster: &Cluster, query: &str) {
    let answer = cluster.get(&format!("/api/v1/namespaces?{query}"));
    // A watch says so in its first event.
    let status: &Value = if answer.status == 200 { &answer.body["object"] } else { &answer.body };
    assert_eq!((&status["code"], &status["reason"]), (&json!(410), &json!("Expired")), "{answer:?}");
}
