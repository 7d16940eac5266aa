//! What can be chosen about the judgement. Plain data: where it comes from is `config`'s business.

use std::collections::BTreeMap;

/// How much a finding may do. Ordered from hands off to everything, so that the laxer of two is the smaller one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Not evaluated.
    Off,
    /// Recorded in metrics, log and audit annotations; the request passes as it is, without a word.
    Audit,
    /// The request passes as it is, with warnings.
    Warn,
    /// Fixes are patched in; errors that remain are denied.
    Enforce,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Fixed and recorded, never said: what everybody leaves out, such as the namespace of a reference.
    Note,
    /// Said, never denied.
    Warning,
    /// Denied where the mode is enforce.
    Error,
}

/// Whether `/mutate` removes a `spec.chart` that was left behind beside `spec.chartRef`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Heal {
    /// Never: always deny.
    Never,
    /// A partial chart that no manifest of the applier sets.
    #[default]
    Leftovers,
    /// Also a whole chart that only other field managers own.
    All,
}

/// What `/mutate` does about entries of `metadata.managedFields` at an older version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OldEntries {
    /// Nothing.
    #[default]
    Keep,
    /// It moves them to the version of the request, where the live CRD has every field that they name. Entries of other
    /// managers that apply stay as they are until the CRD drops their version: they alone show what those managers apply.
    Migrate,
}

/// Whether `spec.chartRef` may point into another namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CrossNamespace {
    /// As helm-controller does by default.
    #[default]
    Allow,
    /// As helm-controller does with `--no-cross-namespace-refs=true`.
    Deny,
}

/// What an annotation is filled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnnotationValue {
    /// The version part of the request's `apiVersion`, such as `v2`.
    ApiVersion,
}

/// What can be chosen for one rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSettings {
    /// The most that the rule may do; none of its own where unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Its level in place of the one that it comes with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
}

/// `chartRef` in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct ChartRefSettings {
    /// Whether an absent `spec.chartRef.namespace` is filled with the release's own.
    pub fill_namespace: bool,
    /// Whether it may name another namespace.
    pub cross_namespace: CrossNamespace,
}

/// Everything that can be chosen about the judgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The mode of namespaces whose label asks for none.
    pub mode: Mode,
    /// By rule id.
    pub rules: BTreeMap<String, RuleSettings>,
    /// The annotations that are kept current, by key.
    pub annotations: BTreeMap<String, AnnotationValue>,
    /// How `spec.chartRef` is normalised.
    pub chart_ref: ChartRefSettings,
    /// Whether leftovers are removed.
    pub heal: Heal,
    /// Whether entries of `metadata.managedFields` at an older version are moved.
    pub managed_fields: OldEntries,
    /// Whether the annotation `chartgate.dev/exempt` is honoured.
    pub exemptions: bool,
    /// The namespaces in which a release `chartgate` that installs chartgate is never judged.
    pub installers: Vec<String>,
    /// The address of a page with a heading for each rule, such as a copy of `docs/rules.md`: a denial names it in place of the
    /// command that explains the rule.
    pub docs: Option<String>,
}

// === impl Mode ===

impl Mode {
    /// The label by which a namespace asks for a mode.
    pub const LABEL: &str = "chartgate.dev/mode";

    /// All modes, from hands off to everything.
    pub const ALL: [Self; 4] = [Self::Off, Self::Audit, Self::Warn, Self::Enforce];

    /// The mode that a label's value asks for, if it is one.
    pub fn of_label(value: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == value)
    }

    /// As it is written in the configuration and in labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Audit => "audit",
            Self::Warn => "warn",
            Self::Enforce => "enforce",
        }
    }
}

// === impl Level ===

impl Level {
    /// As it is written in the configuration and in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

// === impl ChartRefSettings ===

impl Default for ChartRefSettings {
    fn default() -> Self {
        Self { fill_namespace: true, cross_namespace: CrossNamespace::default() }
    }
}

// === impl Settings ===

impl Settings {
    /// The annotation that finishes phase 1 of a migration by itself: a bump of `apiVersion` changes it, so Flux sees
    /// drift, applies, and moves its managedFields entry to the new version.
    pub const VERSION_ANNOTATION: &str = "fluxcd.io/version";

    /// The default namespaces of releases that install chartgate: Flux's own namespace, and that of the manifests.
    pub const INSTALLERS: [&str; 2] = ["flux-system", "chartgate-system"];

    /// The mode of a namespace: what its label asks for, else the default.
    ///
    /// The label counts alone, so that a namespace can go ahead of a lax default as well as stay behind a strict one.
    pub fn mode_in(&self, label: Option<Mode>) -> Mode {
        label.unwrap_or(self.mode)
    }

    /// The most that a rule may do in a namespace of the given mode.
    pub fn mode_of(&self, rule: &str, namespace: Mode) -> Mode {
        let own = self.rules.get(rule).and_then(|rule| rule.mode);
        own.map_or(namespace, |own| own.min(namespace))
    }

    /// The level that the settings give a rule in place of its own.
    pub fn level_of(&self, rule: &str) -> Option<Level> {
        self.rules.get(rule).and_then(|rule| rule.level)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: Mode::Enforce,
            rules: BTreeMap::new(),
            annotations: BTreeMap::from([(Self::VERSION_ANNOTATION.to_owned(), AnnotationValue::ApiVersion)]),
            chart_ref: ChartRefSettings::default(),
            heal: Heal::default(),
            managed_fields: OldEntries::default(),
            exemptions: false,
            installers: Self::INSTALLERS.map(str::to_owned).to_vec(),
            docs: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_laxer_of_namespace_and_rule_holds_and_a_label_counts_in_place_of_the_default() {
        let all = [Mode::Off, Mode::Audit, Mode::Warn, Mode::Enforce];
        for (default, label, rule) in all.iter().flat_map(|default| {
            let labels = all.map(Some).into_iter().chain([None]);
            labels.flat_map(move |label| {
                all.map(Some).into_iter().chain([None]).map(move |rule| (*default, label, rule))
            })
        }) {
            let rules = [("a".to_owned(), RuleSettings { mode: rule, level: None })].into();
            let settings = Settings { mode: default, rules, ..Settings::default() };
            let namespace = label.unwrap_or(default);
            let expected = rule.map_or(namespace, |rule| rule.min(namespace));
            assert_eq!(
                settings.mode_of("a", settings.mode_in(label)),
                expected,
                "{default:?} {label:?} {rule:?}"
            );
            assert_eq!(
                settings.mode_of("b", settings.mode_in(label)),
                namespace,
                "another rule's mode is its own"
            );
        }
    }

    #[test]
    fn a_label_is_a_mode_in_its_exact_spelling() {
        assert_eq!(Mode::of_label("audit"), Some(Mode::Audit));
        for unknown in ["", "Audit", "audit ", "on", "true"] {
            assert_eq!(Mode::of_label(unknown), None, "{unknown:?}");
        }
    }
}
