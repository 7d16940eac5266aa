//! The CRDs of each Flux minor, and how they get into a server so that their effect is certain.
//!
//! A CRD is "Established" before the server serves it, and after a change the old schema goes on for a moment. So
//! every version gets a printer column with a new name, and the table that the server itself prints is asked for it:
//! the handler that prints the column is the handler that has the schema.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::cluster::Cluster;
use super::request::{Write, read};
use super::wait::eventually;
use super::{binaries, skipped, unique};

/// Serving a new CRD takes a second or two.
const SERVED: Duration = Duration::from_mins(1);

const DEFINITIONS: (&str, &str) = ("apiextensions.k8s.io/v1", "customresourcedefinitions");
const WRITER: &str = "chartgate-tests";

/// The newest Flux, whose CRDs come with its Go modules, too.
const NEWEST: &str = "2.9";

/// What a `HelmRelease` is about; which of them there are differs between minors.
const KINDS: [&str; 5] = ["HelmRelease", "HelmChart", "HelmRepository", "OCIRepository", "ExternalArtifact"];

/// Go modules with CRDs, as `path@version` and hash.
const HELM_CONTROLLER: (&str, &str) =
    ("github.com/fluxcd/helm-controller@v1.6.3", "h1:MSiDP/s8xRSkO3g11vBiDStxfmJ5ZVdwDEpW7BSE/UA=");
const SOURCE_CONTROLLER: (&str, &str) =
    ("github.com/fluxcd/source-controller@v1.9.4", "h1:psO6g4NTAMl3GD9gL8TMF3shM939XhTjFvlQXCK3pZ4=");
const KUSTOMIZE_CONTROLLER: (&str, &str) =
    ("github.com/fluxcd/kustomize-controller@v1.9.4", "h1:VBnBMhnemqnE5Zca2AoG2gC4472MoiTmk9rdqvLoMcY=");
const CERT_MANAGER: (&str, &str) =
    ("github.com/cert-manager/cert-manager@v1.21.2", "h1:UWgoYM+KLNtRlqmoWOKjKBOBUPVHeepQ6/ac3ERJW68=");
const PROMETHEUS_OPERATOR: (&str, &str) = (
    "github.com/prometheus-operator/prometheus-operator@v0.85.0",
    "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
);

/// The CRDs of helm-controller, and those of source-controller that a chart can come from.
pub(crate) fn of_flux(minor: &str) -> Result<Vec<Value>, String> {
    let corpus = corpus_of(minor);
    if corpus.is_dir() {
        return Ok(in_folder(&corpus));
    }
    if minor != NEWEST {
        return Err(format!("no corpus: the CRDs of Flux {minor} are not in ../shared/crds"));
    }
    let mut definitions = of_module(HELM_CONTROLLER)?;
    let sources = of_module(SOURCE_CONTROLLER)?;
    definitions.extend(sources.into_iter().filter(is_about_charts));
    Ok(definitions)
}

/// Where the corpus keeps the CRDs of a minor, if it is there.
fn corpus_of(minor: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/crds").join(minor)
}

/// The CRDs that kustomize-controller watches.
pub(crate) fn of_kustomize_controller() -> Result<Vec<Value>, String> {
    let mut definitions = of_module(KUSTOMIZE_CONTROLLER)?;
    definitions.extend(of_module(SOURCE_CONTROLLER)?);
    Ok(definitions)
}

/// The CRDs of what the components of our manifests are for: cert-manager and the Prometheus operator.
pub(crate) fn of_components() -> Result<Vec<Value>, String> {
    let wanted = ["Issuer", "Certificate", "ServiceMonitor", "PrometheusRule"];
    let folders = [
        binaries::module_source(CERT_MANAGER.0, CERT_MANAGER.1)?.join("deploy/crds"),
        binaries::module_source(PROMETHEUS_OPERATOR.0, PROMETHEUS_OPERATOR.1)?
            .join("example/prometheus-operator-crd"),
    ];
    let definitions = folders.iter().flat_map(|folder| in_folder(folder));
    let is_wanted =
        |definition: &Value| wanted.iter().any(|kind| definition["spec"]["names"]["kind"] == *kind);
    Ok(definitions.filter(is_wanted).collect())
}

