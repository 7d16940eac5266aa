//! Reports an `OCIRepository` with a range and a tag, of which source-controller reads only the range.

use super::{Example, Rule, release};
use crate::policy::{
    Case, Findings, Level,
    finding::quoted,
    source::{self, Fault, Minors, OciRepository, Stated},
};

pub(super) static RULE: Rule = Rule {
    id: "semver-shadows-tag",
    level: Level::Warning,
    policy: false,
    summary: "The ref of an OCIRepository has a tag or a semver range, not both.",
    why: "spec.ref.semver takes precedence over spec.ref.tag, and source-controller ignores the tag without an error: a \
          release that looks pinned follows the range.",
    help: "remove spec.ref.semver to pin the tag, or remove spec.ref.tag to follow the range.",
    bad: Example::of(release!("  chartRef:\n    kind: OCIRepository\n    name: podinfo\n    namespace: apps\n")).from(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata:\n  name: podinfo\n  namespace: apps\n\
         spec:\n  interval: 10m\n  url: oci://ghcr.io/stefanprodan/charts/podinfo\n  ref:\n    tag: 6.9.0\n    semver: 6.x\n  \
         layerSelector:\n    operation: copy\n",
    ),
    good: Example::of(release!("  chartRef:\n    kind: OCIRepository\n    name: podinfo\n    namespace: apps\n")).from(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata:\n  name: podinfo\n  namespace: apps\n\
         spec:\n  interval: 10m\n  url: oci://ghcr.io/stefanprodan/charts/podinfo\n  ref:\n    semver: 6.x\n  \
         layerSelector:\n    operation: copy\n",
    ),
    fixed: None,
    check,
};

fn check(case: &Case<'_>, findings: &mut Findings<'_>) {
    source::report(case, findings, fault);
}

/// Seen with source-controller 1.9.6. A digest takes precedence over both, and then decides.
pub(super) fn fault(source: &OciRepository, _: Minors) -> Option<Fault> {
    let (semver, tag) = (source.semver.text()?, source.tag.text()?);
    (source.digest == Stated::Absent).then(|| Fault {
        at: "/spec/ref/tag",
        level: RULE.level,
        what: format!("follows semver {}: its tag {} is ignored", quoted(semver), quoted(tag)),
        why: RULE.why.into(),
        help: RULE.help.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_shadows_a_tag_unless_a_digest_decides() {
        for (reference, is_shadowed) in [
            (r#"{"semver":"6.x","tag":"6.9.0"}"#, true),
            (r#"{"semver":"6.x"}"#, false),
            (r#"{"tag":"6.9.0"}"#, false),
            (r#"{"semver":"","tag":"6.9.0"}"#, false),
            (r#"{"semver":"${RANGE}","tag":"6.9.0"}"#, false),
            (r#"{"semver":"6.x","tag":"6.9.0","digest":"sha256:0"}"#, false),
        ] {
            let object = format!(r#"{{"spec":{{"ref":{reference}}}}}"#);
            let source = OciRepository::read(object.as_bytes(), |it| !it.contains('$')).unwrap();
            assert_eq!(fault(&source, None).is_some(), is_shadowed, "{reference}");
        }
    }
}
