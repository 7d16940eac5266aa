//! What kustomize-controller makes of Flux's own Kustomizations.

pub mod envsubst;
mod printed;
mod substitution;

pub use substitution::{Variables, is_opaque};
