//! Structural schemas: validates objects by the schemas of their CRDs, as the API server does for a server-side apply.
//!
//! Supports the keywords that the CRDs of Flux use, and the CEL rules of `x-kubernetes-validations` by the `cel` crate.
//! `allOf`, `anyOf`, `oneOf` and `not` are ignored; no CRD of Flux 2.0 to 2.10 has them.

mod catalog;
mod metadata;
mod model;
mod rule;
mod validation;

pub use catalog::Catalog;
pub use model::{Arena, Schema};
pub use validation::{Fault, Problem};
