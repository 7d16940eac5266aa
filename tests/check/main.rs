//! `chartgate check`, as its user runs it.

mod exit_codes;
mod overlays;
mod quiet;
mod reading;
mod scene;
