//! Describes the requirements of one served version of the HelmRelease CRD for `spec.chart` and `spec.chartRef`.

use std::borrow::Cow;

use crate::helmrelease::{ChartField, ChartFields};

/// Every kind that `spec.chartRef.kind` allows in any known Flux, in its canonical spelling.
pub const CHART_REF_KINDS: &[&str] = &["OCIRepository", "HelmChart", "ExternalArtifact"];

/// The kind that `spec.chart.kind` means where it is absent.
pub const HELM_CHART: &str = "HelmChart";
/// The kind of an inline source: `spec.chart` makes it from `spec.chart.spec.url` (Flux 2.10).
pub const OCI_REPOSITORY: &str = "OCIRepository";

/// Every kind that `spec.chart.kind` allows in any known Flux, in its canonical spelling.
pub const TEMPLATE_KINDS: &[&str] = &[HELM_CHART, OCI_REPOSITORY];

/// The pattern of `spec.chart.spec.url` (source-controller v1.10, `OCIRepositorySpec`).
pub const OCI_URL: &str = "^oci://.*$";

/// One served version of the HelmRelease CRD, as far as it decides about `spec.chart` and `spec.chartRef`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// The version, such as `v2beta1`.
    pub version: Cow<'static, str>,
    /// Whether the CRD marks it as deprecated.
    pub deprecated: bool,
    /// Whether `spec.chart` is required, even beside `spec.chartRef`.
    pub chart_required: bool,
    /// The kinds that `spec.chartRef.kind` allows; empty where the schema has no `chartRef`.
    pub chart_ref_kinds: Cow<'static, [Cow<'static, str>]>,
    /// Whether `spec.chart.spec.sourceRef.kind` is required.
    pub source_kind_required: bool,
    /// The schema of `spec.chart`.
    pub template: Template,
}

/// The schema of `spec.chart`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// The kinds that `spec.chart.kind` allows; empty where the schema has no such field.
    pub kinds: Cow<'static, [Cow<'static, str>]>,
    /// The fields of `spec.chart` besides `kind`, `metadata` and `spec`.
    pub others: Cow<'static, [Cow<'static, str>]>,
    /// The fields of `spec.chart.spec`; `None` where any is allowed.
    pub fields: Option<ChartFields<'static>>,
    /// Those of them that are required.
    pub required: ChartFields<'static>,
    /// The CEL rules on `spec` and `spec.chart`, and the pattern of `spec.chart.spec.url`.
    pub rules: CrdRules,
    /// The messages of CEL rules on `spec`, `spec.chart`, `spec.chart.spec` and `spec.chartRef` that are none of
    /// [`CrdRule`]: only the API server can evaluate them.
    pub unknown_rules: Cow<'static, [Cow<'static, str>]>,
}

/// A rule of the CRD that depends on more than one field, or on a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrdRule {
    /// `spec`: either chart or chartRef.
    OneSource,
    /// `spec.chart`: an OCIRepository needs `url`.
    UrlForOci,
    /// `spec.chart`: `url` needs kind OCIRepository.
    OciForUrl,
    /// `spec.chart`: a HelmChart needs `chart` and `sourceRef`.
    ChartAndSource,
    /// `spec.chart`: an OCIRepository has none of these.
    NoChart,
    /// See above; `*` is allowed.
    NoVersion,
    /// See above.
    NoSourceRef,
    /// See above; `ChartVersion` is allowed.
    NoReconcileStrategy,
    /// See above.
    NoValuesFiles,
    /// See above.
    NoIgnoreMissingValuesFiles,
    /// The pattern of `spec.chart.spec.url` is [`OCI_URL`].
    OciUrl,
}

/// A set of [`CrdRule`]s.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CrdRules(u16);

