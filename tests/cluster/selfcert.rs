//! `chartgate serve --certs=self` at a real API server: who makes, renews, repairs and leaves alone what.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod install;

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::{Namespace, Source, Write, chart, chart_ref, eventually, release};
use install::{Install, RESOURCES, Replica, SOON, decoded};

/// Lives so short that a test sees many.
const SHORT: &str = "certificates: {caLifetime: 40s, leafLifetime: 10s, renewBefore: 6s}\n";

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

#[test]
fn a_fresh_start_makes_secret_and_ca_bundles_and_the_first_denial_is_right() {
    let _alone = alone();
    let Some(install) = Install::new() else { return };
    install.fail_closed();
    let replica = install.start("");
    replica.ready();

    let secret = install.secret();
    assert_eq!(secret["type"], "kubernetes.io/tls");
    assert_eq!(secret["metadata"]["labels"]["app.kubernetes.io/managed-by"], "chartgate");
    let authority = data(&secret, "ca.crt");
    assert_eq!(install.bundles(), [authority.clone(), authority.clone()]);
    assert!(replica.handshake(&authority).is_ok());
    for resource in RESOURCES {
        let fields = install.configuration(resource)["metadata"]["managedFields"].clone();
        let ours = fields.as_array().unwrap().iter().find(|entry| entry["manager"] == "chartgate").unwrap();
        let webhooks = ours["fieldsV1"]["f:webhooks"].as_object().unwrap();
        let webhook = webhooks.values().next().unwrap();
        assert_eq!(webhook["f:clientConfig"], json!({"f:caBundle": {}}), "it owns nothing else");
    }
    let namespace = install.cluster.namespace("fresh");
    is_called(&namespace);

    assert_eq!(replica.metric("chartgate_certificate_rotations_total{part=\"leaf\"}"), 1);
    assert_eq!(replica.metric("chartgate_certificate_rotations_total{part=\"ca\"}"), 1);
    assert_eq!(replica.metric("chartgate_ca_bundle_writes_total"), 2);
    for key in ["tls.key", "ca.key"] {
        let line = data(&secret, key).lines().nth(1).unwrap().to_owned();
        assert!(!replica.log().contains(&line), "no key is logged");
    }
    replica.process().signal("TERM");
    eventually("it ends", SOON, || replica.process().exit_status().ok_or_else(|| replica.log()));
    assert_eq!(replica.process().exit_status(), Some(0), "{}", replica.process().post_mortem());
}

#[test]
fn two_that_start_at_once_agree_on_one_secret() {
    let _alone = alone();
    let Some(install) = Install::new() else { return };
    let (one, other) = (install.start(""), install.start_beside(""));
    one.ready();
    other.ready();
    let [bundle, same] = install.bundles();
    assert_eq!(bundle, same);
    assert_eq!(one.handshake(&bundle).unwrap(), other.handshake(&bundle).unwrap());
    let made =
        [&one, &other].map(|replica| replica.metric("chartgate_certificate_rotations_total{part=\"ca\"}"));
    assert_eq!(made.iter().sum::<u64>(), 1, "one made it, the other took it");
}

/// Counts calls that failed and calls that did not, until told to end.
#[derive(Default)]
struct Calls {
    ended: AtomicBool,
    made: AtomicUsize,
    failed: Mutex<Vec<String>>,
}

impl Calls {
    fn note<T>(&self, what: &str, result: Result<T, String>) {
        self.made.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = result {
            self.failed.lock().unwrap().push(format!("{what}: {error}"));
        }
    }

    fn go_on(&self) -> bool {
        !self.ended.load(Ordering::Relaxed)
    }
}

/// Applies releases without pause; every one has to pass both webhooks.
fn apply_without_pause(install: &Install, calls: &Calls, worker: usize) {
    let namespace = install.cluster.namespace("rotation");
    let releases = namespace.releases("v2");
    let mut version = 0;
    while calls.go_on() {
        version += 1;
        let mut object = release("v2", &format!("app-{worker}"), &chart_ref());
        // A change, so that /validate is asked too.
        object["spec"]["interval"] = json!(format!("{version}s"));
        let answer = releases.apply(&object, Write::by("kustomize-controller").forced());
        let result = if answer.status < 300 { Ok(()) } else { Err(answer.message().to_owned()) };
        calls.note("apply", result);
    }
}

