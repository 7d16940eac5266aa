//! What kustomize-controller makes of Flux's own Kustomizations.
//!
//! A [`FluxKustomization`] is read from an object, whether that stands in a file or was printed by another Kustomization, patched on the way.
//! [`FluxKustomization::build`] does what the controller does: the kustomization of the folder, or a list of its files where it has none, with the
//! fields of the object added; then the [`Variables`], replaced in what is printed; then the metadata that all objects get.

mod applying;
mod building;
pub mod envsubst;
mod folders;
mod kustomization;
mod operator;
mod printed;
mod substitution;

pub use building::Printed;
pub(crate) use folders::{Folders, listed};
pub use kustomization::{FluxKustomization, Patches, PostBuild, Source, SubstituteFrom};
pub use operator::{is_flux_instance, is_resource_set, resources_of, sync_of};
pub use substitution::{Variables, has_variable, is_opaque, is_opaque_literal};
