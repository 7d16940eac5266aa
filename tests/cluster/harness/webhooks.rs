//! The shipped webhook configurations, registered for a server on the loopback address.
//!
//! Rules, conditions and time limits are those of `manifests/base`; only where to call, the names, and the namespaces
//! that are concerned are changed, so that many webhooks can share an API server without meeting each other.

use std::fs;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chartgate::prefilter;
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::namespace::Namespace;
use super::releases::{chart, release};
use super::request::Write;
use super::unique;
use super::wait::eventually;

/// A configuration takes effect about a second after it is written.
const IN_EFFECT: Duration = Duration::from_mins(1);

pub(super) const API: &str = "admissionregistration.k8s.io/v1";
pub(super) const CONFIGURATIONS: [(&str, &str); 2] = [
    ("mutatingwebhookconfigurations", "10-mutating-webhook.yaml"),
    ("validatingwebhookconfigurations", "11-validating-webhook.yaml"),
];

/// The namespaces with this label, and the value of an instance, are the ones it is called for.
const INSTANCE_LABEL: &str = "chartgate.dev/test-instance";

/// A webhook server, and what it wants to be called for.
pub(crate) struct Endpoint<'a> {
    /// `https://127.0.0.1:port`.
    pub(crate) url: String,
    /// The certificate authority, as PEM.
    pub(crate) authority: &'a str,
    /// `Ignore` or `Fail`.
    pub(crate) failure_policy: &'a str,
    /// Which of the shipped `matchConditions` hold.
    pub(crate) conditions: Conditions,
}

/// Which of the shipped `matchConditions` hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conditions {
    /// As shipped.
    All,
    /// The prefilter alone.
    Prefilter,
    /// None: every write is handed over.
    None,
}

/// Both configurations of one server, in effect until this is dropped.
pub(crate) struct Registration<'a> {
    cluster: &'a Cluster,
    /// What its configurations are called.
    name: String,
    /// Whose namespaces it is called for.
    instance: String,
}

// === impl Registration ===

impl<'a> Registration<'a> {
    /// Writes both configurations and waits until the API server acts on them.
    pub(crate) fn new(cluster: &'a Cluster, endpoint: &Endpoint<'_>) -> Self {
        let name = format!("test-{}", unique());
        Self { cluster, instance: name.clone(), name }.register(endpoint)
    }

    /// Another registration, for the same namespaces.
    pub(crate) fn beside(&self, endpoint: &Endpoint<'_>) -> Self {
        let name = format!("test-{}", unique());
        Self { cluster: self.cluster, instance: self.instance.clone(), name }.register(endpoint)
    }

    fn register(self, endpoint: &Endpoint<'_>) -> Self {
        let mut webhooks = Vec::new();
        for (resource, file) in CONFIGURATIONS {
            let configuration = self.adapted(&shipped(file), endpoint);
            let all = configuration["webhooks"].as_array().expect("a configuration lists webhooks");
            let of_releases =
                all.iter().filter(|webhook| webhook["rules"][0]["resources"][0] == "helmreleases");
            webhooks.extend(of_releases.map(|webhook| webhook["name"].clone()));
            let configurations = self.cluster.objects(API, resource);
            configurations.create(&configuration, Write::by("chartgate-tests")).accepted();
        }
        self.wait_until_in_effect(&webhooks);
        self
    }

    /// Where they are written.
    pub(crate) fn cluster(&self) -> &'a Cluster {
        self.cluster
    }

    /// A new namespace that this instance is called for.
    pub(crate) fn namespace(&self, purpose: &str, labels: &[(&str, &str)]) -> Namespace<'a> {
        let mut all = json!({INSTANCE_LABEL: self.instance});
        for (key, value) in labels {
            all[*key] = json!(value);
        }
        Namespace::create(self.cluster, purpose, &all)
    }

    /// The same with exactly this name.
    pub(crate) fn fixed_namespace(&self, name: &str) -> Namespace<'a> {
        Namespace::named(self.cluster, name.to_owned(), &json!({INSTANCE_LABEL: self.instance}))
    }

    /// What its configurations are called, and the names of its webhooks start with.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn adapted(&self, shipped: &Value, endpoint: &Endpoint<'_>) -> Value {
        let Endpoint { url, authority, failure_policy, conditions } = endpoint;
        let mut configuration = shipped.clone();
        configuration["metadata"]["name"] = json!(self.name);
        for webhook in configuration["webhooks"].as_array_mut().expect("a configuration lists webhooks") {
            let path = webhook["clientConfig"]["service"]["path"].as_str().expect("ours is behind a Service");
            webhook["clientConfig"] = json!({
                "url": format!("{url}{path}"),
                "caBundle": STANDARD.encode(authority),
            });
            let name = webhook["name"].as_str().expect("every webhook has a name");
            webhook["name"] = json!(format!("{}.{name}", self.name));
            webhook["namespaceSelector"]["matchLabels"] = json!({INSTANCE_LABEL: self.instance});
            webhook["failurePolicy"] = json!(failure_policy);
            let shipped = webhook["matchConditions"].as_array_mut().expect("ours have conditions");
            match conditions {
                Conditions::All => {}
                Conditions::Prefilter => shipped.retain(|condition| condition["name"] == prefilter::NAME),
                Conditions::None => shipped.clear(),
            }
        }
        configuration
    }

    /// The API server counts, per webhook name, what it has done for it: as soon as a write that concerns a webhook
    /// makes its name appear there, the configuration is in use.
    fn wait_until_in_effect(&self, webhooks: &[Value]) {
        let group = self.cluster.get("/apis/helm.toolkit.fluxcd.io").accepted();
        let version = group["preferredVersion"]["version"].as_str().expect("the CRD is installed").to_owned();
        let namespace = self.namespace("probe", &[]);
        let probe = release(&version, "probe", &chart());
        eventually("the webhook configurations are in effect", IN_EFFECT, || {
            let answer = namespace.releases(&version).create(&probe, Write::by("chartgate-tests").dry_run());
            let metrics = self.cluster.get("/metrics").accepted();
            let metrics = metrics.as_str().expect("metrics are text");
            let counted = |name: &Value| metrics.contains(&format!("name={name}"));
            if webhooks.iter().all(counted) { Ok(()) } else { Err(answer.message().to_owned()) }
        });
    }
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        for (resource, _) in CONFIGURATIONS {
            self.cluster.objects(API, resource).delete(&self.name);
        }
    }
}

fn shipped(file: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/base").join(file);
    let text = fs::read_to_string(&path).expect("the manifest is committed");
    serde_saphyr::from_str(&text).expect("the manifest is valid YAML")
}
