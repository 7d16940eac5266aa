//! Whatever objects say stays text.

use chartgate::audit::Next;
use serde_json::{Value, json};

use crate::browser::Page;
use crate::scene::{self, Stored, chart};
use crate::{assert_calm, saved};

/// What would run, or break out, if it were taken for anything but text.
const HOSTILE: [&str; 7] = [
    "<script>window.ran = 1</script>",
    "</script><script>window.ran = 2</script>",
    "\"><img src=x onerror='window.ran = 3'>",
    "<!--<script>",
    "]]></noscript><svg onload='window.ran = 4'>",
    "javascript:window.ran=5//'\"`${window.ran=6}{{audit}}",
    "\u{2028}\u{202e}window.ran = 7",
];

/// A release that says it wherever a text of an object can be.
fn hostile(text: &str) -> Stored {
    let name =
        |object: Stored| object.with("/metadata/name", json!(text)).with("/metadata/namespace", json!(text));
    let object = Stored::new("shop", "x", "v2", &chart(text, text))
        .owned(text, "Update", "v2beta1", text, &json!({"chart": {"spec": {text: ""}}}))
        .with("/metadata/annotations", json!({"fluxcd.io/version": text, text: text}))
        .with("/metadata/labels/kustomize.toolkit.fluxcd.io~1name", json!(text));
    name(object)
}

#[test]
fn nothing_that_an_object_says_runs_or_becomes_markup() {
    let Some(mut page) = Page::new() else { return };
    let mut stored: Vec<_> = HOSTILE.into_iter().map(hostile).collect();
    stored.push(Stored::new(
        "shop",
        "both",
        "v2",
        &json!({"chart": {"spec": {"chart": HOSTILE[0]}}, "chartRef": {
            "kind": HOSTILE[1], "name": HOSTILE[2], "namespace": HOSTILE[3],
        }}),
    ));
    let mut audit = scene::audit(&stored);
    audit.missing.extend(HOSTILE.map(str::to_owned));
    for release in &mut audit.releases {
        release.next = Some(Box::new(Next { message: release.name.to_string(), ..Next::default() }));
    }
    let file = saved("hostile.html", &scene::page(&audit, HOSTILE[1], None));
    page.open(&file, "");

    let elements = page.evaluate("document.querySelectorAll('img, svg, iframe, object, script').length");
    assert_eq!(elements, 3, "the three scripts of the page");
    assert_eq!(page.text("#cluster"), HOSTILE[1]);
    let names = page.texts(".row .cell-name");
    assert!(names.iter().any(|name| name == HOSTILE[0]), "{names:?}");
    for text in HOSTILE {
        let fragment = format!("'#' + new URLSearchParams({{open: {}}})", json!(format!("{text}/{text}")));
        let fragment = page.evaluate(&fragment);
        page.open(&file, fragment.as_str().unwrap());
        let seen = text.replace(['\u{2028}', '\u{202e}'], "\u{fffd}");
        assert_eq!(page.text("#detail-title"), format!("{seen}/{seen}"));
        assert_eq!(page.text(".message"), seen);
        assert!(page.texts(".owners b").contains(&seen), "its managers");
        assert_eq!(page.evaluate("document.querySelectorAll('img, svg, iframe, object, script').length"), 3);
    }
    // The address is nobody's to trust either.
    let fragment = page.evaluate(&format!(
        "'#' + new URLSearchParams({{q: {0}, namespace: {0}, rule: {0}, phase: {0}, sort: {0}, constructor: {0}}})",
        json!(HOSTILE[2])
    ));
    page.open(&file, fragment.as_str().unwrap());
    assert!(page.text("#filter-note").contains(HOSTILE[2]));
    page.click("#reset");
    assert_eq!(page.text("#count"), "8 releases");

    assert_eq!(page.evaluate("window.ran ?? null"), Value::Null);
    assert_calm(&mut page);
}

/// The last of the guards: even if some code took a text for markup or code, the browser refuses to.
#[test]
fn the_browser_itself_refuses_what_the_page_does_not_bring() {
    let Some(mut page) = Page::new() else { return };
    page.open(&crate::small_page("policy.html"), "");
    let tried = "(() => { try { document.querySelector('#cluster').innerHTML = '<b>x</b>'; return 'markup'; }
        catch (error) { return error.name; } })()";
    assert_eq!(page.evaluate(tried), "TypeError");
    let tried = "new Promise(done => {
        addEventListener('securitypolicyviolation', event => done(event.effectiveDirective));
        document.head.append(Object.assign(document.createElement('style'), {textContent: 'b {color: red}'})); })";
    assert_eq!(page.evaluate(tried), "style-src-elem");
    let tried = "fetch('https://chartgate.invalid/').then(() => 'fetched', error => error.name)";
    assert_eq!(page.evaluate(tried), "TypeError");
    assert!(page.complaints().len() >= 3, "and a test would see it");
}
