//! Generated documents in any layout, and one fix.

use std::cell::Cell;

use chartgate::preflight;
use chartgate::yaml;
use json_patch::patch;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use serde_json::Value;

use crate::{fixed, operations};

/// How a document is laid out.
#[derive(Debug, Clone)]
struct Look {
    indent: usize,
    /// How `chartRef` is written: in a block, in braces on one line, in braces on several, as JSON.
    form: u8,
    /// Quotes of keys and of values: none, single, double.
    quotes: (u8, u8),
    comments: Vec<bool>,
    blanks: Vec<bool>,
    order: Vec<usize>,
    crlf: bool,
    bom: bool,
    final_newline: bool,
    /// What is around it: nothing, documents, a list.
    around: u8,
    fault: usize,
}

/// What is wrong, and what puts it right.
struct Fault {
    chart_ref: &'static [(&'static str, &'static str)],
    version: &'static str,
    /// What stands in the place of a chart.
    chart: Option<&'static str>,
    operations: &'static str,
}

const FAULTS: [Fault; 5] = [
    Fault {
        chart_ref: &[("name", "podinfo"), ("kind", "ocirepository")],
        version: "v2",
        chart: None,
        operations: r#"[{"op":"add","path":"/spec/chartRef/kind","value":"OCIRepository"}]"#,
    },
    Fault {
        chart_ref: &[("name", "HelmChart/podinfo.apps")],
        version: "v2",
        chart: None,
        operations: r#"[{"op":"add","path":"/spec/chartRef/name","value":"podinfo"},
            {"op":"add","path":"/spec/chartRef/kind","value":"HelmChart"},
            {"op":"add","path":"/spec/chartRef/namespace","value":"apps"}]"#,
    },
    Fault {
        chart_ref: &[("name", "podinfo"), ("kind", "HelmChart")],
        version: "v2beta1",
        chart: None,
        operations: r#"[{"op":"replace","path":"/apiVersion","value":"helm.toolkit.fluxcd.io/v2"}]"#,
    },
    Fault {
        chart_ref: &[("name", "podinfo"), ("kind", "HelmChart")],
        version: "v2",
        chart: Some("null"),
        operations: r#"[{"op":"remove","path":"/spec/chart"}]"#,
    },
    Fault {
        chart_ref: &[("kind", "HelmChart"), ("name", "x y")],
        version: "v2",
        chart: Some(""),
        operations: r#"[{"op":"remove","path":"/spec/chart"},
            {"op":"add","path":"/spec/chartRef/name","value":"yes"}]"#,
    },
];

fn looks() -> impl Strategy<Value = Look> {
    let flags = || prop::collection::vec(any::<bool>(), 12);
    let order = Just((0..5).collect::<Vec<usize>>()).prop_shuffle();
    let layout = (1_usize..6, 0_u8..4, (0_u8..3, 0_u8..3), flags(), flags(), order);
    let ends = (any::<bool>(), any::<bool>(), any::<bool>(), 0_u8..3, 0..FAULTS.len());
    (layout, ends).prop_map(
        |((indent, form, quotes, comments, blanks, order), (crlf, bom, final_newline, around, fault))| Look {
            indent,
            form,
            quotes,
            comments,
            blanks,
            order,
            crlf,
            bom,
            final_newline,
            around,
            fault,
        },
    )
}

fn quoted(text: &str, quotes: u8) -> String {
    match quotes {
        1 => format!("'{text}'"),
        2 => format!("\"{text}\""),
        _ => text.to_owned(),
    }
}

// === impl Look ===

impl Look {
    fn chart_ref(&self, fields: &[(&str, &str)]) -> Vec<String> {
        let quotes = if self.form == 3 { (2, 2) } else { self.quotes };
        let entry =
            |(key, value): &(&str, &str)| format!("{}: {}", quoted(key, quotes.0), quoted(value, quotes.1));
        let entries: Vec<_> = fields.iter().map(entry).collect();
        let indent = " ".repeat(self.indent);
        match self.form {
            0 => [vec!["chartRef:".to_owned()], entries.iter().map(|it| format!("{indent}{it}")).collect()]
                .concat(),
            2 => {
                let lines = entries.join(",\n");
                let inner = lines.lines().map(|line| format!("{indent}{line}"));
                [vec!["chartRef: {".to_owned()], inner.collect(), vec![format!("{indent}}}")]].concat()
            }
            _ => vec![format!("chartRef: {{{}}}", entries.join(", "))],
        }
    }

    fn text(&self) -> String {
        let Fault { chart_ref, version, chart, .. } = &FAULTS[self.fault];
        let indent = " ".repeat(self.indent);
        let mut spec: Vec<Vec<String>> = vec![
            vec!["interval: 10m".to_owned()],
            self.chart_ref(chart_ref),
            chart.map(|chart| format!("chart: {chart}")).into_iter().collect(),
            vec![
                "values:".to_owned(),
                format!("{indent}ünicode: |"),
                format!("{indent}{indent}# no comment"),
                String::new(),
            ],
            vec!["install: &i {a: [1, '2']}".to_owned(), "upgrade: *i".to_owned()],
        ];
        spec.rotate_left(self.order[0]);
        let spec = spec
            .concat()
            .into_iter()
            .map(|line| if line.is_empty() { line } else { format!("{indent}{line}") });
        let head = [
            format!("apiVersion: helm.toolkit.fluxcd.io/{version}"),
            "kind: HelmRelease".to_owned(),
            "spec:".to_owned(),
        ];
        let lines: Vec<String> = head.into_iter().chain(spec).collect();
        self.around(self.decorated(&lines))
    }

