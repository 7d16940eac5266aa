//! YAML as Kubernetes reads it, as trees in which every key and every value knows where it stands.
//!
//! `granit-parser` reads the text; what is made here of its events is what a cluster would be sent: aliases and merge keys are resolved, keys
//! are texts, and a key that is there twice in one block is an error, as it is for kustomize and the API server. JSON is read as the YAML that
//! it is. Nearly all that people write needs no such parser: `ordinary` reads that several times faster, and leaves all else to it. Texts are
//! borrowed from the input and subtrees are shared, so a tree costs little and a copy of one next to nothing.

mod builder;
mod dialect;
mod layout;
mod lines;
mod node;
mod ordinary;
mod outline;
mod passed;
mod reader;
mod span;
mod spelling;
#[cfg(test)]
mod tests;
mod text;
mod timestamp;

pub(crate) use dialect::is_more_than_a_text;
pub use layout::{Form, Layout, Pair, Style, Trail, Written};
pub use lines::{Lines, Position};
pub use node::{Entry, Key, Leaf, Node, Overridden, Role, Scalar, Value};
pub(crate) use node::{boolean, is_endless, number, repeated};
pub use outline::outline;
pub use reader::{Asked, Error, Reading, RefusedBy, Twice, comments, documents, documents_as};
pub use span::Span;
pub use text::Str;
pub(crate) use timestamp::timestamp;
