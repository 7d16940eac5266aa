//! What goes wrong, or is made to, at the real program over real sockets: others keep being answered, memory and file
//! descriptors stay within bounds, and nothing panics.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]
#![allow(clippy::print_stdout, reason = "the figures are a part of what these tests tell")]

mod attacks;
mod certificate;
mod clients;
mod frames;
mod http1;
mod http2;
mod load;
mod scene;
mod slow;
#[path = "../support/mod.rs"]
mod support;
mod tls;
