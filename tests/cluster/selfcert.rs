//! `chartgate serve --certs=self` at a real API server: who makes, renews, repairs and leaves alone what. That no call
//! fails meanwhile is shown in `no_failed_call.rs`.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::{
    CONFIGURATIONS, Cluster, Installation, Namespace, Source, Trust, Write, chart, chart_ref, decoded,
    eventually, handshake, manifests, release,
};

const NEWEST: &str = "2.9";

/// It takes some milliseconds; the machine may be busy compiling.
const SOON: Duration = Duration::from_mins(1);

/// Whoever measures time must not share two cores with other clusters.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until the API server acts on the caBundles: a write reaches the webhook, and is answered.
#[track_caller]
fn is_called(namespace: &Namespace<'_>) {
    eventually("the API server calls chartgate", SOON, || denial(namespace));
}

/// What a release is told that sets both chart and chartRef; an error where it is not told by chartgate.
fn denial(namespace: &Namespace<'_>) -> Result<String, String> {
    let mut both = chart();
    both.as_object_mut().unwrap().extend(chart_ref().as_object().unwrap().clone());
    let answer = namespace.releases("v2").create(&release("v2", "both", &both), Write::by("me").dry_run());
    let said = answer.message().to_owned();
    if said.contains("admission webhook \"mutate.chartgate.dev\" denied the request: [chart-and-chart-ref]") {
        Ok(said)
    } else {
        Err(said)
    }
}

fn data(secret: &Value, key: &str) -> String {
    decoded(&secret["data"][key])
}

/// What the replicas say that are not ready.
fn are_ready(installation: &Installation<'_>) -> Result<(), String> {
    let reports = installation.observe("/readyz");
    if reports.iter().all(|report| report == "ok\n") { Ok(()) } else { Err(reports.concat()) }
}

#[test]
fn a_fresh_start_makes_secret_and_ca_bundles_and_the_first_denial_is_right() {
    let _alone = alone();
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    let (installation, trust) = (Installation::apply(&cluster, "enforce"), Trust::of(&cluster));
    trust.fail_closed();
    installation.start_one();

    let secret = trust.secret();
    assert_eq!(secret["type"], "kubernetes.io/tls");
    assert_eq!(secret["metadata"]["labels"]["app.kubernetes.io/managed-by"], "chartgate");
    let authority = data(&secret, "ca.crt");
    assert_eq!(trust.bundles(), [authority.clone(), authority.clone()]);
    assert!(handshake(installation.address(), &authority).is_ok());
    for resource in CONFIGURATIONS {
        let fields = trust.configuration(resource)["metadata"]["managedFields"].clone();
        let ours = fields.as_array().unwrap().iter().find(|entry| entry["manager"] == "chartgate").unwrap();
        let webhooks = ours["fieldsV1"]["f:webhooks"].as_object().unwrap();
        let webhook = webhooks.values().next().unwrap();
        assert_eq!(webhook["f:clientConfig"], json!({"f:caBundle": {}}), "it owns nothing else");
    }
    is_called(&cluster.namespace("fresh"));

    assert_eq!(installation.metrics("chartgate_certificate_rotations_total{part=\"leaf\"}"), 1);
    assert_eq!(installation.metrics("chartgate_certificate_rotations_total{part=\"ca\"}"), 1);
    assert_eq!(installation.metrics("chartgate_ca_bundle_writes_total"), 2);
    for key in ["tls.key", "ca.key"] {
        let line = data(&secret, key).lines().nth(1).unwrap().to_owned();
        assert!(!installation.logs().contains(&line), "no key is logged");
    }
    installation.terminate_oldest();
}

#[test]
fn two_that_start_at_once_agree_on_one_secret() {
    let _alone = alone();
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    let installation = Installation::apply(&cluster, "enforce");
    installation.launch();
    installation.launch();
    eventually("both are ready", SOON, || are_ready(&installation));
    let [bundle, same] = Trust::of(&cluster).bundles();
    assert_eq!(bundle, same);
    let shown: Vec<_> =
        installation.addresses().iter().map(|address| handshake(*address, &bundle).unwrap()).collect();
    assert_eq!(shown[0], shown[1]);
    let made = installation.metrics("chartgate_certificate_rotations_total{part=\"ca\"}");
    assert_eq!(made, 1, "one made it, the other took it");
}

