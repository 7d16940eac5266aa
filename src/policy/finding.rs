//! What a rule has to say: where, what, why, and what to do.

use std::borrow::Cow;

use json_patch::PatchOperation;

use super::{Level, Rule, Settings};
use crate::json::pointer::segments;

/// The length in characters up to which clients show an admission warning whole (kubectl and the API server cut
/// longer ones, or drop those that follow).
pub const MAX_WARNING: usize = 120;

/// The length in characters at which a value from the object is cut in a message.
const MAX_QUOTED: usize = 40;

/// One thing that a rule found.
#[derive(Debug, Clone)]
pub struct Finding {
    /// Who says so.
    pub rule: &'static Rule,
    /// How bad it is, by the rule and then by the settings.
    pub level: Level,
    /// Whether it is a matter of policy: the API server itself does not refuse such an object as Invalid (422). A cause of a
    /// denial states this, and Flux with force deletes the live object for an Invalid alone.
    pub policy: bool,
    /// Whether it denies by itself; else it only accompanies another finding that does.
    pub denies_alone: bool,
    /// The field, as a JSON Pointer into the object.
    pub at: Cow<'static, str>,
    /// The field of the source that spec.chartRef names, as a JSON Pointer into that object, where the source is at fault.
    pub in_source: Option<&'static str>,
    /// What is wrong, in one line.
    pub what: String,
    /// Why that matters.
    pub why: Cow<'static, str>,
    /// What to type or to change.
    pub help: Cow<'static, str>,
    /// What `/mutate` does about it.
    pub fix: Option<Fix>,
}

/// A change that puts a finding right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    /// The operations, to be applied in this order.
    pub operations: Vec<PatchOperation>,
    /// What was done, in one line, for those who should hear of it; a fix without it is silent.
    pub done: Option<String>,
}

/// Collects what the rules report.
#[derive(Debug)]
pub struct Findings<'a> {
    settings: &'a Settings,
    rule: Option<&'static Rule>,
    all: Vec<Finding>,
}

/// A finding under construction: what a rule must say before it may say more.
#[derive(Debug)]
pub(super) struct Report<'f>(&'f mut Finding);

// === impl Finding ===

impl Finding {
    /// One line of at most [`MAX_WARNING`] characters.
    pub fn warning(&self) -> String {
        self.line(&self.what)
    }

    /// What the fix did, as a line like [`Self::warning`], if it should be heard of.
    pub fn healed(&self) -> Option<String> {
        self.fix.as_ref()?.done.as_deref().map(|done| self.line(done))
    }

    /// Everything there is to say, as one block: the first line names rule and fault, then why, then what to do.
    pub fn block(&self) -> String {
        format!("[{}] {}.\n  Why: {}\n  Fix: {}", self.rule.id, self.what, self.why, self.help)
    }

    /// The field as the API server writes it: `spec.chartRef.kind`, `metadata.annotations[fluxcd.io/version]`.
    pub fn field(&self) -> String {
        field_path(&self.at)
    }

    fn line(&self, text: &str) -> String {
        clip(&format!("[{}] {text}", self.rule.id), MAX_WARNING)
    }
}

/// Everything there is to say about several findings, a block each.
pub fn blocks(findings: &[Finding]) -> String {
    findings.iter().map(Finding::block).collect::<Vec<_>>().join("\n")
}

/// A JSON Pointer as the API server writes fields: `/spec/chartRef/kind` is `spec.chartRef.kind`.
pub fn field_path(pointer: &str) -> String {
    let mut path = String::with_capacity(pointer.len());
    for segment in segments(pointer) {
        let is_index = !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit());
        if segment.is_empty() {
            path.push_str("[\"\"]");
        } else if is_index || segment.contains(['.', '/']) {
            path.extend(["[", &segment, "]"]);
        } else {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&segment);
        }
    }
    path
}

// === impl Findings ===

impl<'a> Findings<'a> {
    pub(super) fn new(settings: &'a Settings) -> Self {
        Self { settings, rule: None, all: Vec::new() }
    }

    /// Lets `check` report in the name of `rule`.
    pub(super) fn of(&mut self, rule: &'static Rule, check: impl FnOnce(&mut Self)) {
        self.rule = Some(rule);
        check(self);
    }

