//! The component cert-manager, with the test in the place of cert-manager.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::accepted::combination;
use super::{NEWEST, bad};
use crate::harness::{Cluster, Identity, Installation, Namespace, Write, eventually};

/// It takes a moment; the machine may be busy.
const SOON: Duration = Duration::from_secs(20);

#[test]
fn serves_what_cert_manager_issued_and_may_write_no_certificate_itself() {
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    if !cluster.install_crds_of_components() {
        return;
    }
    let folder = combination("enforce", &["components/cert-manager"]);
    cluster.apply(folder.path(), &[]);
    let system = Namespace::existing(&cluster, "chartgate-system");
    let issued = issue(&system);
    let installation = Installation::existing(&cluster);
    installation.start();
    installation.trust(&issued.authority);
    installation.wait_until("a bad release is denied", &bad("app"), |status, _| status == 403);

    // What is left of its rights is enough for what is left of its work.
    eventually("both prefilters are followed", SOON, || {
        let all = ["mutate", "validate"].into_iter().all(|webhook| {
            installation.has_metric(&format!("chartgate_facts_synced{{fact=\"prefilter-{webhook}\"}} 1\n"))
                && installation
                    .has_metric(&format!("chartgate_prefilter_mismatch{{webhook=\"{webhook}\"}} 0\n"))
        });
        if all { Ok(()) } else { Err(installation.logs()) }
    });
    assert!(!installation.logs().contains("is forbidden"), "{}", installation.logs());

    // Rules are stated there, as it may not give any.
    installation.wait_until_closed();
    eventually("the live caBundles are compared", SOON, || {
        let report = installation.observe("/readyz?verbose").concat();
        let said = "[+]live-caBundle ok: the served certificate is verified by 3 webhooks\n";
        if report.contains(said) { Ok(()) } else { Err(report) }
    });
    installation.trust(&Identity::generate().authority);
    eventually("a caBundle of another authority is told", SOON, || {
        let report = installation.observe("/readyz?verbose").concat();
        let said = "[!]live-caBundle degraded: the caBundle of mutate.chartgate.dev, ";
        if report.contains(said) { Ok(()) } else { Err(report) }
    });

    let built = cluster.kustomize(folder.path());
    let of_kind = |kind: &str| built.iter().filter(|object| object["kind"] == kind).count();
    // Facts, and the two for scanning.
    assert_eq!((of_kind("Role"), of_kind("ClusterRole")), (1, 2));
    let annotated = built.iter().filter(|object| {
        object["metadata"]["annotations"]["cert-manager.io/inject-ca-from"] == "chartgate-system/chartgate"
    });
    assert_eq!(annotated.count(), 2);
}

/// What cert-manager makes of our Certificate.
fn issue(system: &Namespace<'_>) -> Identity {
    let certificates = system.objects("cert-manager.io/v1", "certificates");
    let wanted = certificates.get("chartgate").accepted()["spec"].clone();
    let names = wanted["dnsNames"].as_array().expect("ours has names").iter().filter_map(Value::as_str);
    let issued = Identity::for_names(&names.collect::<Vec<_>>());
    let Identity { authority, certificate, key } = &issued;
    let encode = |text: &String| STANDARD.encode(text);
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": wanted["secretName"]},
        "data": {"ca.crt": encode(authority), "tls.crt": encode(certificate), "tls.key": encode(key)},
    });
    system.objects("v1", "secrets").create(&secret, Write::by("cert-manager")).accepted();
    issued
}
