//! Raw requests to the API server: what was answered, and what it warned about.

use std::time::Duration;

use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, Method, Request};
use futures_util::StreamExt as _;
use http_body_util::BodyExt as _;
use kube::client::{Body, Client};
use serde_json::Value;
use tokio::time::timeout;

use super::RUNTIME;

/// Longer than any answer of a test server takes, webhook timeouts included; short enough to end a hanging test.
const DEADLINE: Duration = Duration::from_mins(1);

/// How many applies of many are under way together.
const AT_A_TIME: usize = 16;

/// The answer to a request, whatever its status.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The HTTP status code.
    pub(crate) status: u16,
    /// The object, or the `Status` that says why not; text that is no JSON is a string.
    pub(crate) body: Value,
    /// The texts of the `Warning` headers, as kubectl shows them.
    pub(crate) warnings: Vec<String>,
}

/// Who writes, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Write<'a> {
    manager: &'a str,
    force: bool,
    dry_run: bool,
}

/// All objects of one resource, in one namespace or cluster-wide.
#[derive(Clone)]
pub(crate) struct Objects {
    client: Client,
    path: String,
    subresource: &'static str,
}

// === impl Answer ===

impl Answer {
    /// The object, for a request that has to succeed.
    #[track_caller]
    pub(crate) fn accepted(self) -> Value {
        assert!(self.status < 300, "expected success, got {}: {}", self.status, self.message());
        self.body
    }

    /// The message of the API server, for a request that has to fail.
    #[track_caller]
    pub(crate) fn refused(self) -> String {
        assert!(self.status >= 400, "expected a refusal, got {}: {}", self.status, self.body);
        self.message().to_owned()
    }

    /// The `message` of a `Status`, else nothing.
    pub(crate) fn message(&self) -> &str {
        self.body["message"].as_str().or(self.body.as_str()).unwrap_or_default()
    }
}

// === impl Write ===

impl<'a> Write<'a> {
    /// A write by the given field manager, with strict field validation.
    pub(crate) fn by(manager: &'a str) -> Self {
        Self { manager, force: false, dry_run: false }
    }

    /// Takes over fields that another manager owns (server-side apply only).
    pub(crate) fn forced(self) -> Self {
        Self { force: true, ..self }
    }

    /// Goes through admission, and stores nothing.
    pub(crate) fn dry_run(self) -> Self {
        Self { dry_run: true, ..self }
    }

    fn query(self, apply: bool) -> String {
        let Self { manager, force, dry_run } = self;
        let mut query = format!("fieldManager={manager}&fieldValidation=Strict");
        if apply && force {
            query.push_str("&force=true");
        }
        if dry_run {
            query.push_str("&dryRun=All");
        }
        query
    }
}

// === impl Objects ===

impl Objects {
    pub(crate) fn new(client: Client, api_version: &str, resource: &str, namespace: Option<&str>) -> Self {
        let root = if api_version.contains('/') { "/apis" } else { "/api" };
        let namespace = namespace.map_or_else(String::new, |name| format!("/namespaces/{name}"));
        Self { client, path: format!("{root}/{api_version}{namespace}/{resource}"), subresource: "" }
    }

    /// The status subresource of the same objects.
    pub(crate) fn status(&self) -> Self {
        Self { subresource: "/status", ..self.clone() }
    }

    pub(crate) fn create(&self, object: &Value, write: Write<'_>) -> Answer {
        let path = format!("{}?{}", self.path, write.query(false));
        self.send(Method::POST, &path, "application/json", object)
    }

    pub(crate) fn replace(&self, object: &Value, write: Write<'_>) -> Answer {
        let path = self.object(name_of(object), &write.query(false));
        self.send(Method::PUT, &path, "application/json", object)
    }

    pub(crate) fn merge_patch(&self, name: &str, patch: &Value, write: Write<'_>) -> Answer {
        let target = self.object(name, &write.query(false));
        self.send(Method::PATCH, &target, "application/merge-patch+json", patch)
    }

    pub(crate) fn json_patch(&self, name: &str, patch: &Value, write: Write<'_>) -> Answer {
        let target = self.object(name, &write.query(false));
        self.send(Method::PATCH, &target, "application/json-patch+json", patch)
    }

    /// Server-side apply.
    pub(crate) fn apply(&self, object: &Value, write: Write<'_>) -> Answer {
        let path = self.object(name_of(object), &write.query(true));
        self.send(Method::PATCH, &path, "application/apply-patch+yaml", object)
    }

