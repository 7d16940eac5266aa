//! Whatever a repository holds, each format stays what it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use chartgate::report::{Diagnostic, Edit, Grade, Judged, Related, Report, SuggestedFix};
use chartgate::yaml::Span;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::scene::{Files, finding, release};
use crate::{all, as_json};

/// Texts of what is special to somebody, and of anything.
fn text() -> impl Strategy<Value = String> {
    let special = prop::sample::select(vec![
        "\u{1b}[31m",
        "\u{9b}2J",
        "\r",
        "\n",
        "\r\n",
        "\t",
        "\0",
        "\u{7f}",
        "\u{85}",
        "\u{2028}",
        "\u{202e}",
        "\u{feff}",
        "\u{fffe}",
        "\u{ffff}",
        "\u{e0041}",
        "::error::x",
        "::",
        "%0A",
        "%",
        ",",
        "<a>",
        "]]>",
        "<!--",
        "&amp;",
        "&",
        "\"",
        "'",
        "](1)",
        "[",
        "\\",
        "${X}",
        "日本",
        "👩‍💻",
        "e\u{301}",
        " ",
        "a",
        "b: c",
    ]);
    let part = prop_oneof![special.prop_map(str::to_owned), any::<char>().prop_map(String::from)];
    prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

/// Places within the files, and past them, and in the middle of characters.
fn span() -> impl Strategy<Value = Span> {
    (0..2_u32, 0..60_u32, 0..60_u32).prop_map(|(file, start, end)| Span::new(file, start, end))
}

fn diagnostic() -> impl Strategy<Value = Diagnostic> {
    let grade = prop::sample::select(vec![Grade::Note, Grade::Warning, Grade::Error]);
    let rule = prop::sample::select(vec!["partial-chart", "unreadable", "not-judged", "no-such-rule"]);
    let texts = (text(), text(), text(), text(), text());
    let places = (prop::option::of(span()), prop::collection::vec((span(), text()), 0..3));
    let change = prop::option::of((text(), prop::collection::vec((span(), text()), 1..3)));
    let ways = prop::collection::vec(prop::collection::vec(text().prop_map(Arc::from), 0..3), 0..3);
    (rule, grade, texts, places, change, ways).prop_map(|(rule, grade, texts, places, change, ways)| {
        let (what, why, help, name, field) = texts;
        let (location, related) = places;
        Diagnostic {
            why: why.into(),
            help: help.into(),
            object: Some(release(&name, &name)),
            field,
            location: location.map(Into::into),
            related: related
                .into_iter()
                .map(|(span, what)| Related { location: span.into(), what })
                .collect(),
            ways,
            fix: change.map(|(what, edits)| SuggestedFix {
                what,
                edits: edits.into_iter().map(|(span, text)| Edit { span, text }).collect(),
                fields: Vec::new(),
            }),
            ..finding(rule, grade, &what)
        }
    })
}

fn scene() -> impl Strategy<Value = (Report, Files)> {
    let files = prop::collection::vec((text(), text()), 2);
    let judged = prop::collection::vec((prop::option::of(span()), text()), 0..3);
    (files, prop::collection::vec(diagnostic(), 0..4), judged).prop_map(|(files, diagnostics, judged)| {
        let judged = judged
            .into_iter()
            .map(|(span, name)| Judged { object: release(&name, &name), location: span.map(Into::into) });
        (Report { diagnostics, judged: judged.collect(), ..Report::default() }, Files(files))
    })
}

/// What steers a terminal, or hides from who reads. A line feed is what a line of ours ends with.
fn steers(character: char) -> bool {
    character.is_control() && character != '\n'
        || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{feff}')
}

/// The elements of a document without a DTD, comments and the like, which ours are; `None` where it is not well-formed.
fn elements(xml: &str) -> Option<BTreeMap<String, usize>> {
    let mut open = Vec::new();
    let mut seen = BTreeMap::<_, usize>::new();
    let mut rest = xml.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
    while let Some((text, after)) = rest.split_once('<') {
        entities(text)?;
        let (tag, after) = after.split_once('>')?;
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            (open.pop()? == name).then_some(())?;
            continue;
        }
        let (tag, closed) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        let mut pieces = attributes.split('"');
        while let (Some(key), Some(value)) = (pieces.next().filter(|key| !key.is_empty()), pieces.next()) {
            key.trim().strip_suffix('=')?.chars().all(char::is_alphabetic).then_some(())?;
            entities(value)?;
        }
        *seen.entry(name.to_owned()).or_default() += 1;
        if !closed {
            open.push(name);
        }
    }
    (open.is_empty() && rest.trim().is_empty()).then_some(seen)
}

/// A text in which each `&` begins one of the five entities that XML knows by itself, and all characters may be.
fn entities(text: &str) -> Option<()> {
    let known = ["amp;", "lt;", "gt;", "quot;", "apos;"];
    text.split('&').skip(1).all(|after| known.iter().any(|name| after.starts_with(name))).then_some(())?;
    let allowed = |character| matches!(character, '\n' | '\t' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    text.chars().all(allowed).then_some(())
}

proptest! {
    #[test]
    fn nothing_breaks_out_of_a_format((report, files) in scene()) {
        for (format, told) in all(&report, &files) {
            let plain = if format == "colour" { without_colours(&told) } else { told.clone() };
            prop_assert!(!plain.chars().any(steers), "{format}: {told:?}");
            if matches!(format, "text" | "quiet" | "colour") {
                let command = plain.lines().find(|line| line.trim_start().starts_with("::"));
                prop_assert!(command.is_none_or(|line| line.trim_start().starts_with("::: ")), "{format}: {told:?}");
            }
            match format {
                "json" | "sarif" => {
                    prop_assert!(serde_json::from_str::<Value>(&told).is_ok(), "{told}");
                }
                "junit" => {
                    let seen = elements(&told);
                    prop_assert!(seen.is_some(), "{told}");
                    let cases = seen.unwrap_or_default().get("testcase").copied().unwrap_or_default();
                    prop_assert!(cases > 0, "{told}");
                }
                "quiet" => prop_assert_eq!(told.lines().count(), report.diagnostics.len(), "{}", told),
                "github" => {
                    prop_assert_eq!(told.lines().count(), report.diagnostics.len() + 1, "{}", told);
                    let commands = told.lines().filter(|line| line.starts_with("::"));
                    prop_assert_eq!(commands.count(), report.diagnostics.len(), "{}", told);
                }
                _ => {}
            }
        }
    }

    /// Colours change nothing but colours.
    #[test]
    fn colours_are_all_that_colour_adds((report, files) in scene()) {
        let told = all(&report, &files);
        prop_assert_eq!(without_colours(&told[2].1), told[0].1.clone());
    }

    #[test]
    fn json_holds_every_text_as_it_was((report, files) in scene()) {
        let told: Value = serde_json::from_str(&as_json(&report, &files)).unwrap();
        for (told, meant) in told["findings"].as_array().unwrap().iter().zip(&report.diagnostics) {
            prop_assert_eq!(&told["what"], &Value::from(meant.what.as_str()));
            prop_assert_eq!(&told["ways"], &json!(meant.ways));
        }
    }
}

fn without_colours(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    // Ours end with `m`; a sequence that does not stays, and is found.
    parts.fold(first, |all, part| match part.split_once('m') {
        Some((codes, text)) if codes.chars().all(|code| code.is_ascii_digit() || code == ';') => all + text,
        _ => all + "\u{1b}[" + part,
    })
}
