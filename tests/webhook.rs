//! The webhook through its real router, without a socket: what it answers, and where its limits are.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod support;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, Response, StatusCode};
use chartgate::admission::{Answer, BadReview, Endpoint};
use chartgate::telemetry::Metrics;
use chartgate::webhook::body::{LEAST_RESERVATION, MAX_BYTES_IN_FLIGHT, MAX_REVIEW_BYTES};
use chartgate::webhook::{Judge, router};
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use support::{Real, both_set, review_of_size};
use tokio::task::JoinSet;
use tower::ServiceExt;

/// A body that comes in pieces, and perhaps never ends.
struct Pieces {
    /// The last one first.
    left: Vec<Bytes>,
    announced: Option<u64>,
    ends: bool,
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.left.pop() {
            Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            None if self.ends => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.announced.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

fn in_pieces(body: &[u8], announced: bool) -> Body {
    let pieces = body.chunks(16 * 1024).rev().map(Bytes::copy_from_slice).collect();
    Body::new(Pieces { left: pieces, announced: announced.then_some(body.len() as u64), ends: true })
}

/// A body of which nothing ever comes.
fn endless(announced: Option<u64>) -> Body {
    Body::new(Pieces { left: Vec::new(), announced, ends: false })
}

fn webhook() -> (Router, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new());
    (router(Real::default(), Arc::clone(&metrics)), metrics)
}

fn post(path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(path).header("content-type", "application/json").body(body.into()).unwrap()
}

async fn ask(router: &Router, request: Request<Body>) -> Response<Body> {
    router.clone().oneshot(request).await.unwrap()
}

async fn text(response: Response<Body>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

async fn status_and_text(router: &Router, request: Request<Body>) -> (u16, String) {
    let response = ask(router, request).await;
    assert!(
        response.headers()["content-type"] == "text/plain; charset=utf-8",
        "an answer that is no verdict is plain text"
    );
    (response.status().as_u16(), text(response).await)
}

#[tokio::test]
async fn both_paths_judge_and_answer_in_json() {
    let (router, metrics) = webhook();
    for path in ["/mutate", "/validate", "/validate?timeout=10s"] {
        let response = ask(&router, post(path, both_set())).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "application/json");
        let answer: serde_json::Value = serde_json::from_str(&text(response).await).unwrap();
        assert_eq!(answer["response"]["uid"], "try-me");
        assert_eq!(answer["response"]["allowed"], false);
    }
    let metrics = metrics.render();
    for line in [
        r#"chartgate_reviews_total{operation="CREATE",decision="denied",mode="enforce",dry_run="false"} 3"#,
        r#"chartgate_findings_total{rule="chart-and-chart-ref",level="error",mode="enforce"} 3"#,
        "chartgate_review_duration_seconds_count 3",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn a_media_type_may_have_parameters_and_any_case() {
    let (router, _) = webhook();
    for media_type in ["application/json; charset=utf-8", "Application/JSON", "application/json ;v=1"] {
        let request = Request::post("/mutate").header("content-type", media_type);
        let response = ask(&router, request.body(both_set().into()).unwrap()).await;
        assert_eq!(response.status(), StatusCode::OK, "{media_type}");
    }
}

#[tokio::test]
async fn another_media_type_or_none_is_unsupported() {
    let (router, metrics) = webhook();
    let requests = [
        Request::post("/mutate").header("content-type", "application/yaml"),
        Request::post("/mutate").header("content-type", "application/jsonlines"),
        Request::post("/mutate"),
    ];
    for request in requests {
        assert_eq!(
            status_and_text(&router, request.body(both_set().into()).unwrap()).await,
            (415, "send the AdmissionReview as JSON, with Content-Type: application/json\n".into())
        );
    }
    assert!(metrics.render().contains(r#"chartgate_rejected_requests_total{reason="media_type"} 3"#));
}

#[tokio::test]
async fn another_method_is_told_which_one_there_is() {
    let (router, _) = webhook();
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] {
        let request = Request::builder().method(method).uri("/validate").body(Body::empty()).unwrap();
        let response = ask(&router, request).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(response.headers()["allow"], "POST");
        if method == "GET" {
            assert_eq!(
                text(response).await,
                "/validate takes a POST of an AdmissionReview, as the Kubernetes API server sends it\n"
            );
        }
    }
}

#[tokio::test]
async fn another_path_is_told_which_ones_there_are() {
    let (router, _) = webhook();
    for path in ["/", "/mutate/", "/Validate", "/metrics"] {
        assert_eq!(
            status_and_text(&router, post(path, both_set())).await,
            (404, "there is nothing here: POST an AdmissionReview to /mutate or /validate\n".into()),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_body_that_is_no_review_is_a_bad_request_that_says_why() {
    let (router, metrics) = webhook();
    for body in ["", "{}", "no JSON", r#"{"kind":"Pod"}"#] {
        let (status, text) = status_and_text(&router, post("/mutate", body)).await;
        assert_eq!(status, 400, "{body:?}");
        assert!(text.len() > 10 && text.ends_with('\n') && text.lines().count() <= 2, "{text:?}");
    }
    assert!(metrics.render().contains(r#"chartgate_rejected_requests_total{reason="bad_body"} 4"#));
}

#[tokio::test]
async fn a_review_of_seven_mebibytes_is_judged() {
    let (router, _) = webhook();
    let review = review_of_size(MAX_REVIEW_BYTES);
    for body in [Body::from(review.clone()), in_pieces(&review, true), in_pieces(&review, false)] {
        assert_eq!(ask(&router, post("/mutate", body)).await.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn a_byte_more_is_too_large_whether_its_length_is_said_or_not() {
    let (router, metrics) = webhook();
    let review = review_of_size(MAX_REVIEW_BYTES + 1);
    for body in [Body::from(review.clone()), in_pieces(&review, true), in_pieces(&review, false)] {
        assert_eq!(
            status_and_text(&router, post("/mutate", body)).await,
            (413, "the body is longer than 7340032 bytes, which is more than a review can have\n".into())
        );
    }
    assert!(metrics.render().contains(r#"chartgate_rejected_requests_total{reason="too_large"} 3"#));
}

#[tokio::test]
async fn a_body_that_does_not_come_in_time_is_answered_in_time() {
    let (router, metrics) = webhook();
    let began = Instant::now();
    let half = Body::new(Pieces {
        left: vec![Bytes::from(both_set().split_off(100))],
        announced: None,
        ends: false,
    });
    let refused = status_and_text(&router, post("/mutate?timeout=3s", half)).await;
    assert_eq!(refused, (504, "the review did not arrive in the time that ?timeout= leaves\n".into()));
    assert!(began.elapsed() < Duration::from_secs(3), "the caller has gone by then");
    assert!(metrics.render().contains(r#"chartgate_rejected_requests_total{reason="timeout"} 1"#));
}

#[tokio::test]
async fn a_refusal_does_not_wait_for_long_for_a_body_that_does_not_come() {
    let (router, _) = webhook();
    let began = Instant::now();
    let request = Request::post("/mutate?timeout=30s").body(endless(None)).unwrap();
    assert_eq!(ask(&router, request).await.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert!(began.elapsed() < Duration::from_secs(10), "the caller waits longer, but in vain");
}

/// Sends requests whose bodies never come, and returns when all of them wait for their bodies.
async fn keep_waiting(router: &Router, count: usize, announced: Option<u64>) -> JoinSet<Response<Body>> {
    let mut waiting = JoinSet::new();
    for _ in 0..count {
        let mut answer = Box::pin(router.clone().oneshot(post("/mutate?timeout=30s", endless(announced))));
        // Polled once here: from then on it holds its part of the budget.
        let polled = std::future::poll_fn(|context| Poll::Ready(answer.as_mut().poll(context))).await;
        assert!(polled.is_pending(), "it waits for its body");
        waiting.spawn(async { answer.await.unwrap() });
    }
    waiting
}

/// More than the pause after which a body has to make room; the machine may be slow, never fast.
const STALLED: Duration = Duration::from_millis(300);

#[tokio::test]
async fn a_body_of_which_nothing_comes_makes_room_for_the_next_one_and_holds_no_more_than_the_least() {
    for announced in [None, Some(MAX_REVIEW_BYTES as u64)] {
        let (router, metrics) = webhook();
        let mut waiting = keep_waiting(&router, MAX_BYTES_IN_FLIGHT / LEAST_RESERVATION, announced).await;
        // A review that has arrived takes none of that memory.
        assert_eq!(ask(&router, post("/mutate", both_set())).await.status(), StatusCode::OK);

        tokio::time::sleep(STALLED).await;
        let in_pieces = in_pieces(&review_of_size(40_000), announced.is_some());
        assert_eq!(ask(&router, post("/mutate", in_pieces)).await.status(), StatusCode::OK);
        let evicted = waiting.join_next().await.unwrap().unwrap();
        assert_eq!(evicted.status(), StatusCode::SERVICE_UNAVAILABLE);
        // With it the API server would ask again instead of applying its failure policy.
        assert!(!evicted.headers().contains_key("retry-after"));
        assert_eq!(text(evicted).await, "too many reviews are under way: ask again\n");
        assert!(metrics.render().contains(r#"chartgate_rejected_requests_total{reason="overload"} 1"#));
    }
}

#[tokio::test]
async fn bodies_that_have_just_begun_are_not_given_up_for_the_next_one() {
    let (router, metrics) = webhook();
    let began = Instant::now();
    let mut waiting = keep_waiting(&router, MAX_BYTES_IN_FLIGHT / LEAST_RESERVATION, None).await;
    let response = ask(&router, post("/mutate", in_pieces(&review_of_size(40_000), true))).await;
    if began.elapsed() < Duration::from_millis(250) {
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(waiting.try_join_next().is_none());
        assert!(metrics.render().contains(r#"chartgate_rejected_requests_total{reason="overload"} 1"#));
    }
    // Callers that hang up give back what they held.
    drop(waiting);
    tokio::task::yield_now().await;
    let response = ask(&router, post("/mutate", in_pieces(&review_of_size(40_000), true))).await;
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_body_that_stalls_is_given_up_whatever_the_query_says() {
    let (router, metrics) = webhook();
    let began = Instant::now();
    let (status, text) = status_and_text(&router, post("/mutate?timeout=30s", endless(Some(1000)))).await;
    assert_eq!((status, &*text), (504, "the body stalled: fewer than 16384 bytes arrived within 3 s\n"));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert!(metrics.render().contains(r#"chartgate_rejected_requests_total{reason="timeout"} 1"#));
}

/// Fails on one body only.
struct Fragile(Real);

impl Judge for Fragile {
    fn judge<'a>(&self, body: &'a [u8], endpoint: Endpoint) -> Result<Answer<'a>, BadReview> {
        assert_ne!(body, b"boom", "this body breaks the judge");
        self.0.judge(body, endpoint)
    }
}

#[tokio::test]
async fn a_panic_fails_its_own_review_and_no_other() {
    let metrics = Arc::new(Metrics::new());
    let router = router(Fragile(Real::default()), Arc::clone(&metrics));
    assert_eq!(
        status_and_text(&router, post("/mutate", "boom")).await,
        (500, "judging this review failed: this is an error in chartgate, its log says more\n".into())
    );
    assert_eq!(ask(&router, post("/mutate", both_set())).await.status(), StatusCode::OK);
    assert!(metrics.render().contains("chartgate_panics_total 1\n"));
}
