//! What those who look after an object should hear of: that a write to it was denied, or stored otherwise than it
//! was sent.

use super::{Decision, Verdict, request::Review};
use crate::policy::Finding;

/// The longest note that the API server takes in an Event.
pub const MAX_NOTE_BYTES: usize = 1024;

/// Something that happened to a write that was to be stored.
///
/// A dry run is none: it changes nothing, Flux sends one at each interval, and whoever sends it reads the answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Incident {
    /// What happened.
    pub kind: IncidentKind,
    /// The `apiVersion` that the request used.
    pub api_version: String,
    /// The uid of the stored object; none where the object was to be created.
    pub object: Option<String>,
    /// The findings in words, at most [`MAX_NOTE_BYTES`] long.
    pub note: String,
}

/// What happened to a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IncidentKind {
    /// It was not stored.
    Denied,
    /// It was stored without what would have broken it: a leftover, or a spelling.
    Healed,
}

// === impl Incident ===

impl Incident {
    pub(super) fn of(review: &Review<'_>, verdict: &Verdict) -> Option<Self> {
        // Where the server is still to make up a name, there is nothing to point at.
        if review.dry_run || review.name.is_empty() {
            return None;
        }
        let (kind, texts) = match verdict.decision {
            Decision::Denied => (IncidentKind::Denied, verdict.denied.iter().map(Finding::block).collect()),
            Decision::Patched if !verdict.healed.is_empty() => (IncidentKind::Healed, verdict.healed.clone()),
            _ => return None,
        };
        Some(Self {
            kind,
            api_version: format!("{}/{}", review.group, review.version),
            object: review.old.set().and_then(|old| old.uid()).map(str::to_owned),
            note: cut(texts.join("\n")),
        })
    }
}

/// Cuts a text to [`MAX_NOTE_BYTES`] bytes, the last of which then are an ellipsis.
fn cut(mut text: String) -> String {
    const ELLIPSIS: &str = "…";
    if text.len() > MAX_NOTE_BYTES {
        text.truncate(text.floor_char_boundary(MAX_NOTE_BYTES - ELLIPSIS.len()));
        text.push_str(ELLIPSIS);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_fits_to_the_byte() {
        let fits = "ä".repeat(MAX_NOTE_BYTES / 2);
        assert_eq!(cut(fits.clone()), fits);
        let long = cut(format!("{fits}."));
        assert!(long.len() <= MAX_NOTE_BYTES && long.len() > MAX_NOTE_BYTES - 4, "{}", long.len());
        assert!(long.ends_with("ä…"), "{long}");
    }
}
