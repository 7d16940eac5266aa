//! The verdict of the cluster on what is not in it yet.
//!
//! - [`preview`](preview()) asks the webhook's own code about one document.
//! - [`collect`] reads whole repositories.
//! - [`check`](check()) renders them and judges what comes out, with the rules that admission judges by.
//! - [`fix`] changes files.
//! - [`baseline`] remembers what a repository starts with.

pub mod baseline;
pub mod check;
pub mod collect;
mod files;
pub mod fix;
mod ignores;
mod judge;
mod place;
mod preview;

pub use check::{Checked, Criteria, check};
pub use files::Files;
pub use preview::{Preview, Verdict, documents, preview};
