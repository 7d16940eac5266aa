//! Reports an `OCIRepository` whose tag no chart can satisfy, as source-controller requests it and helm-controller parses
//! it.

use super::{Example, Rule, release};
use crate::policy::{
    Case, Findings, Flux, Level,
    finding::quoted,
    source::{self, Fault, Minors, OciRepository},
};

pub(super) static RULE: Rule = Rule {
    id: "oci-tag-mismatch",
    level: Level::Error,
    policy: false,
    summary: "The tag of an OCIRepository is one that helm-controller accepts for its chart.",
    why: "a tag that reads as a version must equal the version of the chart (ChartMutateError: artifact revision … does not \
          match chart version …), and before Flux 2.7 every tag must read as a version (failed parsing artifact revision …).",
    help: "set spec.ref.tag of the OCIRepository to the version of the chart, with _ in place of +.",
    bad: Example::of(release!("  chartRef:\n    kind: OCIRepository\n    name: podinfo\n    namespace: apps\n"))
        .from(
            "apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata:\n  name: podinfo\n  namespace: apps\n\
             spec:\n  interval: 10m\n  url: oci://ghcr.io/stefanprodan/charts/podinfo\n  ref:\n    tag: latest\n  \
             layerSelector:\n    operation: copy\n",
        )
        .on("2.6"),
    good: Example::of(release!("  chartRef:\n    kind: OCIRepository\n    name: podinfo\n    namespace: apps\n"))
        .from(
            "apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata:\n  name: podinfo\n  namespace: apps\n\
             spec:\n  interval: 10m\n  url: oci://ghcr.io/stefanprodan/charts/podinfo\n  ref:\n    tag: 6.9.0\n  \
             layerSelector:\n    operation: copy\n",
        )
        .on("2.6"),
    fixed: None,
    check,
};

/// The first Flux whose helm-controller (1.4) accepts a tag that is no version.
const TAKES_ANY_TAG: &str = "2.7";

/// The first Flux whose helm-controller (1.2) reads `_` in a tag as `+`.
const READS_UNDERSCORE: &str = "2.5";

fn check(case: &Case<'_>, findings: &mut Findings<'_>) {
    source::report(case, findings, fault);
}

/// The manifest alone proves it: whatever chart the registry holds, it does not fit. Run against helm-controller 1.3.0, 1.4.5 and
/// 1.6.3 with source-controller 1.9.6.
pub(super) fn fault(source: &OciRepository, minors: Minors) -> Option<Fault> {
    let tag = source.tag_in_force()?;
    let is_before = |first: &str| {
        let first: Flux = first.parse().expect("it is a Flux that chartgate knows");
        minors.is_some_and(|(_, last)| last < first)
    };
    if tag.contains('+') {
        return Some(no_such_tag(tag, !is_before(READS_UNDERSCORE)));
    }
    match parts_of_version(tag) {
        None => is_before(TAKES_ANY_TAG).then(|| unparsed(tag, TAKES_ANY_TAG)),
        Some(_) if tag.contains('_') && is_before(READS_UNDERSCORE) => Some(unparsed(tag, READS_UNDERSCORE)),
        Some(3) => None,
        Some(parts) => Some(short(tag, parts)),
    }
}

fn no_such_tag(tag: &str, reads_underscore: bool) -> Fault {
    let help = if reads_underscore {
        format!("set spec.ref.tag to {}.", quoted(&tag.replace('+', "_")))
    } else {
        "set spec.ref.digest to the digest of the chart; this Flux reads no tag with _ as a version, either."
            .to_owned()
    };
    Fault {
        at: "/spec/ref/tag",
        level: RULE.level,
        what: format!("asks for tag {}: no tag holds a +", quoted(tag)),
        why: "registries keep the + of a version as _ in the tag, and source-controller asks for the tag as it is written: \
              MANIFEST_UNKNOWN, and the release stays at SourceNotReady."
            .into(),
        help: help.into(),
    }
}

fn unparsed(tag: &str, first: &str) -> Fault {
    Fault {
        at: "/spec/ref/tag",
        level: RULE.level,
        what: format!("has tag {}: helm-controller before Flux {first} refuses it", quoted(tag)),
        why: format!(
            "before Flux {first} helm-controller cannot read this tag as a version: ChartMutateError, failed parsing artifact \
             revision {}.",
            quoted(tag)
        )
        .into(),
        help: "set spec.ref.tag to the version of the chart, spec.ref.semver to a range, or spec.ref.digest.".into(),
    }
}

/// A tag of fewer parts is no fault where the chart's version ends in zeros: `1.2` equals `1.2.0`.
fn short(tag: &str, parts: usize) -> Fault {
    let end = tag.find(['-', '_']).unwrap_or(tag.len());
    let stated = tag[..end].trim_start_matches('v');
    let version = format!("{stated}{}", ".0".repeat(3 - parts));
    let only = format!("{version}{}", tag[end..].split('_').next().unwrap_or_default());
    Fault {
        at: "/spec/ref/tag",
        level: Level::Warning,
        what: format!("has tag {}, which only chart version {} satisfies", quoted(tag), quoted(&only)),
        why: format!(
            "helm-controller reads the tag as version {} and refuses any other: ChartMutateError, artifact revision … does not \
             match chart version ….",
            quoted(&only)
        )
        .into(),
        // A range without a pre-release in it selects none.
        help: if tag[end..].starts_with('-') {
            "set spec.ref.tag to the whole version of the chart.".into()
        } else {
            format!(
                "set spec.ref.tag to the whole version of the chart, or spec.ref.semver to {} in its place.",
                quoted(&format!("{stated}.x"))
            )
            .into()
        },
    }
}

