//! Lists the Flux Kustomizations with `spec.force`: they delete a live object when the API server refuses to apply it.

use std::collections::HashSet;
use std::ops::ControlFlow;

use kube::Client;
use kube::api::ListParams;
use kube::core::Request;
use serde::Deserialize;

use super::ApiError;
use super::pages::{Effort, Selection, each_of};

/// The version that every Flux 2 serves.
const RESOURCE: &str = "/apis/kustomize.toolkit.fluxcd.io/v1/kustomizations";

/// A Kustomization, reduced to the fields that are read.
#[derive(Deserialize)]
struct Kustomization {
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    #[serde(default)]
    namespace: String,
}

#[derive(Default, Deserialize)]
struct Spec {
    #[serde(default)]
    force: bool,
}

/// The Kustomizations with `spec.force`, as `namespace/name`, of the whole cluster; none where it has no Kustomizations.
pub async fn with_force(
    client: &Client,
    selection: &Selection,
    effort: &mut Effort,
) -> Result<HashSet<Box<str>>, ApiError> {
    let mut forcing = HashSet::new();
    let resource = Request::new(RESOURCE);
    let read = each_of(
        client,
        &resource,
        ListParams::default(),
        selection.size,
        effort,
        // An item that does not parse is no Kustomization of this version.
        |object| {
            let read = serde_json::from_str::<Kustomization>(object.get());
            if let Ok(Kustomization { metadata: Metadata { name, namespace }, spec: Spec { force: true } }) =
                read
            {
                forcing.insert(format!("{namespace}/{name}").into());
            }
            ControlFlow::Continue(())
        },
    );
    match read.await {
        Err(error) if error.code() == Some(404) => Ok(HashSet::new()),
        Err(error) => Err(error),
        Ok(_) => Ok(forcing),
    }
}
