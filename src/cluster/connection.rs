//! Finds the API server: from within a pod, or by a kubeconfig.

use std::env;

use kube::config::{InClusterError, KubeConfigOptions, KubeconfigError};
use kube::{Client, Config};
use thiserror::Error;

/// Whether the program may ask a cluster (`--cluster`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Access {
    /// In a pod its own cluster, elsewhere none: nobody's kubeconfig is used without being asked for.
    #[default]
    Auto,
    /// In a pod its own cluster, elsewhere that of the kubeconfig; without either the program does not start.
    Required,
    /// None: every request is judged by itself alone.
    Off,
}

/// An API server to ask, and where in it we are.
#[derive(Clone)]
pub struct Connection {
    /// Asks as the pod's service account, or as the kubeconfig's user.
    pub client: Client,
    /// The pod's namespace, or that of the kubeconfig's context.
    pub namespace: String,
}

/// Why there is no API server to ask. It is about files and variables: nothing has been sent yet.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The pod's own files cannot be used.
    #[error("cannot use the ServiceAccount of this pod: is automountServiceAccountToken off?")]
    ServiceAccount(#[from] InClusterError),
    /// There is no pod, and no kubeconfig that can be used.
    #[error("this is no pod, and the kubeconfig cannot be used (set KUBECONFIG to one that can)")]
    Kubeconfig(#[from] KubeconfigError),
    /// The kubeconfig cannot be used with the context that was named.
    #[error("cannot use that context of the kubeconfig; `kubectl config get-contexts` lists them")]
    Context(#[source] KubeconfigError),
    /// What was found cannot be used for TLS.
    #[error("cannot connect to the API server as configured")]
    Client(#[source] kube::Error),
}

impl Connection {
    /// A context of the kubeconfig; without one its current context, or the pod's own cluster.
    pub async fn of_context(context: Option<&str>) -> Result<Self, ConnectionError> {
        let Some(context) = context else {
            return Ok(Self::open(Access::Required).await?.expect("it is required"));
        };
        let options = KubeConfigOptions { context: Some(context.to_owned()), ..KubeConfigOptions::default() };
        Self::of(Config::from_kubeconfig(&options).await.map_err(ConnectionError::Context)?)
    }

    /// What `access` allows and the environment offers. `None` says that no cluster was asked for.
    pub async fn open(access: Access) -> Result<Option<Self>, ConnectionError> {
        // The kubelet sets it in every pod.
        let in_pod = env::var_os("KUBERNETES_SERVICE_HOST").is_some();
        let config = match access {
            Access::Off => return Ok(None),
            Access::Auto if !in_pod => return Ok(None),
            Access::Auto | Access::Required if in_pod => Config::incluster()?,
            Access::Auto | Access::Required => Config::from_kubeconfig(&KubeConfigOptions::default()).await?,
        };
        Self::of(config).map(Some)
    }

    fn of(config: Config) -> Result<Self, ConnectionError> {
        let namespace = config.default_namespace.clone();
        let client = Client::try_from(config).map_err(ConnectionError::Client)?;
        Ok(Self { client, namespace })
    }
}
