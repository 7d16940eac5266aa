//! Alerts, dashboard and the page about them, held against the metrics that there are.
//!
//! What Prometheus makes of the expressions is asked of its own promtool, which is in Debian's package `prometheus`.
//! Without it those tests say `skipped: …`; `CHARTGATE_REQUIRE_PROMTOOL=1` makes that a failure.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use chartgate::admission::Endpoint;
use chartgate::policy::Level;
use chartgate::telemetry::{Metrics, Scanned};
use chartgate::webhook::Judge;
use serde_json::{Value, json};
use support::{Real, both_set};
use tempfile::TempDir;
use time::OffsetDateTime;

/// What Prometheus adds to each sample, as the `ServiceMonitor` has it.
const TARGET_LABELS: [&str; 5] = ["job", "namespace", "pod", "service", "instance"];

/// The metrics of the page are between these lines.
const TABLE: [&str; 2] =
    ["<!-- metrics: UPDATE_GOLDEN=1 cargo test --test observability -->\n", "\n<!-- end -->"];

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(file(path)).unwrap()
}

/// `spec` of the `PrometheusRule`, which is what Prometheus itself reads.
fn rules() -> Value {
    let rule: Value = serde_saphyr::from_str(&read("manifests/observability/prometheus-rules.yaml")).unwrap();
    assert_eq!(rule["kind"], "PrometheusRule");
    rule["spec"].clone()
}

/// The rules of all groups.
fn all_rules() -> Vec<Value> {
    let groups = rules()["groups"].as_array().unwrap().clone();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

fn alerts() -> Vec<Value> {
    all_rules().into_iter().filter(|rule| rule["alert"].is_string()).collect()
}

fn dashboard() -> Value {
    serde_json::from_str(&read("manifests/observability/grafana-dashboard.json")).unwrap()
}

fn panels() -> Vec<Value> {
    dashboard()["panels"].as_array().unwrap().clone()
}

/// The queries of the dashboard, each with the title of its panel.
fn queries() -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let targets = panels().into_iter().flat_map(|panel| {
        let title = text(&panel["title"]);
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        targets.into_iter().map(move |target| (title.clone(), text(&target["expr"])))
    });
    targets.collect()
}

/// Runs promtool in a directory with these files; `None`, said aloud, where there is none.
fn promtool(arguments: &[&str], files: &[(&str, &str)]) -> Option<String> {
    let place: TempDir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(place.path().join(name), content).unwrap();
    }
    let Ok(output) = Command::new("promtool").args(arguments).current_dir(place.path()).output() else {
        let missing = "no promtool: it is in Debian's package prometheus";
        assert!(std::env::var_os("CHARTGATE_REQUIRE_PROMTOOL").is_none(), "{missing}");
        // A print macro would be captured and lost with every test that "passes".
        std::io::stderr().write_all(format!("skipped: {missing}\n").as_bytes()).unwrap();
        return None;
    };
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert!(output.status.success(), "promtool {arguments:?}\n{said}");
    Some(said)
}

/// All metrics with their labels, as a scrape of a busy process shows them.
fn shown() -> (String, BTreeMap<String, BTreeSet<String>>) {
    let metrics = Metrics::new();
    let mut patched: Value = serde_json::from_str(&both_set()).unwrap();
    patched["request"]["object"]["spec"].as_object_mut().unwrap().remove("chart");
    for body in [both_set(), patched.to_string()] {
        let answer = Real::default().judge(body.as_bytes(), Endpoint::Mutate).unwrap();
        metrics.reviewed(&answer.record, Duration::from_micros(40));
    }
    metrics.fact_is_synced("namespaces", true);
    metrics.prefilter_mismatches("mutate", false);
    metrics.fails_closed("validate", true);
    metrics.scans().every(Some(Duration::from_hours(1)));
    metrics.scans().scanned(&Scanned {
        findings: vec![("chart-ref-kind", Level::Error, 1)],
        releases: vec![("chartRef", 1)],
        at: OffsetDateTime::now_utc(),
        took: Duration::from_millis(40),
    });
    metrics.scans().refused_reports(0);
    let text = metrics.render();
    let mut labels = BTreeMap::<_, BTreeSet<_>>::new();
    for sample in text.lines().filter(|line| !line.starts_with('#')) {
        let name = sample.split(['{', ' ']).next().unwrap();
        labels.entry(name.to_owned()).or_default().extend(keys(sample));
    }
    (text, labels)
}

