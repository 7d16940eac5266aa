//! Reports the move from `spec.chart` to a source of a chart with another name.

use super::{Example, Rule, release};
use crate::helmrelease::{Chart, HelmRelease, Text};
use crate::policy::{Case, Findings, Flux, Installed, Level, OCI_REPOSITORY, finding::quoted};

pub(super) static RULE: Rule = Rule {
    id: "chart-name-changes",
    level: Level::Warning,
    policy: false,
    summary: "The chart keeps its name on the move from spec.chart to another source.",
    why: "helm-controller does not upgrade a release to a chart of another name: it uninstalls the release, and its objects and \
          data with it, and installs the other chart.",
    help: "name a source of the same chart. Where another chart is intended, set spec.upgrade.chartNameChangeStrategy to \
           InPlaceUpdate (from Flux 2.9), which upgrades the release in place; an older Flux always reinstalls it.",
    bad: Example::of(release!("  chartRef:\n    kind: OCIRepository\n    name: db\n    namespace: apps\n"))
        .after(
            release!(
                "  chart:\n    spec:\n      chart: maria\n      sourceRef:\n        kind: HelmRepository\n        name: maria\n"
            ),
            "kustomize-controller",
        )
        .from(
            "apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata:\n  name: db\n  namespace: apps\n\
             spec:\n  interval: 10m\n  url: oci://registry.example.org/charts/maria-galera\n  ref:\n    tag: 6.9.0\n  \
             layerSelector:\n    operation: copy\n",
        ),
    good: Example::of(release!(
        "  upgrade:\n    chartNameChangeStrategy: InPlaceUpdate\n  chartRef:\n    kind: HelmChart\n    name: maria-galera\n    \
         namespace: apps\n"
    ))
    .after(
        release!(
            "  chart:\n    spec:\n      chart: maria\n      sourceRef:\n        kind: HelmRepository\n        name: maria\n"
        ),
        "kustomize-controller",
    ),
    fixed: None,
    check,
};

/// Words that the name of a source has beside that of its chart.
const WORDS: [&str; 6] = ["chart", "charts", "helm", "oci", "repo", "repository"];

/// The first Flux minor that has `spec.upgrade.chartNameChangeStrategy`.
const FIRST_WITH_STRATEGY: &str = "2.9";

fn check(case: &Case<'_>, findings: &mut Findings<'_>) {
    let Some((chart, kind, at)) = case.leaves_helm_chart() else { return };
    if kind != OCI_REPOSITORY || upgrades_in_place(case) {
        return;
    }
    let Some(chart) = chart_of(chart) else { return };
    let Some(old) = name_of(chart) else { return };
    if let Some(url) = new_url(case).filter(|url| name_in(url).is_some()) {
        if let Some(what) = other_chart(chart, url) {
            findings.report(at, what);
        }
        return;
    }
    // Admission knows the source by its name alone. Of 169 moves in public repositories, 151 name it like the chart, most others
    // like the release.
    let Some(source) = case.target.and_then(|target| target.name) else { return };
    let is_usual = [Some(old), case.subject.name].into_iter().flatten().any(|name| is_named(source, name));
    if !is_usual {
        let (old, source) = (quoted(old), quoted(source));
        let what = format!("Flux reinstalls the release unless OCIRepository {source} holds chart {old}");
        findings.report(at, what).at_most(Level::Warning).why(
            "only the name of the source is known here. helm-controller does not upgrade a release to a chart of another name: \
             it uninstalls the release, and its objects and data with it, and installs the other chart.",
        );
    }
}

/// What is wrong with the url of an `OCIRepository` in the place of a chart, where it ends with another name: Flux reinstalls the release.
pub fn other_chart(chart: &str, url: &str) -> Option<String> {
    let (old, new) = (name_of(chart)?, name_in(url)?);
    (old != new).then(|| {
        let (old, new) = (quoted(old), quoted(new));
        format!("the chart changes from {old} to {new}: Flux uninstalls and reinstalls the release")
    })
}

/// Whether Flux upgrades a release to a chart of another name, by its `spec.upgrade.chartNameChangeStrategy` and the Flux in question.
pub fn keeps_release(strategy: Option<&str>, installed: Installed<'_>) -> bool {
    let first: Flux = FIRST_WITH_STRATEGY.parse().expect("it is a known minor");
    let has_choice = installed.minors().is_none_or(|(_, last)| last >= first);
    has_choice && strategy == Some("InPlaceUpdate")
}

/// Whether this update is known to reinstall the release, so that there is no upgrade.
pub(super) fn reinstalls(case: &Case<'_>) -> bool {
    let chart = case.leaves_helm_chart().and_then(|(chart, _, _)| chart_of(chart));
    let what = chart.zip(new_url(case)).and_then(|(chart, url)| other_chart(chart, url));
    what.is_some() && !upgrades_in_place(case)
}

fn chart_of<'a>(chart: &'a Chart<'_>) -> Option<&'a str> {
    chart.spec.set()?.chart.filled()
}

/// The name of the chart of a `spec.chart`: the last segment, as `chart` is a path in a GitRepository or Bucket.
fn name_of(chart: &str) -> Option<&str> {
    let name = last_segment(chart);
    let is_archive = || [".tgz", ".tar.gz"].iter().any(|end| name.ends_with(end));
    (!matches!(name, "" | "." | "..") && !is_archive()).then_some(name)
}

/// The url of the new `OCIRepository`, where that is known.
fn new_url<'a>(case: &Case<'a>) -> Option<&'a str> {
    match case.inline_chart().filter(|_| case.chart_ref().is_none()) {
        Some(chart) => chart.spec.set()?.url.filled(),
        None => case.source?.url.text(),
    }
}

