//! The floor: the same answer to everything.

use std::net::Ipv4Addr;

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::post;

use super::stack;

/// As long as the answer to a review that nothing is wrong with.
const ANSWER: &str = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"705ab4f5-6393-11e8-b7cc-42010a800002","allowed":true}}"#;

/// Serves until the process is killed.
pub(crate) fn serve(port: u16) -> Result<()> {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let router = Router::new().route("/mutate", post(answer));
    stack::serve((Ipv4Addr::LOCALHOST, port).into(), cert.into(), signing_key.into(), router)
}

async fn answer(_: Bytes) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], ANSWER)
}
