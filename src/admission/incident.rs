//! What those who look after an object should hear of: that a write to it was denied, or stored otherwise than it
//! was sent.

use super::{Decision, Verdict, denial::cut, envelope::MAX_UID, request::Review};
use crate::policy::{Finding, is_label};

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
        // Notifications are looked up by these: nobody's version or uid leads elsewhere or is longer than a valid one.
        let uid = review.old.set().and_then(|old| old.uid());
        if !is_label(&review.version) || uid.is_some_and(|uid| uid.len() > MAX_UID) {
            return None;
        }
        // Where the server is still to make up a name, there is nothing to point at.
        if review.dry_run || review.name.is_empty() || review.namespace.is_empty() {
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
            object: uid.map(str::to_owned),
            note: cut(texts.join("\n"), MAX_NOTE_BYTES),
        })
    }
}
