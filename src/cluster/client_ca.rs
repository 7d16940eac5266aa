//! Reads the client CA of a cluster, as the API server publishes it for extensions.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};

use super::{ApiError, in_time};

/// The ConfigMap in which it is published.
pub const PLACE: &str = "ConfigMap kube-system/extension-apiserver-authentication, client-ca-file";

/// The certificates as PEM; empty where the API server accepts no client certificates.
///
/// kube-apiserver writes the ConfigMap from its flag `--client-ca-file` (k8s.io/kubernetes 1.35,
/// pkg/controlplane/controller/clusterauthenticationtrust). The Role `extension-apiserver-authentication-reader` in
/// kube-system lets an account read it.
pub async fn client_ca(client: &Client) -> Result<Vec<u8>, ApiError> {
    let config_maps = Api::<ConfigMap>::namespaced(client.clone(), "kube-system");
    let found = in_time(config_maps.get("extension-apiserver-authentication")).await?;
    Ok(found.data.and_then(|mut data| data.remove("client-ca-file")).unwrap_or_default().into_bytes())
}
