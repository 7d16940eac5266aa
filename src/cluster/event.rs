//! Words at an object, for `kubectl describe` and `kubectl events`.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

use super::{ApiError, Connection, FIELD_MANAGER, in_time};

/// The most that an event may say.
const MAX_NOTE_BYTES: usize = 1024;

/// Leaves events at objects.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
}

impl Events {
    /// Nothing is asked yet.
    pub fn new(connection: &Connection) -> Self {
        // Names the pod: its host name is the pod's.
        let reporter = Reporter::from(FIELD_MANAGER);
        Self { recorder: Recorder::new(connection.client.clone(), reporter) }
    }

    /// Says that something was wrong with an object; `action` is what was done about it. The same, said again within
    /// minutes, is counted instead.
    pub async fn warn(
        &self,
        about: &ObjectReference,
        (reason, action): (&str, &str),
        note: &str,
    ) -> Result<(), ApiError> {
        let event = Event {
            type_: EventType::Warning,
            reason: reason.to_owned(),
            note: Some(shortened(note).to_owned()),
            action: action.to_owned(),
            secondary: None,
        };
        in_time(self.recorder.publish(&event, about)).await
    }
}

fn shortened(note: &str) -> &str {
    &note[..note.floor_char_boundary(MAX_NOTE_BYTES)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_cut_between_characters() {
        assert_eq!(shortened("all is well"), "all is well");
        let long = "ü".repeat(MAX_NOTE_BYTES);
        assert_eq!(shortened(&format!("x{long}")).len(), MAX_NOTE_BYTES - 1);
    }
}
