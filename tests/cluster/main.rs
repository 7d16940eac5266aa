//! Tests against a real Kubernetes API server, with the real Flux CRDs and the real kustomize-controller.
//!
//! They run wherever a Go toolchain is: the servers are built once from their Go modules and kept in a cache outside
//! the checkout (see `harness/binaries.rs`). Without Go they say `skipped: …`; `CHARTGATE_REQUIRE_CLUSTER=1` makes
//! that a failure. A test is blocking code, so that it reads from top to bottom.

mod annotation;
mod audit;
#[path = "../support/boundaries.rs"]
mod boundaries;
#[path = "../support/cgroup.rs"]
mod cgroup;
mod check;
mod clock;
mod errors;
mod events;
mod facts;
mod fleet;
mod force;
mod generated_source;
#[path = "../support/go_tools.rs"]
#[allow(dead_code, reason = "each test binary uses a part of it")]
mod go_tools;
#[allow(dead_code, reason = "a few steps wait for the tests of lost CRD versions and of modes by namespace")]
mod harness;
mod inline;
mod install;
mod messages;
mod modes;
mod no_failed_call;
mod old_entries;
mod outages;
mod phases;
mod prefilter;
mod ratchet;
mod restore;
mod reviews;
mod scanner;
#[path = "../check/scene.rs"]
mod scene;
mod schema;
mod selfcert;
mod smoke;
mod soak;
mod truth_table;
mod way_back;
