//! One of two replicas scans, and the other one takes over.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{NEWEST, OPEN_REPORTS, SOON, bad, installed, me, reconfigure, report, versions, wait_for_scans};
use crate::harness::{Cluster, Installation, Namespace, eventually, say};

/// Enough that a scan can be met in its middle.
const NAMESPACES: usize = 200;

/// A Lease runs out after 15 s, and is looked at every 6.
const TAKEN_OVER: Duration = Duration::from_mins(1);

const EVERY_HOUR: &str = "mode: audit\naudit: {interval: 1h}\n";

/// Other settings, so that a scan begins at once.
const AT_ONCE: &str = "mode: warn\naudit: {interval: 1h}\n";

/// Who holds the Lease.
pub(super) fn holder(cluster: &Cluster) -> String {
    let leases = Namespace::existing(cluster, "chartgate-system").objects("coordination.k8s.io/v1", "leases");
    let lease = leases.get("chartgate-audit").accepted();
    lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
}

/// Two replicas that have scanned, and many namespaces without a report.
struct Scene<'a> {
    cluster: &'a Cluster,
    installation: Installation<'a>,
    namespaces: Vec<Namespace<'a>>,
}

// === impl Scene ===

impl<'a> Scene<'a> {
    fn set(cluster: &'a Cluster) -> Option<Self> {
        let installation = installed(cluster)?;
        let namespaces: Vec<_> = (0..NAMESPACES).map(|_| cluster.namespace("scanned")).collect();
        for namespace in &namespaces {
            namespace.releases("v2").create(&bad("app"), me()).accepted();
        }
        installation.configure(EVERY_HOUR);
        installation.start_one();
        wait_for_scans(&installation, 1);
        installation.start_one();
        // From now on there are reports to be written.
        cluster.install_report_crds("openreports");
        Some(Self { cluster, installation, namespaces })
    }

    fn written(&self) -> usize {
        versions(self.cluster, OPEN_REPORTS).len()
    }

    /// Begins a scan, and returns in the middle of it.
    fn begin_scan(&self) -> usize {
        reconfigure(&self.installation, AT_ONCE);
        eventually("some reports are written", SOON, || match self.written() {
            0..10 => Err(self.installation.logs()),
            _ => Ok(()),
        });
        self.written()
    }

    /// Waits until another replica than this one holds the Lease.
    fn wait_until_taken_from(&self, before: &str) -> String {
        eventually("the other replica takes over", TAKEN_OVER, || {
            let now = holder(self.cluster);
            if now == before { Err(self.installation.logs()) } else { Ok(now) }
        })
    }

    /// Every namespace has its report, whole, and only one (a second would have another name).
    fn is_whole(&self) {
        eventually("every namespace has its report", SOON, || match self.written() {
            NAMESPACES => Ok(()),
            some => Err(format!("{some}; {}", self.installation.logs())),
        });
        for namespace in &self.namespaces {
            let found = report(namespace, OPEN_REPORTS).expect("it was listed");
            assert_eq!(
                found["summary"],
                json!({"fail": 1, "warn": 1, "skip": 0, "pass": 0, "error": 0}),
                "{found}"
            );
        }
    }
}

#[test]
fn a_leader_killed_in_mid_scan_leaves_no_report_lost_and_none_doubled() {
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    let Some(scene) = Scene::set(&cluster) else { return };
    let first = holder(&cluster);
    assert!(only_one_tells(&scene.installation), "only the leader has what only it can know");

    let begun = scene.begin_scan();
    scene.installation.kill_oldest();
    let killed = Instant::now();
    let left = scene.written();
    assert!(begun < NAMESPACES && left < NAMESPACES, "it was met in the middle: {left}");
    let second = scene.wait_until_taken_from(&first);
    let took = killed.elapsed();
    scene.is_whole();
    say(&format!("killed after {left} of {NAMESPACES} reports, taken over {took:?} later"));
    assert!(took > Duration::from_secs(8), "the killed one may have gone on for so long: {took:?}");

    // Nothing has changed for a new one, either. SIGTERM gives the Lease back, so that nobody waits.
    let before = versions(&cluster, OPEN_REPORTS);
    scene.installation.start_one();
    let asked = Instant::now();
    scene.installation.terminate_oldest();
    let third = scene.wait_until_taken_from(&second);
    if third.is_empty() {
        scene.wait_until_taken_from("");
    }
    assert!(asked.elapsed() < Duration::from_secs(14), "{:?}", asked.elapsed());
    wait_until_scanned(&scene.installation);
    assert_eq!(versions(&cluster, OPEN_REPORTS), before);
}

#[test]
fn a_leader_that_slept_writes_nothing_when_it_wakes_up() {
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    let Some(scene) = Scene::set(&cluster) else { return };
    let first = holder(&cluster);
    let begun = scene.begin_scan();
    scene.installation.signal_oldest("STOP");
    assert!(begun < NAMESPACES && scene.written() < NAMESPACES, "it was met in the middle");
    let second = scene.wait_until_taken_from(&first);
    scene.is_whole();

    // What it would write now is seen.
    for namespace in &scene.namespaces {
        namespace.objects(OPEN_REPORTS.0, OPEN_REPORTS.1).delete("chartgate").accepted();
    }
    scene.installation.signal_oldest("CONT");
    eventually("the first notices", SOON, || {
        let log = scene.installation.logs();
        if log.contains("this replica scans no more") { Ok(()) } else { Err(log) }
    });
    sleep(Duration::from_secs(3));
    // A request that was under way when it fell asleep may be read by the API server when it wakes up, and no other.
    assert!(scene.written() <= 1, "{} were written", scene.written());
    assert_eq!(holder(&cluster), second);
    assert!(only_one_tells(&scene.installation), "{}", scene.installation.logs());
}

#[test]
fn of_many_that_see_a_free_lease_at_once_one_scans() {
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    let installation = Installation::apply(&cluster, "audit");
    let leases =
        Namespace::existing(&cluster, "chartgate-system").objects("coordination.k8s.io/v1", "leases");
    let free = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "chartgate-audit"}, "spec": {},
    });
    leases.create(&free, me()).accepted();
    for _ in 0..5 {
        installation.launch();
    }
    wait_until_scanned(&installation);
    // Each has looked once more by then.
    sleep(Duration::from_secs(8));
    assert_eq!(installation.logs().matches("this replica scans\"").count(), 1, "{}", installation.logs());
    let lease = leases.get("chartgate-audit").accepted();
    assert_eq!(lease["spec"]["leaseTransitions"], 1, "{lease}");
}

/// Whether one of the two replicas has a time of its last scan, and findings.
fn only_one_tells(installation: &Installation<'_>) -> bool {
    let tell = |name: &str| {
        let metrics = installation.observe("/metrics");
        metrics.iter().filter(|metrics| metrics.contains(name)).count()
    };
    [
        "\nchartgate_audit_last_scan_timestamp_seconds{",
        "\nchartgate_audit_findings{",
        "\nchartgate_audit_releases{",
    ]
    .iter()
    .all(|name| tell(name) == 1)
}

/// Waits until one of the running replicas has scanned.
fn wait_until_scanned(installation: &Installation<'_>) {
    eventually("the cluster is scanned", SOON, || {
        let logs = installation.logs();
        if logs.contains("scanned the cluster") { Ok(()) } else { Err(logs) }
    });
}