/// The keys in the braces that follow a metric's name, if any do.
fn keys(after: &str) -> Vec<String> {
    let inside =
        after.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or("", |(inside, _)| inside);
    inside
        .split(',')
        .filter_map(|pair| Some(pair.split(['=', '!']).next()?.trim().to_owned()))
        .filter(|key| !key.is_empty())
        .collect()
}

/// The metrics that an expression names, each with the labels that it selects by.
fn named(expression: &str) -> Vec<(String, Vec<String>)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let starts = expression.match_indices("chartgate_").map(|(at, _)| at);
    let starts = starts.filter(|at| !expression[..*at].ends_with(is_part));
    starts
        .map(|at| {
            let rest = &expression[at..];
            let (name, rest) = rest.split_at(rest.find(|c| !is_part(c)).unwrap_or(rest.len()));
            (name.to_owned(), if rest.starts_with('{') { keys(rest) } else { Vec::new() })
        })
        .collect()
}

/// The labels that an expression groups by.
fn grouped(expression: &str) -> Vec<String> {
    let lists = expression.split(" by (").skip(1).filter_map(|rest| rest.split(')').next());
    lists.flat_map(|list| list.split(',')).map(|label| label.trim().to_owned()).collect()
}

#[test]
fn prometheus_takes_the_rules() {
    let said = promtool(&["check", "rules", "rules.json"], &[("rules.json", &rules().to_string())]);
    if let Some(said) = said {
        assert!(said.contains(&format!("SUCCESS: {} rules found", all_rules().len())), "{said}");
    }
}

#[test]
fn every_alert_fires_when_it_should_and_not_before() {
    let mut rules = rules();
    // promtool compares all annotations. What is tested is what depends on the samples: the summary.
    for group in rules["groups"].as_array_mut().unwrap() {
        for rule in group["rules"].as_array_mut().unwrap() {
            if let Some(annotations) = rule["annotations"].as_object_mut() {
                annotations.retain(|name, _| name == "summary");
            }
        }
    }
    let tests = read("tests/fixtures/observability/alerts.yaml");
    let rules = rules.to_string();
    let files = [("rules.json", rules.as_str()), ("alerts.yaml", &tests)];
    promtool(&["test", "rules", "alerts.yaml"], &files);

    let tests: Value = serde_saphyr::from_str(&tests).unwrap();
    let cases = tests["tests"].as_array().unwrap().iter();
    let cases: Vec<_> = cases.flat_map(|test| test["alert_rule_test"].as_array().unwrap().clone()).collect();
    for alert in alerts() {
        let of_it = cases.iter().filter(|case| case["alertname"] == alert["alert"]);
        let outcomes: BTreeSet<_> = of_it.map(|case| case["exp_alerts"] != json!([])).collect();
        assert_eq!(outcomes.len(), 2, "{} is tested to fire, and not to", alert["alert"]);
    }
}

#[test]
fn prometheus_takes_the_queries_of_the_dashboard() {
    let queries = queries();
    let records = queries.iter().map(|(_, query)| {
        let query = query.replace("$__rate_interval", "2m").replace("$__range", "1h");
        json!({"record": "panel", "expr": query})
    });
    let rules = json!({"groups": [{"name": "dashboard", "rules": records.collect::<Vec<_>>()}]});
    let Some(said) =
        promtool(&["check", "rules", "--lint=none", "rules.json"], &[("rules.json", &rules.to_string())])
    else {
        return;
    };
    assert!(said.contains(&format!("SUCCESS: {} rules found", queries.len())), "{said}");
}

