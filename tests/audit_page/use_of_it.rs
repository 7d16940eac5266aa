//! How it is worked with: bars, filters, search, order, open releases, the keyboard, and the address.

use crate::browser::Page;
use crate::{assert_calm, saved, scene, small_page};

fn focused(page: &mut Page, what: &str) -> String {
    let value = page.evaluate(&format!("String(document.activeElement.{what})"));
    value.as_str().unwrap().to_owned()
}

fn address(page: &mut Page) -> String {
    page.evaluate("location.hash").as_str().unwrap().to_owned()
}

#[test]
fn the_overview_counts_and_every_bar_is_a_filter() {
    let Some(mut page) = Page::new() else { return };
    page.open(&small_page("bars.html"), "");
    assert_eq!(page.text("#headline"), "15 of 51 HelmReleases have moved to spec.chartRef 29 %");
    assert_eq!(page.text("#missing li"), "helmcharts.source.toolkit.fluxcd.io: forbidden");
    assert_eq!(page.text("#gone summary"), "1 release gone");

    for facet in ["phase", "source", "outcome", "edit", "level", "rule", "namespace", "version", "change"] {
        let bar = format!("[data-facet={facet}]");
        let value = page.evaluate(&format!("document.querySelector('{bar}').dataset.value"));
        let figure = ["small", ".bar-figure", "b"].map(|part| page.lines(&format!("{bar} {part}")));
        // `3 of 13`, where there are both; a share in percent says nothing of how many.
        let told = figure.iter().flatten().find(|told| !told.contains('%'));
        let told = told.map(|told| told.rsplit(' ').next().unwrap().to_owned());
        page.click(&bar);
        let address = address(&mut page);
        assert!(address.starts_with(&format!("#{facet}=")), "{value}: {address}");
        let found = page.text("#count");
        assert!(found.contains(" of 51 releases"), "{facet} {value}: {found}");
        let told = told.unwrap_or_else(|| {
            page.lines(&format!("{bar} .tile-count"))[0].split(' ').next().unwrap().to_owned()
        });
        assert_eq!(found.split(' ').next(), Some(&*told), "{facet} {value}: what the bar said");
        page.click(&format!("{bar}[aria-pressed=true]"));
        assert_eq!(page.text("#count"), "51 releases");
    }
    assert_calm(&mut page);
}

#[test]
fn a_cluster_without_releases_is_told_as_such() {
    let Some(mut page) = Page::new() else { return };
    page.open(&saved("nothing.html", &scene::page(&scene::audit(&[]), "", None)), "#open=a%2Fb");
    assert_eq!(page.text("h1"), "HelmReleases");
    assert_eq!(page.text("#headline"), "The cluster holds no HelmRelease");
    assert_eq!(page.text("#count"), "0 releases");
    assert_eq!(page.evaluate("document.querySelector('#table').checkVisibility()"), false);
    page.press("Tab");
    page.press("Enter");
    assert_calm(&mut page);
}

#[test]
fn filters_narrow_together_and_the_address_says_so() {
    let Some(mut page) = Page::new() else { return };
    let file = small_page("filters.html");
    page.open(&file, "");
    let choose = |page: &mut Page, id: &str, value: &str| {
        page.evaluate(&format!(
            "(() => {{ const it = document.querySelector('#{id}'); it.value = '{value}';
             it.dispatchEvent(new Event('change', {{bubbles: true}})); }})()"
        ));
    };
    choose(&mut page, "filter-namespace", "shop");
    choose(&mut page, "filter-phase", "0");
    assert_eq!(page.texts(".row .cell-name"), ["external-dns", "ingress-nginx"]);
    assert_eq!(address(&mut page), "#namespace=shop&phase=0");
    choose(&mut page, "filter-rule", "version-annotation");
    assert_eq!(page.texts(".row .cell-name"), ["external-dns"]);
    // A rule and a level are asked of one finding.
    choose(&mut page, "filter-level", "error");
    assert!(page.texts(".row").is_empty());
    assert_eq!(page.lines("#empty"), ["No release is like that. Show all"]);
    page.evaluate("history.back()");
    assert_eq!(page.texts(".row .cell-name"), ["external-dns"]);

    let shared = address(&mut page);
    page.open(&file, &shared);
    assert_eq!(page.texts(".row .cell-name"), ["external-dns"], "{shared} shows the same");
    assert_eq!(page.evaluate("document.querySelector('#filter-rule').value"), "version-annotation");
    page.click("#active .chip");
    assert_eq!(address(&mut page), "#phase=0&rule=version-annotation");
    assert_calm(&mut page);
}

