//! Checks when `/validate` fails closed: not before a replica can answer, ever after, and only where the installation
//! asks for it.

use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use super::accepted::combination;
use super::{NEWEST, READY, bad, good};
use crate::harness::{CONFIGURATIONS, Cluster, Installation, Namespace, Trust, Write, eventually, manifests};

/// The error of a write that waits for chartgate.
const WAITS: &str = "failed calling webhook \"validate.chartgate.dev\"";

fn rules(cluster: &Cluster) -> Value {
    Trust::of(cluster).configuration(CONFIGURATIONS[1])["webhooks"][0]["rules"].clone()
}

/// Whether a new release waits for chartgate. One that `/mutate` was not called for is never provably clean.
fn waits(namespace: &Namespace<'_>) -> Result<(), String> {
    let answer = namespace.releases("v2").create(&good("app"), Write::by("me").dry_run());
    if answer.message().contains(WAITS) { Ok(()) } else { Err(format!("{answer:?}")) }
}

#[test]
fn nothing_waits_before_the_first_replica_and_new_releases_do_when_all_have_gone() {
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    // The first command of the README, before any pod runs.
    let installation = Installation::apply(&cluster, "enforce");
    let namespace = cluster.namespace("early");
    let releases = namespace.releases("v2");
    let me = Write::by("me");
    // A configuration takes effect about a second after it is written.
    sleep(Duration::from_secs(3));
    releases.create(&good("early"), me).accepted();
    releases.merge_patch("early", &json!({"spec": {"interval": "5m"}}), me).accepted();

    installation.start_one();
    installation.wait_until_closed();
    let applied = rules(&cluster);
    assert_eq!(applied.as_array().map(Vec::len), Some(1), "{applied}");
    let fields = Trust::of(&cluster).configuration(CONFIGURATIONS[1])["metadata"]["managedFields"].clone();
    let ours = fields.as_array().unwrap().iter().find(|entry| entry["manager"] == "chartgate-rules").unwrap();
    let webhooks = &ours["fieldsV1"]["f:webhooks"];
    let expected = json!({"k:{\"name\":\"validate.chartgate.dev\"}": {".": {}, "f:name": {}, "f:rules": {}}});
    assert_eq!(*webhooks, expected, "it owns nothing else");
    eventually("it is told", READY, || {
        let report = installation.observe("/readyz?verbose").concat();
        let said = "[+]fails-closed ok: validate.chartgate.dev refuses what nobody has judged\n";
        if report.contains(said) { Ok(()) } else { Err(report) }
    });
    assert_eq!(installation.metrics("chartgate_fails_closed{webhook=\"validate\"}"), 1);
    assert_eq!(installation.metrics("chartgate_fails_closed{webhook=\"mutate\"}"), 0);

    // No replica is there that could add the rules again.
    installation.kill_all();
    eventually("a new release waits", READY, || waits(&namespace));
    let flux = ["--server-side", "--force-conflicts", "--field-manager=kustomize-controller"];
    for how in [&[][..], &flux, &flux, &[]] {
        let output = cluster.kubectl().args(["apply", "-k"]).arg(manifests("enforce")).args(how).output();
        let output = output.expect("kubectl starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(rules(&cluster), applied, "not even for a moment: {how:?}");
    }
    waits(&namespace).unwrap();

    // Replacing the object by the manifest removes them, and a replica adds them again.
    let mut shipped = Trust::of(&cluster).configuration(CONFIGURATIONS[1]);
    shipped["webhooks"][0].as_object_mut().unwrap().remove("rules");
    Trust::of(&cluster).configurations(CONFIGURATIONS[1]).replace(&shipped, me).accepted();
    installation.start_one();
    eventually("the rules are there again", READY, || {
        if rules(&cluster) == applied { Ok(()) } else { Err(installation.logs()) }
    });
    // Longer than the minimum time between two writes: only the delay of the watch remains.
    sleep(Duration::from_secs(6));
    let mut shipped = Trust::of(&cluster).configuration(CONFIGURATIONS[1]);
    shipped["webhooks"][0].as_object_mut().unwrap().remove("rules");
    Trust::of(&cluster).configurations(CONFIGURATIONS[1]).replace(&shipped, me).accepted();
    eventually("the rules are there within two seconds", Duration::from_secs(2), || {
        if rules(&cluster) == applied { Ok(()) } else { Err(installation.logs()) }
    });
}

#[test]
fn an_installation_that_spares_the_system_never_has_flux_system_or_kube_system_wait() {
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    let folder = combination("enforce", &["components/spare-system"]);
    cluster.apply(folder.path(), &[]);
    let installation = Installation::existing(&cluster);
    installation.start_one();
    installation.wait_until_closed();
    let flux = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "flux-system"}});
    cluster.objects("v1", "namespaces").create(&flux, Write::by("me")).accepted();
    let spared = ["flux-system", "kube-system"].map(|name| Namespace::existing(&cluster, name));
    for namespace in &spared {
        // It is judged there all the same, by the webhook that fails open.
        let denied = namespace.releases("v2").create(&bad("app"), Write::by("me")).refused();
        assert!(denied.contains("admission webhook \"mutate.chartgate.dev\" denied the request"), "{denied}");
    }

    installation.kill_all();
    eventually("others wait", READY, || waits(&cluster.namespace("other")));
    for namespace in &spared {
        let releases = namespace.releases("v2");
        releases.create(&good("app"), Write::by("me")).accepted();
        releases.merge_patch("app", &json!({"spec": {"interval": "5m"}}), Write::by("me")).accepted();
    }
}