#[test]
fn alerts_and_dashboard_name_only_metrics_and_labels_that_there_are() {
    let (_, known) = shown();
    let dashboard = dashboard();
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter();
    let variables = variables.filter_map(|variable| variable["definition"].as_str());
    let variables = variables.map(|query| ("variables".to_owned(), query.to_owned()));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let alerts = alerts().into_iter().map(|alert| (text(&alert["alert"]), text(&alert["expr"])));
    for (place, expression) in queries().into_iter().chain(variables).chain(alerts) {
        let named = named(&expression);
        let mut labels = BTreeSet::from(TARGET_LABELS.map(str::to_owned));
        for (name, selected) in &named {
            let own = known.get(name).unwrap_or_else(|| panic!("{place}: there is no {name}"));
            labels.extend(own.iter().cloned());
            for label in selected {
                let is_known = own.contains(label) || TARGET_LABELS.contains(&label.as_str());
                assert!(is_known, "{place}: {name} has no {label}");
            }
        }
        assert!(
            !named.is_empty() || expression.contains("up{"),
            "{place}: {expression} names nothing of ours"
        );
        let unknown: Vec<_> =
            grouped(&expression).into_iter().filter(|label| !labels.contains(label)).collect();
        assert!(unknown.is_empty(), "{place}: nothing in {expression} has {unknown:?}");
    }
}

#[test]
fn counters_are_read_as_rates_and_gauges_are_not() {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let alerts = alerts().into_iter().map(|alert| (text(&alert["alert"]), text(&alert["expr"])));
    for (place, expression) in queries().into_iter().chain(alerts) {
        for (name, _) in named(&expression) {
            let is_counter = name.ends_with("_total") || name.ends_with("_bucket");
            let of_rate =
                ["rate(", "increase("].iter().any(|call| expression.contains(&format!("{call}{name}")));
            assert_eq!(of_rate, is_counter, "{place}: {expression}");
            if name.ends_with("_bucket") {
                assert!(
                    expression.contains("histogram_quantile(") && expression.contains("by (le)"),
                    "{expression}"
                );
            }
        }
    }
}

#[test]
fn every_alert_says_what_it_means_and_what_to_do() {
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        assert!(name.starts_with("Chartgate"), "{name}");
        let severity = alert["labels"]["severity"].as_str().unwrap();
        assert!(["critical", "warning", "info"].contains(&severity), "{name}: {severity}");
        for annotation in ["summary", "description", "runbook"] {
            let text = alert["annotations"][annotation].as_str().unwrap_or_default();
            assert!(text.len() > 20 && text.ends_with(['.', '}']), "{name}: {annotation} is {text:?}");
        }
    }
}

#[test]
fn panels_lie_beside_each_other_and_ask_the_chosen_data_source() {
    let mut cells = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in panels() {
        let title = &panel["title"];
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: its id is taken");
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
        assert!(x + w <= 24, "{title} is cut off");
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(cells.insert(cell), "{title} lies over another panel");
        }
        if panel["type"] != "row" {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
            assert!(panel["description"].as_str().is_some_and(|text| text.ends_with('.')), "{title}");
        }
    }
}

/// The table of metrics, made from what a scrape shows.
fn table() -> String {
    let (text, labels) = shown();
    let mut table = String::from("| metric | type | labels | what |\n|---|---|---|---|\n");
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) else {
            continue;
        };
        let kind = lines.peek().and_then(|line| line.rsplit(' ').next()).unwrap();
        let suffix = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let of_sample = format!("{name}{}", if kind == "histogram" { "_bucket" } else { suffix });
        let labels: Vec<_> = labels[&of_sample].iter().map(|label| format!("`{label}`")).collect();
        writeln!(table, "| `{name}{suffix}` | {kind} | {} | {help} |", labels.join(", ")).unwrap();
    }
    table
}

#[test]
fn the_page_lists_every_metric() {
    let path = "docs/observability.md";
    let page = read(path);
    let (before, rest) = page.split_once(TABLE[0]).unwrap();
    let (_, after) = rest.split_once(TABLE[1]).unwrap();
    let expected = [before, TABLE[0], "\n", table().trim_end(), "\n", TABLE[1], after].concat();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(file(path), &expected).unwrap();
    } else {
        assert!(page == expected, "{path} is old: UPDATE_GOLDEN=1 cargo test --test observability");
    }
}

#[test]
fn the_page_names_every_alert_and_every_field_of_the_log() {
    let page = read("docs/observability.md");
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
    for field in [
        "time",
        "level",
        "target",
        "uid",
        "operation",
        "namespace",
        "name",
        "user",
        "manager",
        "rules",
        "patched",
        "dry_run",
        "mode",
        "decision",
        "microseconds",
    ] {
        assert!(page.contains(&format!("| `{field}` |")), "{field}");
    }
}