/// The CEL rules that Flux 2.3 to 2.10 (helm-controller v1.0.1 to v1.7.1) write into its CRD, with the rule that each is.
const EXPRESSIONS: [(CrdRule, &str); 10] = [
    (
        CrdRule::OneSource,
        "(has(self.chart) && !has(self.chartRef)) || (!has(self.chart) && has(self.chartRef))",
    ),
    (
        CrdRule::UrlForOci,
        "!has(self.kind) || self.kind != 'OCIRepository' || (has(self.spec.url) && size(self.spec.url) > 0)",
    ),
    (CrdRule::OciForUrl, "!has(self.spec.url) || (has(self.kind) && self.kind == 'OCIRepository')"),
    (
        CrdRule::ChartAndSource,
        "(has(self.kind) && self.kind == 'OCIRepository') || (has(self.spec.chart) && has(self.spec.sourceRef))",
    ),
    (CrdRule::NoChart, "!has(self.kind) || self.kind != 'OCIRepository' || !has(self.spec.chart)"),
    (
        CrdRule::NoVersion,
        "!has(self.kind) || self.kind != 'OCIRepository' || !has(self.spec.version) || self.spec.version == '*'",
    ),
    (CrdRule::NoSourceRef, "!has(self.kind) || self.kind != 'OCIRepository' || !has(self.spec.sourceRef)"),
    (
        CrdRule::NoReconcileStrategy,
        "!has(self.kind) || self.kind != 'OCIRepository' || !has(self.spec.reconcileStrategy) || \
         self.spec.reconcileStrategy == 'ChartVersion'",
    ),
    (
        CrdRule::NoValuesFiles,
        "!has(self.kind) || self.kind != 'OCIRepository' || !has(self.spec.valuesFiles)",
    ),
    (
        CrdRule::NoIgnoreMissingValuesFiles,
        "!has(self.kind) || self.kind != 'OCIRepository' || !has(self.spec.ignoreMissingValuesFiles)",
    ),
];

// === impl Template ===

impl Template {
    /// Whether `spec.chart` can make an OCIRepository.
    pub fn takes_inline(&self) -> bool {
        self.kinds.iter().any(|kind| kind == OCI_REPOSITORY)
    }

    /// Whether `spec.chart.spec` has a field.
    pub fn takes(&self, field: ChartField) -> bool {
        self.fields.as_ref().is_none_or(|fields| fields.has(field))
    }
}

// === impl CrdRule ===

impl CrdRule {
    /// The rule of a CEL expression, however it is broken into lines.
    pub fn of_expression(expression: &str) -> Option<Self> {
        let words = || expression.split_whitespace();
        EXPRESSIONS.iter().find(|(_, known)| known.split_whitespace().eq(words())).map(|(rule, _)| *rule)
    }
}

// === impl CrdRules ===

impl CrdRules {
    /// None.
    pub const NONE: Self = Self(0);
    /// That of Flux 2.3 and newer.
    pub const ONE_SOURCE: Self = Self::NONE.with(CrdRule::OneSource);
    /// Those of Flux 2.10.
    pub const INLINE: Self = Self::ONE_SOURCE
        .with(CrdRule::UrlForOci)
        .with(CrdRule::OciForUrl)
        .with(CrdRule::ChartAndSource)
        .with(CrdRule::NoChart)
        .with(CrdRule::NoVersion)
        .with(CrdRule::NoSourceRef)
        .with(CrdRule::NoReconcileStrategy)
        .with(CrdRule::NoValuesFiles)
        .with(CrdRule::NoIgnoreMissingValuesFiles)
        .with(CrdRule::OciUrl);

    /// With one more.
    #[must_use]
    pub const fn with(self, rule: CrdRule) -> Self {
        Self(self.0 | 1 << rule as u16)
    }

    /// Whether a rule is among them.
    pub const fn has(self, rule: CrdRule) -> bool {
        self.0 & 1 << rule as u16 != 0
    }
}

/// Whether a text matches [`OCI_URL`].
pub(super) fn is_oci_url(url: &str) -> bool {
    url.starts_with("oci://") && !url.contains('\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_a_rule_whatever_its_layout_and_no_other() {
        for (rule, expression) in EXPRESSIONS {
            let broken = expression.replacen(" || ", "\n      || ", 2);
            assert_eq!(CrdRule::of_expression(&broken), Some(rule));
            assert!(CrdRules::INLINE.has(rule) && !CrdRules::NONE.has(rule));
        }
        assert_eq!(CrdRule::of_expression("!has(self.kind)"), None);
    }

    #[test]
    fn reads_a_url_as_the_pattern_does() {
        for (url, is_one) in [("oci://a/b", true), ("oci://", true), ("OCI://a", false), ("https://a", false)]
        {
            assert_eq!(is_oci_url(url), is_one, "{url}");
        }
        assert!(!is_oci_url("oci://a\nb"));
    }
}
