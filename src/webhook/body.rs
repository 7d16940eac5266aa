//! Reads a request's body within bounds of size and memory. The bound of time is the caller's.

use std::future::poll_fn;
use std::pin::Pin;

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::Frame;
use thiserror::Error;

use super::memory::{Buffer, Exhausted, Memory};

/// An UPDATE carries the object twice, and each copy may reach the API server's 3 MiB limit for a request; the rest
/// is for what surrounds them.
pub const MAX_REVIEW_BYTES: usize = 7 * 1024 * 1024;

/// What all reviews under way may hold in memory together: nine of the longest, or a thousand usual ones. More is
/// refused at once, so that the API server's failure policy acts at once.
pub const MAX_BYTES_IN_FLIGHT: usize = 64 * 1024 * 1024;

/// What the smallest review counts for: about what its connection and its task hold besides.
pub const LEAST_RESERVATION: usize = 64 * 1024;

/// What is first set aside for a body that does not say its length.
const FIRST_GUESS: usize = 16 * 1024;

/// How much of a refused body is taken off the wire. A server that answers and closes while the client still writes
/// makes its answer unreadable.
const MAX_DISCARDED_BYTES: usize = 2 * MAX_REVIEW_BYTES;

/// A whole body, and the memory that it is counted with.
#[derive(Debug)]
pub(super) struct Whole<'a> {
    /// All of it, where it came as one piece.
    piece: Option<Bytes>,
    joined: Buffer<'a>,
}

/// Why there is no whole body.
#[derive(Debug, Error)]
pub(super) enum BodyError {
    /// It is longer than [`MAX_REVIEW_BYTES`].
    #[error("the body is longer than {MAX_REVIEW_BYTES} bytes, which is more than a review can have")]
    TooLarge,
    /// The budget is used up.
    #[error("too many reviews are under way: ask again")]
    Overload,
    /// The connection broke, or the framing is wrong.
    #[error("the body broke off: {0}")]
    Broken(#[from] axum::Error),
}

impl From<Exhausted> for BodyError {
    fn from(_: Exhausted) -> Self {
        Self::Overload
    }
}

// === impl Whole ===

impl Whole<'_> {
    /// The bytes of the body.
    pub(super) fn bytes(&self) -> &[u8] {
        self.piece.as_deref().unwrap_or(&self.joined)
    }
}

/// Reads all of `body`. What an error leaves unread can be given to [`discard`].
pub(super) async fn read<'a>(body: &mut Body, memory: &'a Memory) -> Result<Whole<'a>, BodyError> {
    let announced = body.size_hint().exact().map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    if announced.is_some_and(|bytes| bytes > MAX_REVIEW_BYTES) {
        return Err(BodyError::TooLarge);
    }
    let expected = announced.unwrap_or(FIRST_GUESS);
    let mut joined = memory.reserve(expected.max(LEAST_RESERVATION))?;
    let first = next(body).await?.unwrap_or_default();
    if body.is_end_stream() && first.len() <= MAX_REVIEW_BYTES {
        // The usual review is one piece, and needs no copy.
        return Ok(Whole { piece: Some(first), joined });
    }
    joined.prepare(expected);
    let mut piece = Some(first);
    while let Some(data) = piece {
        if joined.len() + data.len() > MAX_REVIEW_BYTES {
            return Err(BodyError::TooLarge);
        }
        joined.extend(&data)?;
        piece = next(body).await?;
    }
    Ok(Whole { piece: None, joined })
}

/// Takes the rest of a refused body off the wire, up to a bound.
pub(super) async fn discard(body: &mut Body) {
    let mut discarded = 0;
    while discarded < MAX_DISCARDED_BYTES {
        match next(body).await {
            Ok(Some(piece)) => discarded += piece.len(),
            Ok(None) | Err(_) => return,
        }
    }
}

/// The next piece of data; trailers are passed over.
async fn next(body: &mut Body) -> Result<Option<Bytes>, axum::Error> {
    loop {
        let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await;
        match frame.transpose()?.map(Frame::into_data) {
            Some(Ok(data)) => return Ok(Some(data)),
            Some(Err(_trailers)) => {}
            None => return Ok(None),
        }
    }
}
