//! One Secret, read and written so that several servers can share it.

use std::collections::BTreeMap;

use futures_util::{Stream, StreamExt};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ObjectReference, Secret};
use kube::api::{ObjectMeta, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Resource};

use super::{ApiError, Connection, FIELD_MANAGER, Written, in_time, raced};

/// The type of a Secret that holds a pair, as Ingress controllers and cert-manager write it.
const TYPE: &str = "kubernetes.io/tls";

/// The place of a Secret that several servers share.
#[derive(Clone)]
pub struct SharedSecret {
    api: Api<Secret>,
    name: String,
    namespace: String,
}

/// A Secret as it was at some moment. It has no `Debug`: what it holds belongs in no log.
#[derive(Clone)]
pub struct Stored {
    data: BTreeMap<String, Vec<u8>>,
    metadata: ObjectMeta,
    type_: Option<String>,
    empty: BTreeMap<String, String>,
}

// === impl SharedSecret ===

impl SharedSecret {
    /// The Secret `name` in the namespace that we are in. Nothing is asked yet.
    pub fn new(connection: &Connection, name: &str) -> Self {
        let Connection { client, namespace } = connection;
        let api = Api::namespaced(client.clone(), namespace);
        Self { api, name: name.to_owned(), namespace: namespace.clone() }
    }

    /// Its namespace and name, as people write it.
    pub fn place(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// What an event is about that concerns it.
    pub fn reference(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Secret".into()),
            name: Some(self.name.clone()),
            namespace: Some(self.namespace.clone()),
            ..ObjectReference::default()
        }
    }

    /// The Secret now and after every change; nothing where there is none. It never ends, and waits between failures.
    pub fn watch(&self) -> impl Stream<Item = Result<Option<Stored>, ApiError>> + Send + use<> {
        watcher::watch_object(self.api.clone(), &self.name)
            .default_backoff()
            .map(|seen| seen.map(|secret| secret.map(Stored::from)).map_err(|error| Box::new(error).into()))
    }

    /// The Secret at this moment, from the API server's own store.
    pub async fn read(&self) -> Result<Option<Stored>, ApiError> {
        Ok(in_time(self.api.get_opt(&self.name)).await?.map(Stored::from))
    }

    /// Makes it, unless somebody else just has.
    pub async fn create(
        &self,
        data: BTreeMap<String, Vec<u8>>,
        labels: BTreeMap<String, String>,
    ) -> Result<Written<Stored>, ApiError> {
        let metadata =
            ObjectMeta { name: Some(self.name.clone()), labels: Some(labels), ..ObjectMeta::default() };
        let secret =
            Stored { data, metadata, type_: Some(TYPE.into()), empty: BTreeMap::new() }.into_secret();
        let created = in_time(self.api.create(&parameters(), &secret)).await;
        raced(created.map(Stored::from))
    }

    /// Replaces the data of `before`, unless it has changed since. What else it says about itself stays.
    pub async fn replace(
        &self,
        before: &Stored,
        data: BTreeMap<String, Vec<u8>>,
    ) -> Result<Written<Stored>, ApiError> {
        // The version and the uid are part of the metadata, and the API server compares both.
        let secret = Stored { data, ..before.clone() }.into_secret();
        let replaced = in_time(self.api.replace(&self.name, &parameters(), &secret)).await;
        raced(replaced.map(Stored::from))
    }
}

fn parameters() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() }
}

// === impl Stored ===

impl Stored {
    /// The data, by key.
    pub fn data(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.data
    }

    /// The labels.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        self.metadata.labels.as_ref().unwrap_or(&self.empty)
    }

    /// The annotations.
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        self.metadata.annotations.as_ref().unwrap_or(&self.empty)
    }

    /// The version of the object; it changes with every write.
    pub fn version(&self) -> Option<&str> {
        self.metadata.resource_version.as_deref()
    }

    /// Whether it is about to be removed, and only waits for somebody who holds it.
    pub fn is_leaving(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    fn into_secret(self) -> Secret {
        let Self { data, metadata, type_, empty: _ } = self;
        let data = data.into_iter().map(|(key, value)| (key, ByteString(value))).collect();
        Secret { data: Some(data), metadata, type_, ..Secret::default() }
    }
}

impl From<Secret> for Stored {
    fn from(secret: Secret) -> Self {
        let Secret { data, type_, .. } = &secret;
        let data = data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone())).collect();
        let mut metadata = secret.meta().clone();
        // Writing it back would claim all of it for us.
        metadata.managed_fields = None;
        Self { data, type_: type_.clone(), metadata, empty: BTreeMap::new() }
    }
}
