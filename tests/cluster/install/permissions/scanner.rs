//! The same for scanning: what is missing is counted as a failure of the part that needs it, and said.

use serde_json::{Value, json};

use super::{IN_EFFECT, Less, NEWEST, each_less, is_role, put, settled};
use crate::harness::{Cluster, Installation, Namespace, Write, chart, eventually, manifests, release};

const LEASES: &str = "coordination.k8s.io/v1";

/// A kind of report, and the features of the table that are about it alone.
const KINDS: [(&str, &str, [&str; 2]); 2] = [
    ("wgpolicyk8s.io/v1alpha2", "PolicyReport", ["policy reports", "a policy report"]),
    ("openreports.io/v1alpha1", "Report", ["reports", "a report"]),
];

/// Whatever kind is written.
const LEASE: [&str; 2] = ["scanning", "first scan"];

#[test]
fn nothing_is_scanned_or_reported_without_any_one_of_its_permissions() {
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    if !Cluster::has_report_crds() {
        return;
    }
    let installation = Installation::apply(&cluster, "audit");
    installation.configure("mode: audit\naudit: {interval: 1s}\n");
    let [apps, stale] = ["apps", "stale"].map(|name| cluster.namespace(name));
    apps.releases("v2").create(&release("v2", "app", &chart()), Write::by("me")).accepted();

    let mut shown = 0;
    for ((api, kind, features), group) in KINDS.into_iter().zip(["wgpolicyk8s", "openreports"]) {
        cluster.install_report_crds(group);
        let scene =
            Scene { cluster: &cluster, installation: &installation, apps: &apps, stale: &stale, api, kind };
        settled(&cluster, &[]);
        assert_eq!(scene.scan(false), Ok(()));
        for role in cluster.kustomize(&manifests("audit")).iter().filter(|object| is_role(object)) {
            for Less { role: less, lost } in each_less(role) {
                let feature = lost[0].split(':').next().expect("it names its feature");
                let is_lease = LEASE.contains(&feature);
                if !(features.contains(&feature) || is_lease && group == "openreports") {
                    continue;
                }
                put(&cluster, &less);
                settled(&cluster, &lost);
                let part = if is_lease { "lease" } else { "reports" };
                let failed = scene.scan(lost[0].contains(": update"));
                assert_eq!(failed, Err(part.to_owned()), "without {lost:?}");
                shown += 1;
            }
            put(&cluster, role);
            settled(&cluster, &[]);
        }
    }
    assert_eq!(shown, 11, "permissions");
}

struct Scene<'a> {
    cluster: &'a Cluster,
    installation: &'a Installation<'a>,
    /// Has a release, and is to have a report.
    apps: &'a Namespace<'a>,
    /// Has a report, and no release any more.
    stale: &'a Namespace<'a>,
    api: &'a str,
    kind: &'a str,
}

// === impl Scene ===

impl Scene<'_> {
    /// Has a replica do all that a scan can have to do; which part fails, where one is counted and said to. The Lease is to be
    /// made, or there already and free.
    fn scan(&self, has_lease: bool) -> Result<(), String> {
        let Self { cluster, installation, apps, stale, api, kind } = self;
        let by = Write::by("chartgate-tests");
        let plural = format!("{}s", kind.to_lowercase());
        let reports = |namespace: &Namespace<'_>| namespace.objects(api, &plural);
        let leases = Namespace::existing(cluster, "chartgate-system").objects(LEASES, "leases");
        leases.delete("chartgate-audit");
        if has_lease {
            let lease = json!({"apiVersion": LEASES, "kind": "Lease", "metadata": {"name": "chartgate-audit"}, "spec": {}});
            leases.create(&lease, by).accepted();
        }
        reports(apps).delete("chartgate");
        let label = json!({"app.kubernetes.io/managed-by": "chartgate"});
        let old: Value =
            json!({"apiVersion": api, "kind": kind, "metadata": {"name": "chartgate", "labels": label}});
        reports(stale).apply(&old, by).accepted();

        installation.launch();
        let part = |part: &str| {
            installation.metrics(&format!("chartgate_audit_failures_total{{part=\"{part}\"}}")) > 0
        };
        let outcome = eventually("it is scanned, or said why not", IN_EFFECT, || {
            let log = installation.logs();
            let failed = ["lease", "releases", "reports"].into_iter().find(|name| part(name));
            let is_done =
                reports(apps).get("chartgate").status == 200 && reports(stale).get("chartgate").status == 404;
            match failed {
                Some(part) if log.contains("is forbidden: User") => Ok(Err(part.to_owned())),
                None if is_done => Ok(Ok(())),
                _ => Err(log),
            }
        });
        installation.kill_all();
        outcome
    }
}