#[test]
fn a_search_and_an_order_by_each_column() {
    let Some(mut page) = Page::new() else { return };
    page.open(&small_page("search.html"), "");
    page.press("/");
    assert_eq!(focused(&mut page, "id"), "search");
    page.type_text("KUBECTL-edit shop");
    assert_eq!(page.texts(".row .cell-name"), ["redis"], "by an owner and a namespace");
    assert_eq!(address(&mut page), "#q=KUBECTL-edit+shop");
    page.press("Escape");
    assert_eq!(page.text("#count"), "51 releases");

    page.evaluate("document.querySelector('#releases-title').scrollIntoView()");
    for column in ["name", "version", "source", "phase", "applier", "findings", "outcome", "namespace"] {
        let head = format!("th[data-column={column}]");
        page.click(&format!("{head} button"));
        let up = page.texts(&format!(".row .cell-{column}"));
        assert_eq!(page.evaluate(&format!("document.querySelector('{head}').ariaSort")), "ascending");
        page.click(&format!("{head} button"));
        assert_eq!(page.evaluate(&format!("document.querySelector('{head}').ariaSort")), "descending");
        let down = page.texts(&format!(".row .cell-{column}"));
        if ["name", "version", "namespace"].contains(&column) {
            assert!(up.is_sorted(), "{column}: {up:?}");
            assert!(down.is_sorted_by(|a, b| a >= b), "{column}: {down:?}");
        }
        if column != "applier" {
            assert_ne!(up, down, "{column}");
        }
    }
    page.click("th[data-column=findings] button");
    assert_eq!(address(&mut page), "#sort=findings");
    assert!(page.text(".row .cell-findings").contains("error"), "the worst first");
    assert_calm(&mut page);
}

#[test]
fn an_open_release_tells_everything_of_it() {
    let Some(mut page) = Page::new() else { return };
    page.open(&small_page("release.html"), "#q=shop%2Fharbor");
    page.click(".row");
    assert_eq!(page.text("#detail-title"), "shop/harbor");
    let diff = page.text(".diff");
    assert_eq!(diff, "  spec:\n-   chart:\n-     spec:\n-       version: \"1.16.2\"");
    page.click(".part details summary");
    let patch: serde_json::Value = serde_json::from_str(&page.text(".part details code")).unwrap();
    assert_eq!(patch, serde_json::json!([{"op": "remove", "path": "/spec/chart"}]));
    let owners = page.lines(".owners > li");
    assert!(
        owners[0].starts_with("kustomize-controller applies it Apply at v2 2026-02-03 09:12 UTC"),
        "{owners:?}"
    );
    assert!(owners[1].starts_with("kubectl-patch Update at v2 2026-01-19 12:00 UTC"), "{owners:?}");
    assert_eq!(page.texts(".owners > li:last-child .tree code"), ["spec.chart.spec.version"]);
    let finding = page.text(".finding");
    for told in ["partial-chart", "spec.chart", "Why", "How to fix"] {
        assert!(finding.contains(told), "{told}: {finding}");
    }

    page.click("#next");
    assert_eq!(page.text("#detail-title"), "shop/harbor", "there is no other that the search shows");
    page.open(&small_page("release.html"), "#open=shop%2Fpodinfo");
    page.click("#next");
    page.click("#next");
    page.click("#previous");
    assert_eq!(page.text("#detail-title"), "shop/redis");
    assert_eq!(page.text(".row[aria-selected=true] .cell-name"), "redis");
    page.open(&small_page("release.html"), "#open=shop%2Fcart");
    let seen =
        page.evaluate("document.querySelector('.row[aria-selected=true]').getBoundingClientRect().bottom");
    assert!(seen.as_f64().unwrap() <= 800.0, "who is sent the address of a release sees it");
    assert!(page.text(".facts").ends_with("was in phase 0; no more deprecated-api-version"));

    page.open(&small_page("release.html"), "#open=shop%2Fredis");
    let command = page.text(".steps .snippet code");
    assert!(command.starts_with("kubectl patch helmrelease redis -n shop --type=json -p '[{"), "{command}");
    page.evaluate("void (navigator.clipboard.writeText = async text => { window.copied = text; })");
    page.click(".steps .copy");
    assert_eq!(page.evaluate("copied"), command.as_str());
    assert_eq!(page.text(".steps .copy"), "Copied");
    assert_calm(&mut page);
}

