//! The page of an audit in a real Chromium: what it shows, how it is worked with, and that what objects say stays text.
//!
//! Chromium is in Debian's package `chromium`. Without it these tests say `skipped: …`; `CHARTGATE_REQUIRE_BROWSER=1` makes
//! a missing one a failure. Pictures of the page are left in `target/tmp/audit-page`, to be looked at.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod browser;
mod hostile;
mod looks;
mod many;
mod scene;
mod use_of_it;

use std::fs;
use std::path::PathBuf;

use chartgate::audit::Audit;

use browser::Page;

/// Where pages and pictures are left.
fn place() -> PathBuf {
    let place = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("audit-page");
    fs::create_dir_all(&place).unwrap();
    place
}

/// Writes a page into a file.
fn saved(name: &str, html: &str) -> PathBuf {
    let file = place().join(name);
    fs::write(&file, html).unwrap();
    file
}

/// The page of the small cluster, in a file.
fn small_page(name: &str) -> PathBuf {
    let audit = small_audit();
    let since = scene::since(&audit);
    saved(name, &scene::page(&audit, "prod-eu-1", Some(&since)))
}

fn small_audit() -> Audit {
    scene::audit(&scene::small())
}

/// That a page was calm: nothing on its console, no exception, no request, nothing that its policy refused.
#[track_caller]
fn assert_calm(page: &mut Page) {
    assert_eq!(page.complaints(), [serde_json::Value::Null; 0]);
}
