//! Restores etcd from a snapshot while chartgate runs: its watched state lies in the future, and nobody trusts its
//! certificate any more.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Cluster, Installation, Trust, Write, chart_ref, eventually, handshake, release, say};

const NEWEST: &str = "2.9";

/// The interval of comparisons in this test. By default it is a minute.
const EVERY: u64 = 5;

/// After a comparison everything is read again, and an API server acts on a configuration a second after it is written.
const SOON: Duration = Duration::from_secs(20);

/// Number of writes after the snapshot: for as many more a watch receives nothing once the history is set back.
const FUTURE: usize = 1500;

/// No object can have the name that it refers to.
fn bad(name: &str) -> Value {
    release("v2", name, &json!({"chartRef": {"kind": "OCIRepository", "name": "Podinfo"}}))
}

#[test]
fn after_a_restore_of_etcd_calls_are_answered_and_modes_follow_within_a_comparison() {
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    let mut installation = Installation::apply(&cluster, "enforce");
    installation.add_argument(&format!("--reread={EVERY}"));
    installation.start_one();
    installation.wait_until_closed();
    let trust = Trust::of(&cluster);
    let namespace = cluster.namespace("restored");
    let me = Write::by("me");
    let (before, snapshot) = (trust.secret(), cluster.snapshot());
    eventually("chartgate is ready after an outage", SOON, || match installation.reports()[0].0 {
        200 => Ok(()),
        _ => Err(installation.logs()),
    });

    // The Secret is lost and made anew, with another authority; a label switches a namespace off. Then the future is made.
    trust.secrets().delete("chartgate-tls").accepted();
    let made = eventually("the Secret is made anew", SOON, || {
        let answer = trust.secrets().get("chartgate-tls");
        if answer.status == 200 { Ok(answer.accepted()) } else { Err(installation.logs()) }
    });
    assert_ne!(made["data"]["ca.key"], before["data"]["ca.key"]);
    let off = json!({"metadata": {"labels": {"chartgate.dev/mode": "off"}}});
    cluster.objects("v1", "namespaces").merge_patch(namespace.name(), &off, me).accepted();
    let releases = namespace.releases("v2");
    eventually("the namespace is switched off", SOON, || {
        let answer = releases.create(&bad("off"), me.dry_run());
        if answer.status == 201 { Ok(()) } else { Err(answer.message().to_owned()) }
    });
    let config_maps = namespace.objects("v1", "configmaps");
    let counter = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "counter"}});
    config_maps.create(&counter, me).accepted();
    for turn in 0..FUTURE {
        config_maps.merge_patch("counter", &json!({"data": {"turn": turn.to_string()}}), me).accepted();
    }

    cluster.restore(&snapshot);
    let restored = Instant::now();
    assert_eq!(trust.secret()["data"], before["data"], "the history is set back");
    // Unchanged: a bad release is denied by a call that arrives, in the namespace that has no label any more.
    let (mut failed, mut last) = (0, None);
    while restored.elapsed() < Duration::from_secs(EVERY) + SOON {
        let answer = releases.create(&bad("app"), me.dry_run());
        let is_right =
            answer.message().contains("admission webhook \"mutate.chartgate.dev\" denied the request");
        if !is_right {
            failed += 1;
            last = Some((restored.elapsed(), answer.status, answer.message().to_owned()));
        }
        sleep(Duration::from_millis(100));
    }
    say(&format!("after the restore {failed} calls came to nothing, the last one: {last:?}"));
    let lasted = last.map_or(Duration::ZERO, |(after, ..)| after);
    assert!(lasted < SOON, "calls still came to nothing after {lasted:?}\n{}", installation.logs());
    assert_eq!(installation.reports()[0].0, 200, "{}", installation.reports()[0].1);

    // The watches work again: a change is seen at once, not at the next comparison.
    cluster.objects("v1", "namespaces").merge_patch(namespace.name(), &off, me).accepted();
    eventually("a new label is heard of", Duration::from_secs(EVERY - 1), || {
        let answer = releases.create(&bad("off"), me.dry_run());
        if answer.status == 201 { Ok(()) } else { Err(answer.message().to_owned()) }
    });
    let one = release("v2", "fine", &chart_ref());
    releases.create(&one, me).accepted();
    drop(installation);
    std::fs::remove_dir_all(snapshot).expect("it is the test's own");
}

/// Handshakes that a client ends because of the certificate trigger a comparison at once, and not more often than every ten
/// seconds.
#[test]
fn callers_that_refuse_the_certificate_make_it_compare_early_and_seldom() {
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    let mut installation = Installation::apply(&cluster, "enforce");
    installation.add_argument("--reread=3600");
    installation.start_one();
    let address = installation.addresses()[0];
    let reads = || {
        let metrics = cluster.get("/metrics").accepted();
        let metrics = metrics.as_str().expect("metrics are text").lines();
        let of_secrets = metrics.filter(|line| {
            line.starts_with("apiserver_request_total{")
                && line.contains("resource=\"secrets\"")
                && line.contains("verb=\"GET\"")
        });
        of_secrets.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum::<u64>()
    };
    sleep(Duration::from_secs(11));
    let before = reads();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(15) {
        assert!(handshake(address, "").is_err(), "nothing is trusted");
        sleep(Duration::from_millis(50));
    }
    let made = reads() - before;
    assert!((1..=2).contains(&made), "{made} reads in 15 s");
}
