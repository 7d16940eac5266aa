//! An apiVersion that is on its way out, or out already.

use super::{Example, Rule, release};
use crate::{
    helmrelease::at,
    policy::{Case, Findings, Flux, Level, SOURCE_GROUP, finding::quoted},
};

pub(super) static RULE: Rule = Rule {
    id: "deprecated-api-version",
    level: Level::Warning,
    policy: true,
    summary: "The apiVersion is one that the installed Flux serves and does not deprecate.",
    why: "a Flux release drops deprecated versions for good; every apply at one then fails.",
    help: "set apiVersion: helm.toolkit.fluxcd.io/v2 in the manifest and in its overlays; flux migrate -f . (CLI of Flux \
           2.7.1 or newer) does it for a whole repository, but for documents that have kind above apiVersion.",
    bad: Example::of(
        "apiVersion: helm.toolkit.fluxcd.io/v2beta2\nkind: HelmRelease\nmetadata:\n  name: podinfo\n  namespace: apps\n  \
         annotations:\n    fluxcd.io/version: v2beta2\nspec:\n  interval: 10m\n  chartRef:\n    kind: OCIRepository\n    \
         name: podinfo\n    namespace: apps\n",
    )
    .on("2.7"),
    good: Example::of(release!("  chartRef:\n    kind: OCIRepository\n    name: podinfo\n    namespace: apps\n")),
    fixed: None,
    check,
};

fn check(case: &Case<'_>, findings: &mut Findings<'_>) {
    let installed = case.installed;
    match case.version {
        Some(version) if installed.schema(version).is_none() => {
            // A cluster that is asked does not say which Flux it has, but one that has a newer version has dropped this one.
            let has = installed.flux().or_else(|| Flux::that_brought(&installed.newest_schema().version));
            let is_newer = |brought: &Flux| has.is_some_and(|flux| *brought > flux);
            let brought = Flux::that_brought(version).filter(is_newer);
            let what = match brought {
                Some(brought) => {
                    format!("HelmRelease {} comes with Flux {brought}; {installed} has none", quoted(version))
                }
                None => format!("HelmRelease {} is not served by {installed}", quoted(version)),
            };
            findings
                .report(at::API_VERSION, what)
                .level(Level::Error, case.settings)
                .why("the API server has no such resource; kubectl and Flux report \"no matches for kind\".")
                .help(format!(
                    "set apiVersion: helm.toolkit.fluxcd.io/{}, or name the Flux of your cluster with --flux.",
                    installed.newest_schema().version
                ));
        }
        Some(version) if case.schema.deprecated => {
            let gone =
                Flux::that_dropped(version).map(|flux| format!("; Flux {flux} drops it")).unwrap_or_default();
            let newest = &installed.newest_schema().version;
            let what = format!("HelmRelease {version} is deprecated{gone}: set apiVersion to {newest}");
            let report = findings.report(at::API_VERSION, what);
            if newest != "v2" {
                report.help(format!(
                    "set apiVersion: helm.toolkit.fluxcd.io/{newest}; v2 comes with Flux 2.3."
                ));
            }
        }
        _ => {}
    }
    source(case, findings);
}

/// The version of the source that `spec.chart` names. helm-controller does not read it, so it is never an error.
fn source(case: &Case<'_>, findings: &mut Findings<'_>) {
    let spec = case.release().chart().set().and_then(|chart| chart.spec.set());
    let Some(source) = spec.and_then(|spec| spec.source_ref.set()) else { return };
    let (Some(kind), Some(api_version)) = (source.kind.text(), source.api_version.filled()) else { return };
    let Some(version) = api_version.strip_prefix(SOURCE_GROUP).and_then(|rest| rest.strip_prefix('/')) else {
        return;
    };
    let served = case.installed.source_versions(kind);
    let Some(newest) = served.first().filter(|newest| **newest != version) else {
        return;
    };
    findings
        .report(
            at::SOURCE_REF_API_VERSION,
            format!("spec.chart.spec.sourceRef.apiVersion: {kind} is at {newest}, not {}", quoted(version)),
        )
        .help(format!(
            "set it to {SOURCE_GROUP}/{newest}, or leave it out: helm-controller does not read it."
        ));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        helmrelease::{Field, HelmRelease},
        json::Reader,
        policy::{Facts, Operation, Settings, Subject, evaluate},
    };

    /// What is said of a version in a cluster that serves what a Flux brings.
    fn said(flux: &str, version: &str) -> Vec<String> {
        let text =
            format!(r#"{{"apiVersion":"helm.toolkit.fluxcd.io/{version}","spec":{{"interval":"1m"}}}}"#);
        let Ok(Field::Set(release)) = HelmRelease::read(&mut Reader::new(text.as_bytes())) else {
            panic!("no object")
        };
        let flux: Flux = flux.parse().unwrap();
        let facts = Facts { helm_release: Some(flux.served().to_vec()), ..Facts::default() };
        let subject = Subject {
            release: &release,
            old: None,
            name: None,
            namespace: None,
            operation: Operation::Create,
            manager: None,
        };
        let settings = Settings::default();
        let findings = evaluate(&Case::new(subject, &settings, &facts, facts.serving("")));
        findings
            .into_iter()
            .filter(|finding| finding.rule.id == RULE.id)
            .map(|finding| finding.what)
            .collect()
    }

    #[test]
    fn a_cluster_either_has_no_such_version_yet_or_none_any_more() {
        assert_eq!(said("2.9", "v2beta2"), ["HelmRelease \"v2beta2\" is not served by this cluster"]);
        assert_eq!(said("2.1", "v2"), ["HelmRelease \"v2\" comes with Flux 2.3; this cluster has none"]);
    }
}
