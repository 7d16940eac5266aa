//! `chartgate check`, as its user runs it.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it skipped and how much it saw"
)]

mod action;
mod artifact;
mod bounds;
mod builds;
mod cases;
mod corpus;
mod decoding;
mod docs;
mod exit_codes;
mod fixing;
mod hooks;
mod overlays;
mod quiet;
mod reading;
mod scene;
mod schema;
mod sources;
