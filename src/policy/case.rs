//! What is judged: a release, what was there before, who asks, and the facts of the day.

use json_patch::{AddOperation, PatchOperation, RemoveOperation, jsonptr::PointerBuf};
use serde_json::{Value, json};

use super::{Facts, HELM_GROUP, Installed, Schema, Settings, chart_ref::Target, owners, owners::Owner};
use crate::helmrelease::{Chart, ChartRef, Field, HelmRelease};

/// What the request does to the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// It is new. A file that is judged counts as new.
    Create,
    /// It replaces what was there.
    Update,
    /// It goes.
    Delete,
    /// A stream to it; does not exist for HelmRelease.
    Connect,
}

/// A request, as far as rules may know it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The object as it is to be.
    pub release: &'a HelmRelease<'a>,
    /// The object as it is, on an update.
    pub old: Option<&'a HelmRelease<'a>>,
    /// The release's name, where it is known yet.
    pub name: Option<&'a str>,
    /// The release's namespace, where it is known.
    pub namespace: Option<&'a str>,
    /// What is done to it.
    pub operation: Operation,
    /// The field manager that asks (`options.fieldManager`).
    pub manager: Option<&'a str>,
}

/// A [`Subject`] with settings, facts, and what follows from them.
#[derive(Debug)]
pub struct Case<'a> {
    /// What is asked.
    pub subject: Subject<'a>,
    /// What is chosen.
    pub settings: &'a Settings,
    /// What is known.
    pub facts: &'a Facts,
    /// The versions and schemas that apply.
    pub installed: Installed<'a>,
    /// The version part of `apiVersion`, where that names a HelmRelease version.
    pub version: Option<&'a str>,
    /// The schema that applies: that of the version if it is served, else of the newest served one.
    pub schema: &'a Schema,
    /// What `spec.chartRef` means, where there is one.
    pub(super) target: Option<Target<'a>>,
}

/// How much of `spec.chart` is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChartState {
    /// Nothing.
    Absent,
    /// Something, but not all that the schema requires.
    Partial,
    /// All that the schema requires.
    Whole,
}

// === impl Operation ===

impl Operation {
    /// As AdmissionReview writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

// === impl Case ===

impl<'a> Case<'a> {
    /// Works out what follows from the subject, once for all rules. `installed` comes from `facts`.
    pub fn new(
        subject: Subject<'a>,
        settings: &'a Settings,
        facts: &'a Facts,
        installed: Installed<'a>,
    ) -> Self {
        let version = version_of(subject.release);
        let schema = version.and_then(|version| installed.schema(version));
        let target = subject.release.chart_ref().set().map(Target::of);
        let schema = schema.unwrap_or_else(|| installed.newest_schema());
        Self { subject, settings, facts, installed, version, schema, target }
    }

    /// The release under review.
    pub(super) fn release(&self) -> &'a HelmRelease<'a> {
        self.subject.release
    }

    /// `spec.chartRef` of the release under review, if it is an object.
    pub(super) fn chart_ref(&self) -> Option<&'a ChartRef<'a>> {
        self.release().chart_ref().set()
    }

    /// How much of `spec.chart` the release under review sets.
    pub(super) fn chart(&self) -> ChartState {
        match self.release().chart() {
            Field::Absent => ChartState::Absent,
            Field::Set(chart) if self.missing_in(chart).is_empty() => ChartState::Whole,
            Field::Set(_) | Field::WrongType(_) => ChartState::Partial,
        }
    }

    /// The fields that the schema requires in `spec.chart` and that `chart` lacks.
    pub(super) fn missing_in(&self, chart: &Chart<'_>) -> Vec<&'static str> {
        let Field::Set(spec) = &chart.spec else { return vec!["spec.chart.spec"] };
        let mut missing = Vec::new();
        if spec.chart.filled().is_none() {
            missing.push("spec.chart.spec.chart");
        }
        let Field::Set(source) = &spec.source_ref else {
            missing.push("spec.chart.spec.sourceRef");
            return missing;
        };
        if self.schema.source_kind_required && source.kind.filled().is_none() {
            missing.push("spec.chart.spec.sourceRef.kind");
        }
        if source.name.filled().is_none() {
            missing.push("spec.chart.spec.sourceRef.name");
        }
        missing
    }

    /// Whether this update moves the release from `spec.chart` to `spec.chartRef`; if so, what it moves from.
    pub(super) fn moves_from(&self) -> Option<(&'a HelmRelease<'a>, &'a Chart<'a>)> {
        let old = self.subject.old?;
        let chart = old.chart().set()?;
        (old.chart_ref().is_absent() && self.chart_ref().is_some()).then_some((old, chart))
    }

    /// Who owns something at or below a field of the object under review.
    pub(super) fn owners(&self, path: &[&str]) -> Vec<Owner<'a>> {
        owners::at(self.release().managed_fields(), path)
    }

