//! Every kustomization of `manifests/` builds, and the API server accepts all of what comes out, strictly and without a
//! warning; its own Pod Security admission agrees with our pods.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::NEWEST;
use crate::harness::{Cluster, Namespace, Write, manifests};

const OVERLAYS: [&str; 2] = ["audit", "enforce"];

#[test]
fn the_api_server_accepts_every_overlay_with_every_component() {
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    if !cluster.install_crds_of_components() || cluster.kustomize_controller().is_none() {
        return;
    }
    // A dry run of the namespace creates none for the objects in it.
    let namespace = &cluster.kustomize(&manifests("base"))[0];
    assert_eq!(namespace["kind"], "Namespace");
    cluster.objects("v1", "namespaces").create(namespace, Write::by("chartgate-tests")).accepted();
    let flux = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "flux-system"}});
    cluster.objects("v1", "namespaces").create(&flux, Write::by("chartgate-tests")).accepted();

    let all: Vec<_> = components().collect();
    let combined = OVERLAYS.iter().flat_map(|overlay| {
        let each = all.iter().map(|component| combination(overlay, &[component]));
        each.chain([combination(overlay, &all)])
    });
    let combined: Vec<TempDir> = combined.collect();
    let plain = kustomizations().into_iter().filter(|folder| !is_component(folder));
    let folders: Vec<PathBuf> = plain.chain(combined.iter().map(|folder| folder.path().to_owned())).collect();
    assert!(folders.len() > 6, "{folders:?}");
    for folder in &folders {
        let built = cluster.kustomize(folder);
        let said = cluster.apply(folder, &["--server-side", "--dry-run=server"]);
        assert_eq!(said.lines().count(), built.len(), "{}: {said}", folder.display());
    }
}

#[test]
fn pod_security_lets_only_our_pods_into_the_namespace() {
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    for overlay in OVERLAYS {
        cluster.apply(&manifests(overlay), &[]);
        let system = Namespace::existing(&cluster, "chartgate-system");
        // A controller that does not run here would fill in what the quota starts from.
        if overlay == "enforce" {
            let quotas = system.objects("v1", "resourcequotas");
            let hard = quotas.get("chartgate-critical-pods").accepted()["spec"]["hard"].clone();
            let status = json!({"status": {"hard": hard, "used": {"pods": "0"}}});
            let by = Write::by("kube-controller-manager");
            quotas.status().merge_patch("chartgate-critical-pods", &status, by).accepted();
        }
        let deployment = system.objects("apps/v1", "deployments").get("chartgate").accepted();
        let template = &deployment["spec"]["template"];
        let pods = system.objects("v1", "pods");
        let pod = |template: &Value| {
            json!({"apiVersion": "v1", "kind": "Pod", "spec": template["spec"],
                   "metadata": {"name": "chartgate-0", "labels": template["metadata"]["labels"]}})
        };
        let answer = pods.create(&pod(template), Write::by("kubelet").dry_run());
        assert_eq!(answer.warnings, [""; 0], "{overlay}");
        answer.accepted();

        let mut lax = template.clone();
        lax["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true);
        let refused = pods.create(&pod(&lax), Write::by("kubelet").dry_run()).refused();
        assert!(refused.contains("violates PodSecurity \"restricted:v1.35\""), "{refused}");
    }
}

#[test]
fn one_overlay_is_applied_over_the_other_in_both_directions_and_removed() {
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    let system = Namespace::existing(&cluster, "chartgate-system");
    let webhooks = |resource| cluster.objects("admissionregistration.k8s.io/v1", resource).get("chartgate");
    for overlay in ["audit", "enforce", "audit"] {
        cluster.apply(&manifests(overlay), &[]);
        let enforces = overlay == "enforce";
        let policy = |resource| webhooks(resource).accepted()["webhooks"][0]["failurePolicy"].clone();
        assert_eq!(policy("mutatingwebhookconfigurations"), "Ignore");
        assert_eq!(policy("validatingwebhookconfigurations"), if enforces { "Fail" } else { "Ignore" });
        let config = system.objects("v1", "configmaps").get("chartgate").accepted();
        let config = config["data"]["chartgate.yaml"].as_str().map(str::trim_end);
        assert_eq!(config, Some(&*format!("mode: {overlay}\naudit: {{interval: 1h}}")));
        let deployment = &system.objects("apps/v1", "deployments").get("chartgate").accepted()["spec"];
        assert_eq!(deployment["replicas"], if enforces { 2 } else { 1 });
        let pod = &deployment["template"]["spec"];
        assert_eq!(pod["priorityClassName"].is_string(), enforces);
        assert_eq!(pod["topologySpreadConstraints"].is_array(), enforces);
    }
    let deleted = cluster.kubectl().args(["delete", "--wait=false", "-k"]).arg(manifests("audit")).output();
    let deleted = deleted.expect("kubectl starts");
    assert!(deleted.status.success(), "{}", String::from_utf8_lossy(&deleted.stderr));
    for resource in ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"] {
        assert_eq!(webhooks(resource).status, 404);
    }
}

