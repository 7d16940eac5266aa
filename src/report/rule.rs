//! What there is to say about each rule, whether it is about HelmReleases or about the files that they are in.

use super::Grade;
use crate::policy;

/// A rule, as `explain`, the documentation and the formats that list rules tell of it.
#[derive(Debug, Clone, Copy)]
pub struct RuleInfo {
    /// Its stable name.
    pub id: &'static str,
    /// How bad a finding is, unless it or the settings say otherwise.
    pub grade: Grade,
    /// What it asks for, in one sentence.
    pub summary: &'static str,
    /// Why that matters.
    pub why: &'static str,
    /// What to do about a finding.
    pub help: &'static str,
    /// The rule of the policy that this is, with its examples; none where it is about reading and rendering.
    pub policy: Option<&'static policy::Rule>,
}

/// The file, or a part of it, could not be read.
pub const UNREADABLE: &str = "unreadable";
/// Something is called HelmRelease and is none of Flux.
pub const OTHER_HELM_RELEASE: &str = "other-helm-release";
/// kustomize or Flux refuses to build something.
pub const BUILD_FAILS: &str = "build-fails";
/// The API server refuses an object for its schema.
pub const SCHEMA: &str = "schema";
/// A variable stays as it is written.
pub const LITERAL_VARIABLE: &str = "literal-variable";
/// A patch is for nothing.
pub const PATCH_LOST: &str = "patch-lost";
/// Flux leaves an object out without a word.
pub const NOT_APPLIED: &str = "not-applied";
/// A strict decoder would refuse a field that kustomize or kustomize-controller takes.
pub const STRICT_DECODING: &str = "strict-decoding";
/// Something could not be rendered, and so was not judged.
pub const NOT_JUDGED: &str = "not-judged";
/// An ignore comment ignores nothing.
pub const UNUSED_IGNORE: &str = "unused-ignore";
/// Two sources have one name.
pub const DUPLICATE_SOURCE: &str = "duplicate-source";
/// A value for a `targetPath` is split.
pub const SPLIT_VALUE: &str = "split-value";
/// Nobody refers to a HelmRepository.
pub const UNUSED_HELM_REPOSITORY: &str = "unused-helm-repository";