    /// With comments and empty lines, where none changes what is said.
    fn decorated(&self, lines: &[String]) -> Vec<String> {
        let mut out = Vec::new();
        let mut in_block = false;
        for (index, line) in lines.iter().enumerate() {
            let flag = |flags: &[bool]| flags[index % flags.len()];
            in_block = line.ends_with('|') || (in_block && (line.is_empty() || line.contains('#')));
            if in_block {
                out.push(line.clone());
                continue;
            }
            let indent = line.len() - line.trim_start().len();
            if flag(&self.blanks) {
                out.push(String::new());
            }
            // Behind a comma or a brace a comment would be in the middle of a flow; YAML allows it, and so do we.
            if flag(&self.comments) {
                out.push(format!("{:indent$}# about line {index}", ""));
                out.push(format!("{line} # on line {index}"));
            } else {
                out.push(line.clone());
            }
        }
        out
    }

    fn around(&self, lines: Vec<String>) -> String {
        let lines = match self.around {
            1 => [
                vec!["# first".to_owned(), "a: 1".to_owned(), "---".to_owned()],
                lines,
                vec!["---".to_owned(), "# last".to_owned(), "b: 2".to_owned()],
            ]
            .concat(),
            2 => {
                let items = lines.iter().enumerate().map(|(index, line)| match (index, line.is_empty()) {
                    (_, true) => String::new(),
                    (_, false) => format!("  {line}"),
                });
                let items: Vec<_> = items.collect();
                let first = items
                    .iter()
                    .position(|line| !line.is_empty() && !line.trim_start().starts_with('#'))
                    .expect("there is a line");
                let mut items = items;
                items[first].replace_range(0..1, "-");
                [vec!["kind: List".to_owned(), "items:".to_owned()], items, vec!["- kind: Other".to_owned()]]
                    .concat()
            }
            _ => lines,
        };
        let ends = if self.crlf { "\r\n" } else { "\n" };
        let bom = if self.bom { "\u{feff}" } else { "" };
        let last = if self.final_newline { ends } else { "" };
        format!("{bom}{}{last}", lines.join(ends))
    }
}

/// The documents, read by another reader than the one that the fix is made with.
fn values(text: &str) -> Vec<Value> {
    preflight::documents(text.trim_start_matches('\u{feff}'))
        .unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn expected(text: &str, json: &str) -> Vec<Value> {
    let mut values = values(text);
    let all = values.iter_mut().flat_map(|document| match document.get_mut("items") {
        Some(Value::Array(_)) => {
            document["items"].as_array_mut().expect("it is a list").iter_mut().collect::<Vec<_>>()
        }
        _ => vec![document],
    });
    let mut release = all.into_iter().filter(|it| it["kind"] == "HelmRelease");
    patch(release.next().expect("there is a release"), &operations(json)).expect("the operations fit");
    drop(release);
    values
}

/// Everything about a text that a fix must leave alone.
fn hold(look: &Look, text: &str, now: &str) -> Result<(), TestCaseError> {
    let Fault { chart, operations, .. } = &FAULTS[look.fault];
    prop_assert_eq!(values(now), expected(text, operations), "{}\n---- now\n{}", text, now);
    // Comments stay, but for the one on a line that goes.
    let is_chart = |line: &&str| line.trim_start().starts_with("chart:");
    let gone = text.lines().find(is_chart).and_then(|line| Some(line.split_once(" #")?.1));
    let mut before = comments(text);
    before.retain(|comment| chart.is_none() || Some(&**comment) != gone);
    prop_assert_eq!(comments(now), before, "{}\n---- now\n{}", text, now);
    // Line ends stay, and lines that have nothing to do with it.
    let is_crlf = now.matches('\n').count() == now.matches("\r\n").count();
    prop_assert_eq!(is_crlf, look.crlf || !now.contains('\n'));
    prop_assert_eq!(now.starts_with('\u{feff}'), look.bom);
    if chart.is_none() {
        prop_assert_eq!(now.ends_with('\n'), text.ends_with('\n'));
    }
    let concerned = ["name", "kind", "apiVersion", "chart"];
    for line in text.lines().filter(|line| !concerned.iter().any(|it| line.contains(it))) {
        prop_assert!(now.lines().any(|it| it == line), "{line:?} is gone\n{text}\n---- now\n{now}");
    }
    if chart.is_none() {
        prop_assert_eq!(fixed(now, operations), Ok(now.to_owned()), "the second time");
    }
    Ok(())
}

fn comments(text: &str) -> Vec<String> {
    yaml::comments(text).into_iter().map(|(_, it)| it.to_owned()).collect()
}

#[test]
fn one_fix_changes_what_it_says_and_nothing_else() {
    let (done, refused) = (Cell::new(0), Cell::new(0));
    let config = ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() };
    let run = TestRunner::new(config).run(&looks(), |look| {
        let text = look.text();
        match fixed(&text, FAULTS[look.fault].operations) {
            Ok(now) => {
                done.set(done.get() + 1);
                hold(&look, &text, &now)
            }
            Err(refusal) => {
                refused.set(refused.get() + 1);
                let said = refusal.to_string();
                prop_assert!(said.contains("cannot be changed without touching"), "{said}\n{text}");
                Ok(())
            }
        }
    });
    run.unwrap_or_else(|error| panic!("{error}"));
    println!("{} fixed, {} refused", done.get(), refused.get());
    assert!(done.get() > 19 * refused.get(), "{} of {} were refused", refused.get(), done.get());
}
