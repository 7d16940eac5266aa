//! A HelmChart that has the name of one that helm-controller makes, and deletes.

use super::{Example, Rule, release};
use crate::{
    helmrelease::at,
    policy::{Case, Findings, Level, finding::quoted},
};

pub(super) static RULE: Rule = Rule {
    id: "generated-chart-name",
    level: Level::Error,
    policy: false,
    summary: "spec.chartRef does not name the HelmChart that helm-controller generated for this release.",
    why: "on the switch to chartRef helm-controller deletes the HelmChart named <namespace>-<name> before it looks at \
          the new source, so the release would lose its chart.",
    help: "give the HelmChart another name, such as the release's own, and name that in spec.chartRef.",
    bad: Example::of(release!(
        "  chartRef:\n    kind: HelmChart\n    name: apps-podinfo\n    namespace: apps\n"
    )),
    good: Example::of(release!("  chartRef:\n    kind: HelmChart\n    name: podinfo\n    namespace: apps\n")),
    fixed: None,
    check,
};

fn check(case: &Case<'_>, findings: &mut Findings<'_>) {
    let Some(target) = case.target.filter(|target| target.kind == Some("HelmChart")) else { return };
    let (Some(name), Some(own)) = (target.name, case.subject.name) else { return };
    let generated = case.subject.namespace.map(|namespace| format!("{namespace}-{own}"));
    if generated.as_deref() == Some(name) {
        let what = format!("HelmChart {} is the one that helm-controller deletes", quoted(name));
        findings.report(at::CHART_REF_NAME, what).help(format!(
            "make a HelmChart with another name, such as {own}, and set spec.chartRef.name to that."
        ));
    }
}
