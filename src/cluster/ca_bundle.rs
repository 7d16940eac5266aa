//! Reads and writes `caBundle` in the webhook configurations, which the API server trusts when it calls a webhook, and the
//! `rules` by which it calls `/validate` where a manifest leaves them out.

use std::fmt;

use futures_util::{Stream, StreamExt};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::json;

use super::{ApiError, Connection, FIELD_MANAGER, Written, in_time, raced};
use crate::policy::HELM_GROUP;

/// What our webhook configuration of either kind is called.
pub const CONFIGURATION: &str = "chartgate";

/// The field manager of `rules`: one of their own, since a server-side apply by [`FIELD_MANAGER`] that names only
/// caBundle would remove the fields that the same manager had applied before.
const RULES_MANAGER: &str = "chartgate-rules";

/// The path of the webhook that may lack `rules`, as its `clientConfig.service` has it.
const VALIDATE: &str = "/validate";

/// Annotations by which cert-manager is asked to write a caBundle start so.
const INJECTED: &str = "cert-manager.io/inject-";

/// One of the two kinds of webhook configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `MutatingWebhookConfiguration`.
    Mutating,
    /// `ValidatingWebhookConfiguration`.
    Validating,
}

/// The configuration of one kind that leads to us.
#[derive(Clone)]
pub struct Trust {
    api: Configurations,
    name: String,
}

/// A configuration as it was at some moment.
#[derive(Clone, Debug)]
pub struct Configuration {
    uid: Option<String>,
    version: Option<String>,
    injected_by: Option<String>,
    written_by: Option<String>,
    webhooks: Vec<Webhook>,
}

/// A webhook in a configuration.
#[derive(Clone, Debug)]
struct Webhook {
    name: String,
    ca_bundle: Vec<u8>,
    /// It leads to `/validate`, and without rules the API server never calls it.
    lacks_rules: bool,
}

#[derive(Clone)]
enum Configurations {
    Mutating(Api<MutatingWebhookConfiguration>),
    Validating(Api<ValidatingWebhookConfiguration>),
}

// === impl Trust ===

impl Trust {
    /// The configuration `name` of this kind. Nothing is asked yet.
    pub fn new(connection: &Connection, kind: Kind, name: &str) -> Self {
        let client = connection.client.clone();
        let api = match kind {
            Kind::Mutating => Configurations::Mutating(Api::all(client)),
            Kind::Validating => Configurations::Validating(Api::all(client)),
        };
        Self { api, name: name.to_owned() }
    }

    /// Which of the two it is.
    pub fn kind(&self) -> Kind {
        match &self.api {
            Configurations::Mutating(_) => Kind::Mutating,
            Configurations::Validating(_) => Kind::Validating,
        }
    }

    /// The configuration now and after every change; nothing where there is none. It never ends, and waits between
    /// failures.
    pub fn watch(
        &self,
    ) -> impl Stream<Item = Result<Option<Configuration>, ApiError>> + Send + Unpin + use<> {
        match &self.api {
            Configurations::Mutating(api) => watcher::watch_object(api.clone(), &self.name)
                .default_backoff()
                .map(|seen| {
                    seen.map(|object| object.map(Configuration::from)).map_err(|error| Box::new(error).into())
                })
                .boxed(),
            Configurations::Validating(api) => watcher::watch_object(api.clone(), &self.name)
                .default_backoff()
                .map(|seen| {
                    seen.map(|object| object.map(Configuration::from)).map_err(|error| Box::new(error).into())
                })
                .boxed(),
        }
    }

    /// The configuration at this moment, from the API server's own store.
    pub async fn read(&self) -> Result<Option<Configuration>, ApiError> {
        Ok(match &self.api {
            Configurations::Mutating(api) => in_time(api.get_opt(&self.name)).await?.map(Configuration::from),
            Configurations::Validating(api) => {
                in_time(api.get_opt(&self.name)).await?.map(Configuration::from)
            }
        })
    }