/// The name of the chart in a registry: `helm push` ends the url with it.
fn name_in(url: &str) -> Option<&str> {
    let name = last_segment(url.strip_prefix("oci://")?.split_once('/')?.1);
    let end = name.find([':', '@']).unwrap_or(name.len());
    Some(&name[..end]).filter(|name| !name.is_empty())
}

fn last_segment(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}

/// Whether a source is named like a chart or a release, however the words around the name are.
fn is_named(source: &str, name: &str) -> bool {
    let rest = |text: &str| -> Vec<String> {
        let words = text.split(['-', '.', '_']).filter(|word| !WORDS.contains(word) && !word.is_empty());
        words.map(str::to_ascii_lowercase).collect()
    };
    source == name || rest(source) == rest(name)
}

/// Whether the release chooses the upgrade, and some Flux in question has that choice.
fn upgrades_in_place(case: &Case<'_>) -> bool {
    keeps_release(strategy(case.release()).text(), case.installed)
}

/// `spec.upgrade.chartNameChangeStrategy`.
fn strategy<'a>(release: &HelmRelease<'a>) -> Text<'a> {
    let upgrade = release.spec.set().and_then(|spec| spec.raw.member("upgrade"));
    let strategy = upgrade.and_then(|upgrade| upgrade.member("chartNameChangeStrategy"));
    strategy.and_then(|raw| Text::read_text(&mut raw.reader()).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::helmrelease::at;
    use crate::policy::rules::testing::{Found, found, release};

    fn chart(name: &str) -> Value {
        let source = json!({"kind": "HelmRepository", "name": "repo"});
        release(&json!({"chart": {"spec": {"chart": name, "sourceRef": source}}}))
    }

    fn chart_ref(kind: &str, name: &str) -> Value {
        release(&json!({"chartRef": {"kind": kind, "name": name, "namespace": "apps"}}))
    }

    fn own(new: &Value, old: &Value) -> Vec<Found> {
        found(new, Some(old)).into_iter().filter(|it| it.rule == RULE.id).collect()
    }

    #[test]
    fn a_source_with_the_name_of_neither_chart_nor_release_may_hold_another_chart() {
        let reported = own(&chart_ref("OCIRepository", "maria-galera"), &chart("maria"));
        let expected =
            r#"Flux reinstalls the release unless OCIRepository "maria-galera" holds chart "maria""#;
        assert_eq!(
            reported.iter().map(|it| (it.level, &*it.at, &*it.what)).collect::<Vec<_>>(),
            [(Level::Warning, at::CHART_REF, expected)]
        );
    }

    #[test]
    fn usual_names_of_sources_are_silent() {
        for name in
            ["maria", "podinfo", "maria-oci", "maria-chart", "oci-maria", "helm-podinfo", "maria-helm-chart"]
        {
            assert!(own(&chart_ref("OCIRepository", name), &chart("maria")).is_empty(), "{name}");
        }
        for name in ["maria-galera", "mariadb", "galera", "oci"] {
            assert_eq!(own(&chart_ref("OCIRepository", name), &chart("maria")).len(), 1, "{name}");
        }
    }

    #[test]
    fn the_chart_in_a_folder_is_known_by_its_last_segment() {
        for old in ["maria", "./charts/maria", "charts/maria/", "group/maria", ".", "", "maria-1.0.0.tgz"] {
            assert!(own(&chart_ref("OCIRepository", "maria"), &chart(old)).is_empty(), "{old}");
        }
        assert_eq!(own(&chart_ref("OCIRepository", "maria"), &chart("maria/server")).len(), 1);
    }

    #[test]
    fn only_an_oci_repository_tells_its_chart_by_its_name() {
        for kind in ["HelmChart", "ExternalArtifact"] {
            assert!(own(&chart_ref(kind, "galera"), &chart("maria")).is_empty(), "{kind}");
        }
    }

    #[test]
    fn an_inline_source_tells_by_its_url() {
        for (url, what) in [
            ("oci://registry.example.org/charts/maria", None),
            ("oci://registry.example.org:5000/charts/maria:1.0.0/", None),
            (
                "oci://registry.example.org/charts/maria-galera",
                Some(
                    r#"the chart changes from "maria" to "maria-galera": Flux uninstalls and reinstalls the release"#,
                ),
            ),
        ] {
            let inline = release(&json!({"chart": {"kind": "OCIRepository", "spec": {"url": url}}}));
            let all = found(&inline, Some(&chart("maria")));
            let reported = all.iter().find(|it| it.rule == RULE.id).map(|it| (&*it.at, &*it.what));
            assert_eq!(reported, what.map(|what| (at::CHART_KIND, what)), "{url}");
            // The release is upgraded or reinstalled, not both.
            assert_eq!(all.iter().any(|it| it.rule == "chart-digest-upgrade"), what.is_none(), "{url}");
        }
    }

    #[test]
    fn a_release_that_chooses_the_upgrade_is_upgraded() {
        let mut new = chart_ref("OCIRepository", "maria-galera");
        for (strategy, reported) in [("InPlaceUpdate", 0), ("Reinstall", 1)] {
            new["spec"]["upgrade"] = json!({"chartNameChangeStrategy": strategy});
            assert_eq!(own(&new, &chart("maria")).len(), reported, "{strategy}");
        }
    }

    #[test]
    fn is_reported_on_the_move_and_only_there() {
        let (from, to) = (chart("maria"), chart_ref("OCIRepository", "galera"));
        for (new, old) in [(&to, &to), (&from, &to), (&from, &from)] {
            assert!(own(new, old).is_empty(), "{new} after {old}");
        }
    }
}
