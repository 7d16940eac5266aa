//! What was found, told: as text for a terminal, and in the formats that other tools read.
//!
//! What is told here knows neither where it comes from nor who asked: files and clusters are told by the same renderers.

pub mod diagnostic;

pub use diagnostic::{
    Diagnostic, Edit, Excerpts, Grade, Location, Object, Related, Report, SuggestedFix, Summary,
};
