//! `spec.chart` is there, but not whole: what an overlay pins, or what another manager left.

use super::{Example, Rule, release};
use crate::{
    helmrelease::{Chart, Field, Leaves, Text, Wanted, at, leaves},
    json::{Error, Kind, Reader},
    policy::{
        Case, Findings, Heal, Level,
        case::{ChartState, removal},
        finding::{clip, quoted},
        owners::Owner,
    },
};

/// The length in characters at which a list of fields is cut in a warning.
const MAX_LIST: usize = 60;

/// How many fields a message names.
const MAX_FIELDS: usize = 10;

pub(super) static RULE: Rule = Rule {
    id: "partial-chart",
    level: Level::Error,
    policy: false,
    summary: "spec.chart is whole (spec.chart.spec.chart and sourceRef, or url for kind OCIRepository) or not there at all.",
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
        missing(case, chart, findings);
        return;
    }
    let owners = case.owners(&["spec", "chart"]);
    let of_applier = owners.iter().find(|owner| case.is_applier(owner.manager));
    let other = owners.iter().find(|owner| !case.is_applier(owner.manager));
    match other.filter(|_| of_applier.is_none()) {
        None => {
            let set = stated(chart, of_applier);
            findings.report(at::CHART, format!("{} set beside spec.chartRef", are(&set))).help(format!(
                "look for an overlay or patch on spec.chart: the applied manifest still sets {}; remove that.",
                list(&set)
            ));
        }
        Some(other) => left(case, chart, other, findings),
    }
}

/// Reports the leftovers of another manager.
fn left(case: &Case<'_>, chart: &Chart<'_>, other: &Owner<'_>, findings: &mut Findings<'_>) {
    let left = stated(chart, Some(other));
    let report = findings.report(at::CHART, format!("{} left beside spec.chartRef", are(&left)));
    let report = report
        .why(format!(
            "{} set {}{}, and no applied manifest does; the API server refuses a spec.chart that is not whole.",
            quoted(other.manager),
            list(&left),
            other.since()
        ))
        .help(case.switch_help(other));
    // Where the schema requires a chart, taking the leftover away only trades one refusal for another.
    if case.settings.heal != Heal::Never && case.may_heal() {
        let more = match left.named.len() + left.more {
            0 | 1 => String::new(),
            all => format!(" and {} more", all - 1),
        };
        let first = left.named.first().map_or("spec.chart", String::as_str);
        let done = format!("removed {first}{more}, left by {}", other.described());
        report.heal(vec![removal(at::CHART)], done);
    }
}

/// Reports the missing fields of a chart without a chartRef.
fn missing(case: &Case<'_>, chart: &Chart<'_>, findings: &mut Findings<'_>) {
    let missing = case.missing_in(chart);
    let verb = if missing.len() == 1 { "is" } else { "are" };
    let report = findings.report(at::CHART, format!("{} {verb} missing", missing.join(", ")));
    if missing.contains(&"spec.chart.kind") {
        report.why("the API server answers that chart.spec.url requires chart.kind: 'OCIRepository'.").help(
            "set spec.chart.kind: OCIRepository; for a HelmChart set chart and sourceRef in place of url.",
        );
    } else if missing == ["spec.chart.spec.url"] {
        report
            .why("the API server answers that chart.spec.url must be set when chart.kind is 'OCIRepository'.")
            .help(
                "set spec.chart.spec.url to the repository of the chart without a tag, such as \
                 oci://ghcr.io/stefanprodan/charts/podinfo; for a HelmChart remove spec.chart.kind.",
            );
    }
}

/// The fields that an owner, or without one anybody, sets in the chart, without those that the schema filled in, unless there are
/// no others. A client that sends the whole object, as `kubectl create` does, also owns the fields that the schema fills in, and
/// its author would not find them in the manifest.
fn stated(chart: &Chart<'_>, owner: Option<&Owner<'_>>) -> Leaves {
    let filled = FilledIn::in_chart(chart);
    let fields = |is_leaf: &dyn Fn(&str) -> bool| match owner {
        Some(owner) => owner.fields(MAX_FIELDS, is_leaf),
        None => leaves(chart.raw, "spec.chart", Wanted { is_leaf, ..Wanted::first(MAX_FIELDS) }),
    };
    let stated = fields(&|path| !filled.has(path));
    let mut named = if stated.named.is_empty() { fields(&|_| true) } else { stated };
    if named.named.is_empty() {
        // Who owns the parent alone.
        named.named.push("spec.chart".to_owned());
    }
    named
}

/// The fields whose value the schema filled in.
#[derive(Default)]
struct FilledIn {
    strategy: bool,
    version: bool,
}

// === impl FilledIn ===

impl FilledIn {
    fn in_chart(chart: &Chart<'_>) -> Self {
        let mut found = Self::default();
        // A value that is no object, or no JSON, holds nothing that was filled in.
        _ = members(&mut chart.raw.reader(), |key, reader| match key {
            "spec" => members(reader, |key, reader| {
                let is = |value: &str, reader: &mut Reader<'_>| {
                    Text::read_text(reader).map(|text| text.text() == Some(value))
                };
                match key {
                    "reconcileStrategy" => found.strategy = is("ChartVersion", reader)?,
                    "version" => found.version = is("*", reader)?,
                    _ => _ = reader.skip()?,
                }
                Ok(())
            }),
            _ => reader.skip().map(|_| ()),
        });
        found
    }

    fn has(&self, path: &str) -> bool {
        match path {
            "spec.chart.spec.reconcileStrategy" => self.strategy,
            "spec.chart.spec.version" => self.version,
            _ => false,
        }
    }
}

/// Calls `member` for each member of the next value, if that is an object.
fn members<'a>(
    reader: &mut Reader<'a>,
    mut member: impl FnMut(&str, &mut Reader<'a>) -> Result<(), Error>,
) -> Result<(), Error> {
    if reader.kind()? != Kind::Object {
        return reader.skip().map(|_| ());
    }
    reader.object(|key, reader| member(&key, reader))
}

fn are(fields: &Leaves) -> String {
    let all = clip(&list(fields), MAX_LIST);
    if fields.named.len() + fields.more == 1 { format!("{all} is") } else { format!("{all} are") }
}

/// `a, b and 3 more`.
fn list(fields: &Leaves) -> String {
    let Leaves { named, more } = fields;
    match more {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
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
        stated(chart, None).named
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

    #[test]
    fn names_ten_fields_and_counts_the_others() {
        let members: Vec<_> = (0..12).map(|index| format!(r#""k{index}":1"#)).collect();
        let release = format!(r#"{{"spec":{{"chart":{{"spec":{{"version":"*",{}}}}}}}}}"#, members.join(","));
        let Ok(Field::Set(release)) = HelmRelease::read(&mut Reader::new(release.as_bytes())) else {
            panic!("no object")
        };
        let Field::Set(chart) = release.chart() else { panic!("no chart") };
        let listed = list(&stated(chart, None));
        assert!(listed.starts_with("spec.chart.spec.k0, "), "{listed}");
        assert!(listed.ends_with(", spec.chart.spec.k9 and 2 more"), "{listed}");
    }
}