/// The CRDs of reports in a folder of the schemas, such as `openreports`.
fn of_reports(group: &str) -> Result<Vec<Value>, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/schemas").join(group);
    if folder.is_dir() {
        Ok(in_folder(&folder))
    } else {
        Err(format!("no schemas: there is no ../shared/schemas/{group}"))
    }
}

fn of_module((module, sum): (&str, &str)) -> Result<Vec<Value>, String> {
    binaries::module_source(module, sum).map(|source| in_folder(&source.join("config/crd/bases")))
}

fn in_folder(folder: &Path) -> Vec<Value> {
    let entries = fs::read_dir(folder).expect("a released module keeps its CRDs here");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a folder can be listed").path()).collect();
    paths.sort();
    paths
        .iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| {
            let text = fs::read_to_string(path).expect("a listed file can be read");
            serde_saphyr::from_str(&text).expect("a released CRD is valid YAML")
        })
        .collect()
}

// === impl Cluster ===

impl Cluster {
    /// Whether the CRDs of a Flux minor can be had here.
    pub(crate) fn has_crds(flux: &str) -> bool {
        flux == NEWEST || corpus_of(flux).is_dir()
    }

    /// Whether the CRDs of reports can be had here; `false` is said aloud.
    pub(crate) fn has_report_crds() -> bool {
        ["openreports", "wgpolicyk8s"]
            .iter()
            .all(|group| of_reports(group).inspect_err(|why| skipped(why)).is_ok())
    }

    /// Creates the CRDs of the reports of a group, such as `openreports`.
    pub(crate) fn install_report_crds(&self, group: &str) {
        self.install_missing(&of_reports(group).expect("the caller has seen that they are there"));
    }

    /// Replaces the CRDs, and with them deletes every `HelmRelease` and source, by those of another Flux minor.
    /// Only for a server of one's own.
    pub(crate) fn install_crds(&self, flux: &str) {
        self.recreate(&of_flux(flux).expect("the caller has seen that the corpus is there"));
    }

    /// Changes the CRDs in place, as an upgrade of Flux does: objects and their managed fields stay.
    /// Only for a server of one's own. A version that is in `status.storedVersions` cannot go.
    pub(crate) fn upgrade_crds(&self, flux: &str) {
        for definition in of_flux(flux).expect("the caller has seen that the corpus is there") {
            self.put_crd(&definition);
        }
    }

    /// Changes the CRD of a kind in place to that of a Flux minor with some change, as an unknown Flux could have it.
    /// Only for a dedicated server.
    pub(crate) fn change_crd(&self, flux: &str, kind: &str, change: impl FnOnce(&mut Value)) {
        let definitions = of_flux(flux).expect("the caller has seen that the corpus is there").into_iter();
        let mut definitions = definitions.filter(|definition| definition["spec"]["names"]["kind"] == kind);
        let mut definition = definitions.next().expect("Flux has this kind");
        change(&mut definition);
        self.put_crd(&definition);
    }

    /// The same for the CRD of `HelmRelease` alone: helm-controller is of another minor than the rest.
    pub(crate) fn upgrade_release_crd(&self, flux: &str) {
        let definitions = of_flux(flux).expect("the caller has seen that the corpus is there");
        for definition in definitions.iter().filter(|found| found["spec"]["names"]["kind"] == KINDS[0]) {
            self.put_crd(definition);
        }
    }

    /// What `flux migrate` does last: names the versions that objects of a CRD are stored in.
    pub(crate) fn set_stored_versions(&self, crd: &str, versions: &[&str]) {
        let patch = json!({"status": {"storedVersions": versions}});
        let definitions = self.objects(DEFINITIONS.0, DEFINITIONS.1).status();
        definitions.merge_patch(crd, &patch, Write::by(WRITER)).accepted();
    }

