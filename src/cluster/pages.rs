//! Lists every HelmRelease and OCIRepository of a cluster, page by page: at most one page is held at a time.

pub(super) mod progress;

use std::ops::ControlFlow;
use std::pin::pin;
use std::time::Duration;

use futures_util::AsyncReadExt as _;
use kube::Client;
use kube::api::ListParams;
use kube::core::Request;
use kube::core::metadata::ListMeta;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use tokio::time::{sleep, timeout};

use self::progress::Progress;
use super::ApiError;
use crate::policy::{HELM_GROUP, SOURCE_GROUP};

/// How many objects are asked for at a time at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Size {
    /// As many as kubectl asks for.
    #[default]
    Large,
    /// Few, and fewer where they are large: for a process with little memory and much time. A page is in memory three times
    /// while it is read.
    Small,
}

/// What a small page is meant to take as JSON.
const SMALL_BYTES: usize = 2 * 1024 * 1024;

/// Maximum size of a small page as JSON: one that is longer is dropped, and read again with half as many objects. A
/// single object may take twice this, which is more than an API server stores.
const MAX_SMALL_BYTES: u64 = 4 * 1024 * 1024;

/// Maximum size of a large page as JSON, which is handled likewise. 500 releases rarely take a fifth.
const MAX_LARGE_BYTES: u64 = 64 * 1024 * 1024;

/// How much of an answer is read at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// How long one page may take. An API server under load queues lists for up to a minute.
const DEADLINE: Duration = Duration::from_mins(2);

/// How often a page is asked for, before its error is told.
const ATTEMPTS: u32 = 6;

/// The pause before a page is asked for again, where the API server does not name one; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(500);

/// The longest pause, also where the API server asks for a longer one.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A kind of objects that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// `helmreleases`.
    HelmReleases,
    /// `ocirepositories`.
    OciRepositories,
}

/// Which objects are read.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// One namespace; without it all of them.
    pub namespace: Option<String>,
    /// A label selector, as kubectl takes it; all objects where it is empty.
    pub labels: String,
    /// How many are read at a time.
    pub size: Size,
}

/// What reading took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Effort {
    /// Answered and refused requests.
    pub requests: u32,
    /// How often the API server asked us to wait, or did not answer.
    pub waits: u32,
    /// How often a list had to go on at another moment of the cluster, as its own was compacted away.
    pub expired: u32,
}

/// A page. The items stay the text that they are: most are looked at and forgotten.
#[derive(Deserialize)]
pub(super) struct Page {
    #[serde(default)]
    pub(super) metadata: ListMeta,
    /// A list always has them, maybe as `null`; a Status that comes as a success has none.
    #[serde(deserialize_with = "items")]
    pub(super) items: Vec<Box<RawValue>>,
}

/// What an item is known by: lists are in the order of it.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    metadata: Name<'a>,
}

#[derive(Deserialize)]
struct Name<'a> {
    #[serde(borrow)]
    name: std::borrow::Cow<'a, str>,
    #[serde(borrow, default)]
    namespace: std::borrow::Cow<'a, str>,
}

/// Hands every selected object to `each`, at a version that is served, in the order of their keys in etcd, each once.
///
/// It outlasts an API server that asks to wait (429, 503) and a list whose moment is gone (410): such a list goes on behind the
/// last object that was read, at the moment of then.
pub async fn each(
    client: &Client,
    resource: Resource,
    selection: &Selection,
    version: &str,
    effort: &mut Effort,
    mut each: impl FnMut(&RawValue),
) -> Result<(), ApiError> {
    let all = each_until(client, resource, selection, version, effort, |object| {
        each(object);
        ControlFlow::Continue(())
    });
    all.await.map(|_| ())
}

