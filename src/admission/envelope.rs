//! What every AdmissionReview has, whatever its object is: a version, a request, and the request's uid.

use std::borrow::Cow;

use super::request::BadReview;
use crate::{
    helmrelease::{Field, Text},
    json::{Error, Reader},
};

/// The versions of AdmissionReview that are understood; each is answered in its own.
const VERSIONS: [&str; 2] = ["admission.k8s.io/v1", "admission.k8s.io/v1beta1"];

/// The longest uid of a request. The API server makes UUIDs, of 36 characters; each answer repeats it.
pub(super) const MAX_UID: usize = 128;

/// Maximum number of characters of a wrong value that an error quotes.
const MAX_QUOTED: usize = 100;

struct Envelope<'a, R> {
    api_version: Text<'a>,
    kind: Text<'a>,
    request: Field<R>,
}

/// Reads a review: its `apiVersion`, and its request as `read` reads it.
pub(super) fn open<'a, R>(
    body: &'a [u8],
    read: impl Fn(&mut Reader<'a>) -> Result<Field<R>, Error>,
) -> Result<(&'static str, R), BadReview> {
    let mut reader = Reader::new(body);
    let envelope = Field::read_members(&mut reader, |envelope: &mut Envelope<'a, R>, key, reader| {
        match key {
            "apiVersion" => envelope.api_version = Text::read_text(reader)?,
            "kind" => envelope.kind = Text::read_text(reader)?,
            "request" => envelope.request = read(reader)?,
            _ => _ = reader.skip()?,
        }
        Ok(())
    })?;
    reader.end()?;
    let Envelope { api_version, kind, request } = envelope.into_set().unwrap_or_default();
    let protocol = VERSIONS.into_iter().find(|version| api_version.text() == Some(version));
    let Some(protocol) = protocol.filter(|_| kind.text() == Some("AdmissionReview")) else {
        let [api_version, kind] = [api_version, kind].map(|it| quoted(&or_empty(it)));
        return Err(BadReview::Other { api_version, kind });
    };
    Ok((protocol, request.into_set().ok_or(BadReview::NoRequest)?))
}

/// The uid of a request, which has to be there.
pub(super) fn uid(given: Text<'_>) -> Result<Cow<'_, str>, BadReview> {
    let uid = given.into_set().filter(|uid| !uid.is_empty()).ok_or(BadReview::NoUid)?;
    if uid.len() > MAX_UID { Err(BadReview::LongUid) } else { Ok(uid) }
}

/// Returns as much of a value as an error quotes.
pub(super) fn quoted(value: &str) -> String {
    value.chars().take(MAX_QUOTED).collect()
}

pub(super) fn or_empty(text: Text<'_>) -> Cow<'_, str> {
    text.into_set().unwrap_or_default()
}

impl<R> Default for Envelope<'_, R> {
    fn default() -> Self {
        Self { api_version: Text::default(), kind: Text::default(), request: Field::default() }
    }
}
