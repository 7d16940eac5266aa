//! Checks that nothing else depends on a namespace that refuses its report.

use std::time::Duration;

use serde_json::json;

use super::{EVERY_SECOND, NEWEST, OPEN_REPORTS, SOON, bad, becomes, installed, report, wait_for_scans};
use crate::harness::{Cluster, Namespace, Write, eventually};

const ADMISSION: &str = "admissionregistration.k8s.io/v1";

/// From now on a policy of the API server refuses every report in this namespace.
pub(crate) fn refuse_reports(cluster: &Cluster, namespace: &Namespace<'_>) {
    let by = Write::by("platform-team");
    let policy = json!({
        "apiVersion": ADMISSION, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "no-reports"},
        "spec": {
            "matchConstraints": {"resourceRules": [{
                "apiGroups": ["openreports.io"], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"],
                "resources": ["reports"],
            }]},
            "validations": [{
                "expression": format!("object.metadata.namespace != '{}'", namespace.name()),
                "message": "no reports here", "reason": "Forbidden",
            }],
        },
    });
    cluster.objects(ADMISSION, "validatingadmissionpolicies").create(&policy, by).accepted();
    let binding = json!({
        "apiVersion": ADMISSION, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": "no-reports"},
        "spec": {"policyName": "no-reports", "validationActions": ["Deny"]},
    });
    cluster.objects(ADMISSION, "validatingadmissionpolicybindings").create(&binding, by).accepted();
    let probe = json!({"apiVersion": OPEN_REPORTS.0, "kind": "Report", "metadata": {"name": "probe"}});
    eventually("the policy is in effect", Duration::from_secs(30), || {
        let answer = namespace.objects(OPEN_REPORTS.0, OPEN_REPORTS.1).create(&probe, by.dry_run());
        if answer.message().contains("no reports here") { Ok(()) } else { Err(format!("{answer:?}")) }
    });
}

#[test]
fn a_namespace_that_refuses_its_report_is_told_and_tried_again_and_the_others_have_theirs() {
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    let Some(installation) = installed(&cluster) else { return };
    cluster.install_report_crds("openreports");
    let namespaces = ["a-first", "m-refuses", "z-last"].map(|name| cluster.namespace(name));
    for namespace in &namespaces {
        namespace.releases("v2").create(&bad("bad"), Write::by("me")).accepted();
    }
    let [first, refuses, last] = &namespaces;
    refuse_reports(&cluster, refuses);
    installation.configure(EVERY_SECOND);
    installation.start_one();

    for namespace in [first, last] {
        becomes(&installation, namespace, OPEN_REPORTS, |report| report.is_some());
    }
    wait_for_scans(&installation, 3);
    assert_eq!(report(refuses, OPEN_REPORTS), None);
    assert_eq!(installation.metrics("chartgate_audit_refused_reports"), 1);
    // Of all three namespaces.
    assert!(installation.metrics("chartgate_audit_findings{rule=\"chart-ref-name\"") == 3);
    assert!(installation.metrics("chartgate_audit_failures_total{part=\"reports\"}") > 0);
    let said = format!("0 deleted; 1 refused: {}: ", refuses.name());
    let told = installation.observe("/readyz?verbose").concat();
    assert!(told.contains("[!]audit degraded: this replica scans; the last time 3 releases"), "{told}");
    assert!(told.contains(&said) && told.contains("no reports here"), "{told}");
    let warned = installation.logs().matches("cannot write the report").count();
    assert_eq!(warned, 1, "it is told once: {}", installation.logs());

    cluster.objects(ADMISSION, "validatingadmissionpolicybindings").delete("no-reports").accepted();
    becomes(&installation, refuses, OPEN_REPORTS, |report| report.is_some());
    eventually("all is well", SOON, || {
        let told = installation.observe("/readyz?verbose").concat();
        let is_well =
            told.contains("[+]audit ok") && installation.metrics("chartgate_audit_refused_reports") == 0;
        if is_well { Ok(()) } else { Err(told) }
    });
}
