//! What is judged: a release, what was there before, who asks, and the facts of the day.

use json_patch::{AddOperation, PatchOperation, RemoveOperation, jsonptr::PointerBuf};
use serde_json::{Value, json};

use super::{
    CrdRule, Facts, Finding, HELM_GROUP, Installed, Level, Mode, OCI_REPOSITORY, OciRepository, Schema,
    Settings, TEMPLATE_KINDS, Template, chart_ref::Target, owners, owners::Owner,
};
use crate::helmrelease::{Chart, ChartField, ChartRef, Field, GeneratedSource, HelmRelease, at};

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

/// How to remove a `spec.chart` that no command can remove: it is not stored, or the release is unknown.
const NO_COMMAND: &str = "remove it, and apply again.";

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
    /// Whether the release is a file, so that the stored object is unknown.
    pub is_file: bool,
    /// The `OCIRepository` that `spec.chartRef` names, where its content is known: in files and in an audit.
    pub source: Option<&'a OciRepository>,
    /// Whether the content of sources counts. Admission never reads sources.
    pub(super) judges_sources: bool,
    /// What `spec.chartRef` means, where there is one.
    pub(super) target: Option<Target<'a>>,
    /// The Flux Kustomization that applies the release with `spec.force`, as `namespace/name`, where one is known.
    pub(super) forced_by: Option<&'a str>,
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
        Self {
            subject,
            settings,
            facts,
            installed,
            version,
            schema,
            is_file: false,
            source: None,
            judges_sources: false,
            target,
            forced_by: None,
        }
    }

    /// The same release as a file: it may be new, or the next version of what a cluster stores.
    #[must_use]
    pub fn of_file(self) -> Self {
        Self { is_file: true, ..self }
    }

    /// The same release, where the content of sources counts, with the `OCIRepository` that its `spec.chartRef` names if that
    /// is known.
    #[must_use]
    pub fn with_source(self, source: Option<&'a OciRepository>) -> Self {
        Self { source, judges_sources: true, ..self }
    }

    /// The same, where it is known which Flux Kustomization applies the release with `spec.force`, if one does.
    #[must_use]
    pub fn forced_by(self, kustomization: Option<&'a str>) -> Self {
        Self { forced_by: kustomization, ..self }
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
        let Template { required, rules, .. } = &self.schema.template;
        let mut missing = Vec::new();
        if is_inline(chart) {
            if rules.has(CrdRule::OciForUrl) && chart.kind.is_absent() {
                missing.push("spec.chart.kind");
            }
            if rules.has(CrdRule::UrlForOci) && spec.url.filled().is_none() {
                missing.push("spec.chart.spec.url");
            }
            return missing;
        }
        let both = rules.has(CrdRule::ChartAndSource);
        if (both || required.has(ChartField::Chart)) && spec.chart.filled().is_none() {
            missing.push("spec.chart.spec.chart");
        }
        let Field::Set(source) = &spec.source_ref else {
            if both || required.has(ChartField::SourceRef) {
                missing.push("spec.chart.spec.sourceRef");
            }
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

    /// The `spec.chart` of the release under review, where it makes an OCIRepository and the schema allows that.
    pub(super) fn inline_chart(&self) -> Option<&'a Chart<'a>> {
        let allows = !self.schema.template.kinds.is_empty();
        self.release().chart().set().filter(|chart| allows && is_inline(chart))
    }

    /// Whether this update takes the chart of a release from another source than the HelmChart of its `spec.chart`; if so, what
    /// `spec.chart` was, the kind of the new source, and the field that says so.
    pub(super) fn leaves_helm_chart(&self) -> Option<(&'a Chart<'a>, &'static str, &'static str)> {
        let old = self.subject.old?;
        let chart = old.chart().set().filter(|chart| old.chart_ref().is_absent() && !is_inline(chart))?;
        let (kind, at) = match self.target {
            Some(target) => (target.kind?, at::CHART_REF),
            None => self.inline_chart().map(|_| (OCI_REPOSITORY, at::CHART_KIND))?,
        };
        Some((chart, kind, at))
    }

    /// The source that helm-controller generated from `spec.chart`, where the stored status names one outside of the release's
    /// own namespace.
    pub(super) fn generated_elsewhere(&self) -> Option<GeneratedSource<'a>> {
        let (old, own) = (self.subject.old?, self.subject.namespace?);
        old.generated_source().filter(|source| source.namespace != own)
    }

    /// Who owns something at or below a field of the object under review.
    pub(super) fn owners(&self, path: &[&str]) -> Vec<Owner<'a>> {
        owners::at(self.release().managed_fields(), path)
    }

    /// Whether a field manager is the one that asks.
    pub(super) fn is_applier(&self, manager: &str) -> bool {
        self.subject.manager == Some(manager)
    }

    /// Whether leftovers of other managers beside the `chartRef` may be removed. A schema that requires `spec.chart`, as
    /// v2beta1's does, would refuse what is left.
    pub(super) fn may_heal(&self) -> bool {
        !self.schema.chart_required && self.is_applied(&["spec", "chartRef"])
    }

    /// Whether this request is an update by a client that applies a field, and so never states the fields of others.
    ///
    /// Who replaces the whole object (a PUT) states every leftover in it himself. The API server sends the same
    /// `UpdateOptions` for an apply and for a PUT; what tells them apart is that a field which is new by PUT stands in
    /// an entry of its own, whose operation is `Update`.
    pub(super) fn is_applied(&self, field: &[&str]) -> bool {
        let applies = || {
            self.release().managed_fields().iter().any(|entry| {
                let own = entry.manager.text().is_some_and(|manager| self.is_applier(manager));
                own && entry.is_apply() && owners::owns(entry, field)
            })
        };
        self.subject.operation == Operation::Update && applies()
    }

    /// What to do where only other managers hold on to `spec.chart`: the command that takes it away from whoever owns
    /// it, and sets the `spec.chartRef` in its place. Where that command would be refused, what to correct first.
    ///
    /// A namespace that the manifest leaves out is left out here: it is filled in, and then belongs to nobody.
    pub(super) fn switch_help(&self, owner: &Owner<'_>) -> String {
        let Some(target) = self.target else { return NO_COMMAND.to_owned() };
        let text = |text: Option<&str>| text.map_or(Field::Absent, |text| Field::Set(text.to_owned().into()));
        let patched = ChartRef {
            kind: text(target.kind),
            name: text(target.name),
            namespace: text(target.namespace),
            ..ChartRef::default()
        };
        if let Err(instead) = self.accepts(Field::Absent, Field::Set(patched)) {
            return instead;
        }
        let fields = [("kind", target.kind), ("name", target.name), ("namespace", target.namespace)];
        let fields = fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), json!(value?))));
        let reference: Value = fields.collect();
        let command = self.patch_help(&json!([
            {"op": "remove", "path": "/spec/chart"},
            {"op": "add", "path": "/spec/chartRef", "value": reference},
        ]));
        if !self.is_applier("kustomize-controller") {
            return command;
        }
        // kustomize-controller v1.10: matched by the whole name, and before the dry run that fails.
        let flag = format!("--override-manager-before-dry-run={}", word(owner.manager));
        format!(
            "let kustomize-controller (Flux 2.10 or newer) take over by {flag} until it has applied, or {command}"
        )
    }

    /// The command that removes the leftovers of other managers by a JSON Patch. Judge it by [`Self::accepts`] before.
    pub(super) fn patch_help(&self, patch: &Value) -> String {
        let Subject { name: Some(name), namespace: Some(namespace), .. } = self.subject else {
            return NO_COMMAND.to_owned();
        };
        format!(
            "remove it with the following command, then apply again: \
             kubectl patch helmrelease {} -n {} --type=json -p {}",
            word(name),
            word(namespace),
            word(&patch.to_string())
        )
    }

    /// Whether a command that patches the stored release to this chart and chartRef would be allowed, judged as the update of
    /// a client that only patches. If not, what to do instead of it.
    pub(super) fn accepts(
        &self,
        chart: Field<Chart<'_>>,
        chart_ref: Field<ChartRef<'_>>,
    ) -> Result<(), String> {
        let Some(old) = self.subject.old.filter(|old| !old.chart().is_absent()) else {
            return Err(NO_COMMAND.to_owned());
        };
        let mut patched = old.clone();
        let Field::Set(spec) = &mut patched.spec else { return Err(NO_COMMAND.to_owned()) };
        (spec.chart, spec.chart_ref) = (chart, chart_ref);
        (spec.chart_is_null, spec.chart_ref_is_null) = (false, false);
        // kubectl patches at the version that the API server prefers.
        let version = &self.installed.newest_schema().version;
        patched.api_version = Field::Set(format!("{HELM_GROUP}/{version}").into());
        let subject = Subject {
            release: &patched,
            old: Some(old),
            operation: Operation::Update,
            manager: Some("kubectl-patch"),
            ..self.subject
        };
        let findings = super::evaluate(&Case::new(subject, self.settings, self.facts, self.installed));
        let is_refused = |finding: &&Finding| {
            let denies = self.settings.mode_of(finding.rule.id, Mode::Enforce) == Mode::Enforce;
            finding.level == Level::Error && (denies || !finding.policy)
        };
        let mut rules: Vec<_> = findings.iter().filter(is_refused).map(|finding| finding.rule.id).collect();
        rules.dedup();
        if rules.is_empty() {
            return Ok(());
        }
        Err(format!(
            "first correct what {} reports; then apply again, and the message names the command that removes the rest.",
            rules.join(" and ")
        ))
    }
}

/// Whether a chart is one that makes an OCIRepository: by its kind, or by a `url` alone. A kind in another spelling counts
/// as its canonical one.
pub fn is_inline(chart: &Chart<'_>) -> bool {
    match chart.kind.text() {
        Some(kind) if canonical_template_kind(kind).is_some() => {
            canonical_template_kind(kind) == Some(OCI_REPOSITORY)
        }
        _ => chart.spec.set().is_some_and(|spec| {
            spec.has(ChartField::Url) && !spec.has(ChartField::Chart) && !spec.has(ChartField::SourceRef)
        }),
    }
}

/// The canonical spelling of a kind that some Flux allows in `spec.chart.kind`, however its letters are cased.
pub(super) fn canonical_template_kind(kind: &str) -> Option<&'static str> {
    TEMPLATE_KINDS.iter().copied().find(|known| known.eq_ignore_ascii_case(kind))
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
