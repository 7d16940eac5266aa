//! What kustomize and Flux make of a tree of files, as far as it decides about HelmReleases and their sources.
//!
//! Pure: the files are read beforehand. Every value of a rendered object knows the file and the place that it came from.

mod artifact;
pub mod ends;
pub mod flux;
pub mod kustomize;
mod tree;

pub use artifact::{Artifact, Ignore, Origin, Pattern, SourceKind, View, last_match, patterns};
pub(crate) use artifact::{MAX_MATCHES, is_left_out_by_default};
pub use tree::{Counts, File, KUSTOMIZATIONS, Mend, Note, Reason, Tree, folder_of, is_kustomization, join};
pub(crate) use tree::{parts, with_folders_above};
