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
    /// The mode where neither namespace nor rule asks for a laxer one.
    pub mode: Mode,
    /// By rule id.
    pub rules: BTreeMap<String, RuleSettings>,
    /// The annotations that are kept current, by key.
    pub annotations: BTreeMap<String, AnnotationValue>,
    /// How `spec.chartRef` is normalised.
    pub chart_ref: ChartRefSettings,
    /// Whether leftovers are removed.
    pub heal: Heal,
    /// Whether the annotation `chartgate.dev/exempt` is honoured.
    pub exemptions: bool,
}

// === impl Mode ===

impl Mode {
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

    /// The most that a rule may do.
    pub fn mode_of(&self, rule: &str) -> Mode {
        let own = self.rules.get(rule).and_then(|rule| rule.mode);
        own.map_or(self.mode, |own| own.min(self.mode))
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
            exemptions: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_laxer_of_default_and_rule_holds() {
        let of = |default, rule| {
            let rule = RuleSettings { mode: Some(rule), level: None };
            Settings { mode: default, rules: [("a".to_owned(), rule)].into(), ..Settings::default() }
                .mode_of("a")
        };
        assert_eq!(of(Mode::Enforce, Mode::Warn), Mode::Warn);
        assert_eq!(of(Mode::Audit, Mode::Enforce), Mode::Audit);
        assert_eq!(of(Mode::Warn, Mode::Off), Mode::Off);
        assert_eq!(Settings::default().mode_of("a"), Mode::Enforce);
    }
}
