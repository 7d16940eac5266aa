//! What chartgate keeps for itself in a cluster with `--certs=self`: the Secret, and the caBundle of both configurations.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::namespace::Namespace;
use super::request::{Objects, Write};
use super::webhooks::API;

/// The resources of both configurations, which are called `chartgate`.
pub(crate) const CONFIGURATIONS: [&str; 2] =
    ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"];

/// The Secret and the two configurations of a cluster.
#[derive(Clone, Copy)]
pub(crate) struct Trust<'a> {
    cluster: &'a Cluster,
}

// === impl Trust ===

impl<'a> Trust<'a> {
    pub(crate) fn of(cluster: &'a Cluster) -> Self {
        Self { cluster }
    }

    pub(crate) fn secrets(self) -> Objects {
        Namespace::existing(self.cluster, "chartgate-system").objects("v1", "secrets")
    }

    pub(crate) fn secret(self) -> Value {
        self.secrets().get("chartgate-tls").accepted()
    }

    pub(crate) fn configurations(self, resource: &str) -> Objects {
        self.cluster.objects(API, resource)
    }

    pub(crate) fn configuration(self, resource: &str) -> Value {
        self.configurations(resource).get("chartgate").accepted()
    }

    /// The caBundles of both, as PEM.
    pub(crate) fn bundles(self) -> [String; 2] {
        CONFIGURATIONS.map(|resource| {
            let configuration = self.configuration(resource);
            decoded(&configuration["webhooks"][0]["clientConfig"]["caBundle"])
        })
    }

    /// Takes the caBundle out of every webhook of a configuration, as a user does who replaces it by the manifest.
    pub(crate) fn empty(self, resource: &str) {
        let configuration = self.configuration(resource);
        let webhooks = configuration["webhooks"].as_array().expect("a configuration lists webhooks").iter();
        let patch = webhooks.enumerate().map(
            |(place, _)| json!({"op": "remove", "path": format!("/webhooks/{place}/clientConfig/caBundle")}),
        );
        let patch = json!(patch.collect::<Vec<_>>());
        self.configurations(resource).json_patch("chartgate", &patch, Write::by("vandal")).accepted();
    }

    /// From now on a call about a release that fails is a write that fails. It has the longest time that there is: that a
    /// busy machine answers late says nothing about certificates.
    pub(crate) fn fail_closed(self) {
        for resource in CONFIGURATIONS {
            let patch = json!([
                {"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Fail"},
                {"op": "replace", "path": "/webhooks/0/timeoutSeconds", "value": 30},
            ]);
            let by = Write::by("chartgate-tests");
            self.configurations(resource).json_patch("chartgate", &patch, by).accepted();
        }
    }
}

/// What a field of type `[]byte` holds.
pub(crate) fn decoded(field: &Value) -> String {
    let bytes = STANDARD.decode(field.as_str().unwrap_or_default()).expect("the API server encodes it");
    String::from_utf8(bytes).expect("PEM is ASCII")
}
