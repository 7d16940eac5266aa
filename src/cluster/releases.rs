//! The HelmReleases that a namespace holds, asked for when somebody wants to know.

use kube::api::ListParams;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind, TypeMeta};
use kube::{Api, Client, Result};

use crate::policy::HELM_GROUP;

/// How many releases are looked at. More would not be told anyway, and each may be large.
const MAX_RELEASES: u32 = 100;

/// What a namespace holds.
#[derive(Debug)]
pub struct Held {
    /// Its releases, each as JSON.
    pub releases: Vec<Vec<u8>>,
    /// Whether there are more.
    pub more: bool,
}

/// Lists the first releases of a namespace, at a version that is served.
pub async fn held_by(client: Client, namespace: &str, version: &str) -> Result<Held> {
    let kind = GroupVersionKind::gvk(HELM_GROUP, version, "HelmRelease");
    let resource = ApiResource::from_gvk_with_plural(&kind, "helmreleases");
    let api = Api::<DynamicObject>::namespaced_with(client, namespace, &resource);
    let list = api.list(&ListParams::default().limit(MAX_RELEASES)).await?;
    let more = list.metadata.continue_.is_some_and(|token| !token.is_empty());
    let releases = list.items.into_iter().map(|mut release| {
        // The items of a list may leave it out.
        release.types =
            Some(TypeMeta { api_version: resource.api_version.clone(), kind: resource.kind.clone() });
        serde_json::to_vec(&release).expect("what came as JSON is JSON")
    });
    Ok(Held { releases: releases.collect(), more })
}