    /// Gives every webhook of `before` this caBundle, and changes nothing else, unless `before` has changed since.
    ///
    /// It is a server-side apply: who applies the configuration without the field, as Flux does with our manifests,
    /// leaves it to us. Only webhooks that are there are named: the apply would make the others, and they would be
    /// nothing but a caBundle.
    pub async fn apply(
        &self,
        before: &Configuration,
        ca_bundle: &str,
    ) -> Result<Written<Configuration>, ApiError> {
        let bundle = ByteString(ca_bundle.as_bytes().to_vec());
        let webhooks = before.webhooks.iter();
        let webhooks =
            webhooks.map(|webhook| json!({"name": webhook.name, "clientConfig": {"caBundle": bundle}}));
        let patch = Patch::Apply(json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": self.kind().to_string(),
            "metadata": {"name": self.name, "uid": before.uid, "resourceVersion": before.version},
            "webhooks": webhooks.collect::<Vec<_>>(),
        }));
        self.patch(FIELD_MANAGER, &patch).await
    }

    /// Gives the webhooks of `before` that lack rules those of our manifests, and changes nothing else, unless `before` has
    /// changed since.
    ///
    /// It is a server-side apply, as that of caBundle: a manifest without the field leaves it as it is.
    pub async fn give_rules(&self, before: &Configuration) -> Result<Written<Configuration>, ApiError> {
        let webhooks = before.webhooks.iter().filter(|webhook| webhook.lacks_rules);
        let webhooks = webhooks.map(|webhook| {
            json!({"name": webhook.name, "rules": [{
                "apiGroups": [HELM_GROUP],
                "apiVersions": ["*"],
                "resources": ["helmreleases"],
                "operations": ["CREATE", "UPDATE"],
                "scope": "Namespaced",
            }]})
        });
        let patch = Patch::Apply(json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": self.kind().to_string(),
            "metadata": {"name": self.name, "uid": before.uid, "resourceVersion": before.version},
            "webhooks": webhooks.collect::<Vec<_>>(),
        }));
        self.patch(RULES_MANAGER, &patch).await
    }

    async fn patch(
        &self,
        manager: &str,
        patch: &Patch<serde_json::Value>,
    ) -> Result<Written<Configuration>, ApiError> {
        let parameters = PatchParams::apply(manager).force();
        let applied = match &self.api {
            Configurations::Mutating(api) => {
                in_time(api.patch(&self.name, &parameters, patch)).await.map(Configuration::from)
            }
            Configurations::Validating(api) => {
                in_time(api.patch(&self.name, &parameters, patch)).await.map(Configuration::from)
            }
        };
        raced(applied)
    }
}

// === impl Kind ===

impl Kind {
    /// Both, in the order of the declaration.
    pub const ALL: [Self; 2] = [Self::Mutating, Self::Validating];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mutating => "MutatingWebhookConfiguration",
            Self::Validating => "ValidatingWebhookConfiguration",
        })
    }
}

// === impl Configuration ===

impl Configuration {
    /// The caBundle of each of its webhooks; an absent one is empty.
    pub fn ca_bundles(&self) -> impl Iterator<Item = &[u8]> {
        self.webhooks.iter().map(|webhook| webhook.ca_bundle.as_slice())
    }

    /// Whether each of its webhooks trusts just this.
    pub fn holds(&self, ca_bundle: &str) -> bool {
        self.ca_bundles().all(|bundle| bundle == ca_bundle.as_bytes())
    }

    /// Whether a webhook that leads to `/validate` has no rules, so that the API server never calls it.
    pub fn lacks_rules(&self) -> bool {
        self.webhooks.iter().any(|webhook| webhook.lacks_rules)
    }

    /// The version of the object; it changes with every write.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// The annotation by which cert-manager was asked to write the caBundle, if it was.
    pub fn injected_by(&self) -> Option<&str> {
        self.injected_by.as_deref()
    }

    /// Who besides us wrote last.
    pub fn written_by(&self) -> Option<&str> {
        self.written_by.as_deref()
    }

    fn new<'a>(
        metadata: &ObjectMeta,
        webhooks: impl Iterator<Item = (&'a String, &'a WebhookClientConfig, bool)>,
    ) -> Self {
        let ObjectMeta { uid, resource_version, annotations, managed_fields, .. } = metadata;
        let injected_by = annotations.iter().flatten().map(|(key, _)| key);
        let is_ours = |manager: &str| [FIELD_MANAGER, RULES_MANAGER].contains(&manager);
        let others =
            managed_fields.iter().flatten().filter(|entry| !entry.manager.as_deref().is_some_and(is_ours));
        let last = others.max_by_key(|entry| entry.time.as_ref().map(|time| time.0));
        Self {
            uid: uid.clone(),
            version: resource_version.clone(),
            injected_by: injected_by.into_iter().find(|key| key.starts_with(INJECTED)).cloned(),
            written_by: last.and_then(|entry| entry.manager.clone()),
            webhooks: webhooks
                .map(|(name, client, has_rules)| Webhook {
                    name: name.clone(),
                    ca_bundle: client.ca_bundle.as_ref().map(|bundle| bundle.0.clone()).unwrap_or_default(),
                    lacks_rules: !has_rules
                        && client.service.as_ref().is_some_and(|to| to.path.as_deref() == Some(VALIDATE)),
                })
                .collect(),
        }
    }
}

impl From<MutatingWebhookConfiguration> for Configuration {
    fn from(object: MutatingWebhookConfiguration) -> Self {
        let MutatingWebhookConfiguration { metadata, webhooks } = &object;
        let webhooks = webhooks.iter().flatten().map(|webhook| {
            let has_rules = webhook.rules.as_ref().is_some_and(|rules| !rules.is_empty());
            (&webhook.name, &webhook.client_config, has_rules)
        });
        Self::new(metadata, webhooks)
    }
}

impl From<ValidatingWebhookConfiguration> for Configuration {
    fn from(object: ValidatingWebhookConfiguration) -> Self {
        let ValidatingWebhookConfiguration { metadata, webhooks } = &object;
        let webhooks = webhooks.iter().flatten().map(|webhook| {
            let has_rules = webhook.rules.as_ref().is_some_and(|rules| !rules.is_empty());
            (&webhook.name, &webhook.client_config, has_rules)
        });
        Self::new(metadata, webhooks)
    }
}