#[test]
fn a_secret_of_garbage_is_repaired_with_an_event_and_a_log_line() {
    let _alone = alone();
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    let (installation, trust) = (Installation::apply(&cluster, "enforce"), Trust::of(&cluster));
    installation.start_one();
    let garbage = STANDARD.encode("garbage");
    let patch =
        json!({"data": {"ca.crt": garbage, "ca.key": garbage, "tls.crt": garbage, "tls.key": garbage}});
    trust.secrets().merge_patch("chartgate-tls", &patch, Write::by("vandal")).accepted();
    eventually("it is repaired", SOON, || {
        if installation.metrics("chartgate_certificate_repairs_total") == 1 {
            are_ready(&installation)
        } else {
            Err("not yet".into())
        }
    });
    let what = "ca.crt holds something else than certificates; ca.key holds no key that can sign; tls.crt holds no PEM \
                certificate";
    assert!(installation.logs().contains(what), "{}", installation.logs());
    let system = Namespace::existing(&cluster, "chartgate-system");
    // It is written after the Secret.
    let event = eventually("there is an event", SOON, || {
        let events = system.objects("events.k8s.io/v1", "events").list().accepted();
        let mut found = events["items"].as_array().unwrap().iter();
        let found = found.find(|event| event["reason"] == "CertificateRepaired").cloned();
        found.ok_or_else(|| events.to_string())
    });
    assert_eq!(event["regarding"]["name"], "chartgate-tls");
    assert_eq!(event["type"], "Warning");
    assert_eq!(event["note"], format!("chartgate found the Secret broken and repaired it: {what}"));
}

/// How long it takes until both caBundles are as before.
#[track_caller]
fn is_restored(trust: Trust<'_>, expected: &[String; 2]) -> Duration {
    let start = Instant::now();
    eventually("the caBundles are restored", SOON, || {
        let bundles = trust.bundles();
        if bundles == *expected { Ok(()) } else { Err(format!("{bundles:?}")) }
    });
    start.elapsed()
}

#[test]
fn a_ca_bundle_that_somebody_empties_or_replaces_is_restored_at_once() {
    let _alone = alone();
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    let (installation, trust) = (Installation::apply(&cluster, "enforce"), Trust::of(&cluster));
    installation.start_one();
    let before = trust.bundles();
    let empty = json!([{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]);
    let foreign = STANDARD.encode("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let foreign = json!([{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": foreign}]);
    for resource in CONFIGURATIONS {
        let mut patches = vec![&empty];
        // The API server checks what it is given.
        let objects = trust.configurations(resource);
        if objects.json_patch("chartgate", &foreign, Write::by("vandal").dry_run()).status < 300 {
            patches.push(&foreign);
        }
        for patch in patches {
            objects.json_patch("chartgate", patch, Write::by("vandal")).accepted();
            let took = is_restored(trust, &before);
            assert!(took < Duration::from_secs(2), "{took:?}");
        }
        // As `kubectl replace` does with our manifests.
        let mut whole = trust.configuration(resource);
        whole["webhooks"][0]["clientConfig"].as_object_mut().unwrap().remove("caBundle");
        objects.replace(&whole, Write::by("vandal")).accepted();
        assert!(is_restored(trust, &before) < Duration::from_secs(2));
    }
    // The other one may have been found wrong last.
    eventually("chartgate is ready again", SOON, || are_ready(&installation));
}

