//! What an audit leaves in each namespace: one report, of the first kind of these that the cluster has a CRD for.

use std::vec;

use kube::api::{ApiResource, DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use kube::core::{DynamicObject, GroupVersionKind, Request};
use kube::{Api, Client, ResourceExt};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::pages::{Page, Size};
use super::{ApiError, FIELD_MANAGER, Written, in_time, raced};

/// What each report is called. A namespace has one.
pub const NAME: &str = "chartgate";

/// The label by which ours are found.
pub const LABEL: (&str, &str) = ("app.kubernetes.io/managed-by", FIELD_MANAGER);

/// A kind of report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `Report` of openreports.io.
    Report,
    /// `PolicyReport` of wgpolicyk8s.io, its predecessor.
    PolicyReport,
}

/// The reports of one kind, in all namespaces.
#[derive(Clone)]
pub struct Reports {
    client: Client,
    kind: Kind,
    resource: ApiResource,
}

/// A report as it is in the cluster.
#[derive(Debug)]
pub struct Stored {
    /// Its namespace.
    pub namespace: String,
    /// All of it but `metadata`.
    pub content: Value,
    preconditions: Preconditions,
}

/// Some of the reports.
pub struct Listed {
    items: vec::IntoIter<Box<RawValue>>,
    /// What to ask for the next page with, if there is one.
    pub next: Option<Next>,
}

/// Where to go on with a list.
#[derive(Debug, Clone)]
pub struct Next {
    token: String,
    limit: u32,
}

// === impl Kind ===

impl Kind {
    /// All of them, the one to prefer first.
    pub const ALL: [Self; 2] = [Self::Report, Self::PolicyReport];

    /// Its `apiVersion`.
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::Report => "openreports.io/v1alpha1",
            // The only one of its versions that its consumers read.
            Self::PolicyReport => "wgpolicyk8s.io/v1alpha2",
        }
    }

    /// Its `kind`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Report => "Report",
            Self::PolicyReport => "PolicyReport",
        }
    }

    /// Takes out what this kind has no field for.
    pub fn prune(self, content: &mut Value) {
        if let (Self::PolicyReport, Some(members)) = (self, content.as_object_mut()) {
            members.shift_remove("source");
        }
    }

    const fn plural(self) -> &'static str {
        match self {
            Self::Report => "reports",
            Self::PolicyReport => "policyreports",
        }
    }

    fn resource(self) -> ApiResource {
        let (group, version) = self.api_version().split_once('/').expect("each has both");
        ApiResource::from_gvk_with_plural(
            &GroupVersionKind::gvk(group, version, self.as_str()),
            self.plural(),
        )
    }
}

/// The kinds that the cluster serves, in the order of [`Kind::ALL`].
pub async fn served(client: &Client) -> Result<Vec<Reports>, ApiError> {
    let mut served = Vec::new();
    for kind in Kind::ALL {
        let listed = match in_time(client.list_api_group_resources(kind.api_version())).await {
            Ok(listed) => listed.resources,
            Err(error) if error.code() == Some(404) => continue,
            Err(error) => return Err(error),
        };
        if listed.iter().any(|resource| resource.name == kind.plural()) {
            served.push(Reports { client: client.clone(), kind, resource: kind.resource() });
        }
    }
    Ok(served)
}

// === impl Reports ===

impl Reports {
    /// Of which kind they are.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Our reports after those that led to `next`. Each may be as large as an object can be, so few are read at a time.
    pub async fn page(&self, next: Option<Next>) -> Result<Listed, ApiError> {
        let (key, value) = LABEL;
        let (token, limit) = next.map(|Next { token, limit }| (token, limit)).unzip();
        let asked = ListParams { continue_token: token, ..ListParams::default() };
        let asked = asked.labels(&format!("{key}={value}")).limit(limit.unwrap_or(Size::Small.first()));
        let resource = Request::new(format!("/apis/{}/{}", self.kind.api_version(), self.kind.plural()));
        let request = resource.list(&asked).map_err(kube::Error::BuildRequest).map_err(Box::new)?;
        let page = in_time(self.client.request::<Page>(request)).await?;
        let limit = Size::Small.next(&page);
        let Page { metadata, items } = page;
        let token = metadata.continue_.filter(|token| !token.is_empty());
        Ok(Listed { items: items.into_iter(), next: token.map(|token| Next { token, limit }) })
    }

    /// Makes the report of a namespace so; whoever else wrote fields that we write loses them. False where the namespace is
    /// gone, or about to be: then it takes nothing any more.
    pub async fn apply(&self, namespace: &str, content: Value) -> Result<bool, ApiError> {
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let (key, value) = LABEL;
        let mut report = content;
        report["apiVersion"] = self.kind.api_version().into();
        report["kind"] = self.kind.as_str().into();
        // No owner: it goes with its namespace, as everything in it does.
        report["metadata"] = json!({"name": NAME, "namespace": namespace, "labels": {key: value}});
        match in_time(self.of(namespace).patch(NAME, &parameters, &Patch::Apply(report))).await {
            Ok(_) => Ok(true),
            Err(ApiError::Refused(error)) if is_leaving(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes away the report of a namespace, unless it has changed since. False where it has, or has gone.
    pub async fn delete(&self, report: &Stored) -> Result<bool, ApiError> {
        let Stored { namespace, preconditions, content: _ } = report;
        let parameters =
            DeleteParams { preconditions: Some(preconditions.clone()), ..DeleteParams::default() };
        let deleted = raced(in_time(self.of(namespace).delete(NAME, &parameters)).await)?;
        Ok(matches!(deleted, Written::Done(_)))
    }

    fn of(&self, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &self.resource)
    }
}

// === impl Listed ===

impl Iterator for Listed {
    type Item = Stored;

    fn next(&mut self) -> Option<Stored> {
        let read = |item: Box<RawValue>| serde_json::from_str::<DynamicObject>(item.get()).ok();
        // Another name is somebody's copy.
        let report = self.items.by_ref().filter_map(read).find(|report| report.name_any() == NAME)?;
        Some(Stored {
            namespace: report.namespace().unwrap_or_default(),
            preconditions: Preconditions { uid: report.uid(), resource_version: report.resource_version() },
            content: report.data,
        })
    }
}

/// Whether a namespace is gone, or takes no new objects because it is being deleted.
fn is_leaving(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    status.code == 404 || causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}
