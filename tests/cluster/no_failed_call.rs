//! The manifests' own installation, with certificates that live for seconds, while clients apply changed releases without
//! pause and everything around them is renewed, replaced, lost and broken: which calls fail.
//!
//! Both configurations fail closed here, so that whatever fails is seen by a client.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::{
    CONFIGURATIONS, Call, Cluster, Installation, Load, Trust, Write, decoded, eventually, handshake, say,
};

/// Renewed after four to eight seconds, and valid for twelve more, as the machine may be busy. The mode is the overlay's.
const SHORT_LIVES: &str =
    "mode: enforce\ncertificates: {caLifetime: 70s, leafLifetime: 20s, renewBefore: 16s}\n";

/// What a rotation, a restart or a repair may take. It takes seconds; the machine may be busy.
const SOON: Duration = Duration::from_mins(2);

/// New leaves and new authorities that have to be seen. Two of the authorities are due to the Secret's fate.
const ROTATIONS: (usize, usize) = (20, 5);

/// It takes less than two minutes of certificates' lives; the machine may be busy.
const ALL_ROTATIONS: Duration = Duration::from_mins(6);

/// Often enough to see every leaf, which is there for four seconds.
const LOOK: Duration = Duration::from_millis(100);

/// What the Secret held at some time.
#[derive(Default)]
struct Seen {
    leaves: Mutex<BTreeSet<String>>,
    authorities: Mutex<BTreeSet<String>>,
}

// === impl Seen ===

impl Seen {
    fn look(&self, trust: Trust<'_>) {
        let secret = trust.secrets().get("chartgate-tls").body;
        for (key, seen) in [("tls.crt", &self.leaves), ("ca.key", &self.authorities)] {
            // Not what the test itself puts there.
            let text = decoded(&secret["data"][key]);
            if text.starts_with("-----BEGIN ") {
                locked(seen).insert(text);
            }
        }
    }