    /// The errors so far for which the API server refuses the object as Invalid (422), unless something is patched before.
    pub(super) fn invalid(&self) -> impl Iterator<Item = &Finding> {
        self.all.iter().filter(|finding| finding.level == Level::Error && !finding.policy)
    }

    pub(super) fn into_all(self) -> Vec<Finding> {
        self.all
    }

    /// Reports that something is wrong at a field.
    pub(super) fn report(&mut self, at: impl Into<Cow<'static, str>>, what: impl Into<String>) -> Report<'_> {
        let rule = self.rule.expect("findings are reported inside of `of`");
        let level = self.settings.level_of(rule.id).unwrap_or(rule.level);
        self.all.push(Finding {
            rule,
            level,
            policy: rule.policy,
            denies_alone: true,
            at: at.into(),
            in_source: None,
            what: what.into(),
            why: Cow::Borrowed(rule.why),
            help: Cow::Borrowed(rule.help),
            fix: None,
        });
        Report(self.all.last_mut().expect("one was just pushed"))
    }
}

// === impl Report ===

impl Report<'_> {
    /// Gives it another level than its rule has, unless the settings have chosen one.
    pub(super) fn level(self, level: Level, settings: &Settings) -> Self {
        self.0.level = settings.level_of(self.0.rule.id).unwrap_or(level);
        self
    }

    /// Makes it a matter of form where the rule is a matter of policy.
    pub(super) fn malformed(self) -> Self {
        self.0.policy = false;
        self
    }

    /// Makes it a matter of policy where the rule is a matter of form, if so.
    pub(super) fn policy_if(self, policy: bool) -> Self {
        self.0.policy |= policy;
        self
    }

    /// Makes it deny nothing by itself.
    pub(super) fn beside_others(self) -> Self {
        self.0.denies_alone = false;
        self
    }

    /// Keeps the level down, whatever the settings have chosen: for what no denial may depend on.
    pub(super) fn at_most(self, level: Level) -> Self {
        self.0.level = self.0.level.min(level);
        self
    }

    /// Names the field of the source that is at fault.
    pub(super) fn in_source(self, at: &'static str) -> Self {
        self.0.in_source = Some(at);
        self
    }

    /// Says why in words that fit this case better than the rule's own.
    pub(super) fn why(self, why: impl Into<Cow<'static, str>>) -> Self {
        self.0.why = why.into();
        self
    }

    /// Says what to do in words that fit this case better than the rule's own.
    pub(super) fn help(self, help: impl Into<Cow<'static, str>>) -> Self {
        self.0.help = help.into();
        self
    }

    /// Says how to put it right without a word.
    pub(super) fn fix(self, operations: Vec<PatchOperation>) -> Self {
        self.0.fix = Some(Fix { operations, done: None });
        self
    }

    /// Says how to put it right, and what is said when that is done.
    pub(super) fn heal(self, operations: Vec<PatchOperation>, done: impl Into<String>) -> Self {
        self.0.fix = Some(Fix { operations, done: Some(done.into()) });
        self
    }
}

/// A value from the object, quoted, without control characters, and short enough for a line.
pub fn quoted(value: &str) -> String {
    format!("{:?}", clip(value, MAX_QUOTED))
}

/// Cuts a text to at most `most` characters, the last of which then is an ellipsis.
pub(super) fn clip(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => text.chars().take(most - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_fields_as_the_api_server_does() {
        assert_eq!(field_path("/spec/chartRef/kind"), "spec.chartRef.kind");
        assert_eq!(
            field_path("/metadata/annotations/fluxcd.io~1version"),
            "metadata.annotations[fluxcd.io/version]"
        );
        assert_eq!(field_path("/spec/dependsOn/0/name"), "spec.dependsOn[0].name");
        assert_eq!(field_path(""), "");
        assert_eq!(field_path("/spec/"), "spec[\"\"]");
    }

    #[test]
    fn cuts_a_text_at_its_edge() {
        assert_eq!(clip("abcd", 4), "abcd");
        assert_eq!(clip("abcde", 4), "abc…");
        assert_eq!(clip("ääääää", 4), "äää…");
    }

    #[test]
    fn quotes_without_letting_control_characters_through() {
        assert_eq!(quoted("a\nb\u{7}\""), r#""a\nb\u{7}\"""#);
    }
}