/// Connects as an API server would that acts on the caBundle of this moment.
fn connect_without_pause(install: &Install, replicas: &[&Replica], calls: &Calls) {
    while calls.go_on() {
        for (place, bundle) in install.bundles().iter().enumerate() {
            for replica in replicas {
                let by = format!("handshake with {} by the bundle of {}", replica.listen, RESOURCES[place]);
                calls.note(&by, replica.handshake(bundle));
            }
        }
        thread::sleep(Duration::from_millis(25));
    }
}

#[test]
fn no_call_fails_over_twenty_rotations() {
    let _alone = alone();
    let Some(install) = Install::new() else { return };
    install.fail_closed();
    let (one, other) = (install.start(SHORT), install.start_beside(SHORT));
    one.ready();
    other.ready();
    is_called(&install.cluster.namespace("first"));
    let rotations = |part: &str| {
        let name = format!("chartgate_certificate_rotations_total{{part=\"{part}\"}}");
        one.metric(&name) + other.metric(&name)
    };

    let calls = Calls::default();
    let before = rotations("leaf");
    thread::scope(|scope| {
        scope.spawn(|| connect_without_pause(&install, &[&one, &other], &calls));
        for worker in 0..2 {
            let (install, calls) = (&install, &calls);
            scope.spawn(move || apply_without_pause(install, calls, worker));
        }
        let start = Instant::now();
        while rotations("leaf") < before + 22 && start.elapsed() < Duration::from_mins(4) {
            thread::sleep(Duration::from_millis(500));
        }
        calls.ended.store(true, Ordering::Relaxed);
    });
    let made = calls.made.load(Ordering::Relaxed);
    let failed = calls.failed.into_inner().unwrap();
    let summary = format!(
        "{} leaves, {} authorities, {made} calls, {} failed",
        rotations("leaf") - before,
        rotations("ca"),
        failed.len()
    );
    io::Write::write_all(&mut io::stderr(), format!("{summary}\n").as_bytes()).unwrap();
    assert!(
        failed.is_empty(),
        "{summary}: {:#?}\n{}\n{}",
        &failed[..failed.len().min(5)],
        one.log(),
        other.log()
    );
    assert!(rotations("leaf") >= before + 20 && rotations("ca") >= 3, "{summary}");
    assert!(made > 1000, "{summary}");
}