/// The same until `each` breaks off; returns whether it did.
pub async fn each_until(
    client: &Client,
    resource: Resource,
    selection: &Selection,
    version: &str,
    effort: &mut Effort,
    each: impl FnMut(&RawValue) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, ApiError> {
    let Selection { namespace, labels, size } = selection;
    let within = namespace.as_ref().map(|namespace| format!("/namespaces/{namespace}")).unwrap_or_default();
    let (group, plural) = resource.path();
    let resource = Request::new(format!("/apis/{group}/{version}{within}/{plural}"));
    let mut asked = ListParams::default();
    if !labels.is_empty() {
        asked.label_selector = Some(labels.clone());
    }
    each_of(client, &resource, asked, *size, effort, each).await
}

/// The same for the objects of any resource.
pub(super) async fn each_of(
    client: &Client,
    resource: &Request,
    mut asked: ListParams,
    size: Size,
    effort: &mut Effort,
    mut each: impl FnMut(&RawValue) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, ApiError> {
    asked.limit = Some(size.first());
    let mut progress = Progress::default();
    loop {
        let page = match page(client, resource, &asked, size, effort).await {
            Ok(Some(page)) => page,
            Ok(None) => {
                asked.limit = asked.limit.map(|limit| limit.div_ceil(2));
                continue;
            }
            Err(error) if error.is_expired() && asked.continue_token.is_some() => {
                effort.expired += 1;
                // The API server offers to go on at another moment; where it does not, we begin again and pass over what was read.
                asked.continue_token = continuation(&error);
                progress.expired(asked.continue_token.is_none())?;
                continue;
            }
            Err(error) => return Err(error),
        };
        for item in &page.items {
            if progress.is_new(key(item)?)? && each(item).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        progress.page()?;
        asked.limit = Some(size.next(&page));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => asked.continue_token = Some(token),
            None => return Ok(ControlFlow::Continue(())),
        }
    }
}

// === impl Resource ===

impl Resource {
    const fn path(self) -> (&'static str, &'static str) {
        match self {
            Self::HelmReleases => (HELM_GROUP, "helmreleases"),
            Self::OciRepositories => (SOURCE_GROUP, "ocirepositories"),
        }
    }
}

// === impl Size ===

impl Size {
    /// How many to ask for first, when nothing is known of them.
    pub(super) const fn first(self) -> u32 {
        match self {
            Self::Large => 500,
            Self::Small => 8,
        }
    }

    /// Maximum size of a page of so many objects as JSON.
    const fn bound(self, limit: Option<u32>) -> u64 {
        let bytes = match self {
            Self::Large => MAX_LARGE_BYTES,
            Self::Small => MAX_SMALL_BYTES,
        };
        if let Some(1) = limit { 2 * bytes } else { bytes }
    }

    /// How many to ask for after a page, by what its objects took.
    pub(super) fn next(self, page: &Page) -> u32 {
        let Self::Small = self else { return self.first() };
        let bytes: usize = page.items.iter().map(|item| item.get().len()).sum();
        let mean = bytes / page.items.len().max(1);
        u32::try_from(SMALL_BYTES / mean.max(1)).unwrap_or(u32::MAX).clamp(1, 50)
    }
}

/// One page; none where it would be longer than its size allows and can be split.
async fn page(
    client: &Client,
    resource: &Request,
    asked: &ListParams,
    size: Size,
    effort: &mut Effort,
) -> Result<Option<Page>, ApiError> {
    let mut attempt = 1;
    loop {
        let request = resource.list(asked).map_err(kube::Error::BuildRequest).map_err(Box::new)?;
        effort.requests += 1;
        let read = timeout(DEADLINE, read_within(client, request, size.bound(asked.limit))).await;
        let answer = read.unwrap_or(Err(ApiError::Late));
        let error = match answer {
            Ok(None) if asked.limit == Some(1) => return Err(ApiError::TooLong),
            Ok(page) => return Ok(page),
            Err(error) => error,
        };
        let Some(pause) = pause(&error, attempt).filter(|_| attempt < ATTEMPTS) else { return Err(error) };
        effort.waits += 1;
        attempt += 1;
        sleep(pause).await;
    }
}

/// Reads a page of at most so many bytes; none where it is longer, the rest of which is left to the API server.
async fn read_within(
    client: &Client,
    request: hyper::Request<Vec<u8>>,
    bytes: u64,
) -> Result<Option<Page>, ApiError> {
    let mut answer = pin!(client.request_stream(request).await.map_err(Box::new)?);
    // Not read_to_end: it fills what is free with zeros each time that it has to wait, which takes minutes for a large page.
    let (mut text, mut piece) = (Vec::new(), vec![0; PIECE_BYTES]);
    loop {
        let read = answer.read(&mut piece).await.map_err(kube::Error::ReadEvents).map_err(Box::new)?;
        if read == 0 {
            break;
        }
        text.extend_from_slice(&piece[..read]);
        if text.len() as u64 > bytes {
            return Ok(None);
        }
    }
    serde_json::from_slice(&text).map(Some).map_err(|error| ApiError::NoList(error.to_string()))
}

fn items<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Box<RawValue>>, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// How long to wait before the same is asked again; nothing where that is of no use.
fn pause(error: &ApiError, attempt: u32) -> Option<Duration> {
    let own = PAUSE * 2_u32.pow(attempt - 1);
    let pause = match error {
        ApiError::Refused(error) => match &**error {
            kube::Error::Api(status) if matches!(status.code, 429 | 500 | 502..=504) => {
                let asked = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
                Duration::from_secs(asked.into()).max(own)
            }
            kube::Error::HyperError(_) | kube::Error::Service(_) | kube::Error::ReadEvents(_) => own,
            _ => return None,
        },
        ApiError::Late => own,
        _ => return None,
    };
    Some(pause.min(LONGEST_PAUSE))
}

/// The token by which such a list may go on at another moment.
fn continuation(error: &ApiError) -> Option<String> {
    let ApiError::Refused(error) = error else { return None };
    let kube::Error::Api(status) = &**error else { return None };
    status.metadata.as_ref()?.continue_.clone().filter(|token| !token.is_empty())
}

/// The end of the key in etcd, by which lists are ordered: `a-b/x` comes before `a/x`.
fn key(item: &RawValue) -> Result<String, ApiError> {
    let named = serde_json::from_str::<Named<'_>>(item.get());
    let Name { name, namespace } = named.map_err(|error| ApiError::NoList(error.to_string()))?.metadata;
    Ok(format!("{namespace}/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: &serde_json::Value) -> ApiError {
        let status = serde_json::from_value(status.clone()).expect("it is a Status");
        ApiError::Refused(Box::new(kube::Error::Api(Box::new(status))))
    }

    #[test]
    fn who_asks_to_wait_is_waited_for_and_no_longer_than_that() {
        let asked = |seconds: u32| serde_json::json!({"code": 429, "reason": "TooManyRequests", "details": {"retryAfterSeconds": seconds}});
        assert_eq!(pause(&answered(&asked(0)), 1), Some(PAUSE));
        assert_eq!(pause(&answered(&asked(0)), 3), Some(PAUSE * 4));
        assert_eq!(pause(&answered(&asked(7)), 1), Some(Duration::from_secs(7)));
        assert_eq!(pause(&answered(&asked(3_600)), 1), Some(LONGEST_PAUSE));
        let forbidden = serde_json::json!({"code": 403, "reason": "Forbidden"});
        assert_eq!(pause(&answered(&forbidden), 1), None);
    }

    #[test]
    fn a_list_goes_on_by_the_token_that_comes_with_the_refusal() {
        let gone = serde_json::json!({"code": 410, "reason": "Expired", "metadata": {"continue": "here"}});
        let error = answered(&gone);
        assert!(error.is_expired());
        assert_eq!(continuation(&error).as_deref(), Some("here"));
    }

    #[test]
    fn what_is_no_list_is_not_taken_for_an_empty_one() {
        let read = |text: &str| serde_json::from_str::<Page>(text).map(|page| page.items.len()).ok();
        assert_eq!(read(r#"{"items":[{}]}"#), Some(1));
        assert_eq!(read(r#"{"kind":"List","items":null}"#), Some(0));
        for other in ["{}", r#"{"kind":"Status","status":"Success"}"#, "[]", r#"{"items":3}"#] {
            assert_eq!(read(other), None, "{other}");
        }
        let nameless = RawValue::from_string("{}".to_owned()).unwrap();
        assert!(matches!(key(&nameless), Err(ApiError::NoList(_))));
    }

    #[test]
    fn names_are_in_the_order_of_keys() {
        let key = |namespace: &str| {
            let item = serde_json::json!({"metadata": {"name": "x", "namespace": namespace}});
            key(&RawValue::from_string(item.to_string()).expect("it is JSON")).expect("it has a name")
        };
        assert!(key("a-b") < key("a"), "as etcd has them");
    }

    #[test]
    fn small_pages_hold_fewer_of_large_objects() {
        let page = |count: usize, bytes: usize| {
            let item = RawValue::from_string(format!("\"{}\"", "x".repeat(bytes - 2))).unwrap();
            Page { metadata: ListMeta::default(), items: vec![item; count] }
        };
        for (count, bytes, next) in
            [(8, 1024, 50), (50, 100 * 1024, 20), (8, 1024 * 1024, 2), (8, 3 * 1024 * 1024, 1), (0, 2, 50)]
        {
            assert_eq!(Size::Small.next(&page(count, bytes)), next, "{bytes}");
            assert_eq!(Size::Large.next(&page(count, bytes)), 500);
        }
    }
}
