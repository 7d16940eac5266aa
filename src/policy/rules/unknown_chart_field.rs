//! Reports a field below `spec.chart` that the installed CRD does not have: one of a newer or older Flux, or a typo.

use std::fmt::Write as _;

use super::{Example, Rule, release};
use crate::{
    helmrelease::{Chart, ChartField, Field, at},
    json::pointer::escaped,
    policy::{Case, Findings, Flux, Level, finding::quoted},
};

/// At most so many fields are named.
const MOST_NAMED: usize = 10;

pub(super) static RULE: Rule = Rule {
    id: "unknown-chart-field",
    level: Level::Error,
    policy: false,
    summary: "spec.chart and spec.chart.spec hold only fields that the installed CRD has.",
    why: "server-side apply, by which Flux applies, refuses any other (\"field not declared in schema\"); a plain create or \
          update drops it.",
    help: "remove it, or name the Flux of your cluster with --flux where that is newer.",
    bad: Example::of(release!(
        "  chart:\n    kind: OCIRepository\n    spec:\n      url: oci://ghcr.io/stefanprodan/charts/podinfo\n"
    ))
    .on("2.9"),
    good: Example::of(release!(
        "  chart:\n    kind: OCIRepository\n    spec:\n      url: oci://ghcr.io/stefanprodan/charts/podinfo\n"
        "      layerSelector:\n        operation: copy\n"
    ))
    .on("2.10"),
    fixed: None,
    check,
};

fn check(case: &Case<'_>, findings: &mut Findings<'_>) {
    let Field::Set(chart) = case.release().chart() else { return };
    let unknown = unknown(case, chart);
    let Some(first) = unknown.first() else { return };
    let mut list = unknown.iter().take(MOST_NAMED).map(Unknown::field).collect::<Vec<_>>().join(", ");
    if let Some(more @ 1..) = unknown.len().checked_sub(MOST_NAMED) {
        write!(list, " and {more} more").expect("a string takes all");
    }
    let (verb, version) =
        (if unknown.len() == 1 { "is no field" } else { "are no fields" }, &case.schema.version);
    let report =
        findings.report(first.at(), format!("{list} {verb} of HelmRelease {version} in {}", case.installed));
    if let Some(help) = first.help(case) {
        report.help(help);
    }
}

/// A field that the schema does not have.
enum Unknown<'a> {
    /// `spec.chart.kind`.
    Kind,
    /// A field of `spec.chart`.
    OfChart(&'a str),
    /// A field of `spec.chart.spec`.
    OfSpec(&'a str),
}

fn unknown<'a>(case: &'a Case<'_>, chart: &'a Chart<'_>) -> Vec<Unknown<'a>> {
    let template = &case.schema.template;
    let Some(fields) = &template.fields else { return Vec::new() };
    let has_kind = !chart.kind.is_absent() || chart.kind_is_null;
    let kind = (has_kind && template.kinds.is_empty()).then_some(Unknown::Kind);
    let other = chart.other.as_deref().filter(|name| !template.others.iter().any(|it| it == name));
    let of_spec = chart.spec.set().into_iter().flat_map(|spec| spec.stated.not_in(fields));
    kind.into_iter().chain(other.map(Unknown::OfChart)).chain(of_spec.map(Unknown::OfSpec)).collect()
}

// === impl Unknown ===

impl Unknown<'_> {
    /// As a message names it.
    fn field(&self) -> String {
        match self {
            Self::Kind => "spec.chart.kind".to_owned(),
            Self::OfChart(name) => format!("spec.chart.{}", shown(name)),
            Self::OfSpec(name) => format!("spec.chart.spec.{}", shown(name)),
        }
    }

    /// As a JSON Pointer.
    fn at(&self) -> String {
        match self {
            Self::Kind => at::CHART_KIND.to_owned(),
            Self::OfChart(name) => format!("{}/{}", at::CHART, escaped(name)),
            Self::OfSpec(name) => format!("{}/spec/{}", at::CHART, escaped(name)),
        }
    }

    /// Further advice, where more is known than the rule states.
    fn help(&self, case: &Case<'_>) -> Option<String> {
        let brought = match self {
            Self::OfChart(name) => {
                ChartField::named(name)?;
                return Some(format!("move it to spec.chart.spec.{name}."));
            }
            Self::OfSpec("valuesFile") => {
                return Some("list the file in spec.chart.spec.valuesFiles.".to_owned());
            }
            Self::OfSpec(name) => Flux::that_takes(ChartField::named(name)?),
            Self::Kind => Flux::that_takes_inline(),
        }?;
        if case.installed.flux().is_some_and(|flux| flux >= brought) {
            return None;
        }
        let is_inline = Flux::that_takes_inline() == Some(brought);
        let instead = if is_inline && !case.schema.chart_ref_kinds.is_empty() {
            "; until then, make an OCIRepository and name it in spec.chartRef"
        } else {
            ""
        };
        Some(format!("remove it: it comes with Flux {brought}{instead}."))
    }
}

/// A name from the object: unchanged where it is a plain one.
fn shown(name: &str) -> String {
    let is_plain =
        name.len() <= 40 && !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_plain { name.to_owned() } else { quoted(name) }
}