#[test]
fn applying_the_manifests_again_changes_nothing_for_long() {
    let _alone = alone();
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    let (installation, trust) = (Installation::apply(&cluster, "enforce"), Trust::of(&cluster));
    installation.start_one();
    // Until it is, chartgate writes the rules of /validate.
    installation.wait_until_closed();
    let before = trust.bundles();
    let server_side: &[&str] =
        &["--server-side", "--force-conflicts", "--field-manager=kustomize-controller"];
    for how in [&[], server_side, server_side, &[]] {
        // Not by the harness's own way: where both ways of kubectl meet, it warns.
        let output = cluster.kubectl().args(["apply", "-k"]).arg(manifests("enforce")).args(how).output();
        let output = output.expect("kubectl starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(trust.bundles(), before, "not even for a moment: {how:?}");
        let versions = || {
            CONFIGURATIONS
                .map(|resource| trust.configuration(resource)["metadata"]["resourceVersion"].clone())
        };
        let after = versions();
        sleep(Duration::from_secs(3));
        assert_eq!(versions(), after, "{how:?}");
    }
    assert_eq!(installation.metrics("chartgate_ca_bundle_writes_total"), 2);
}

#[test]
fn the_real_flux_applies_the_manifests_over_and_over_and_nobody_fights() {
    let _alone = alone();
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    let Some(controller) = cluster.kustomize_controller() else { return };
    let (installation, trust) = (Installation::apply(&cluster, "enforce"), Trust::of(&cluster));
    remove_configurations(trust);
    let namespace = cluster.namespace("flux");
    let source = Source::create(controller, &namespace);
    let [mutating, validating] = ["10-mutating-webhook.yaml", "11-validating-webhook.yaml"]
        .map(|file| fs::read_to_string(manifests("base").join(file)).unwrap());
    source.publish(&[("mutating.yaml", &mutating), ("validating.yaml", &validating)]).unwrap();
    installation.start_one();
    let before = trust.bundles();
    assert_eq!(before, [data(&trust.secret(), "ca.crt"), data(&trust.secret(), "ca.crt")]);

    let versions = || {
        CONFIGURATIONS.map(|resource| trust.configuration(resource)["metadata"]["resourceVersion"].clone())
    };
    let quiet = versions();
    // Its interval is ten seconds.
    sleep(Duration::from_secs(25));
    assert_eq!(versions(), quiet);

    let changed = validating.replace("timeoutSeconds: 3", "timeoutSeconds: 4");
    source.publish(&[("mutating.yaml", &mutating), ("validating.yaml", &changed)]).unwrap();
    let applied = trust.configuration(CONFIGURATIONS[1]);
    assert_eq!(applied["webhooks"][0]["timeoutSeconds"], 4);
    assert_eq!(trust.bundles(), before);
    assert_eq!(installation.metrics("chartgate_ca_bundle_writes_total"), 2);
}

#[test]
fn a_configuration_that_comes_later_or_anew_gets_its_ca_bundle() {
    let _alone = alone();
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    let (installation, trust) = (Installation::apply(&cluster, "enforce"), Trust::of(&cluster));
    remove_configurations(trust);
    // Nobody calls, so nobody can be disappointed: who waits for a ready server before he registers it can go on.
    installation.start_one();
    cluster.apply(&manifests("enforce"), &[]);
    let authority = data(&trust.secret(), "ca.crt");
    is_restored(trust, &[authority.clone(), authority.clone()]);
    trust.configurations(CONFIGURATIONS[0]).delete("chartgate").accepted();
    cluster.apply(&manifests("enforce"), &[]);
    is_restored(trust, &[authority.clone(), authority]);
    eventually("chartgate is ready again", SOON, || are_ready(&installation));
    is_called(&cluster.namespace("later"));
}

/// The installation without its webhook configurations.
fn remove_configurations(trust: Trust<'_>) {
    for resource in CONFIGURATIONS {
        trust.configurations(resource).delete("chartgate").accepted();
    }
}

#[test]
fn what_belongs_to_cert_manager_is_left_alone_with_a_clear_message() {
    const LEFT_ALONE: &str =
        "the Secret is left alone: it belongs to cert-manager (cert-manager.io/certificate-name)";
    let _alone = alone();
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    let (installation, trust) = (Installation::apply(&cluster, "enforce"), Trust::of(&cluster));
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "chartgate-tls",
            "annotations": {"cert-manager.io/certificate-name": "chartgate"},
            "labels": {"controller.cert-manager.io/fao": "true"},
        },
        "type": "kubernetes.io/tls",
        "stringData": {"tls.crt": "theirs", "tls.key": "theirs"},
    });
    let before = trust.secrets().create(&secret, Write::by("cert-manager")).accepted();
    let annotation = json!({"metadata": {"annotations": {"cert-manager.io/inject-ca-from": "chartgate-system/chartgate"}}});
    trust
        .configurations(CONFIGURATIONS[0])
        .merge_patch("chartgate", &annotation, Write::by("tests"))
        .accepted();
    installation.launch();
    eventually("chartgate says why", SOON, || {
        let report = installation.observe("/readyz").concat();
        if report.contains(LEFT_ALONE) { Ok(()) } else { Err(report) }
    });
    // The log line is written after the state that /readyz reports.
    eventually("the log says what to do", SOON, || {
        let log = installation.logs();
        if log.contains("mount it and name the directory with --certs") { Ok(()) } else { Err(log) }
    });
    sleep(Duration::from_secs(2));
    assert_eq!(trust.secret(), before);
    assert_eq!(trust.bundles(), [String::new(), String::new()]);

    // Without the Secret of cert-manager, its configuration still is.
    trust.secrets().delete("chartgate-tls").accepted();
    eventually("the other configuration is ours", SOON, || {
        let [theirs, ours] = trust.bundles();
        assert_eq!(theirs, "");
        if ours.is_empty() { Err("not yet") } else { Ok(()) }.map_err(str::to_owned)
    });
    let report = are_ready(&installation).unwrap_err();
    assert!(report.contains("cert-manager writes that of the MutatingWebhookConfiguration"), "{report}");
}

#[test]
fn a_start_without_api_server_waits_for_it() {
    let _alone = alone();
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    let mut door = cluster.door();
    let mut installation = Installation::apply(&cluster, "enforce");
    installation.through(&door);
    installation.launch();
    let said = eventually("chartgate says why", SOON, || {
        let report = installation.observe("/readyz").concat();
        if report.contains("cannot watch") { Ok(report) } else { Err(report) }
    });
    assert!(said.contains("the API server has not shown the Secret yet"), "{said}");
    assert!(handshake(installation.addresses()[0], "").is_err());

    door.open();
    eventually("chartgate is ready", SOON, || are_ready(&installation));
    is_called(&cluster.namespace("later"));
}