/// The rules about reading and rendering, of which admission knows nothing.
static READING: [RuleInfo; 13] = [
    RuleInfo {
        id: UNREADABLE,
        grade: Grade::Error,
        summary: "A manifest can be read, as kustomize and the API server read it.",
        why: "what cannot be read cannot be judged, and Flux stops at it with all that is applied together with it.",
        help: "correct the file where the message points; if it is no manifest, leave it out of what is checked.",
        policy: None,
    },
    RuleInfo {
        id: BUILD_FAILS,
        grade: Grade::Error,
        summary: "kustomize and kustomize-controller can build what leads to a HelmRelease.",
        why: "of a Kustomization whose build fails Flux applies nothing: all that belongs to it stays as it was applied last.",
        help: "correct it where the message points; kustomize build DIR stops at the same place.",
        policy: None,
    },
    RuleInfo {
        id: SCHEMA,
        grade: Grade::Error,
        summary: "HelmReleases and their sources are valid by the CRDs of the chosen Flux, their CEL rules included.",
        why: "the API server refuses the object, and kustomize-controller applies nothing of a Kustomization that holds one.",
        help: "correct the field, or name the Flux of your cluster with --flux.",
        policy: None,
    },
    RuleInfo {
        id: PATCH_LOST,
        grade: Grade::Warning,
        summary: "Each patch is applied to an object, as a whole.",
        why: "kustomize (5.8) goes on without a word where a target selects nothing, or where it passes over a patch or a part of one, and \
              what the patch sets is lost.",
        help: "correct the target: group, version, kind, name and namespace are regular expressions that match as a whole and mind \
               case, and a version is best left out, since it changes with Flux. Give each patch one document, and write each field once.",
        policy: None,
    },
    RuleInfo {
        id: NOT_APPLIED,
        grade: Grade::Error,
        summary: "Flux applies each object that it builds.",
        why: "kustomize-controller (1.9) leaves out, without a word, an object whose apiVersion or name is empty or no text, an object with \
              a list of items, which it takes apart, and a kustomization of kustomize.",
        help: "correct the field that the message names; quote a name that is a number (name: \"12\").",
        policy: None,
    },
    RuleInfo {
        id: STRICT_DECODING,
        grade: Grade::Warning,
        summary: "Patches, files of replacements and kustomization files have no key twice, no unknown field and no number in place of a text.",
        why: "kustomize (5.8) or kustomize-controller (1.9) goes on without a word: it drops the field, makes a text of the number, or takes \
              one of the two values, which is the first one in a strategic merge patch and the last one elsewhere.",
        help: "correct or remove the field that the message points at; other programs, and kustomize in other places, refuse it.",
        policy: None,
    },
    RuleInfo {
        id: SPLIT_VALUE,
        grade: Grade::Error,
        summary: "A value that spec.valuesFrom reads for a targetPath reaches the chart as it is.",
        why: "helm-controller reads targetPath=value as helm --set does: it cuts the value at each comma, also within quotes, and reads the \
              rest as further key=value. Where there is none it fails with ValuesError, and the release is neither installed nor upgraded.",
        help: "write \\, in place of the comma, or set literal: true beside targetPath (from Flux 2.9).",
        policy: None,
    },
    RuleInfo {
        id: NOT_JUDGED,
        grade: Grade::Note,
        summary: "What leads to a HelmRelease can be rendered from the files alone.",
        why: "remote bases, plugins and generated charts are not fetched or run, and nothing is guessed.",
        help: "render that part by other means and check the result: kustomize build DIR | chartgate check -",
        policy: None,
    },
    RuleInfo {
        id: OTHER_HELM_RELEASE,
        grade: Grade::Warning,
        summary: "What is called HelmRelease is of the API group helm.toolkit.fluxcd.io.",
        why: "another group is another API: no controller of Flux 2 reads the object, and no rule of chartgate is about it.",
        help: "set apiVersion: helm.toolkit.fluxcd.io/v2; a HelmRelease of the Helm Operator (helm.fluxcd.io) has other fields, too.",
        policy: None,
    },
    RuleInfo {
        id: LITERAL_VARIABLE,
        grade: Grade::Note,
        summary: "A variable (`${…}`) is replaced by the `spec.postBuild` of the Flux Kustomization that applies the object.",
        why: "without a postBuild that names variables, or with kustomize.toolkit.fluxcd.io/substitute: disabled, Flux applies the text \
              as it is written.",
        help: "set spec.postBuild of the Kustomization, or write the value itself.",
        policy: None,
    },
    RuleInfo {
        id: UNUSED_IGNORE,
        grade: Grade::Warning,
        summary: "Each `# chartgate: ignore[RULE]` keeps a finding quiet.",
        why: "a comment that ignores nothing would hide the next finding of its rule from everybody.",
        help: "remove the comment, or move it to the line above the finding.",
        policy: None,
    },
    RuleInfo {
        id: DUPLICATE_SOURCE,
        grade: Grade::Warning,
        summary: "One manifest alone describes each source.",
        why: "kustomize refuses both in one build; of two Flux Kustomizations each overwrites, at every interval, what \
              the other applied.",
        help: "keep one of the manifests, or give one of the sources another name.",
        policy: None,
    },
    RuleInfo {
        id: UNUSED_HELM_REPOSITORY,
        grade: Grade::Note,
        summary: "Each HelmRepository has a HelmRelease or a HelmChart that refers to it.",
        why: "the move to chartRef often leaves the old repository behind, and source-controller goes on fetching its \
              index.",
        help: "remove the HelmRepository, unless something outside of these files refers to it.",
        policy: None,
    },
];

/// All rules: those of the policy in the order in which they speak, then those about reading and rendering.
pub fn rules() -> impl Iterator<Item = RuleInfo> {
    policy::rules().iter().copied().map(RuleInfo::from).chain(READING)
}

/// The rule of an id.
pub fn find_rule(id: &str) -> Option<RuleInfo> {
    rules().find(|rule| rule.id == id)
}

// === impl RuleInfo ===

impl From<&'static policy::Rule> for RuleInfo {
    fn from(rule: &'static policy::Rule) -> Self {
        let policy::Rule { id, level, summary, why, help, .. } = rule;
        Self { id, grade: Grade::from(*level), summary, why, help, policy: Some(rule) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_rule_has_a_name_of_its_own_and_is_found_by_it() {
        let ids: BTreeSet<_> = rules().map(|rule| rule.id).collect();
        assert_eq!(ids.len(), policy::rules().len() + READING.len());
        for id in ids {
            assert_eq!(find_rule(id).unwrap().id, id);
        }
        assert!(find_rule("no-such-rule").is_none());
    }
}
