//! `chartgate audit` against an API server that is broken or hostile: it ends, loses nothing without a word, says what is wrong, and
//! its exit code says so.
//!
//! The server is one: what such a server does is what these tests are about, and no real one does it.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::convert::Infallible;
use std::fs;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What the server says to a request for releases: the query, and how often it was asked before.
type Releases = fn(&str, usize) -> Response;

/// The output of an audit, how often it asked for releases, and how long it took.
async fn audit(releases: Releases, arguments: &[&str]) -> (Output, usize, Duration) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let answer = move |request: Request| {
        let counted = Arc::clone(&counted);
        async move {
            let query = request.uri().query().unwrap_or_default();
            match request.uri().path() {
                "/version" => json(200, &json!({"major": "1", "minor": "35"})),
                path if path.ends_with("/helmreleases.helm.toolkit.fluxcd.io") => json(200, &crd()),
                path if path.contains("/customresourcedefinitions") => json(
                    200,
                    &json!({"kind": "CustomResourceDefinitionList", "metadata": {"resourceVersion": "1"}, "items": [crd()]}),
                ),
                "/apis/helm.toolkit.fluxcd.io/v2/helmreleases" => {
                    releases(query, counted.fetch_add(1, Ordering::Relaxed))
                }
                path if path.ends_with("/namespaces") => list(&[], ""),
                _ => status(403, "Forbidden", "no"),
            }
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    let serving = tokio::spawn(axum::serve(listener, Router::new().fallback(answer)).into_future());
    let place = tempfile::tempdir().unwrap();
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "a",
        "clusters": [{"name": "a", "cluster": {"server": format!("http://{server}")}}],
        "users": [{"name": "a", "user": {}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
    });
    let file = place.path().join("config");
    fs::write(&file, kubeconfig.to_string()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_chartgate"));
    command.arg("audit").args(arguments).env_clear().env("KUBECONFIG", &file);
    let began = Instant::now();
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    serving.abort();
    (output, asked.load(Ordering::Relaxed), began.elapsed())
}

/// Fails with exit code 2, and an error of one visible line that says this.
async fn fails_with(releases: Releases, said: &str) -> usize {
    let (output, asked, took) = audit(releases, &[]).await;
    let errors = String::from_utf8(output.stderr).unwrap();
    let error = errors.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
    assert!(error.contains(said), "{errors}");
    assert!(!errors.contains('\u{1b}'), "{errors:?}");
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(took < Duration::from_mins(2), "{took:?}");
    asked
}

fn json(code: u16, body: &Value) -> Response {
    let kind = [("content-type", "application/json")];
    (StatusCode::from_u16(code).unwrap(), kind, body.to_string()).into_response()
}

fn status(code: u16, reason: &str, message: &str) -> Response {
    json(
        code,
        &json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message}),
    )
}

fn release(name: &str) -> Value {
    json!({
        "apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease",
        "metadata": {"name": name, "namespace": "apps"},
        "spec": {"interval": "10m", "chartRef": {"kind": "HelmChart", "name": "podinfo"}},
    })
}

fn list(names: &[&str], token: &str) -> Response {
    let items: Vec<_> = names.iter().map(|name| release(name)).collect();
    json(
        200,
        &json!({"kind": "HelmReleaseList", "metadata": {"continue": token, "resourceVersion": "1"}, "items": items}),
    )
}

fn crd() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "helmreleases.helm.toolkit.fluxcd.io", "resourceVersion": "1"},
        "spec": {"group": "helm.toolkit.fluxcd.io", "versions": [{
            "name": "v2", "served": true, "storage": true,
            "schema": {"openAPIV3Schema": {"properties": {"spec": {"properties": {
                "chart": {"properties": {"spec": {"properties": {"chart": {}, "sourceRef": {}}}}},
                "chartRef": {"properties": {"kind": {"enum": ["OCIRepository", "HelmChart"]}}},
            }}}}},
        }]},
    })
}

#[tokio::test]
async fn a_server_in_order_is_audited() {
    let (output, ..) = audit(|_, _| list(&["a", "b"], ""), &["--fail-on=never", "--format=json"]).await;
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["releases"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_page_that_never_ends_is_an_error() {
    let asked = fails_with(|_, _| list(&[], "more"), "the list does not end").await;
    assert!(asked < 10, "{asked}");
    // The same objects again.
    fails_with(|_, _| list(&["a"], "more"), "apps/a comes after apps/a").await;
}

#[tokio::test]
async fn a_moment_that_is_always_gone_is_an_error() {
    let gone: Releases = |query, asked| {
        if !query.contains("continue=") {
            return list(&["a"], "more");
        }
        let mut status = json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "gone"});
        // Sometimes with a token to go on, sometimes without.
        status["metadata"] =
            if asked.is_multiple_of(2) { json!({"continue": format!("t{asked}")}) } else { json!({}) };
        json(410, &status)
    };
    let asked = fails_with(gone, "the list does not end").await;
    assert!(asked < 20, "{asked}");
}

#[tokio::test]
async fn a_list_out_of_order_is_an_error_and_no_release_is_lost_without_a_word() {
    fails_with(|_, _| list(&["b", "a"], ""), "out of order: apps/a comes after apps/b").await;
}

#[tokio::test]
async fn what_is_no_list_is_an_error_and_not_an_empty_cluster() {
    let said = "the answer is no list of objects";
    fails_with(|_, _| json(200, &json!({})), said).await;
    fails_with(|_, _| json(200, &json!({"kind": "Status", "status": "Success"})), said).await;
    fails_with(|_, _| json(200, &json!({"items": [{"metadata": {}}]})), said).await;
    fails_with(|_, _| "<html>".into_response(), said).await;
}

#[tokio::test]
async fn what_a_refusal_says_does_not_steer_the_terminal() {
    fails_with(|_, _| status(403, "Forbidden", "no\u{1b}[31m red\r\n::error::x"), "no\u{241b}[31m red").await;
}

#[tokio::test]
async fn an_answer_without_an_end_is_an_error() {
    let endless: Releases = |_, _| {
        let piece = Bytes::from(vec![b' '; 1024 * 1024]);
        let pieces = futures_util::stream::repeat_with(move || Ok::<_, Infallible>(piece.clone()));
        Response::new(Body::from_stream(pieces))
    };
    fails_with(endless, "the answer is longer than any object is").await;
}