    /// Whether a field manager is the one that asks.
    pub(super) fn is_applier(&self, manager: &str) -> bool {
        self.subject.manager == Some(manager)
    }

    /// Whether this request may be healed: an update by somebody who applies the `chartRef`, and so never states what
    /// others own.
    ///
    /// Who replaces the whole object (a PUT) states every leftover in it himself. The API server sends the same
    /// `UpdateOptions` for an apply and for a PUT; what tells them apart is that a field which is new by PUT stands in
    /// an entry of its own, whose operation is `Update`.
    pub(super) fn may_heal(&self) -> bool {
        let applies = || {
            self.release().managed_fields().iter().any(|entry| {
                let own = entry.manager.text().is_some_and(|manager| self.is_applier(manager));
                own && entry.is_apply() && owners::owns(entry, &["spec", "chartRef"])
            })
        };
        self.subject.operation == Operation::Update && applies()
    }

    /// What to do where only other managers hold on to `spec.chart`: the command that takes it away from whoever owns
    /// it, and sets the `spec.chartRef` in its place.
    ///
    /// A namespace that the manifest leaves out is left out here: it is filled in, and then belongs to nobody.
    pub(super) fn switch_help(&self) -> String {
        let mut reference = serde_json::Map::new();
        if let Some(target) = self.target {
            let fields = [("kind", target.kind), ("name", target.name), ("namespace", target.namespace)];
            reference
                .extend(fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), json!(value?)))));
        }
        let patch = json!([
            {"op": "remove", "path": "/spec/chart"},
            {"op": "add", "path": "/spec/chartRef", "value": reference},
        ]);
        let name = word(self.subject.name.unwrap_or("NAME"));
        let namespace = word(self.subject.namespace.unwrap_or("NAMESPACE"));
        let patch = word(&patch.to_string());
        format!(
            "remove it with the following command, then apply again: \
             kubectl patch helmrelease {name} -n {namespace} --type=json -p {patch}"
        )
    }
}

/// A text as one word of a shell command: whoever pastes the command must not run what an object says.
pub fn word(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A patch that sets a field to a text, whether it is there or not.
pub(super) fn setting(at: &str, text: &str) -> PatchOperation {
    addition(at, json!(text))
}

/// A patch that sets a field, whether it is there or not.
pub(super) fn addition(at: &str, value: Value) -> PatchOperation {
    PatchOperation::Add(AddOperation { path: pointer(at), value })
}

/// A patch that removes a field that is there.
pub(super) fn removal(at: &str) -> PatchOperation {
    PatchOperation::Remove(RemoveOperation { path: pointer(at) })
}

fn pointer(at: &str) -> PointerBuf {
    PointerBuf::parse(at).expect("paths of rules are constants, or escaped")
}

/// The version part of `apiVersion`, where its group is that of HelmRelease.
fn version_of<'a>(release: &'a HelmRelease<'_>) -> Option<&'a str> {
    helm_version(release.api_version.text()?)
}

/// The version part of an `apiVersion` of HelmRelease's group.
pub fn helm_version(api_version: &str) -> Option<&str> {
    api_version.strip_prefix(HELM_GROUP)?.strip_prefix('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_a_command_stays_one_word() {
        assert_eq!(word("podinfo-1.x"), "podinfo-1.x");
        assert_eq!(word(r#"{"a":1}"#), r#"'{"a":1}'"#);
        assert_eq!(word("x; reboot"), "'x; reboot'");
        assert_eq!(word("it's"), r"'it'\''s'");
        assert_eq!(word(""), "''");
    }
}
