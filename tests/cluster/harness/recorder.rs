//! A webhook that allows everything and keeps what it was sent, byte for byte.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::post;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::RUNTIME;
use super::cluster::Cluster;
use super::namespace::Namespace;
use super::tls::Identity;
use super::webhooks::{Conditions, Endpoint, Registration};

/// The bodies received so far, each with the path that it was sent to.
type Recorded = Arc<Mutex<Vec<(String, Bytes)>>>;

/// The recording webhook, registered at a cluster until it is dropped.
pub(crate) struct Recorder<'a> {
    registration: Registration<'a>,
    /// The same again behind the prefilter, if it was asked for.
    _prefiltered: Option<Registration<'a>>,
    recorded: Recorded,
    server: JoinHandle<()>,
}

/// Accepts TLS connections for axum.
struct TlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

// === impl Recorder ===

impl<'a> Recorder<'a> {
    /// Starts the server. It sees every write, also those that the shipped `matchConditions` leave out.
    pub(crate) fn start(cluster: &'a Cluster) -> Self {
        Self::with(cluster, false)
    }

    /// The same, and called a second time, at `prefiltered/…`, wherever the shipped prefilter lets a write through.
    pub(crate) fn beside_prefilter(cluster: &'a Cluster) -> Self {
        Self::with(cluster, true)
    }

    fn with(cluster: &'a Cluster, prefiltered: bool) -> Self {
        let identity = Identity::generate();
        let recorded = Recorded::default();
        let app = Router::new().route("/{*path}", post(record)).with_state(Arc::clone(&recorded));
        let listener = RUNTIME.block_on(TlsListener::bind(&identity));
        let address = listener.tcp.local_addr().expect("it is bound");
        let server = RUNTIME.spawn(async move {
            axum::serve(listener, app).await.expect("the listener never fails");
        });
        let endpoint = |path: &str, conditions| Endpoint {
            url: format!("https://{address}{path}"),
            authority: &identity.authority,
            failure_policy: "Fail",
            conditions,
        };
        let registration = Registration::new(cluster, &endpoint("", Conditions::None));
        let prefiltered =
            prefiltered.then(|| registration.beside(&endpoint("/prefiltered", Conditions::Prefilter)));
        Self { registration, _prefiltered: prefiltered, recorded, server }
    }

    /// Where it is registered.
    pub(crate) fn cluster(&self) -> &'a Cluster {
        self.registration.cluster()
    }

    /// A new namespace whose releases are recorded.
    pub(crate) fn namespace(&self, purpose: &str) -> Namespace<'a> {
        self.registration.namespace(purpose, &[])
    }

    /// Takes all that was sent so far, each with the path that it was sent to.
    pub(crate) fn take_all(&self) -> Vec<(String, Bytes)> {
        std::mem::take(&mut *self.recorded.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes what was sent to `path`, such as `mutate`, about objects of one namespace; forgets everything else.
    pub(crate) fn take(&self, path: &str, namespace: &Namespace<'_>) -> Vec<Bytes> {
        let all = self.take_all();
        let wanted = |body: &Bytes| {
            let review: Value = serde_json::from_slice(body).expect("the API server sends JSON");
            review["request"]["namespace"] == namespace.name()
        };
        all.into_iter().filter(|(to, body)| to == path && wanted(body)).map(|(_, body)| body).collect()
    }
}

impl Drop for Recorder<'_> {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn record(
    Path(path): Path<String>,
    State(recorded): State<Recorded>,
    body: Bytes,
) -> impl IntoResponse {
    let review: Value = serde_json::from_slice(&body).expect("the API server sends JSON");
    recorded.lock().unwrap_or_else(PoisonError::into_inner).push((path, body));
    let answer = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {"uid": review["request"]["uid"], "allowed": true},
    });
    ([(CONTENT_TYPE, "application/json")], answer.to_string())
}

// === impl TlsListener ===

impl TlsListener {
    async fn bind(identity: &Identity) -> Self {
        let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has cipher suites for them")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.expect("we made it")], key.expect("we made it"))
            .expect("certificate and key belong together");
        let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        Self { tcp, acceptor: TlsAcceptor::from(Arc::new(config)) }
    }
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            // A client that gives up, at whatever point, is not our concern.
            let Ok((stream, address)) = self.tcp.accept().await else { continue };
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}
