//! Runs the attacks that anybody can send who reaches the port of a shipped installation, against a real API server. Honest
//! reviews are answered meanwhile, and the process stays within its memory limit. (tests/faults has those on connections.)
//!
//! Each lasts 10 s, or the duration in `CHARTGATE_ATTACK_SECONDS`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::NEWEST;
use crate::cgroup::{Cgroup, shipped_limit};
use crate::harness::{Cluster, Installation, Namespace, Write, chart, chart_ref, eventually, release, say};

/// The machine may be busy.
const SOON: Duration = Duration::from_mins(1);

fn length() -> Duration {
    let seconds = std::env::var("CHARTGATE_ATTACK_SECONDS").ok();
    Duration::from_secs(seconds.map_or(10, |text| text.parse().expect("it is a number of seconds")))
}

/// A release with a fault that the schema of v2 refuses as well.
fn both() -> Value {
    let mut both = chart();
    both["chartRef"] = chart_ref()["chartRef"].clone();
    both
}

/// A review as the API server would send it.
fn review(namespace: &str, name: &str, object: &Value, old: &Value) -> Value {
    json!({
        "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "u", "kind": {"group": "helm.toolkit.fluxcd.io", "version": "v2", "kind": "HelmRelease"},
            "name": name, "namespace": namespace, "operation": if old.is_null() { "CREATE" } else { "UPDATE" },
            "userInfo": {"username": "nobody"}, "object": object, "oldObject": old, "dryRun": false,
        },
    })
}

/// The installation under attack, one replica in a group with its own memory limit.
struct Siege<'a> {
    installation: Installation<'a>,
    group: Option<Cgroup>,
    target: SocketAddr,
    place: tempfile::TempDir,
}

impl<'a> Siege<'a> {
    fn lay(cluster: &'a Cluster) -> Self {
        let installation = Installation::apply(cluster, "enforce");
        installation.start_one();
        installation.wait_until_called();
        let group = Cgroup::limit(installation.ids()[0], shipped_limit());
        let target = installation.addresses()[0];
        Self { installation, group, target, place: tempfile::tempdir().expect("there is room") }
    }

    fn body(&self, name: &str, body: &Value) -> PathBuf {
        let file = self.place.path().join(name);
        std::fs::write(&file, body.to_string()).expect("there is room");
        file
    }

    /// Sends one body repeatedly by as many clients, until the time is over, while the API server and another client have
    /// reviews judged; prints the outcomes of both.
    fn withstands(&self, attack: &str, path: &str, bodies: &[PathBuf], namespace: &Namespace<'_>) {
        let until = Instant::now() + length();
        let url = format!("https://{}", self.target);
        let (mut honest, mut stored) = (Honest::default(), 0);
        std::thread::scope(|scope| {
            for body in bodies {
                let url = format!("{url}{path}");
                scope.spawn(move || {
                    while Instant::now() < until {
                        curl(&url, body, 50);
                    }
                });
            }
            let small = self
                .body("honest.json", &review("honest", "app", &release("v2", "app", &both()), &Value::Null));
            let url = format!("{url}/validate?timeout=10s");
            let judged = scope.spawn(move || {
                let mut honest = Honest::default();
                while Instant::now() < until {
                    honest.count(&curl(&url, &small, 50));
                }
                honest
            });
            while Instant::now() < until {
                let releases = namespace.releases("v2");
                releases.create(&release("v2", "dry", &chart()), Write::by("me").dry_run()).accepted();
                stored += 1;
            }
            honest = judged.join().expect("honest reviews are sent");
        });
        let (limit, peak) = (shipped_limit() / 1024, peak_kib(self.installation.ids()[0]));
        say(&format!(
            "{attack}, {} s: honest reviews {honest:?}, and {stored} writes at the API server; peak {} MiB of {} MiB{}",
            length().as_secs(),
            peak / 1024,
            limit / 1024,
            if self.group.is_some() { ", in a control group of that size" } else { "" },
        ));
        let least = if length() >= Duration::from_mins(1) { 1000 } else { 50 };
        assert_eq!(honest.answers.keys().map(String::as_str).collect::<Vec<_>>(), ["200"], "{honest:?}");
        assert!(honest.answers["200"] >= least && stored > 0, "{honest:?}");
        assert!(peak <= limit, "{peak} KiB of {limit}");
        assert_eq!(self.installation.metrics("chartgate_panics_total"), 0);
    }
}

/// Number of honest reviews by status.
#[derive(Debug, Default)]
struct Honest {
    answers: BTreeMap<String, u64>,
}

impl Honest {
    fn count(&mut self, statuses: &str) {
        for status in statuses.lines() {
            *self.answers.entry(status.to_owned()).or_default() += 1;
        }
    }
}

/// Sends a body so many times over one connection, one after the other, and returns the statuses.
fn curl(url: &str, body: &Path, times: usize) -> String {
    let mut curl = Command::new("curl");
    curl.args(["-sk", "--max-time", "20", "-H", "content-type: application/json", "-w", "%{http_code}\\n"]);
    curl.arg("--data-binary").arg(format!("@{}", body.display()));
    for _ in 0..times {
        curl.args(["-o", "/dev/null", url]);
    }
    let output = curl.stdin(Stdio::null()).output().expect("curl starts");
    String::from_utf8(output.stdout).expect("statuses are digits")
}