#[test]
fn the_keyboard_reaches_and_opens_every_release() {
    let Some(mut page) = Page::new() else { return };
    page.open(&small_page("keyboard.html"), "");
    page.press("Tab");
    assert_eq!(focused(&mut page, "id"), "skip", "the first thing that Tab leads to");
    page.press("Enter");
    assert_eq!(focused(&mut page, "dataset.index"), "0");
    page.press("ArrowDown");
    page.press("ArrowDown");
    assert_eq!(focused(&mut page, "dataset.index"), "2");
    page.press("End");
    assert_eq!(focused(&mut page, "ariaRowIndex"), "52");
    let outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle");
    assert_eq!(outline, "solid", "the focus is seen");
    page.press("ArrowUp");
    let name = page.text(":focus .cell-name");
    page.press("Enter");
    assert_eq!(focused(&mut page, "id"), "detail-title");
    assert!(page.text("#detail-title").ends_with(&name));
    page.press("Escape");
    assert_eq!(page.evaluate("document.querySelector('#detail').hidden"), true);
    assert_eq!(page.text(":focus .cell-name"), name, "back at its row");
    assert_eq!(address(&mut page), "");

    // On a phone the release covers the page, and nothing behind it is reached.
    page.resize(390, 844);
    page.press("Enter");
    assert_eq!(page.evaluate("document.querySelector('.table-frame').inert"), true);
    page.press("Escape");
    assert_eq!(page.evaluate("document.querySelector('.table-frame').inert"), false);
    assert_calm(&mut page);
}

#[test]
fn everything_has_a_role_and_a_name() {
    let Some(mut page) = Page::new() else { return };
    page.open(&small_page("roles.html"), "#open=shop%2Fharbor");
    let nameless = page.evaluate(
        "[...document.querySelectorAll('button, input, select, section, aside, [role=grid], pre[tabindex]')]
            .filter(it => it.checkVisibility())
            .filter(it => !(it.ariaLabel || it.innerText?.trim() || it.labels?.length
                || document.getElementById(it.getAttribute('aria-labelledby'))?.innerText))
            .map(it => it.outerHTML)",
    );
    assert_eq!(nameless, serde_json::json!([]));
    assert_eq!(page.evaluate("document.querySelector('#table').ariaRowCount"), "52");
    let roles =
        page.evaluate("[...new Set([...document.querySelectorAll('#table [role]')].map(it => it.role))]");
    assert_eq!(roles, serde_json::json!(["rowgroup", "row", "columnheader", "gridcell"]));
    let ids = page.evaluate(
        "[...document.querySelectorAll('[id]')].map(it => it.id).filter((id, at, all) => all.indexOf(id) !== at)",
    );
    assert_eq!(ids, serde_json::json!([]), "each id is there once");
    assert_calm(&mut page);
}