/// Runs `breaking` while a client applies without pause, waits until `whole` holds again, and expects no failed call.
fn no_call_fails_while(
    install: &Install,
    breaking: impl FnOnce(),
    mut whole: impl FnMut() -> Result<(), String>,
) {
    let calls = Calls::default();
    thread::scope(|scope| {
        scope.spawn(|| apply_without_pause(install, &calls, 0));
        breaking();
        eventually("everything is whole again", SOON, &mut whole);
        thread::sleep(Duration::from_secs(5));
        calls.ended.store(true, Ordering::Relaxed);
    });
    let failed = calls.failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn a_deleted_secret_is_made_again_and_no_call_fails() {
    let _alone = alone();
    let Some(install) = Install::new() else { return };
    install.fail_closed();
    let replica = install.start(SHORT);
    replica.ready();
    is_called(&install.cluster.namespace("first"));
    let before = data(&install.secret(), "ca.key");
    let whole = || {
        let secret = install.secrets().get("chartgate-tls");
        if secret.status == 200 && data(&secret.body, "ca.key") != before {
            replica.is_ready()
        } else {
            Err("not yet".into())
        }
    };
    no_call_fails_while(&install, || drop(install.secrets().delete("chartgate-tls").accepted()), whole);
}

#[test]
fn a_secret_of_garbage_is_repaired_with_an_event_and_a_log_line_and_no_call_fails() {
    let _alone = alone();
    let Some(install) = Install::new() else { return };
    install.fail_closed();
    let replica = install.start(SHORT);
    replica.ready();
    is_called(&install.cluster.namespace("first"));
    let garbage = STANDARD.encode("garbage");
    let patch =
        json!({"data": {"ca.crt": garbage, "ca.key": garbage, "tls.crt": garbage, "tls.key": garbage}});
    let break_it =
        || drop(install.secrets().merge_patch("chartgate-tls", &patch, Write::by("vandal")).accepted());
    no_call_fails_while(&install, break_it, || {
        if replica.metric("chartgate_certificate_repairs_total") == 1 {
            replica.is_ready()
        } else {
            Err("not yet".into())
        }
    });
    let what = "ca.crt holds something else than certificates; ca.key holds no key that can sign; tls.crt holds no PEM \
                certificate";
    assert!(replica.log().contains(what), "{}", replica.log());
    let events = install.objects("events.k8s.io/v1", "events").list().accepted();
    let event =
        events["items"].as_array().unwrap().iter().find(|event| event["reason"] == "CertificateRepaired");
    let event = event.unwrap_or_else(|| panic!("{events}"));
    assert_eq!(event["regarding"]["name"], "chartgate-tls");
    assert_eq!(event["type"], "Warning");
    assert_eq!(event["note"], format!("chartgate found the Secret broken and repaired it: {what}"));
}

/// How long it takes until both caBundles are as before.
#[track_caller]
fn is_restored(install: &Install, expected: &[String; 2]) -> Duration {
    let start = Instant::now();
    eventually("the caBundles are restored", SOON, || {
        let bundles = install.bundles();
        if bundles == *expected { Ok(()) } else { Err(format!("{bundles:?}")) }
    });
    start.elapsed()
}

#[test]
fn a_ca_bundle_that_somebody_empties_or_replaces_is_restored_at_once() {
    let _alone = alone();
    let Some(install) = Install::new() else { return };
    let replica = install.start("");
    replica.ready();
    let before = install.bundles();
    let empty = json!([{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]);
    let foreign = STANDARD.encode("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let foreign = json!([{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": foreign}]);
    for resource in RESOURCES {
        let mut patches = vec![&empty];
        // The API server checks what it is given.
        let objects = install.configurations(resource);
        if objects.json_patch("chartgate", &foreign, Write::by("vandal").dry_run()).status < 300 {
            patches.push(&foreign);
        }
        for patch in patches {
            objects.json_patch("chartgate", patch, Write::by("vandal")).accepted();
            let took = is_restored(&install, &before);
            assert!(took < Duration::from_secs(2), "{took:?}");
        }
        // As `kubectl replace` does with our manifests.
        let mut whole = install.configuration(resource);
        whole["webhooks"][0]["clientConfig"].as_object_mut().unwrap().remove("caBundle");
        objects.replace(&whole, Write::by("vandal")).accepted();
        assert!(is_restored(&install, &before) < Duration::from_secs(2));
    }
    // The other one may have been found wrong last.
    eventually("chartgate is ready again", SOON, || replica.is_ready());
}

#[test]
fn applying_the_manifests_again_changes_nothing_for_long() {
    let _alone = alone();
    let Some(install) = Install::new() else { return };
    let replica = install.start("");
    replica.ready();
    let before = install.bundles();
    let server_side: &[&str] =
        &["--server-side", "--force-conflicts", "--field-manager=kustomize-controller"];
    for how in [&[], server_side, server_side, &[]] {
        install.apply_manifests(how);
        assert_eq!(install.bundles(), before, "not even for a moment: {how:?}");
        let versions = || {
            RESOURCES.map(|resource| install.configuration(resource)["metadata"]["resourceVersion"].clone())
        };
        let after = versions();
        thread::sleep(Duration::from_secs(3));
        assert_eq!(versions(), after, "{how:?}");
    }
    assert_eq!(replica.metric("chartgate_ca_bundle_writes_total"), 2);
}

#[test]
fn the_real_flux_applies_the_manifests_over_and_over_and_nobody_fights() {
    let _alone = alone();
    let Some(install) = Install::without_configurations() else { return };
    let Some(controller) = install.cluster.kustomize_controller() else { return };
    let namespace = install.cluster.namespace("flux");
    let source = Source::create(controller, &namespace);
    let [mutating, validating] = install::manifests();
    source.publish(&[("mutating.yaml", &mutating), ("validating.yaml", &validating)]).unwrap();
    let replica = install.start("");
    replica.ready();
    let before = install.bundles();
    assert_eq!(before, [data(&install.secret(), "ca.crt"), data(&install.secret(), "ca.crt")]);

    let versions =
        || RESOURCES.map(|resource| install.configuration(resource)["metadata"]["resourceVersion"].clone());
    let quiet = versions();
    // Its interval is ten seconds.
    thread::sleep(Duration::from_secs(25));
    assert_eq!(versions(), quiet);

    let changed = validating.replace("timeoutSeconds: 3", "timeoutSeconds: 4");
    source.publish(&[("mutating.yaml", &mutating), ("validating.yaml", &changed)]).unwrap();
    let applied = install.configuration(RESOURCES[1]);
    assert_eq!(applied["webhooks"][0]["timeoutSeconds"], 4);
    assert_eq!(install.bundles(), before);
    assert_eq!(replica.metric("chartgate_ca_bundle_writes_total"), 2);
}