/// How many numbers a tag has that reads as a version, as leniently as Masterminds/semver does for helm-controller: `1`, `v1.2`,
/// `1.2.3-rc.1_build`.
fn parts_of_version(tag: &str) -> Option<usize> {
    let tag = tag.strip_prefix('v').unwrap_or(tag);
    let end = tag.find(['-', '_']).unwrap_or(tag.len());
    let (core, rest) = tag.split_at(end);
    let numbers: Vec<_> = core.split('.').collect();
    let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let (pre_release, build) = rest.split_once('_').unwrap_or((rest, "0"));
    let is_rest = |text: &str| {
        let is_part = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        text.split('.').all(is_part)
    };
    let pre_release = pre_release.strip_prefix('-').unwrap_or("0");
    let reads = numbers.len() <= 3 && numbers.iter().all(is_number) && is_rest(pre_release) && is_rest(build);
    reads.then_some(numbers.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::source::Stated;

    fn found(reference: &OciRepository, flux: &str) -> Option<(Level, String)> {
        let flux = flux.parse().unwrap();
        fault(reference, Some((flux, flux))).map(|fault| (fault.level, fault.why.into_owned()))
    }

    fn tagged(tag: &str) -> OciRepository {
        OciRepository { tag: Stated::Text(tag.into()), ..OciRepository::default() }
    }

    #[test]
    fn says_of_each_tag_what_helm_controller_does() {
        let parse = "failed parsing artifact revision";
        let other = "does not match chart version";
        for (tag, flux, expected) in [
            ("1.0.0", "2.6", None),
            ("1.0.0", "2.9", None),
            ("latest", "2.6", Some((Level::Error, parse))),
            ("stable", "2.6", Some((Level::Error, parse))),
            ("stable", "2.7", None),
            ("latest", "2.9", None),
            ("1.2", "2.6", Some((Level::Warning, other))),
            ("1.2", "2.9", Some((Level::Warning, other))),
            ("1", "2.9", Some((Level::Warning, other))),
            ("v1.2.3", "2.6", None),
            ("v2.0.0", "2.9", None),
            ("1.2.3_build", "2.6", None),
            ("1.2.3_build", "2.9", None),
            ("104.1.1_up57.0.3", "2.4", Some((Level::Error, parse))),
            ("104.1.1_up57.0.3", "2.5", None),
            ("1.2.3+build", "2.6", Some((Level::Error, "MANIFEST_UNKNOWN"))),
            ("1.2.3+build", "2.9", Some((Level::Error, "MANIFEST_UNKNOWN"))),
        ] {
            let found = found(&tagged(tag), flux);
            let agrees = match (&found, expected) {
                (None, None) => true,
                (Some((level, why)), Some((wanted, text))) => *level == wanted && why.contains(text),
                _ => false,
            };
            assert!(agrees, "tag {tag} on Flux {flux}: {found:?}");
        }
    }

    #[test]
    fn without_a_tag_it_is_latest_and_a_digest_or_a_range_decides_alone() {
        assert!(found(&OciRepository::default(), "2.6").is_some());
        assert!(found(&OciRepository::default(), "2.7").is_none());
        for other in [
            OciRepository { digest: Stated::Text("sha256:0".into()), ..tagged("1.2") },
            OciRepository { semver: Stated::Text("1.2.x".into()), ..tagged("1.2") },
            OciRepository { semver: Stated::Unknown, ..tagged("1.2") },
            OciRepository { tag: Stated::Unknown, ..OciRepository::default() },
        ] {
            assert_eq!(found(&other, "2.6"), None, "{other:?}");
        }
    }

    #[test]
    fn a_cluster_that_may_run_either_controller_gets_no_guess() {
        let flux = |minor: &str| minor.parse().unwrap();
        for minors in [None, Some((flux("2.6"), flux("2.7")))] {
            assert!(fault(&tagged("latest"), minors).is_none(), "{minors:?}");
        }
        assert!(fault(&tagged("1.2.3_a"), Some((flux("2.4"), flux("2.6")))).is_none());
        assert!(fault(&tagged("latest"), Some((flux("2.4"), flux("2.6")))).is_some());
    }

    #[test]
    fn names_the_one_version_that_a_short_tag_accepts() {
        for (tag, version) in
            [("1.2", "1.2.0"), ("v1", "1.0.0"), ("1.2-rc.1", "1.2.0-rc.1"), ("1.2_build", "1.2.0")]
        {
            let what = fault(&tagged(tag), None).unwrap().what;
            assert!(what.contains(&format!("chart version \"{version}\"")), "{tag}: {what}");
        }
    }

    #[test]
    fn reads_versions_as_leniently_as_helm_controller() {
        for (tag, parts) in [("1", 1), ("1.2", 2), ("v1.2.3", 3), ("1.2.3-rc.1", 3), ("1.2.3_build5", 3)] {
            assert_eq!(parts_of_version(tag), Some(parts), "{tag}");
        }
        for tag in ["latest", "main", "", "1.2.3.4", "1.x", "v", "1.2-", "sha-1", "1.2.3_", "1.2.3-a..b"] {
            assert_eq!(parts_of_version(tag), None, "{tag}");
        }
    }
}
