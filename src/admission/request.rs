//! The AdmissionReview that comes in.

use std::borrow::Cow;

use crate::{
    helmrelease::{Field, HelmRelease, Text},
    json::{Error, Kind, Reader},
    policy::Operation,
};

/// The versions of AdmissionReview that are understood; each is answered in its own.
const VERSIONS: [&str; 2] = ["admission.k8s.io/v1", "admission.k8s.io/v1beta1"];

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
struct Envelope<'a> {
    api_version: Text<'a>,
    kind: Text<'a>,
    request: Field<Request<'a>>,
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
        let mut reader = Reader::new(body);
        let envelope = Envelope::read(&mut reader)?.into_set().unwrap_or_default();
        reader.end()?;
        let protocol = VERSIONS.into_iter().find(|version| envelope.api_version.text() == Some(version));
        let is_review = envelope.kind.text() == Some("AdmissionReview");
        let Some(protocol) = protocol.filter(|_| is_review) else {
            let [api_version, kind] =
                [envelope.api_version, envelope.kind].map(|it| or_empty(it).into_owned());
            return Err(BadReview::Other { api_version, kind });
        };
        let request = envelope.request.into_set().ok_or(BadReview::NoRequest)?;
        let operation = operation(request.operation.text().unwrap_or_default())?;
        let uid = request.uid.into_set().filter(|uid| !uid.is_empty()).ok_or(BadReview::NoUid)?;
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
}

fn operation(name: &str) -> Result<Operation, BadReview> {
    let all = [Operation::Create, Operation::Update, Operation::Delete, Operation::Connect];
    let found = all.into_iter().find(|operation| operation.as_str() == name);
    found.ok_or_else(|| BadReview::Operation(name.to_owned()))
}

fn or_empty(text: Text<'_>) -> Cow<'_, str> {
    text.into_set().unwrap_or_default()
}

impl<'a> Envelope<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Field<Self>, Error> {
        Field::read_members(reader, |envelope: &mut Self, key, reader| {
            match key {
                "apiVersion" => envelope.api_version = Text::read_text(reader)?,
                "kind" => envelope.kind = Text::read_text(reader)?,
                "request" => envelope.request = Request::read(reader)?,
                _ => _ = reader.skip()?,
            }
            Ok(())
        })
    }
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
