//! Checks callers with and without a client certificate, where one is required.

use std::fs;
use std::path::Path;
use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};

use crate::support::both_set;
use crate::support::process::{Process, chartgate, eventually};

/// A client CA.
struct Clients(CertifiedIssuer<'static, KeyPair>);

impl Clients {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "clients");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Writes a certificate of this common name with its key, as curl takes them.
    fn issue(&self, name: &str, file: &Path) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.0).unwrap();
        fs::write(file, certificate.pem() + &key.serialize_pem()).unwrap();
    }
}

/// The output of curl for a review, with a certificate or without one.
fn ask(process: &Process, certificate: Option<&str>) -> String {
    let url = format!("https://{}/validate", process.webhook);
    let mut curl = Command::new("curl");
    curl.args(["-sk", "--max-time", "20", "-H", "content-type: application/json", "-d", &both_set(), &url]);
    if let Some(file) = certificate {
        curl.arg("--cert").arg(process.directory.join(file));
    }
    String::from_utf8(curl.output().unwrap().stdout).unwrap()
}

async fn refused(process: &Process, reason: &str) -> Option<String> {
    process.metric(&format!("chartgate_client_certificate_failures_total{{reason=\"{reason}\"}}")).await
}

#[tokio::test]
async fn only_who_has_a_certificate_of_the_authority_and_an_accepted_name_is_answered() {
    let place = tempfile::tempdir().unwrap();
    let (ours, other) = (Clients::new(), Clients::new());
    fs::write(place.path().join("clients.crt"), ours.0.pem()).unwrap();
    ours.issue("kube-apiserver", &place.path().join("ours.pem"));
    ours.issue("kubelet", &place.path().join("kubelet.pem"));
    other.issue("kube-apiserver", &place.path().join("other.pem"));
    let process = Process::start(place.path(), &["--client-ca=clients.crt", "--client-name=kube-apiserver"]);
    assert!(ask(&process, Some("ours.pem")).contains(r#""uid":"try-me""#), "{}", process.log());
    for (certificate, reason) in
        [(None, "missing"), (Some("kubelet.pem"), "name"), (Some("other.pem"), "untrusted")]
    {
        assert_eq!(ask(&process, certificate), "", "{reason}");
        assert_eq!(refused(&process, reason).await.as_deref(), Some("1"), "{reason}");
    }
    let lines = |log: &str| log.matches("refused a caller: ").count();
    eventually("three lines of the log", async || (lines(&process.log()) == 3).then_some(())).await;
    // However many follow, the log has only a few of them.
    for _ in 0..10 {
        ask(&process, None);
    }
    assert_eq!(refused(&process, "missing").await.as_deref(), Some("11"));
    assert_eq!(lines(&process.log()), 5);

    // The CA is replaced: certificates of the old one are refused from then on, and those of the new one are accepted.
    fs::write(place.path().join("clients.crt"), other.0.pem()).unwrap();
    eventually("the new authority", async || {
        ask(&process, Some("other.pem")).contains("try-me").then_some(())
    })
    .await;
    assert_eq!(ask(&process, Some("ours.pem")), "");

    // A file that is unusable changes nothing.
    fs::write(place.path().join("clients.crt"), "nothing").unwrap();
    eventually("the failure", async || {
        let failures = process.metric("chartgate_client_ca_failures_total").await;
        failures.filter(|failures| failures != "0")
    })
    .await;
    assert!(ask(&process, Some("other.pem")).contains("try-me"));
    eventually("its reason", async || {
        process.log().contains("the client CA of before stays in force").then_some(())
    })
    .await;
    assert_eq!(process.observe("/readyz").await.0, 200);
}

#[test]
fn an_authority_that_cannot_be_used_at_the_start_is_an_error() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("empty.crt"), "").unwrap();
    for (source, expected) in [
        ("missing.crt", "--client-ca: cannot read missing.crt"),
        ("empty.crt", "--client-ca: empty.crt holds no PEM certificate"),
        (
            "cluster",
            "--client-ca=cluster reads the client CA of the cluster, and there is no API server to ask",
        ),
    ] {
        let source = format!("--client-ca={source}");
        let args = ["serve", "--listen=127.0.0.1:0", "--observe=127.0.0.1:0", &source];
        let output = chartgate(place.path()).args(args).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(expected), "{said}");
        assert_eq!(output.status.code(), Some(2), "{said}");
    }
}
