//! `spec.chart` is there, but not whole: what an overlay pins, or what another manager left.

use serde_json::Value;

use super::{Example, Rule, release};
use crate::{
    helmrelease::{Chart, Field, at, leaves},
    policy::{
        Case, Findings, Heal, Level,
        case::{ChartState, removal},
        finding::{clip, quoted},
    },
};

/// The length in characters at which a list of fields is cut in a warning.
const MAX_LIST: usize = 60;

pub(super) static RULE: Rule = Rule {
    id: "partial-chart",
    level: Level::Error,
    policy: false,
    summary: "spec.chart is whole (spec.chart.spec.chart and sourceRef) or not there at all.",
    why: "the API server refuses a spec.chart without chart and sourceRef, also beside spec.chartRef.",
    help: "complete spec.chart.spec with chart and sourceRef, or remove spec.chart and set spec.chartRef.",
    bad: Example::of(release!(
        "  chart:\n    spec:\n      version: 6.5.4\n"
        "  chartRef:\n    kind: OCIRepository\n    name: podinfo\n    namespace: apps\n"
    )),
    good: Example::of(release!(
        "  chartRef:\n    kind: OCIRepository\n    name: podinfo\n    namespace: apps\n"
    )),
    fixed: None,
    check,
};

fn check(case: &Case<'_>, findings: &mut Findings<'_>) {
    if case.release().spec.set().is_some_and(|spec| spec.chart_is_null) {
        // Server-side apply does not prune it, and then the schema asks for an object.
        findings
            .report(at::CHART, "spec.chart is null")
            .why("the API server refuses a null in server-side apply.")
            .help("leave spec.chart out.")
            .heal(vec![removal(at::CHART)], "removed spec.chart, which is null");
        return;
    }
    if case.chart() != ChartState::Partial {
        return;
    }
    let Field::Set(chart) = case.release().chart() else {
        findings.report(at::CHART, "spec.chart is not an object with a spec");
        return;
    };
    if case.chart_ref().is_none() {
        let missing = case.missing_in(chart);
        let verb = if missing.len() == 1 { "is" } else { "are" };
        findings.report(at::CHART, format!("{} {verb} missing", missing.join(", ")));
        return;
    }
    let owners = case.owners(&["spec", "chart"]);
    let of_applier = owners.iter().find(|owner| case.is_applier(owner.manager));
    let set = of_applier.map_or_else(|| leaves(chart.raw, "spec.chart"), |owner| owner.fields.clone());
    let set = stated(set, chart);
    let Some(other) =
        owners.iter().find(|owner| !case.is_applier(owner.manager)).filter(|_| of_applier.is_none())
    else {
        findings.report(at::CHART, format!("{} set beside spec.chartRef", are(&set))).help(format!(
            "look for an overlay or patch on spec.chart: the applied manifest still sets {}; remove that.",
            set.join(", ")
        ));
        return;
    };
    let left = stated(other.fields.clone(), chart);
    let report = findings.report(at::CHART, format!("{} left beside spec.chartRef", are(&left)));
    let report = report
        .why(format!(
            "{} set {}{}, and no applied manifest does; the API server refuses a spec.chart without chart and \
             sourceRef.",
            quoted(other.manager),
            left.join(", "),
            other.since()
        ))
        .help(case.switch_help());
    // Where the schema requires a chart, taking the leftover away only trades one refusal for another.
    if case.settings.heal != Heal::Never && case.may_heal() && !case.schema.chart_required {
        let more =
            left.len().checked_sub(2).map(|more| format!(" and {} more", more + 1)).unwrap_or_default();
        let done = format!("removed {}{more}, left by {}", left[0], other.described());
        report.heal(vec![removal(at::CHART)], done);
    }
}

/// The fields without those that the schema filled in, unless there are no others. Who sends the whole object, as
/// `kubectl create` does, owns what the schema fills in, too, and would look for it in vain.
fn stated(fields: Vec<String>, chart: &Chart<'_>) -> Vec<String> {
    let chart: Value = serde_json::from_slice(chart.raw.bytes()).unwrap_or_default();
    let is_default = |field: &String| match field.as_str() {
        "spec.chart.spec.reconcileStrategy" => chart["spec"]["reconcileStrategy"] == "ChartVersion",
        "spec.chart.spec.version" => chart["spec"]["version"] == "*",
        _ => false,
    };
    let (defaults, stated): (Vec<_>, Vec<_>) = fields.into_iter().partition(is_default);
    if stated.is_empty() { defaults } else { stated }
}

fn are(fields: &[String]) -> String {
    let list = clip(&fields.join(", "), MAX_LIST);
    if fields.len() == 1 { format!("{list} is") } else { format!("{list} are") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{helmrelease::HelmRelease, json::Reader};

    fn named(chart: &str) -> Vec<String> {
        let release = format!(r#"{{"spec":{{"chart":{chart}}}}}"#);
        let Ok(Field::Set(release)) = HelmRelease::read(&mut Reader::new(release.as_bytes())) else {
            panic!("no object")
        };
        let Field::Set(chart) = release.chart() else { panic!("no chart") };
        stated(leaves(chart.raw, "spec.chart"), chart)
    }

    #[test]
    fn does_not_name_what_the_schema_filled_in() {
        let pinned = r#"{"spec":{"reconcileStrategy":"ChartVersion","version":"6.5.4"}}"#;
        assert_eq!(named(pinned), ["spec.chart.spec.version"]);
        let timed = r#"{"spec":{"interval":"5m","reconcileStrategy":"ChartVersion","version":"*"}}"#;
        assert_eq!(named(timed), ["spec.chart.spec.interval"]);
    }

    #[test]
    fn names_a_default_where_there_is_nothing_else_and_what_only_looks_like_one() {
        let empty = r#"{"spec":{"reconcileStrategy":"ChartVersion","version":"*"}}"#;
        assert_eq!(named(empty), ["spec.chart.spec.reconcileStrategy", "spec.chart.spec.version"]);
        let strategy = r#"{"spec":{"interval":"5m","reconcileStrategy":"Revision"}}"#;
        assert_eq!(named(strategy), ["spec.chart.spec.interval", "spec.chart.spec.reconcileStrategy"]);
    }
}
