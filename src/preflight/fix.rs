//! Puts files right: changes of a few bytes that make of a rendered object what a rule asks for.
//!
//! Nothing is written anew. A value is replaced where it stands, a key is put beside its siblings, an entry is taken out, and every other byte
//! stays. What cannot be done so is refused with a reason; what was done is read again, and must be what was meant and nothing else.

mod api_version;
mod block;
mod changes;
mod diff;
mod draft;
mod finding;
mod flow;
mod place;
mod plan;
mod scalar;
mod text;
mod write;

use std::ops::Range;

use json_patch::PatchOperation;
use thiserror::Error;

use crate::report::{Edit, Excerpts};
use crate::yaml::Node;

pub use api_version::{api_version, mended};
pub use diff::unified;
pub use finding::{Scope, fix, to_version};
pub use plan::{Fix, Plan, Refused, Rewrite, plan};
pub use write::{WriteError, write};

/// Why a file is left as it is, although a fix is known.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The value is not in a file as the object has it.
    #[error(
        "{field} does not stand as such in {path}: a substitution, a replacement or a patch makes it; change that"
    )]
    Made {
        /// The field.
        field: String,
        /// The file that the value comes from.
        path: String,
    },
    /// The value is anchored, and used in more than one place.
    #[error(
        "{field} is read from the anchor at {place}, which other values are read from, too; change it there, or write {field} out"
    )]
    Shared {
        /// The field.
        field: String,
        /// Path, line and column of the anchored value.
        place: String,
    },
    /// It is not the file of the object that has the field, so others may need it there.
    #[error("{field} comes from {path}, which may serve other objects, too; remove it by hand")]
    Elsewhere {
        /// The field.
        field: String,
        /// The file.
        path: String,
    },
    /// What stands there can be changed by a person only.
    #[error(
        "{field} is written in {path} in a way that cannot be changed without touching what is beside it"
    )]
    Layout {
        /// The field.
        field: String,
        /// The file.
        path: String,
    },
    /// The change is none that a file is given.
    #[error("{field} cannot be put right in a file: {why}")]
    Unsuitable {
        /// The field.
        field: String,
        /// The reason.
        why: String,
    },
    /// The newer schema would refuse the object.
    #[error("{field} stands in the way of {version}: {why}")]
    Schema {
        /// The field.
        field: String,
        /// The version.
        version: String,
        /// What the newer schema asks for.
        why: &'static str,
    },
    /// The changed text reads as something else than what was meant.
    #[error("the change of {path} would change more than what is meant; change it by hand")]
    Unverified {
        /// The file.
        path: String,
    },
}

/// What a layout does not allow; the field and the file are known to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Layout,
}

/// A replacement in one text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    range: Range<usize>,
    text: String,
}

/// The edits that do to files what the operations do to the object that is rendered from them.
///
/// None where the object is as they want it already.
pub fn edits(
    object: &Node<'_>,
    operations: &[PatchOperation],
    files: &dyn Excerpts,
) -> Result<Vec<Edit>, Refusal> {
    let sources = place::Sources::of(object, files);
    let mut draft = draft::Draft::new(&sources);
    for target in place::targets(object, operations)? {
        draft.take(&target)?;
    }
    draft.finish()
}

/// A text after edits, which are ordered and do not overlap.
fn edited<'e>(text: &str, edits: impl IntoIterator<Item = &'e Edit>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for edit in edits {
        out.push_str(&text[done..edit.span.start() as usize]);
        out.push_str(&edit.text);
        done = edit.span.end() as usize;
    }
    out.push_str(&text[done..]);
    out
}
