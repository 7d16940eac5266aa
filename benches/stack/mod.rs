//! The server under a floor: axum, rustls and tokio as chartgate uses them, and nothing else.
//!
//! It accepts, encrypts and hands over the whole body, each in the shortest way; it has no limits, no log and no metrics. So it is
//! what such a server costs before it does anything, and whatever chartgate does on top of that counts against chartgate.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::runtime;
use tokio_rustls::TlsAcceptor;

/// No body of a benchmark is near this.
const MAX_BODY_BYTES: usize = 7 * 1024 * 1024;

/// Serves until the process is killed.
pub(crate) fn serve(
    address: SocketAddr,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    router: Router,
) -> Result<()> {
    let tls = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let router = router.layer(DefaultBodyLimit::max(MAX_BODY_BYTES));
    runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind(address).await?;
        loop {
            let (socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            let acceptor = acceptor.clone();
            let service = TowerToHyperService::new(router.clone());
            tokio::spawn(async move {
                // An error means that the client has gone, as it does when it has enough.
                let Ok(stream) = acceptor.accept(socket).await else { return };
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    })
}
