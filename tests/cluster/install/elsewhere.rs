//! Installs into another namespace by `namespace:` of a separate kustomization.

use std::fs;

use serde_json::{Value, json};

use super::accepted::combination;
use super::{NEWEST, READY, bad};
use crate::harness::{Cluster, Installation, Namespace, Write, eventually};

#[test]
fn another_namespace_works_and_what_kustomize_did_not_rewrite_is_told() {
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    let folder = combination("enforce", &[] as &[&str]);
    let file = folder.path().join("kustomization.yaml");
    let mut kustomization: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    kustomization["namespace"] = json!("gate");
    fs::write(&file, kustomization.to_string()).unwrap();
    cluster.apply(folder.path(), &[]);

    let installation = Installation::existing_in(&cluster, "gate");
    installation.start_one();
    // kustomize has rewritten the Service of the webhooks, and the certificate is for it.
    installation.wait_until("a bad release is denied", &bad("app"), |status, message| {
        status >= 400 && message.contains("chart-ref-name")
    });
    let webhooks = ["mutate.chartgate.dev", "validate.chartgate.dev"];
    let expected = webhooks.map(|name| {
        [
            format!("the namespaceSelector of {name} does not leave out gate, where chartgate runs"),
            format!("the matchConditions of {name} name chartgate-system, and chartgate runs in gate"),
        ]
    });
    let expected = expected.concat();
    eventually("what does not fit is told", READY, || {
        let (report, log) = (installation.observe("/readyz?verbose").concat(), installation.logs());
        let said = |text: &String| report.contains(text.as_str()) && log.contains(text.as_str());
        if expected.iter().all(said) { Ok(()) } else { Err(format!("{report}\n{log}")) }
    });
    assert!(installation.observe("/readyz?verbose").concat().contains("[!]installation degraded: "));
    assert!(!installation.logs().contains("calls the Service"), "{}", installation.logs());
    assert_eq!(installation.metrics("chartgate_installation_misfits"), 4);

    // The fix that the page describes.
    kustomization["patches"] = json!(["Mutating", "Validating"].map(|kind| json!({
        "target": {"kind": format!("{kind}WebhookConfiguration"), "name": "chartgate"},
        "patch": "- {op: replace, path: /webhooks/0/namespaceSelector/matchExpressions/0/values, value: [gate]}",
    })));
    fs::write(&file, kustomization.to_string()).unwrap();
    cluster.apply(folder.path(), &[]);
    eventually("one half fits", READY, || match installation.metrics("chartgate_installation_misfits") {
        2 => Ok(()),
        _ => Err(installation.logs()),
    });
    let releases = Namespace::existing(&cluster, "gate").releases("v2");
    eventually("its own namespace never waits for it", READY, || {
        let answer = releases.create(&bad("app"), Write::by("me").dry_run());
        if answer.status == 201 { Ok(()) } else { Err(answer.message().to_owned()) }
    });
}
