//! How it looks, at each width and in each scheme; and on paper.

use std::fs;

use serde_json::json;

use crate::browser::Page;
use crate::scene::{self, Stored, chart};
use crate::{assert_calm, place, saved, small_page};

#[test]
fn is_as_wide_as_its_window_on_a_desk_and_on_a_phone_in_both_schemes() {
    let Some(mut page) = Page::new() else { return };
    let file = small_page("looks.html");
    for (width, height) in [(1280, 800), (390, 844)] {
        for scheme in ["light", "dark"] {
            page.set_scheme(scheme);
            for (view, fragment) in [("overview", ""), ("release", "#open=monitoring%2Fharbor")] {
                page.resize(width, height);
                page.open(&file, fragment);
                let whole = page.evaluate("document.documentElement.scrollWidth");
                assert_eq!(whole, width, "{view} at {width}: nothing is wider than the window");
                if view == "overview" {
                    let all = page.evaluate("document.documentElement.scrollHeight");
                    page.resize(width, u32::try_from(all.as_u64().unwrap()).unwrap());
                }
                let name = format!("{view}-{width}-{scheme}.png");
                fs::write(place().join(name), page.picture()).unwrap();
            }
        }
    }
    assert_calm(&mut page);
}

#[test]
fn the_longest_names_make_nothing_wider() {
    let Some(mut page) = Page::new() else { return };
    let [namespace, name, manager] = [63, 253, 128].map(|length| "w".repeat(length));
    let long = Stored::new(&namespace, &name, "v2", &chart(&name, &name))
        .owned(&manager, "Update", "v2", "", &json!({"chart": {"spec": {&name: ""}}}))
        .with("/metadata/annotations/fluxcd.io~1version", json!(name))
        .with("/metadata/labels/kustomize.toolkit.fluxcd.io~1name", json!(name));
    let html = scene::page(&scene::audit(&[long]), &name, None);
    let file = saved("long.html", &html);
    for width in [1280, 800, 390] {
        page.resize(width, 844);
        for fragment in [String::new(), format!("#namespace={namespace}&q={name}&open={namespace}%2F{name}")]
        {
            page.open(&file, &fragment);
            assert_eq!(page.evaluate("document.documentElement.scrollWidth"), width, "{fragment} at {width}");
            let detail =
                page.evaluate("(it => it.scrollWidth - it.clientWidth)(document.querySelector('#detail'))");
            assert_eq!(detail, 0, "the open release at {width}");
        }
    }
    assert_calm(&mut page);
}

#[test]
fn every_text_has_contrast_in_both_schemes() {
    let Some(mut page) = Page::new() else { return };
    let file = small_page("contrast.html");
    for scheme in ["light", "dark"] {
        page.set_scheme(scheme);
        page.open(&file, "#open=monitoring%2Fharbor&phase=broken");
        let looked_at = page.evaluate(&format!("({CONTRAST}).all"));
        assert!(looked_at.as_u64().unwrap() > 150, "{looked_at} texts");
        let poor = page.evaluate(&format!("({CONTRAST}).poor"));
        assert_eq!(poor, json!([]), "{scheme}");
    }
}

/// Texts whose colour and what is behind them differ by less than WCAG AA asks for, 4.5 to 1.
const CONTRAST: &str = r"(() => {
    const channels = colour => colour.match(/[\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(it => it / 255)
        .map(it => it <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4)
        .reduce((sum, it, index) => sum + it * [0.2126, 0.7152, 0.0722][index], 0);
    const behind = node => {
        for (let at = node; at; at = at.parentElement) {
            const colour = channels(getComputedStyle(at).backgroundColor);
            if (colour.length === 3 || colour[3] === 1) return colour;
        }
        return [255, 255, 255];
    };
    const poor = [];
    let all = 0;
    for (const node of document.querySelectorAll('#page *')) {
        const text = [...node.childNodes].filter(it => it.nodeType === 3).map(it => it.data).join('').trim();
        if (!text || !node.checkVisibility() || node.matches('option, .sr')) continue;
        all += 1;
        const [a, b] = [light(channels(getComputedStyle(node).color)), light(behind(node))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5) poor.push(`${node.className || node.tagName}: ${text.slice(0, 30)}: ${ratio.toFixed(2)}`);
    }
    return {all, poor: [...new Set(poor)]};
})()";

#[test]
fn without_a_script_it_says_what_it_comes_to() {
    let Some(mut page) = Page::new() else { return };
    page.allow_scripts(false);
    page.open(&small_page("noscript.html"), "");
    assert_eq!(page.text("h1"), "chartgate audit of prod-eu-1");
    let told = page.lines("noscript li");
    for line in [
        "Taken at 2026-03-01T10:20:30Z: 51 HelmReleases.",
        "Phase 2: 15 (moved to chartRef, or to an inline OCIRepository)",
        "If chartgate enforced, patched: 9",
        "Not known: helmcharts.source.toolkit.fluxcd.io: forbidden",
    ] {
        assert!(told.iter().any(|it| it == line), "{line}: {told:?}");
    }
    assert_eq!(page.evaluate("document.querySelector('#page').checkVisibility()"), false);
    assert_calm(&mut page);
}

#[test]
fn on_paper_are_the_overview_and_every_release_that_the_filter_shows() {
    let Some(mut page) = Page::new() else { return };
    page.open(&small_page("paper.html"), "#namespace=shop");
    page.evaluate(
        "void addEventListener('beforeprint', () => { window.printed = document.querySelector('#printed').textContent; })",
    );
    let paper = page.print();
    assert!(paper.starts_with(b"%PDF-"));
    fs::write(place().join("paper.pdf"), paper).unwrap();
    let printed = page.evaluate("printed");
    let printed = printed.as_str().unwrap();
    let shop = page.text("#count");
    assert_eq!(shop, "19 of 51 releases");
    assert!(printed.starts_with("19 releases, filtered by namespace shop"), "{printed}");
    assert_eq!(printed.matches("shop").count(), 20, "a row each, and the heading");
    assert_eq!(page.evaluate("document.querySelector('#printed').childNodes.length"), 0, "gone again");
    assert_calm(&mut page);
}
