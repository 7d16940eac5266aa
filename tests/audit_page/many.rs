//! Ten thousand releases.

use std::io::Write;
use std::time::Instant;

use crate::browser::Page;
use crate::{assert_calm, saved, scene};

/// What is in the document of all the rows, however many there are: those of a window, and some to spare.
const FEW_ROWS: u64 = 60;

#[test]
fn ten_thousand_releases_open_filter_and_scroll_with_few_rows_in_the_document() {
    let Some(mut page) = Page::new() else { return };
    let html = scene::page(&scene::audit(&scene::many(10_000)), "fleet", None);
    let size = html.len();
    let file = saved("many.html", &html);
    let opened = page.open(&file, "");
    let rows = |page: &mut Page| page.evaluate("document.querySelectorAll('.row').length").as_u64().unwrap();
    assert_eq!(page.text("#count"), "10,000 releases");
    assert!(rows(&mut page) > 0, "the table is there");

    let mut typed = std::time::Duration::ZERO;
    page.press("/");
    for letter in "redis".chars() {
        let start = Instant::now();
        page.type_text(&letter.to_string());
        typed = typed.max(start.elapsed());
    }
    assert_eq!(page.text("#count"), "500 of 10,000 releases");
    page.press("Escape");

    page.evaluate(
        "new Promise(done => { scrollTo(0, document.documentElement.scrollHeight); requestAnimationFrame(() => setTimeout(done)); })",
    );
    page.click(".row[aria-rowindex='10001']");
    let last = page.text(".row[aria-selected=true] .cell-name");
    assert!(page.text("#detail-title").ends_with(&last), "the last row is reached");
    assert!((1..FEW_ROWS).contains(&rows(&mut page)), "{} rows", rows(&mut page));
    assert_calm(&mut page);

    // A clock fails no test; this is to be read.
    let _ = writeln!(
        std::io::stderr(),
        "10,000 releases, {} MB: first table after {opened:?}, slowest letter of a search {typed:?}",
        size / 1_000_000
    );
}
