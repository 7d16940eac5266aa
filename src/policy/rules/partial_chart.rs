//! `spec.chart` is there, but not whole: what an overlay pins, or what another manager left.

use super::{Example, Rule, release};
use crate::{
    helmrelease::{Field, at, leaves},
    policy::{
        Case, Findings, Heal, Level,
        case::{ChartState, removal},
        finding::clip,
        owners::Owner,
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
    let what = format!("spec.chart lacks {}", short(&case.missing_in(chart)));
    if case.chart_ref().is_none() {
        findings.report(at::CHART, what);
        return;
    }
    let owners = case.owners(&["spec", "chart"]);
    let of_applier = owners.iter().find(|owner| case.is_applier(owner.manager));
    let set = of_applier.map_or_else(|| leaves(chart.raw, "spec.chart"), Owner::fields);
    let Some(other) =
        owners.iter().find(|owner| !case.is_applier(owner.manager)).filter(|_| of_applier.is_none())
    else {
        findings.report(at::CHART, format!("{} set beside spec.chartRef", are(&set))).help(format!(
            "look for an overlay or patch on spec.chart: the applied manifest still sets {}; remove that.",
            set.join(", ")
        ));
        return;
    };
    let left = other.fields();
    let report = findings.report(at::CHART, format!("{} left beside spec.chartRef", are(&left)));
    let report = report
        .why(format!(
            "{} is left by {}: no applied manifest sets it, and the API server refuses a spec.chart without chart \
             and sourceRef.",
            left.join(", "),
            other.described()
        ))
        .help(format!("release it with: {}", case.switch_command()));
    // Where the schema requires a chart, taking the leftover away only trades one refusal for another.
    if case.settings.heal != Heal::Never && case.may_heal() && !case.schema.chart_required {
        let done = format!("removed {}, left by {}", short(&left), other.described());
        report.heal(vec![removal(at::CHART)], done);
    }
}

fn short(fields: &[impl AsRef<str>]) -> String {
    let names: Vec<_> = fields.iter().map(|field| field.as_ref().trim_start_matches("spec.chart.")).collect();
    clip(&names.join(", "), MAX_LIST)
}

fn are(fields: &[String]) -> String {
    let list = clip(&fields.join(", "), MAX_LIST);
    if fields.len() == 1 { format!("{list} is") } else { format!("{list} are") }
}
