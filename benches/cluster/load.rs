//! The load: workers that apply, each over a connection of its own, the next as soon as the last is answered.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use axum::body::{Body, Bytes};
use axum::http::Request;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use futures_util::future::try_join_all;
use serde_json::Value;
use tokio::runtime::{self, Runtime};

use super::client::{self, Http1};
use super::harness::Cluster;

/// How many applies are under way at a time.
pub(crate) const WORKERS: usize = 8;

/// One server-side apply, as a dry run.
pub(crate) struct Apply {
    path: String,
    manifest: Bytes,
}

/// Connections that stay open from turn to turn.
pub(crate) struct Load {
    runtime: Runtime,
    connections: Vec<Http1>,
    token: String,
}

/// What came of a turn.
pub(crate) struct Applied {
    pub(crate) count: u32,
    pub(crate) time: Duration,
}

impl Apply {
    pub(crate) fn new(namespace: &str, release: &Value) -> Self {
        let name = release["metadata"]["name"].as_str().expect("every release has a name");
        Self {
            path: format!(
                "/apis/helm.toolkit.fluxcd.io/v2/namespaces/{namespace}/helmreleases/{name}\
                 ?fieldManager=kustomize-controller&force=true&dryRun=All"
            ),
            manifest: release.to_string().into(),
        }
    }

    fn request(&self, token: &str) -> Request<Body> {
        Request::patch(&self.path)
            .header(HOST, "kubernetes")
            .header(AUTHORIZATION, token)
            .header(CONTENT_TYPE, "application/apply-patch+yaml")
            .body(Body::from(self.manifest.clone()))
            .expect("names and queries make valid paths")
    }
}

impl Load {
    /// As the administrator of the cluster.
    pub(crate) fn connect(cluster: &Cluster) -> Result<Self> {
        let kubeconfig: Value = serde_json::from_str(&fs::read_to_string(cluster.kubeconfig())?)?;
        let text = |at: &str| kubeconfig.pointer(at).and_then(Value::as_str).expect("it was written whole");
        let token = format!("Bearer {}", text("/users/0/user/token"));
        let authority = Path::new(text("/clusters/0/cluster/certificate-authority"));
        let address = ([127, 0, 0, 1], cluster.port()).into();
        // One thread is enough: the API server takes twenty times the CPU of its client.
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let connections = runtime.block_on(async {
            let mut connections = Vec::new();
            for _ in 0..WORKERS {
                let stream = client::connect(address, authority, rustls::ALL_VERSIONS, "http/1.1").await;
                connections.push(client::http1_over(stream).await);
            }
            connections
        });
        Ok(Self { runtime, connections, token })
    }

    /// Applies for some time. Each worker has releases of its own, and applies them in turn.
    pub(crate) fn run(&mut self, applies: &[Apply], lasting: Duration) -> Result<Applied> {
        let Self { runtime, connections, token } = self;
        let start = Instant::now();
        let workers = connections.iter_mut().enumerate().map(async |(worker, connection)| {
            let mut count = 0;
            for apply in applies.iter().skip(worker).step_by(WORKERS).cycle() {
                if start.elapsed() >= lasting {
                    break;
                }
                let (status, text) = connection.ask(apply.request(token)).await;
                ensure!(status == 200, "PATCH {}: {status} {text}", apply.path);
                count += 1;
            }
            Ok(count)
        });
        let counts: Vec<u32> = runtime.block_on(try_join_all(workers))?;
        Ok(Applied { count: counts.iter().sum(), time: start.elapsed() })
    }
}
