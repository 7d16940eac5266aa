//! The floor: a webhook that gives everything the same answer, to one path with a patch and to the others without.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::post;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::stack;

/// The files that it takes its certificate from, in the directory where it is started.
pub(crate) const CERTIFICATE: &str = "tls.crt";
pub(crate) const KEY: &str = "tls.key";

/// What stands before the uid in a review, and is found there within its first bytes.
const BEFORE_UID: &[u8] = br#""uid":""#;
const UID_BYTES: usize = 36;

/// Where the answer is that holds [`PATCH`].
pub(crate) const PATCHING: &str = "/patch";

/// `[{"op":"add","path":"/spec/chartRef/namespace","value":"elsewhere"}]`, in base64: what chartgate says about a chartRef without a
/// namespace, in as many bytes.
const PATCH: &str = r#","patchType":"JSONPatch","patch":"W3sib3AiOiJhZGQiLCJwYXRoIjoiL3NwZWMvY2hhcnRSZWYvbmFtZXNwYWNlIiwidmFsdWUiOiJlbHNld2hlcmUifV0=""#;

/// Serves until the process is killed.
pub(crate) fn serve(address: SocketAddr) -> Result<()> {
    let certificate = CertificateDer::from_pem_file(Path::new(CERTIFICATE))?;
    let key = PrivateKeyDer::from_pem_file(Path::new(KEY))?;
    let router = Router::new()
        .route("/mutate", post(async |review: Bytes| answer(&review, "")))
        .route("/validate", post(async |review: Bytes| answer(&review, "")))
        .route(PATCHING, post(async |review: Bytes| answer(&review, PATCH)));
    stack::serve(address, certificate, key, router)
}

/// Always the same, but for the one part that the API server compares.
fn answer(review: &[u8], rest: &str) -> impl IntoResponse + use<> {
    let Some(uid) = uid(review) else { return Err(StatusCode::BAD_REQUEST) };
    let answer = format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{{"uid":"{uid}","allowed":true{rest}}}}}"#
    );
    Ok(([(CONTENT_TYPE, "application/json")], answer))
}

fn uid(review: &[u8]) -> Option<&str> {
    let start = review.windows(BEFORE_UID.len()).position(|part| part == BEFORE_UID)? + BEFORE_UID.len();
    std::str::from_utf8(review.get(start..start + UID_BYTES)?).ok()
}