    /// How many leaves and authorities there were after the first ones.
    fn rotations(&self) -> (usize, usize) {
        let after_the_first = |seen: &Mutex<BTreeSet<String>>| locked(seen).len().saturating_sub(1);
        (after_the_first(&self.leaves), after_the_first(&self.authorities))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Connects through the Service as an API server would that acts on the caBundles of this moment.
fn connect_without_pause(service: SocketAddr, trust: Trust<'_>, load: &Load) {
    while load.goes_on() {
        for (resource, bundle) in CONFIGURATIONS.iter().zip(trust.bundles()) {
            load.note(|| {
                let shaken = handshake(service, &bundle);
                shaken.map(drop).map_err(|error| format!("handshake by the bundle of {resource}: {error}"))
            });
        }
        sleep(LOOK / 4);
    }
}

/// How often the API server called each webhook that is asked about releases.
fn asked(cluster: &Cluster) -> [u64; 2] {
    ["mutate.chartgate.dev", "validate.chartgate.dev"]
        .map(|name| cluster.counted("apiserver_admission_webhook_request_total", name))
}

#[test]
fn no_call_fails_over_twenty_rotations_restarts_and_a_secret_that_is_lost_and_spoiled() {
    let Some(cluster) = Cluster::start("2.9") else { return };
    let installation = Installation::apply(&cluster, "enforce");
    installation.configure(SHORT_LIVES);
    let trust = Trust::of(&cluster);
    trust.fail_closed();
    installation.start();
    installation.wait_until_closed();
    let namespace = cluster.namespace("load");
    let (load, seen) = (Load::default(), Seen::default());
    let before = asked(&cluster);
    scope(|scope| {
        // Ends the clients, also when an assertion below does not hold.
        let _end = load.end();
        for writer in 0..2 {
            let (load, namespace) = (&load, &namespace);
            scope.spawn(move || load.apply(namespace, &format!("app-{writer}"), Duration::ZERO));
        }
        let (service, shaking) = (installation.address(), &load);
        scope.spawn(move || connect_without_pause(service, trust, shaking));
        scope.spawn(|| {
            while load.goes_on() {
                seen.look(trust);
                sleep(LOOK);
            }
        });
        disturb(&installation, trust, &load, &seen);
    });
    let (made, failed, (leaves, authorities)) = (load.made(), load.failed(), seen.rotations());
    let summary =
        format!("{made} calls, {} failed; {leaves} new leaves, {authorities} new authorities", failed.len());
    say(&summary);
    assert!(failed.is_empty(), "{summary}: {:#?}\n{}", &failed[..failed.len().min(5)], installation.logs());
    assert!(load.applied() > 1000, "{summary}: that is no load");
    for (before, after) in before.into_iter().zip(asked(&cluster)) {
        assert!(after - before >= load.applied() as u64, "the API server has not asked for every apply");
    }
}

/// How often each of the two is emptied. More often in a minute, and chartgate takes its time, as it has to do with a
/// program that fights it.
const EMPTIED: usize = 4;

/// The API server verifies by what it holds, and nobody can keep an administrator from emptying that: webhooks and
/// admission policies are never asked about webhook configurations. So what can hold is this: a call fails only while the
/// field is empty, because of that, and none after the first that began when it was restored and went well.
#[test]
fn an_emptied_ca_bundle_is_felt_until_it_is_restored_and_no_call_longer() {
    let Some(cluster) = Cluster::start("2.9") else { return };
    let installation = Installation::apply(&cluster, "enforce");
    installation.configure(SHORT_LIVES);
    let trust = Trust::of(&cluster);
    trust.fail_closed();
    installation.start();
    installation.wait_until_closed();
    let namespace = cluster.namespace("load");
    let load = Load::default();
    let mut windows = Vec::new();
    scope(|scope| {
        let _end = load.end();
        for writer in 0..2 {
            let (load, namespace) = (&load, &namespace);
            scope.spawn(move || load.apply(namespace, &format!("app-{writer}"), Duration::ZERO));
        }
        for resource in [CONFIGURATIONS; EMPTIED].concat() {
            windows.push(empty(trust, resource, &load));
        }
    });
    let failed = load.failed();
    let unexplained: Vec<_> =
        failed.iter().filter(|call| !windows.iter().any(|window| window.explains(call))).collect();
    let mut took: Vec<_> = windows.iter().map(|window| window.restored - window.emptied).collect();
    took.sort();
    let (median, longest) = (took[took.len() / 2], took[took.len() - 1]);
    let felt = windows.iter().filter(|window| failed.iter().any(|call| window.explains(call))).count();
    say(&format!(
        "{} calls; the caBundle emptied {} times, restored within {median:?}, {longest:?} at most; {} calls failed, in {felt} of them",
        load.made(),
        windows.len(),
        failed.len(),
    ));
    assert!(unexplained.is_empty(), "{unexplained:#?}\n{windows:#?}\n{}", installation.logs());
}

/// From the moment a caBundle is about to be emptied to that when the API server acts on the restored one.
#[derive(Debug)]
struct Window {
    emptied: Instant,
    restored: Instant,
    over: Instant,
}

impl Window {
    fn explains(&self, call: &Call) -> bool {
        let untrusted = call.message.contains("tls: failed to verify certificate: x509: ");
        untrusted && call.began < self.over && call.began + call.took > self.emptied
    }
}

fn empty(trust: Trust<'_>, resource: &str, load: &Load) -> Window {
    let before = load.made();
    eventually(
        "the load goes on",
        SOON,
        || if load.made() > before + 20 { Ok(()) } else { Err(String::new()) },
    );
    let emptied = Instant::now();
    trust.empty(resource);
    eventually("the caBundle is restored", SOON, || {
        let restored = !trust.bundles().iter().any(String::is_empty);
        if restored { Ok(()) } else { Err("it is empty".to_owned()) }
    });
    let restored = Instant::now();
    eventually("a call goes well", SOON, || {
        if load.succeeded_after(restored) { Ok(()) } else { Err(format!("{:?}", load.failed().last())) }
    });
    Window { emptied, restored, over: Instant::now() }
}

/// Everything that may happen to an installation, one after the other.
fn disturb(installation: &Installation<'_>, trust: Trust<'_>, load: &Load, seen: &Seen) {
    until(load, "certificates rotate", more_than(seen, 3));
    for _ in 0..2 {
        installation.replace_oldest();
    }
    say(&format!("both replicas replaced after {} calls", load.made()));
    installation.terminate_oldest();
    installation.start_one();
    say(&format!("one ended, and came back, after {} calls", load.made()));
    lose_the_secret(installation, trust, load);
    say(&format!("the Secret lost and made anew after {} calls", load.made()));
    until(load, "the next rotation", more_than(seen, seen.rotations().0));
    assert!(load.failed().is_empty(), "{:#?}", load.failed());
    spoil_the_secret(installation, trust, load);
    say(&format!("the Secret spoiled and repaired after {} calls", load.made()));
    until(load, "all rotations", || seen.rotations().0 >= ROTATIONS.0 && seen.rotations().1 >= ROTATIONS.1);
}

/// Waits for something that takes its time, and ends early where a call has failed.
fn until(load: &Load, what: &str, mut done: impl FnMut() -> bool) {
    eventually(what, ALL_ROTATIONS, || {
        if done() || !load.failed().is_empty() { Ok(()) } else { Err(format!("{} calls", load.made())) }
    });
}

/// Whether there were more new leaves than so many.
fn more_than(seen: &Seen, leaves: usize) -> impl FnMut() -> bool {
    move || seen.rotations().0 > leaves
}

fn lose_the_secret(installation: &Installation<'_>, trust: Trust<'_>, load: &Load) {
    let before = trust.secret()["data"]["ca.key"].clone();
    trust.secrets().delete("chartgate-tls").accepted();
    is_made_anew(installation, trust, load, &before);
}

/// Every key of it, as whoever fills it by hand may do.
fn spoil_the_secret(installation: &Installation<'_>, trust: Trust<'_>, load: &Load) {
    let garbage = STANDARD.encode("garbage");
    let patch =
        json!({"data": {"ca.crt": garbage, "ca.key": garbage, "tls.crt": garbage, "tls.key": garbage}});
    trust.secrets().merge_patch("chartgate-tls", &patch, Write::by("vandal")).accepted();
    is_made_anew(installation, trust, load, &json!(garbage));
}

fn is_made_anew(installation: &Installation<'_>, trust: Trust<'_>, load: &Load, before: &Value) {
    eventually("there is another Secret, and it is trusted", SOON, || {
        let secret = trust.secrets().get("chartgate-tls");
        let is_new = secret.status == 200 && secret.body["data"]["ca.key"] != *before;
        let ready = installation.observe("/readyz").iter().all(|report| report == "ok\n");
        if (is_new && ready) || !load.failed().is_empty() { Ok(()) } else { Err(installation.logs()) }
    });
}
