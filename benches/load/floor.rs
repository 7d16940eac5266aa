//! The floor: axum, rustls and tokio as chartgate uses them, and always the same answer.
//!
//! It accepts, encrypts, reads the whole body and answers, each in the shortest way; it has no limits, no log and no metrics. So it is
//! what such a server costs before it does anything, and whatever chartgate does on top of that counts against chartgate.

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::post;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use tokio::net::TcpListener;
use tokio::runtime;
use tokio_rustls::TlsAcceptor;

/// No body of the benchmark is near this.
const MAX_BODY_BYTES: usize = 7 * 1024 * 1024;

/// As long as the answer to a review that nothing is wrong with.
const ANSWER: &str = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"705ab4f5-6393-11e8-b7cc-42010a800002","allowed":true}}"#;

/// Serves until the process is killed.
pub(crate) fn serve(port: u16) -> Result<()> {
    runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let acceptor = TlsAcceptor::from(Arc::new(tls()?));
        let router =
            Router::new().route("/mutate", post(answer)).layer(DefaultBodyLimit::max(MAX_BODY_BYTES));
        loop {
            let (socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            let acceptor = acceptor.clone();
            let service = TowerToHyperService::new(router.clone());
            tokio::spawn(async move {
                // An error means that the client has gone, and it goes after each turn.
                let Ok(stream) = acceptor.accept(socket).await else { return };
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    })
}

async fn answer(_: Bytes) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], ANSWER)
}

fn tls() -> Result<ServerConfig> {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![cert.into()], signing_key.into())?;
    Ok(config)
}
