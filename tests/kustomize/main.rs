//! What is rendered here against what the real kustomize prints, which is built from its Go module (see `support/go_tools.rs`).
//!
//! Without Go the tests say `skipped: …`; `CHARTGATE_REQUIRE_CLUSTER=1` makes that a failure.

#![allow(clippy::print_stderr, reason = "a test says what it skipped and how much it saw")]
#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]
#![allow(clippy::format_collect, reason = "it is short, and a test may be slow")]

mod corpus;
mod fixing;
mod flux;
mod generated;
mod generator;
#[path = "../support/go_tools.rs"]
#[allow(dead_code, reason = "each test binary uses a part of it")]
mod go_tools;
mod oracle;
mod scratch;
