//! Traces: one span for each review, sent by OTLP where the environment names a collector.
//!
//! Set up by OpenTelemetry's own variables, which its SDK reads. Off, it costs a review nothing; on, a review puts a
//! span into a bounded queue and waits for nobody.

use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use axum::http::HeaderMap;
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{Span, SpanKind, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::decision::{clipped, rules};
use crate::admission::Record;

/// The endpoint of traces alone, or of everything. Without either there are no traces.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// How long the collector may take for a batch; OpenTelemetry's default.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// A collector's answer is a few bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// How long the end of the process waits for the last batch.
const FAREWELL: Duration = Duration::from_secs(1);

/// Makes spans. Clones send by the same way.
#[derive(Clone, Debug)]
pub struct Traces {
    tracer: SdkTracer,
    provider: SdkTracerProvider,
}

/// The span that a request came from, if the caller said so.
#[derive(Clone, Debug, Default)]
pub struct Origin(Context);

/// Sends batches by the runtime of the program; the SDK calls it from a thread of its own.
#[derive(Debug)]
struct Sender {
    runtime: Handle,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// The last batch was lost, and that has been logged.
    failing: Arc<AtomicBool>,
}

/// The headers of a request, for the propagator.
struct Headers<'a>(&'a HeaderMap);

// === impl Traces ===

impl Traces {
    /// As the environment says: none where it names no collector, or switches the SDK or its traces off.
    pub fn from_environment(runtime: &Handle) -> Result<Option<Self>, ExporterBuildError> {
        let is = |name: &str, value: &str| env::var(name).is_ok_and(|it| it.eq_ignore_ascii_case(value));
        let named = ENDPOINTS.iter().any(|name| env::var_os(name).is_some_and(|value| !value.is_empty()));
        if !named || is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
            return Ok(None);
        }
        let sender = Sender::new(runtime.clone());
        let exporter = SpanExporter::builder().with_http().with_http_client(sender).build()?;
        let provider =
            SdkTracerProvider::builder().with_resource(resource()).with_batch_exporter(exporter).build();
        let tracer = provider.tracer(env!("CARGO_PKG_NAME"));
        Ok(Some(Self { tracer, provider }))
    }

    /// Where a request came from, by its header `traceparent`.
    pub fn origin(headers: &HeaderMap) -> Origin {
        Origin(TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers)))
    }

    /// Makes the span of a review that has just been judged; `took` is what judging took.
    pub fn reviewed(&self, record: &Record<'_>, took: Duration, origin: &Origin) {
        let end = SystemTime::now();
        let text = |key: &'static str, value: &str| KeyValue::new(key, clipped(value).into_owned());
        let mut span = self
            .tracer
            .span_builder("review")
            .with_kind(SpanKind::Server)
            .with_start_time(end.checked_sub(took).unwrap_or(end))
            .with_attributes([
                text("chartgate.uid", &record.uid),
                KeyValue::new("chartgate.operation", record.operation.as_str()),
                text("k8s.namespace.name", &record.namespace),
                text("chartgate.name", &record.name),
                text("chartgate.user", &record.user),
                text("chartgate.manager", record.manager.as_deref().unwrap_or_default()),
                KeyValue::new("chartgate.rules", rules(record).to_string()),
                KeyValue::new("chartgate.dry_run", record.dry_run),
                KeyValue::new("chartgate.mode", record.mode.as_str()),
                KeyValue::new("chartgate.decision", record.decision.as_str()),
                KeyValue::new("chartgate.microseconds", i64::try_from(took.as_micros()).unwrap_or(i64::MAX)),
            ])
            .start_with_context(&self.tracer, &origin.0);
        span.end_with_timestamp(end);
    }

    /// Sends what is left, and makes no more.
    pub async fn close(self) {
        // The SDK blocks its caller until everything is sent, which takes this runtime.
        let closed = spawn_blocking(move || self.provider.shutdown_with_timeout(FAREWELL)).await;
        if let Ok(Err(error)) = closed {
            tracing::warn!(%error, "the last spans may be lost");
        }
    }
}

/// Who we are, unless `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` say otherwise.
fn resource() -> Resource {
    let named = env::var_os("OTEL_SERVICE_NAME").is_some_and(|name| !name.is_empty())
        || env::var("OTEL_RESOURCE_ATTRIBUTES").is_ok_and(|given| given.contains("service.name="));
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let resource = Resource::builder().with_attribute(version);
    if named { resource.build() } else { resource.with_service_name(env!("CARGO_PKG_NAME")).build() }
}

/// Trusts what the system trusts, or `SSL_CERT_FILE`. An image without certificates still reaches a collector in plain
/// HTTP, as those within a cluster are.
fn tls() -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider knows TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

// === impl Sender ===

impl Sender {
    fn new(runtime: Handle) -> Self {
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls());
        let connector = connector.https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Self { runtime, client, failing: Arc::default() }
    }

    /// Says once that batches are lost, until one arrives again.
    fn note(&self, failure: Option<&str>) {
        let failed_before = self.failing.swap(failure.is_some(), Ordering::Relaxed);
        match failure {
            Some(error) if !failed_before => {
                tracing::warn!(error, "cannot send traces; this is said once until it works again");
            }
            None if failed_before => tracing::info!("traces are sent again"),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let exchange = async move {
            let response = client.request(request.map(Full::new)).await?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await?.to_bytes();
            Ok::<_, HttpError>(Response::from_parts(head, body))
        };
        // The timer, too, is the runtime's: it must be made there.
        let answer = self.runtime.spawn(async { timeout(EXPORT_TIMEOUT, exchange).await }).await;
        let answer = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(late)) => Err(late.into()),
            Err(ended) => Err(ended.into()),
        };
        match &answer {
            Ok(answer) if answer.status().is_success() => self.note(None),
            Ok(answer) => self.note(Some(answer.status().as_str())),
            Err(error) => self.note(Some(&error.to_string())),
        }
        answer
    }
}

// === impl Headers ===

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(axum::http::HeaderName::as_str).collect()
    }
}
