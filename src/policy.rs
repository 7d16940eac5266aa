//! What chartgate holds to be right, as data: rules, the facts they need, and what they find.
//!
//! Pure: [`evaluate`] knows no server, no file, no clock and no other object. Admission, pre-flight and audit all ask
//! it, and so can never disagree.

mod applier;
mod case;
mod chart_ref;
mod facts;
mod fields;
mod finding;
mod flux;
mod kubernetes;
mod owners;
mod rules;
mod schema;
mod settings;
mod source;

pub use applier::applier;
pub use case::{Case, Operation, Subject, helm_version, is_inline, word};
pub use chart_ref::{MAX_NAME, MAX_NAMESPACE, differ_by_fixes_alone, is_label, is_subdomain};
pub use facts::{Facts, Installed, Names};
pub use fields::FieldTree;
pub use finding::{Finding, Findings, Fix, MAX_WARNING, blocks, field_path, quoted};
pub use flux::{Flux, HELM_GROUP, SOURCE_GROUP, UnknownFlux};
pub use kubernetes::Kubernetes;
pub use owners::{fields_owned, owns};
pub use rules::{
    Example, Rule, all as rules, find as find_rule, is_marked_for_force, keeps_release, other_chart,
};
pub use schema::{
    CHART_REF_KINDS, CrdRule, CrdRules, HELM_CHART, OCI_REPOSITORY, OCI_URL, Schema, TEMPLATE_KINDS, Template,
};
pub use settings::{
    AnnotationValue, ChartRefSettings, CrossNamespace, Heal, Level, Mode, OldEntries, RuleSettings, Settings,
};
pub use source::{OciRepository, Stated};

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