#[test]
fn the_image_is_the_one_of_this_version() {
    let deployment = fs::read_to_string(manifests("base/06-deployment.yaml")).unwrap();
    let deployment: Value = serde_saphyr::from_str(&deployment).unwrap();
    let image = &deployment["spec"]["template"]["spec"]["containers"][0]["image"];
    assert_eq!(image, &format!("chartgate:{}", env!("CARGO_PKG_VERSION")));
}

/// The folders that hold a `kustomization.yaml`.
fn kustomizations() -> Vec<PathBuf> {
    fn find(folder: &Path, found: &mut Vec<PathBuf>) {
        if folder.join("kustomization.yaml").is_file() {
            found.push(folder.to_owned());
        }
        let entries = fs::read_dir(folder).expect("a folder of the checkout");
        let mut entries: Vec<_> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
        entries.sort();
        for folder in entries.iter().filter(|path| path.is_dir()) {
            find(folder, found);
        }
    }
    let mut found = Vec::new();
    find(&manifests("."), &mut found);
    found
}

fn is_component(folder: &Path) -> bool {
    let text = fs::read_to_string(folder.join("kustomization.yaml")).expect("it was found a moment ago");
    text.lines().any(|line| line == "kind: Component")
}

/// The components below `manifests`, such as `components/prometheus`.
fn components() -> impl Iterator<Item = String> {
    let root = manifests(".");
    let path = move |folder: PathBuf| {
        folder.strip_prefix(&root).expect("it was found there").to_string_lossy().into_owned()
    };
    kustomizations().into_iter().filter(|folder| is_component(folder)).map(path)
}

/// A kustomization of an overlay and components, beside a copy of the manifests: kustomize takes no absolute paths.
pub(super) fn combination(overlay: &str, components: &[impl AsRef<str>]) -> TempDir {
    let folder = tempfile::tempdir().expect("the temporary directory can be written");
    copy(&manifests("."), &folder.path().join("manifests"));
    let components: Vec<_> = components.iter().map(|name| format!("manifests/{}", name.as_ref())).collect();
    let kustomization = json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [format!("manifests/{overlay}")],
        "components": components,
        // As the example in the Deployment says.
        "images": [{"name": "chartgate", "newName": "registry.example.org/chartgate"}],
    });
    fs::write(folder.path().join("kustomization.yaml"), kustomization.to_string())
        .expect("the temporary directory can be written");
    folder
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the temporary directory can be written");
    for entry in fs::read_dir(from).expect("a folder of the checkout") {
        let path = entry.expect("it can be listed").path();
        let to = to.join(path.file_name().expect("a listed file has a name"));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).expect("a file of the checkout");
        }
    }
}
