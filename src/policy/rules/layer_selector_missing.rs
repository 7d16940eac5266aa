//! Reports an `OCIRepository` that source-controller unpacks, so that files are lost from the chart.

use super::{Example, Rule, release};
use crate::policy::{
    Case, Findings, Level,
    source::{self, Fault, Minors, OciRepository, Stated},
};

pub(super) static RULE: Rule = Rule {
    id: "layer-selector-missing",
    level: Level::Warning,
    policy: false,
    summary: "An OCIRepository that serves a chart copies its layer (spec.layerSelector.operation: copy).",
    why: "without it source-controller unpacks the chart and packs it again without the files that it ignores by default, \
          such as .png, .zip, .tar.gz and dot files: they are missing in .Files, and source and release stay Ready.",
    help: "set spec.layerSelector of the OCIRepository to mediaType: application/vnd.cncf.helm.chart.content.v1.tar+gzip and \
           operation: copy.",
    bad: Example::of(release!("  chartRef:\n    kind: OCIRepository\n    name: podinfo\n    namespace: apps\n")).from(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata:\n  name: podinfo\n  namespace: apps\n\
         spec:\n  interval: 10m\n  url: oci://ghcr.io/stefanprodan/charts/podinfo\n  ref:\n    tag: 6.9.0\n",
    ),
    good: Example::of(release!("  chartRef:\n    kind: OCIRepository\n    name: podinfo\n    namespace: apps\n")).from(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata:\n  name: podinfo\n  namespace: apps\n\
         spec:\n  interval: 10m\n  url: oci://ghcr.io/stefanprodan/charts/podinfo\n  ref:\n    tag: 6.9.0\n  \
         layerSelector:\n    mediaType: application/vnd.cncf.helm.chart.content.v1.tar+gzip\n    operation: copy\n",
    ),
    fixed: None,
    check,
};

fn check(case: &Case<'_>, findings: &mut Findings<'_>) {
    source::report(case, findings, fault);
}

/// Seen with source-controller 1.9.6. A pattern of its own in `spec.ignore` replaces the default ones (fluxcd/pkg/artifact
/// 0.18.0), so that the author then chose which files are lost.
pub(super) fn fault(source: &OciRepository, _: Minors) -> Option<Fault> {
    let is_unpacked = match &source.operation {
        Stated::Absent => true,
        Stated::Text(operation) => &**operation != "copy",
        Stated::Unknown => false,
    };
    // Without the media type of a chart, source-controller does not read _ as + either (1.9.6).
    let why = match source.semver {
        Stated::Absent => RULE.why.into(),
        _ => format!(
            "{} A semver range then finds no tag with build metadata (1.2.3_build), either: no match found for semver.",
            RULE.why
        )
        .into(),
    };
    (is_unpacked && source.ignore == Stated::Absent).then(|| Fault {
        at: "/spec/layerSelector/operation",
        level: RULE.level,
        what: "is unpacked: files such as .png and .zip are lost".to_owned(),
        why,
        help: RULE.help.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_without_the_media_type_misses_tags_with_build_metadata() {
        for (reference, is_told) in [(r#"{"semver":"1.x"}"#, true), (r#"{"tag":"1.0.0"}"#, false)] {
            let source =
                OciRepository::read(format!(r#"{{"spec":{{"ref":{reference}}}}}"#).as_bytes(), |_| true);
            let why = fault(&source.unwrap(), None).unwrap().why;
            assert_eq!(why.contains("no match found for semver"), is_told, "{reference}");
        }
    }

    #[test]
    fn only_a_copy_or_patterns_of_its_own_keep_every_file() {
        for (spec, is_lost) in [
            ("{}", true),
            (r#"{"layerSelector":{}}"#, true),
            (r#"{"layerSelector":{"mediaType":"m"}}"#, true),
            (r#"{"layerSelector":{"operation":"extract"}}"#, true),
            (r#"{"layerSelector":{"operation":"copy"}}"#, false),
            (r#"{"layerSelector":{"operation":"${OPERATION}"}}"#, false),
            (r#"{"layerSelector":"${SELECTOR}"}"#, false),
            (r#"{"ignore":"/docs"}"#, false),
            (r#"{"ignore":""}"#, true),
        ] {
            let source =
                OciRepository::read(format!(r#"{{"spec":{spec}}}"#).as_bytes(), |it| !it.contains('$'));
            assert_eq!(fault(&source.unwrap(), None).is_some(), is_lost, "{spec}");
        }
    }
}