    /// Deletes and creates the given CRDs.
    pub(crate) fn recreate(&self, definitions: &[Value]) {
        let existing = self.objects(DEFINITIONS.0, DEFINITIONS.1);
        let listed = existing.list().accepted();
        let listed = listed["items"].as_array().expect("a list has items").iter();
        for definition in listed.filter(|definition| is_about_charts(definition)) {
            let name = definition["metadata"]["name"].as_str().expect("every object has a name");
            existing.delete(name).accepted();
            eventually(&format!("{name} is deleted"), SERVED, || match existing.get(name) {
                answer if answer.status == 404 => Ok(()),
                answer => Err(answer.body["status"]["conditions"].to_string()),
            });
        }
        let columns: Vec<_> =
            definitions.iter().map(|definition| self.write_crd(definition.clone())).collect();
        for (definition, column) in definitions.iter().zip(columns) {
            self.wait_until_served(definition, &column);
        }
    }

    /// Creates those of the given CRDs that are not there, or do not serve the newest version, and leaves the others.
    pub(crate) fn install_missing(&self, definitions: &[Value]) {
        for definition in definitions {
            let name = definition["metadata"]["name"].as_str().expect("every CRD has a name");
            let found = self.objects(DEFINITIONS.0, DEFINITIONS.1).get(name);
            let newest = storage_version(definition);
            let serves = |crd: &Value| served_versions(crd).any(|version| version == newest);
            if found.status == 404 || !serves(&found.body) {
                self.put_crd(definition);
            }
        }
    }

    fn put_crd(&self, definition: &Value) {
        let column = self.write_crd(definition.clone());
        self.wait_until_served(definition, &column);
    }

    /// Creates or replaces a CRD, and returns the name of the printer column that tells it from its predecessor.
    fn write_crd(&self, mut definition: Value) -> String {
        let column = format!("Schema {}", unique());
        for version in definition["spec"]["versions"].as_array_mut().expect("a CRD has versions") {
            let mark = json!({"name": column, "type": "string", "jsonPath": ".metadata.uid", "priority": 9});
            match version["additionalPrinterColumns"].as_array_mut() {
                Some(columns) => columns.push(mark),
                None => version["additionalPrinterColumns"] = json!([mark]),
            }
        }
        let definitions = self.objects(DEFINITIONS.0, DEFINITIONS.1);
        let name = definition["metadata"]["name"].as_str().expect("every CRD has a name").to_owned();
        let found = definitions.get(&name);
        if found.status == 404 {
            definitions.create(&definition, Write::by(WRITER)).accepted();
        } else {
            definition["metadata"]["resourceVersion"] =
                found.accepted()["metadata"]["resourceVersion"].clone();
            definitions.replace(&definition, Write::by(WRITER)).accepted();
        }
        column
    }

    /// Waits until every served version is listed by discovery, too, and printed by the handler of this schema.
    fn wait_until_served(&self, definition: &Value, column: &str) {
        let group = definition["spec"]["group"].as_str().expect("a CRD has a group");
        let plural = definition["spec"]["names"]["plural"].as_str().expect("a CRD has a plural");
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
        for version in served_versions(definition) {
            let root = format!("/apis/{group}/{version}");
            eventually(&format!("{root}/{plural} is served"), SERVED, || {
                let path = format!("{root}/{plural}?limit=1");
                let answer = read(&self.client(), &path, table);
                let columns = answer.body["columnDefinitions"].as_array().cloned().unwrap_or_default();
                if !columns.iter().any(|found| found["name"] == column) {
                    return Err(format!("{} {:?}", answer.status, answer.message()));
                }
                let listed = self.get(&root).body["resources"].as_array().cloned().unwrap_or_default();
                if listed.iter().any(|found| found["name"] == plural) {
                    Ok(())
                } else {
                    Err("not listed".into())
                }
            });
        }
    }
}

fn is_about_charts(definition: &Value) -> bool {
    KINDS.iter().any(|kind| definition["spec"]["names"]["kind"] == *kind)
}

fn served_versions(definition: &Value) -> impl Iterator<Item = &str> {
    let versions = definition["spec"]["versions"].as_array().into_iter().flatten();
    versions.filter(|version| version["served"] == true).filter_map(|version| version["name"].as_str())
}

fn storage_version(definition: &Value) -> &str {
    let versions = definition["spec"]["versions"].as_array().expect("a CRD has versions");
    let stored = versions.iter().find(|version| version["storage"] == true);
    stored.and_then(|version| version["name"].as_str()).expect("one version of a CRD is stored")
}