    /// Server-side apply of many objects, several at a time.
    pub(crate) fn apply_all(&self, objects: impl Iterator<Item = Value>, write: Write<'_>) {
        let query = write.query(true);
        let applied = futures_util::stream::iter(objects).map(async |object| {
            let path = self.object(name_of(&object), &query);
            let request = Request::patch(path).header(CONTENT_TYPE, "application/apply-patch+yaml");
            let request =
                request.body(Body::from(object.to_string().into_bytes())).expect("it is a valid path");
            let response = self.client.send(request).await.expect("the server answers");
            assert!(response.status().is_success(), "{}: {:?}", response.status(), name_of(&object));
            response.into_body().collect().await.expect("an answer has an end");
        });
        RUNTIME.block_on(applied.buffer_unordered(AT_A_TIME).for_each(async |()| ()));
    }

    /// Server-side apply of many objects, several at a time, with the answer to each.
    pub(crate) fn apply_each(&self, objects: &[Value], write: Write<'_>) -> Vec<Answer> {
        let query = write.query(true);
        let answers = futures_util::stream::iter(objects).map(|object| {
            let path = self.object(name_of(object), &query);
            let request = Request::patch(path).header(CONTENT_TYPE, "application/apply-patch+yaml");
            let request =
                request.body(Body::from(object.to_string().into_bytes())).expect("it is a valid path");
            answer(&self.client, request)
        });
        RUNTIME.block_on(answers.buffered(AT_A_TIME).collect())
    }

    pub(crate) fn get(&self, name: &str) -> Answer {
        self.send(Method::GET, &self.object(name, ""), "application/json", &Value::Null)
    }

    pub(crate) fn list(&self) -> Answer {
        self.send(Method::GET, &self.path, "application/json", &Value::Null)
    }

    /// Deletes an object; one that has finalizers stays, with a `deletionTimestamp`, until they are removed.
    pub(crate) fn delete(&self, name: &str) -> Answer {
        self.send(Method::DELETE, &self.object(name, ""), "application/json", &Value::Null)
    }

    /// Lets go of an object being deleted, as a controller does when it has cleaned up.
    pub(crate) fn remove_finalizers(&self, name: &str, write: Write<'_>) -> Answer {
        self.merge_patch(name, &serde_json::json!({"metadata": {"finalizers": null}}), write)
    }

    fn object(&self, name: &str, query: &str) -> String {
        format!("{}/{name}{}?{query}", self.path, self.subresource)
    }

    fn send(&self, method: Method, path: &str, media_type: &str, body: &Value) -> Answer {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request = Request::builder().method(method).uri(path).header(CONTENT_TYPE, media_type);
        exchange(&self.client, request.body(Body::from(body)).expect("names and queries make valid paths"))
    }
}

/// A plain GET of any path of the API server.
pub(crate) fn read(client: &Client, path: &str, accept: &str) -> Answer {
    let request = Request::builder().uri(path).header(ACCEPT, accept).body(Body::empty());
    exchange(client, request.expect("the test asks for a valid path"))
}

/// Sends one request and waits for the whole answer.
fn exchange(client: &Client, request: Request<Body>) -> Answer {
    RUNTIME.block_on(answer(client, request))
}

async fn answer(client: &Client, request: Request<Body>) -> Answer {
    let asked = format!("{} {}", request.method(), request.uri());
    let exchange = async {
        let response = client.send(request).await.map_err(|error| error.to_string())?;
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        Ok::<_, String>((head, bytes))
    };
    let answer = timeout(DEADLINE, exchange).await;
    match answer.unwrap_or_else(|_| panic!("{asked}: no answer within {DEADLINE:?}")) {
        Ok((head, bytes)) => {
            let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
            let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| text());
            Answer { status: head.status.as_u16(), body, warnings: warnings(&head.headers) }
        }
        // Told apart from every answer of a server by its code, so that waits can go on and tests fail readably.
        Err(error) => Answer { status: 599, body: Value::String(error), warnings: Vec::new() },
    }
}

/// The texts in `Warning: 299 - "text"` headers.
fn warnings(headers: &HeaderMap) -> Vec<String> {
    let decode = |header: &[u8]| {
        let header = String::from_utf8_lossy(header);
        let quoted =
            header.split_once('"').and_then(|(_, rest)| rest.rsplit_once('"')).map(|(text, _)| text)?;
        let mut text = String::with_capacity(quoted.len());
        let mut letters = quoted.chars();
        while let Some(letter) = letters.next() {
            text.extend(if letter == '\\' { letters.next() } else { Some(letter) });
        }
        Some(text)
    };
    headers.get_all("warning").iter().filter_map(|header| decode(header.as_bytes())).collect()
}

fn name_of(object: &Value) -> &str {
    object["metadata"]["name"].as_str().expect("the test names its object")
}
