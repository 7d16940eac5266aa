//! Traces of the real program, as a collector receives them.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;
use support::both_set;
use support::process::{PATIENCE, Process, chartgate, eventually, post as review};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// A collector: its address, and what it is sent, each with its headers.
async fn collector() -> (String, mpsc::UnboundedReceiver<(HeaderMap, ExportTraceServiceRequest)>) {
    let (sender, received) = mpsc::unbounded_channel();
    let take = post(async move |headers: HeaderMap, body: Bytes| {
        sender.send((headers, ExportTraceServiceRequest::decode(body).unwrap())).unwrap();
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = Router::new().route("/v1/traces", take);
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    (format!("http://{address}"), received)
}

/// The next batch.
async fn next(
    received: &mut mpsc::UnboundedReceiver<(HeaderMap, ExportTraceServiceRequest)>,
) -> (HeaderMap, ExportTraceServiceRequest) {
    timeout(PATIENCE, received.recv()).await.expect("a batch arrives").expect("the collector runs")
}

fn start(place: &TempDir, environment: &[(&str, &str)]) -> Process {
    let mut command: Command = chartgate(place.path());
    command.envs(environment.iter().copied());
    command.stderr(fs::File::create(place.path().join("log")).unwrap());
    Process::spawn(place.path(), command, &[])
}

fn attributes(given: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Option<AnyValue>| match value.clone().unwrap().value.unwrap() {
        Value::StringValue(text) => text,
        Value::BoolValue(yes) => yes.to_string(),
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    given.iter().map(|pair| (pair.key.clone(), text(&pair.value))).collect()
}

fn spans(request: &ExportTraceServiceRequest) -> Vec<&Span> {
    let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
    scopes.flat_map(|scope| &scope.spans).collect()
}

#[tokio::test]
async fn a_review_is_one_span_below_the_callers_and_the_last_is_sent_before_the_end() {
    let (address, mut received) = collector().await;
    let place = tempfile::tempdir().unwrap();
    // Long enough that the batch is sent by the end of the process alone.
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", address.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=flux"),
        ("OTEL_RESOURCE_ATTRIBUTES", "k8s.pod.name=chartgate-0"),
        ("OTEL_BSP_SCHEDULE_DELAY", "3600000"),
    ];
    let mut process = start(&place, &environment);
    let mut request = review("/mutate", both_set());
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    request.headers_mut().insert("traceparent", parent.parse().unwrap());
    assert_eq!(process.http1().await.ask(request).await.0, 200);
    process.signal("INT");
    assert_eq!(process.ended().await.code(), Some(0));

    let (headers, request) = next(&mut received).await;
    assert_eq!(headers["content-type"], "application/x-protobuf");
    assert_eq!(headers["x-tenant"], "flux");
    let resource = attributes(&request.resource_spans[0].resource.as_ref().unwrap().attributes);
    assert_eq!(resource["service.name"], "chartgate");
    assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(resource["k8s.pod.name"], "chartgate-0");

    let [span] = spans(&request)[..] else { panic!("{request:?}") };
    assert_eq!((span.name.as_str(), span.kind()), ("review", SpanKind::Server));
    let hex = |bytes: &[u8]| {
        format!("{:032x}", bytes.iter().fold(0, |all: u128, byte| all << 8 | u128::from(*byte)))
    };
    assert_eq!(hex(&span.trace_id), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(hex(&span.parent_span_id), "0000000000000000b7ad6b7169203331");
    assert!(span.start_time_unix_nano < span.end_time_unix_nano);
    let mut attributes = attributes(&span.attributes);
    assert!(attributes.remove("chartgate.microseconds").unwrap().parse::<u64>().is_ok());
    let expected = [
        ("chartgate.decision", "denied"),
        ("chartgate.dry_run", "false"),
        ("chartgate.manager", ""),
        ("chartgate.mode", "enforce"),
        ("chartgate.name", "podinfo"),
        ("chartgate.operation", "CREATE"),
        ("chartgate.rules", "chart-and-chart-ref,chart-ref-namespace,version-annotation"),
        ("chartgate.uid", "try-me"),
        ("chartgate.user", "you"),
        ("k8s.namespace.name", "default"),
    ];
    assert_eq!(attributes, expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
}

#[tokio::test]
async fn a_caller_that_does_not_sample_gets_no_span() {
    let (address, mut received) = collector().await;
    let place = tempfile::tempdir().unwrap();
    let mut process = start(&place, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &address)]);
    for (flags, uid) in [("00", "unsampled"), ("01", "sampled")] {
        let mut request = review("/mutate", both_set().replace("try-me", uid));
        let parent = format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}");
        request.headers_mut().insert("traceparent", parent.parse().unwrap());
        assert_eq!(process.http1().await.ask(request).await.0, 200);
    }
    process.signal("INT");
    process.ended().await;
    let (_, request) = next(&mut received).await;
    let [span] = spans(&request)[..] else { panic!("{request:?}") };
    assert_eq!(attributes(&span.attributes)["chartgate.uid"], "sampled");
}

#[tokio::test]
async fn switched_off_by_the_environment_nothing_is_sent() {
    let (address, mut received) = collector().await;
    for switch in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")] {
        let place = tempfile::tempdir().unwrap();
        let mut process = start(&place, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &address), switch]);
        assert_eq!(process.http1().await.post(both_set()).await.0, 200);
        process.signal("INT");
        process.ended().await;
    }
    let nothing = timeout(std::time::Duration::from_millis(100), received.recv()).await;
    assert!(nothing.is_err(), "{nothing:?}");
}

#[tokio::test]
async fn a_collector_that_is_away_stops_no_review_and_is_said_once() {
    // Bound and never listened to on HTTP: closed at once.
    // Bound, so that no other test gets the port, but nobody listens.
    let held = TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let closed = held.local_addr().unwrap();
    let place = tempfile::tempdir().unwrap();
    let endpoint = format!("http://{closed}");
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "20")];
    let process = start(&place, &environment);
    let mut open = process.http1().await;
    eventually("the failure in the log", async || {
        assert_eq!(open.post(both_set()).await.0, 200);
        process.log().contains("cannot send traces").then_some(())
    })
    .await;
    for _ in 0..10 {
        assert_eq!(open.post(both_set()).await.0, 200);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(process.log().matches("cannot send traces").count(), 1, "{}", process.log());
}

#[tokio::test]
async fn an_endpoint_that_is_none_is_said_and_does_not_stop_the_start() {
    let place = tempfile::tempdir().unwrap();
    let process = start(&place, &[("OTEL_EXPORTER_OTLP_ENDPOINT", "not an address")]);
    assert_eq!(process.http1().await.post(both_set()).await.0, 200);
    eventually("the error in the log", async || process.log().contains("there are no traces").then_some(()))
        .await;
}
