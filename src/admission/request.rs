//! The AdmissionReview that comes in.

use std::borrow::Cow;

use super::envelope::{self, MAX_UID, or_empty, quoted};
use crate::{
    helmrelease::{Field, HelmRelease, Text},
    json::{Error, Kind, Reader},
    policy::{Operation, is_label},
};

/// The request is no AdmissionReview that can be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadReview {
    /// The body is not JSON.
    #[error("the body is not JSON: {0}")]
    Json(#[from] Error),
    /// The body is JSON of something else.
    #[error(
        "the body is no AdmissionReview of admission.k8s.io/v1 or v1beta1: apiVersion is {api_version:?}, kind is {kind:?}"
    )]
    Other {
        /// The `apiVersion` that it has.
        api_version: String,
        /// The `kind` that it has.
        kind: String,
    },
    /// There is no request in it.
    #[error("the AdmissionReview has no request; a response cannot be reviewed")]
    NoRequest,
    /// Without a uid no answer would be accepted.
    #[error("the AdmissionReview's request has no uid")]
    NoUid,
    /// The uid is longer than any that an API server makes.
    #[error("the AdmissionReview's request.uid is longer than {MAX_UID} bytes")]
    LongUid,
    /// The API server sends requests of namespaces that exist, so it cannot be one of its own. Nothing is requested for it.
    #[error(
        "the AdmissionReview's request.namespace is {0:?}, which is not a namespace name (RFC 1123 label)"
    )]
    Namespace(String),
    /// The operation is unknown.
    #[error("the AdmissionReview's request.operation is {0:?}; it is one of CREATE, UPDATE, DELETE, CONNECT")]
    Operation(String),
}

/// The request, as far as it is read.
#[derive(Debug)]
pub(super) struct Review<'a> {
    /// `apiVersion` of the review.
    pub protocol: &'static str,
    pub uid: Cow<'a, str>,
    pub group: Cow<'a, str>,
    pub version: Cow<'a, str>,
    pub kind: Cow<'a, str>,
    pub subresource: Option<Cow<'a, str>>,
    pub operation: Operation,
    pub namespace: Cow<'a, str>,
    pub name: Cow<'a, str>,
    pub user: Cow<'a, str>,
    /// `options.fieldManager`.
    pub manager: Option<Cow<'a, str>>,
    pub dry_run: bool,
    pub object: Field<HelmRelease<'a>>,
    pub old: Field<HelmRelease<'a>>,
}

#[derive(Default)]
struct Request<'a> {
    uid: Text<'a>,
    kind: Kinds<'a>,
    subresource: Text<'a>,
    operation: Text<'a>,
    namespace: Text<'a>,
    name: Text<'a>,
    user: Text<'a>,
    options: Options<'a>,
    dry_run: bool,
    object: Field<HelmRelease<'a>>,
    old: Field<HelmRelease<'a>>,
}

#[derive(Default)]
struct Kinds<'a> {
    group: Text<'a>,
    version: Text<'a>,
    kind: Text<'a>,
}

#[derive(Default)]
struct Options<'a> {
    manager: Text<'a>,
}

// === impl Review ===

impl<'a> Review<'a> {
    pub(super) fn read(body: &'a [u8]) -> Result<Self, BadReview> {
        let (protocol, request) = envelope::open(body, Request::read)?;
        let operation = operation(request.operation.text().unwrap_or_default())?;
        let uid = envelope::uid(request.uid)?;
        Ok(Self {
            protocol,
            uid,
            group: or_empty(request.kind.group),
            version: or_empty(request.kind.version),
            kind: or_empty(request.kind.kind),
            subresource: request.subresource.into_set().filter(|name| !name.is_empty()),
            operation,
            namespace: or_empty(request.namespace),
            name: or_empty(request.name),
            user: or_empty(request.user),
            manager: request.options.manager.into_set().filter(|manager| !manager.is_empty()),
            dry_run: request.dry_run,
            object: request.object,
            old: request.old,
        })
    }

    /// Refuses a request in a namespace that cannot be one: only somebody else than an API server sends it.
    pub(super) fn in_a_namespace(self) -> Result<Self, BadReview> {
        if self.namespace.is_empty() || is_label(&self.namespace) {
            Ok(self)
        } else {
            Err(BadReview::Namespace(quoted(&self.namespace)))
        }
    }
}

fn operation(name: &str) -> Result<Operation, BadReview> {
    let all = [Operation::Create, Operation::Update, Operation::Delete, Operation::Connect];
    let found = all.into_iter().find(|operation| operation.as_str() == name);
    found.ok_or_else(|| BadReview::Operation(quoted(name)))
}

impl<'a> Request<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Field<Self>, Error> {
        Field::read_members(reader, |request: &mut Self, key, reader| {
            match key {
                "uid" => request.uid = Text::read_text(reader)?,
                "kind" => {
                    request.kind = Kinds::read(reader)?.into_set().unwrap_or_default();
                }
                "subResource" => request.subresource = Text::read_text(reader)?,
                "operation" => request.operation = Text::read_text(reader)?,
                "namespace" => request.namespace = Text::read_text(reader)?,
                "name" => request.name = Text::read_text(reader)?,
                "userInfo" => {
                    request.user = username(reader)?.into_set().unwrap_or_default();
                }
                "options" => {
                    request.options = Options::read(reader)?.into_set().unwrap_or_default();
                }
                "dryRun" => {
                    request.dry_run =
                        Field::read(reader, Kind::Boolean, Reader::boolean)?.set() == Some(&true);
                }
                "object" => request.object = HelmRelease::read(reader)?,
                "oldObject" => request.old = HelmRelease::read(reader)?,
                _ => _ = reader.skip()?,
            }
            Ok(())
        })
    }
}

impl<'a> Kinds<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Field<Self>, Error> {
        Field::read_members(reader, |kinds: &mut Self, key, reader| {
            match key {
                "group" => kinds.group = Text::read_text(reader)?,
                "version" => kinds.version = Text::read_text(reader)?,
                "kind" => kinds.kind = Text::read_text(reader)?,
                _ => _ = reader.skip()?,
            }
            Ok(())
        })
    }
}

impl<'a> Options<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Field<Self>, Error> {
        Field::read_members(reader, |options: &mut Self, key, reader| {
            match key {
                "fieldManager" => options.manager = Text::read_text(reader)?,
                _ => _ = reader.skip()?,
            }
            Ok(())
        })
    }
}

fn username<'a>(reader: &mut Reader<'a>) -> Result<Field<Text<'a>>, Error> {
    Field::read_members(reader, |user: &mut Text<'a>, key, reader| {
        match key {
            "username" => *user = Text::read_text(reader)?,
            _ => _ = reader.skip()?,
        }
        Ok(())
    })
}