#[test]
fn a_configuration_that_comes_later_or_anew_gets_its_ca_bundle() {
    let _alone = alone();
    let Some(install) = Install::without_configurations() else { return };
    let replica = install.start("");
    // Nobody calls, so nobody can be disappointed: who waits for a ready server before he registers it can go on.
    replica.ready();
    install.apply_manifests(&[]);
    let authority = data(&install.secret(), "ca.crt");
    is_restored(&install, &[authority.clone(), authority.clone()]);
    install.configurations(RESOURCES[0]).delete("chartgate").accepted();
    install.apply_manifests(&[]);
    is_restored(&install, &[authority.clone(), authority]);
    eventually("chartgate is ready again", SOON, || replica.is_ready());
    is_called(&install.cluster.namespace("later"));
}

#[test]
fn what_belongs_to_cert_manager_is_left_alone_with_a_clear_message() {
    let _alone = alone();
    let Some(install) = Install::new() else { return };
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
    let before = install.secrets().create(&secret, Write::by("cert-manager")).accepted();
    let annotation = json!({"metadata": {"annotations": {"cert-manager.io/inject-ca-from": "chartgate-system/chartgate"}}});
    install.configurations(RESOURCES[0]).merge_patch("chartgate", &annotation, Write::by("tests")).accepted();
    let replica = install.start("");
    let said = eventually("chartgate says why", SOON, || {
        let report = replica.observe("/readyz");
        if report.contains("cert-manager") { Ok(report) } else { Err(report) }
    });
    assert!(
        said.contains(
            "the Secret is left alone: it belongs to cert-manager (cert-manager.io/certificate-name)"
        ),
        "{said}"
    );
    assert!(replica.log().contains("mount it and name the directory with --certs"), "{}", replica.log());
    thread::sleep(Duration::from_secs(2));
    assert_eq!(install.secret(), before);
    assert_eq!(install.bundles(), [String::new(), String::new()]);

    // Without the Secret of cert-manager, its configuration still is.
    install.secrets().delete("chartgate-tls").accepted();
    eventually("the other configuration is ours", SOON, || {
        let [theirs, ours] = install.bundles();
        assert_eq!(theirs, "");
        if ours.is_empty() { Err("not yet") } else { Ok(()) }.map_err(str::to_owned)
    });
    let report = replica.is_ready().unwrap_err();
    assert!(report.contains("cert-manager writes that of the MutatingWebhookConfiguration"), "{report}");
}

#[test]
fn a_start_without_api_server_waits_for_it() {
    let _alone = alone();
    let Some(install) = Install::new() else { return };
    let later = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let listen = SocketAddr::new(install.address().into(), 443);
    let replica = install.start_on(listen, later.port(), "");
    let said = eventually("chartgate says why", SOON, || {
        let report = replica.observe("/readyz");
        if report.contains("cannot watch") { Ok(report) } else { Err(report) }
    });
    assert!(said.contains("the API server has not shown the Secret yet"), "{said}");
    assert!(replica.handshake("").is_err());
    assert!(replica.process().exit_status().is_none());

    forward(TcpListener::bind(later).unwrap(), install.cluster.port());
    replica.ready();
    is_called(&install.cluster.namespace("later"));
}

/// Hands every connection on, for as long as the tests run.
fn forward(listener: TcpListener, port: u16) {
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(("127.0.0.1", port)).expect("the API server listens");
            let (mut up, mut down) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || drop(io::copy(&mut up, &mut { server })));
            thread::spawn(move || drop(io::copy(&mut down, &mut { client })));
        }
    });
}
