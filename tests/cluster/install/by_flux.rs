//! The example in which the very Flux that chartgate watches installs it: neither can lock the other out.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use serde_json::json;

use super::{NEWEST, READY, bad, good};
use crate::harness::{
    CONFIGURATIONS, Cluster, Installation, Namespace, Objects, Source, Trust, Write, eventually, manifests,
};

#[test]
fn flux_installs_it_repairs_it_while_it_is_away_and_removes_it() {
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    let Some(controller) = cluster.kustomize_controller() else { return };
    let flux = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "flux-system"}});
    let by = Write::by("chartgate-tests");
    cluster.objects("v1", "namespaces").create(&flux, by).accepted();
    cluster.apply(&manifests("examples/flux"), &[]);
    let flux = Namespace::existing(&cluster, "flux-system");
    let kustomizations = flux.objects("kustomize.toolkit.fluxcd.io/v1", "kustomizations");
    // Pods never become ready where there is no kubelet.
    kustomizations.merge_patch("chartgate", &json!({"spec": {"wait": false}}), by).accepted();

    let source = Source::existing(controller, &flux, ("ocirepositories", "chartgate"));
    let mut files = Vec::new();
    collect(&manifests("."), "", &mut files);
    publish(&source, &files).expect("Flux applies the manifests");
    let installation = Installation::existing(&cluster);
    installation.start();
    installation.wait_until("a bad release is denied", &bad("app"), |status, _| status == 403);
    installation.wait_until_closed();
    nobody_fights(&cluster, &kustomizations);

    // Everything is down, and its repair comes the usual way.
    installation.kill_all();
    let releases = cluster.namespace("flux").releases("v2");
    let waits = releases.create(&good("app"), Write::by("me")).refused();
    assert!(waits.contains("failed calling webhook"), "{waits}");
    let deployment =
        files.iter_mut().find(|(path, _)| path == "enforce/deployment.yaml").expect("it is there");
    deployment.1 = deployment.1.replace("replicas: 2", "replicas: 3");
    publish(&source, &files).expect("what repairs chartgate does not wait for it");
    let system = Namespace::existing(&cluster, "chartgate-system");
    let deployment = system.objects("apps/v1", "deployments").get("chartgate").accepted();
    assert_eq!(deployment["spec"]["replicas"], 3);
    // Flux has applied the webhook configurations once more, and left caBundle alone.
    installation.start_one();
    installation.wait_until("a bad release is denied again", &bad("app"), |status, _| status == 403);

    // Whoever gives up gets rid of all of it, and nothing waits any more.
    installation.kill_all();
    kustomizations.delete("chartgate").accepted();
    eventually("what Flux has installed is gone", READY, || {
        let answer = releases.create(&bad("app"), Write::by("me").dry_run());
        if answer.status == 201 { Ok(()) } else { Err(answer.message().to_owned()) }
    });
}

/// Applied repeatedly by the real kustomize-controller, the configurations stay as they are: it does not name the fields
/// that chartgate has applied, and finds no drift.
fn nobody_fights(cluster: &Cluster, kustomizations: &Objects) {
    let by = Write::by("chartgate-tests");
    kustomizations.merge_patch("chartgate", &json!({"spec": {"interval": "5s"}}), by).accepted();
    let trust = Trust::of(cluster);
    let versions = || {
        CONFIGURATIONS.map(|resource| trust.configuration(resource)["metadata"]["resourceVersion"].clone())
    };
    let applied = || {
        let found = kustomizations.get("chartgate").accepted();
        let ready = &found["status"]["conditions"][0]["lastTransitionTime"];
        (found["metadata"]["resourceVersion"].clone(), ready.clone())
    };
    let (before, quiet) = (applied(), versions());
    sleep(Duration::from_secs(20));
    assert_ne!(applied(), before, "it was applied meanwhile");
    assert_eq!(versions(), quiet, "nobody wrote them");
    let rules = trust.configuration(CONFIGURATIONS[1])["webhooks"][0]["rules"].clone();
    assert_eq!(rules[0]["resources"], json!(["helmreleases"]));
}

fn publish(source: &Source<'_>, files: &[(String, String)]) -> Result<String, String> {
    let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    source.publish(&files)
}

/// Every file below a folder, by its path there.
fn collect(folder: &Path, below: &str, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("a folder of the checkout") {
        let path = entry.expect("it can be listed").path();
        let name =
            format!("{below}{}", path.file_name().expect("a listed file has a name").to_string_lossy());
        if path.is_dir() {
            collect(&path, &format!("{name}/"), files);
        } else {
            files.push((name, fs::read_to_string(&path).expect("manifests are text")));
        }
    }
}
