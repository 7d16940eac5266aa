//! Checks the component client-ca: only an API server with a certificate is served.

use std::fs;
use std::process::Command;

use serde_json::Value;

use super::accepted::combination;
use super::{NEWEST, bad, good};
use crate::harness::{Cluster, Identity, Installation, Write};

/// The name that the component accepts.
const NAME: &str = "kube-apiserver-webhooks";

/// The Service of the manifests, as the API server names it when it looks up its client certificate.
const HOST: &str = "chartgate.chartgate-system.svc";

const REFUSED: &str = "chartgate_client_certificate_failures_total";

#[test]
fn only_an_api_server_that_presents_its_certificate_is_served() {
    let Some(cluster) = Cluster::start_presenting(NEWEST, HOST, &Identity::of_client(NAME)) else { return };
    let folder = combination("enforce", &["components/client-ca"]);
    cluster.apply(folder.path(), &[]);
    let installation = Installation::existing(&cluster);
    installation.start();
    installation.wait_until("a bad release is denied", &bad("app"), |_, message| {
        message.contains("denied the request: [chart-ref-name] ")
    });
    installation.wait_until_closed();
    assert_eq!(installation.metrics(REFUSED), 0, "{}", installation.logs());
    // Probes and metrics have a port of their own, without certificates.
    assert!(
        installation
            .reports()
            .iter()
            .all(|(status, report)| *status == 200 && report.contains("[+]client-ca ok"))
    );

    // A client without one gets no further than the handshake.
    let url = format!("https://{}/validate", installation.addresses()[0]);
    let curl = Command::new("curl")
        .args(["-sk", "--max-time", "20", "-d", "{}", &url])
        .output()
        .expect("curl starts");
    assert!(!curl.status.success() && curl.stdout.is_empty(), "{curl:?}");
    assert_eq!(installation.metrics(&format!("{REFUSED}{{reason=\"missing\"}}")), 1);
    let logs = installation.logs();
    let line = logs.lines().find(|line| line.contains("refused a caller")).expect("it is logged");
    let line: Value = serde_json::from_str(line).expect("a line is JSON");
    assert_eq!((&line["peer"], &line["reason"]), (&"127.0.0.1".into(), &"missing".into()), "{line}");

    // The same API server, without the file that configures its certificate.
    fs::remove_file(cluster.admission_config()).expect("the API server was started with it");
    cluster.restart_api_server();
    let namespace = cluster.namespace("without");
    let refused = namespace.releases("v2").create(&good("app"), Write::by("me")).refused();
    assert!(
        refused.contains("failed calling webhook \"validate.chartgate.dev\"")
            && refused.contains("certificate required"),
        "{refused}"
    );
    // Both webhooks were called for it; the first one is skipped.
    assert!(installation.metrics(&format!("{REFUSED}{{reason=\"missing\"}}")) >= 3);
}

#[test]
fn another_client_of_the_same_authority_is_refused_by_its_name() {
    let client = Identity::of_client("system:node:worker");
    let Some(cluster) = Cluster::start_presenting(NEWEST, HOST, &client) else { return };
    let folder = combination("enforce", &["components/client-ca"]);
    cluster.apply(folder.path(), &[]);
    let installation = Installation::existing(&cluster);
    installation.start();
    installation.wait_until("a release is refused", &good("app"), |status, message| {
        let refused = status >= 400 && message.contains("failed calling webhook");
        refused && installation.metrics(&format!("{REFUSED}{{reason=\"name\"}}")) > 0
    });
}