fn peak_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("the process lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel counts it");
    line.trim_end_matches("kB").trim().parse().expect("it is a number")
}

#[test]
fn large_updates_of_a_faulty_release_leave_the_others_their_answers() {
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    let siege = Siege::lay(&cluster);
    let namespace = cluster.namespace("spec");
    let mut old = both();
    old["values"] = json!({"a": vec![json!({"a": 0}); 180_000]});
    let mut new = old.clone();
    new["b"] = json!(1);
    let [new, old] = [new, old].map(|spec| release("v2", "app", &spec));
    let body = siege.body("attack.json", &review(namespace.name(), "app", &new, &old));
    siege.withstands("specs of 1.4 MB", "/validate?timeout=30s", &[body.clone(), body], &namespace);
}

#[test]
fn forged_reviews_write_no_events_and_do_not_keep_others_from_theirs() {
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    let siege = Siege::lay(&cluster);
    let (victim, namespace) = (cluster.namespace("victim"), cluster.namespace("honest"));
    let stored =
        victim.releases("v2").create(&release("v2", "payments", &chart()), Write::by("me")).accepted();
    let bad = |name: &str, uid: &str| {
        let mut bad = release("v2", name, &both());
        bad["metadata"]["uid"] = json!(uid);
        bad["metadata"]["namespace"] = json!(victim.name());
        bad
    };
    let forged: Vec<_> = [("payments", "not-its-uid"), ("nothing", "u"), ("payments", "")]
        .iter()
        .enumerate()
        .map(|(index, (name, uid))| {
            let old = if uid.is_empty() { Value::Null } else { release_of(&bad(name, uid)) };
            siege.body(&format!("forged-{index}.json"), &review(victim.name(), name, &bad(name, uid), &old))
        })
        .collect();
    siege.withstands("forged denials", "/validate", &forged, &namespace);
    let events = |namespace: &Namespace<'_>| {
        let list = namespace.objects("events.k8s.io/v1", "events").list().accepted();
        list["items"].as_array().expect("a list has items").len()
    };
    assert!(siege.installation.metrics("chartgate_events_dropped_total{reason=\"unknown_object\"}") > 0);
    assert_eq!((events(&victim), siege.installation.metrics("chartgate_events_total")), (0, 0));

    // The Event of a real review is written, also for the very object that was forged.
    let patch = json!({"spec": both()});
    eventually("an honest denial leaves its Event", SOON, || {
        victim.releases("v2").merge_patch("payments", &patch, Write::by("me")).refused();
        if events(&victim) == 1 { Ok(()) } else { Err(siege.installation.logs()) }
    });
    let list = victim.objects("events.k8s.io/v1", "events").list().accepted();
    assert_eq!(list["items"][0]["regarding"]["uid"], stored["metadata"]["uid"]);
}

/// The object with a fault, as it would be stored.
fn release_of(bad: &Value) -> Value {
    let mut old = bad.clone();
    old["spec"] = chart();
    old
}

#[test]
fn reviews_of_namespaces_list_nothing_that_they_should_not() {
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    let siege = Siege::lay(&cluster);
    let namespace = cluster.namespace("honest");
    let lax = Namespace::create(&cluster, "lax", &json!({"chartgate.dev/mode": "audit"}));
    // Each would be denied, and is large.
    for index in 0..30 {
        let mut bad = release(
            "v2",
            &format!("app-{index}"),
            &json!({"chartRef": {
                "kind": "HelmChart", "name": format!("App_{index}"), "namespace": lax.name(),
            }}),
        );
        bad["spec"]["values"] = json!({"text": "x".repeat(200_000)});
        lax.releases("v2").create(&bad, Write::by("me")).accepted();
    }
    let side = |mode: &str| json!({"metadata": {"labels": {"chartgate.dev/mode": mode}}});
    let begins = |name: &str| {
        json!({
            "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
            "request": {"uid": "u", "name": name, "operation": "UPDATE", "object": side("enforce"), "oldObject": side("off")},
        })
    };
    let raw = format!("{}/helmreleases?limit=100000&x=", lax.name());
    let bodies = [raw.as_str(), lax.name(), namespace.name()];
    let bodies: Vec<_> = bodies
        .iter()
        .enumerate()
        .map(|(index, name)| siege.body(&format!("{index}.json"), &begins(name)))
        .collect();
    let url = format!("https://{}/namespaces?timeout=3s", siege.target);
    let ask = |body: &Path| {
        let data = format!("@{}", body.display());
        let curl =
            ["-sk", "--max-time", "20", "-H", "content-type: application/json", "--data-binary", &data, &url];
        let output = Command::new("curl").args(curl).output().expect("curl starts");
        String::from_utf8(output.stdout).expect("an answer is UTF-8")
    };
    eventually("the warning about what enforcing would deny", SOON, || {
        let answer = ask(&bodies[1]);
        let warned =
            answer.contains("enforce will deny changes of 30 HelmReleases: app-0 (chart-ref-name), ");
        if warned { Ok(()) } else { Err(answer) }
    });
    // The name refers to nothing, and nothing was listed for it.
    assert_eq!(
        ask(&bodies[0]),
        r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"u","allowed":true}}"#
    );
    // The default applies there, and it enforces already, whatever the request states about the old object.
    assert!(!ask(&bodies[2]).contains("warnings"));
    siege.withstands("reviews of namespaces", "/namespaces?timeout=3s", &bodies, &namespace);
}
