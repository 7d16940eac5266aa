//! Reads a request's body within bounds of size, memory and time.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::Frame;
use thiserror::Error;
use tokio::time::{Instant, Sleep, sleep_until};

use super::caller::Caller;
use super::memory::{ADVANCE, Arriving, Buffer, Exhausted, Memory, Turn};

pub use super::memory::LEAST_RESERVATION;

/// An UPDATE carries the object twice, and each copy may reach the API server's 3 MiB limit for a request; the rest
/// is for what surrounds them.
pub const MAX_REVIEW_BYTES: usize = 7 * 1024 * 1024;

/// Maximum memory of all bodies that are arriving together: three of the longest, or 384 of which little has arrived. It
/// is a part of the Deployment's memory limit; `manifests/base/06-deployment.yaml` adds up the others.
pub const MAX_BYTES_IN_FLIGHT: usize = 24 * 1024 * 1024;

/// Time in which a body must advance by 16 KiB or end, whatever `?timeout=` is. An API server writes a whole body at
/// once: even the longest one arrives within a tenth of this.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(3);

/// How much of a refused body is taken off the wire. A server that answers and closes while the client still writes
/// makes its answer unreadable.
const MAX_DISCARDED_BYTES: usize = 2 * MAX_REVIEW_BYTES;

/// A whole body, and the memory that it is counted with.
#[derive(Debug)]
pub(super) enum Whole<'a> {
    /// It arrived as one piece, which the connection had read ahead anyway.
    Piece(Bytes),
    /// It arrived in several.
    Joined(Buffer<'a>),
}

/// Why there is no whole body.
#[derive(Debug, Error)]
pub(super) enum BodyError {
    /// It is longer than [`MAX_REVIEW_BYTES`].
    #[error("the body is longer than {MAX_REVIEW_BYTES} bytes, which is more than a review can have")]
    TooLarge,
    /// The memory for bodies is used up, or the connection's share of it.
    #[error("too many reviews are under way: ask again")]
    Overload,
    /// It does not arrive in time.
    #[error("the body stalled: fewer than {ADVANCE} bytes arrived within {} s", STALL_TIMEOUT.as_secs())]
    Stalled,
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
        match self {
            Self::Piece(piece) => piece,
            Self::Joined(buffer) => buffer,
        }
    }
}

/// Reads all of `body`. What an error leaves unread can be given to [`discard`].
///
/// A review that has arrived already, as most have, takes no memory and is bounded only by its length.
pub(super) async fn read<'a>(
    body: &mut Body,
    memory: &'a Memory,
    caller: &Arc<Caller>,
) -> Result<Whole<'a>, BodyError> {
    let announced = body.size_hint().exact().map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    if announced.is_some_and(|bytes| bytes > MAX_REVIEW_BYTES) {
        return Err(BodyError::TooLarge);
    }
    let first = match poll_fn(|context| Poll::Ready(poll_next(body, context))).await? {
        Poll::Ready(piece) => piece.unwrap_or_default(),
        Poll::Pending => Bytes::new(),
    };
    if body.is_end_stream() && first.len() <= LEAST_RESERVATION {
        return Ok(Whole::Piece(first));
    }
    let now = Instant::now();
    let arriving = memory.enter(caller, announced, now);
    let mut reading = Reading { body, arriving: &arriving, announced, piece: Some(first) };
    let mut timer = pin!(sleep_until(now + STALL_TIMEOUT));
    poll_fn(|context| reading.poll(timer.as_mut(), context)).await?;
    Ok(Whole::Joined(arriving.complete()?))
}

/// A body, and how far it has been read.
struct Reading<'r, 'm> {
    body: &'r mut Body,
    arriving: &'r Arriving<'m>,
    announced: Option<usize>,
    /// What was read and has no memory yet.
    piece: Option<Bytes>,
}

impl Reading<'_, '_> {
    fn poll(&mut self, mut timer: Pin<&mut Sleep>, context: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        loop {
            let advanced = self.arriving.advanced(context)?;
            let now = Instant::now();
            if let Some(piece) = &self.piece {
                if self.arriving.len() + piece.len() > MAX_REVIEW_BYTES {
                    return Poll::Ready(Err(BodyError::TooLarge));
                }
                match self.arriving.extend(piece, self.announced, now)? {
                    Turn::Now => self.piece = None,
                    Turn::Later(None) => return Poll::Pending,
                    Turn::Later(Some(retry)) => {
                        timer.as_mut().reset(retry);
                        ready!(timer.as_mut().poll(context));
                    }
                }
                continue;
            }
            match poll_next(self.body, context)? {
                Poll::Ready(Some(piece)) => self.piece = Some(piece),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    // Bytes that arrived in time were taken in above, however late this task runs.
                    if timer.deadline() != advanced + STALL_TIMEOUT {
                        timer.as_mut().reset(advanced + STALL_TIMEOUT);
                    }
                    ready!(timer.as_mut().poll(context));
                    return Poll::Ready(Err(BodyError::Stalled));
                }
            }
        }
    }
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
    poll_fn(|context| match poll_next(body, context) {
        Ok(polled) => polled.map(Ok),
        Err(error) => Poll::Ready(Err(error)),
    })
    .await
}

fn poll_next(body: &mut Body, context: &mut Context<'_>) -> Result<Poll<Option<Bytes>>, axum::Error> {
    loop {
        let frame = match Pin::new(&mut *body).poll_frame(context) {
            Poll::Ready(frame) => frame,
            Poll::Pending => return Ok(Poll::Pending),
        };
        match frame.transpose()?.map(Frame::into_data) {
            Some(Ok(data)) => return Ok(Poll::Ready(Some(data))),
            Some(Err(_trailers)) => {}
            None => return Ok(Poll::Ready(None)),
        }
    }
}
