//! What chartgate holds to be right, as data: rules, the facts they need, and what they find.
//!
//! Pure: [`evaluate`] knows no server, no file, no clock and no other object. Admission, pre-flight and audit all ask
//! it, and so can never disagree.

mod case;
mod chart_ref;
mod facts;
mod finding;
mod flux;
mod owners;
mod rules;
mod settings;

pub use case::{Case, Operation, Subject, helm_version, word};
pub use chart_ref::{MAX_NAME, MAX_NAMESPACE, is_label};
pub use facts::{Facts, Installed, Names};
pub use finding::{Finding, Findings, Fix, MAX_WARNING, blocks, field_path};
pub use flux::{CHART_REF_KINDS, Flux, HELM_GROUP, SOURCE_GROUP, Schema, UnknownFlux};
pub use owners::{fields_owned, owns};
pub use rules::{Example, Rule, all as rules, find as find_rule};
pub use settings::{
    AnnotationValue, ChartRefSettings, CrossNamespace, Heal, Level, Mode, RuleSettings, Settings,
};

/// Judges one HelmRelease by every rule: all findings, ordered by rule and then as the rule reports them.
///
/// Each finding carries the level that the settings give its rule. Nothing is dropped for its mode here: whether a
/// finding denies, warns or is only counted is the caller's to decide.
pub fn evaluate(case: &Case<'_>) -> Vec<Finding> {
    let mut findings = Findings::new(case.settings);
    for rule in rules() {
        findings.of(rule, |findings| (rule.check)(case, findings));
    }
    findings.into_all()
}
