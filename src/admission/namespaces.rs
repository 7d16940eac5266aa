//! A namespace that asks for a mode: what its writer should hear. Nothing here denies or changes a namespace.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::EXEMPT;
use crate::{
    helmrelease::HelmRelease,
    json::Reader,
    policy::{self, Case, Facts, HELM_GROUP, Level, MAX_WARNING, Mode, Operation, Settings, Subject},
};

/// The body is no AdmissionReview of a namespace.
#[derive(Debug, thiserror::Error)]
#[error("the body is no AdmissionReview of a Namespace: {0}")]
pub struct BadNamespaceReview(#[from] serde_json::Error);

/// A write of a namespace, as far as it is about the mode.
#[derive(Debug)]
pub struct NamespaceReview {
    protocol: String,
    uid: String,
    name: String,
    label: Option<String>,
    /// Whether it was there before; what is new is empty.
    is_update: bool,
    /// The label before.
    before: Option<String>,
}

/// A stored release that the mode enforce would deny at its next change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deniable {
    name: String,
    rule: &'static str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    api_version: String,
    request: Request,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    uid: String,
    #[serde(default)]
    name: String,
    object: Option<Namespace>,
    old_object: Option<Namespace>,
}

#[derive(Deserialize)]
struct Namespace {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    api_version: &'a str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    warnings: &'a [String],
}

// === impl NamespaceReview ===

impl NamespaceReview {
    /// Reads what came in.
    pub fn read(body: &[u8]) -> Result<Self, BadNamespaceReview> {
        let Envelope { api_version: protocol, request } = serde_json::from_slice(body)?;
        let Request { uid, name, object, old_object } = request;
        let label = |namespace: Namespace| namespace.metadata.labels?.remove(Mode::LABEL);
        let is_update = old_object.is_some();
        let (label, before) = (object.and_then(label), old_object.and_then(label));
        Ok(Self { protocol, uid, name, label, is_update, before })
    }

    /// The namespace.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it comes to enforce what it did not enforce before, so that what is in it should be looked at.
    pub fn begins_to_enforce(&self, settings: &Settings) -> bool {
        let mode = |label: &Option<String>| settings.mode_in(label.as_deref().and_then(Mode::of_label));
        self.is_update && mode(&self.before) < Mode::Enforce && mode(&self.label) == Mode::Enforce
    }

    /// Allows it, with a warning for a label that is no mode, and one about what would be denied; `more` says that not
    /// all releases were looked at.
    pub fn answer(&self, settings: &Settings, deniable: &[Deniable], more: bool) -> Vec<u8> {
        let unknown = self.label.as_deref().filter(|label| Mode::of_label(label).is_none());
        let unknown = unknown.map(|label| {
            let default = settings.mode.as_str();
            format!("{}: {label:?} is none of off, audit, warn, enforce; {default} holds", Mode::LABEL)
        });
        let warnings: Vec<_> = unknown.into_iter().chain(about(deniable, more)).collect();
        let answer = Answer {
            api_version: &self.protocol,
            kind: "AdmissionReview",
            response: Response { uid: &self.uid, allowed: true, warnings: &warnings },
        };
        serde_json::to_vec(&answer).expect("an answer holds nothing that JSON cannot")
    }
}

/// One line about the releases that would be denied, with as many of them as fit.
fn about(deniable: &[Deniable], more: bool) -> Option<String> {
    let (first, rest) = deniable.split_first()?;
    let count = deniable.len();
    let (plus, s) = (if more { "+" } else { "" }, if count == 1 { "" } else { "s" });
    let mut line = format!("enforce will deny changes of {count}{plus} HelmRelease{s}: {first}");
    for (index, one) in rest.iter().enumerate() {
        let next = format!(", {one}");
        let dots = if index + 1 == rest.len() { 0 } else { 3 };
        if line.chars().count() + next.chars().count() + dots > MAX_WARNING {
            line.push_str(", …");
            break;
        }
        line.push_str(&next);
    }
    Some(line.chars().take(MAX_WARNING).collect())
}

impl std::fmt::Display for Deniable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, rule } = self;
        write!(f, "{name} ({rule})")
    }
}

/// Whether a release that is stored would be denied at its next change, were its namespace in the mode enforce.
pub fn deniable(release: &[u8], settings: &Settings, facts: &Facts) -> Option<Deniable> {
    let read = HelmRelease::read(&mut Reader::new(release)).ok()?;
    let release = read.set()?;
    let is_exempt = settings.exemptions && release.annotation(EXEMPT).filled().is_some();
    if release.is_deleting() || is_exempt {
        return None;
    }
    let (name, namespace) = (release.name(), release.namespace());
    let subject =
        Subject { release, old: None, name, namespace, operation: Operation::Update, manager: None };
    let version = release.api_version.text().and_then(|it| it.strip_prefix(HELM_GROUP)?.strip_prefix('/'));
    let installed = facts.serving(version.unwrap_or_default());
    let finding =
        policy::evaluate(&Case::new(subject, settings, facts, installed)).into_iter().find(|it| {
            let enforced = settings.mode_of(it.rule.id, Mode::Enforce) == Mode::Enforce;
            enforced && it.level == Level::Error && it.fix.is_none()
        })?;
    Some(Deniable { name: name.unwrap_or_default().to_owned(), rule: finding.rule.id })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A namespace with a label, or without one.
    fn namespace(label: Option<&str>) -> Value {
        let labels: BTreeMap<_, _> = label.map(|label| (Mode::LABEL, label)).into_iter().collect();
        json!({"metadata": {"name": "apps", "labels": labels}})
    }

    fn review(object: &Value, old: &Value) -> NamespaceReview {
        let review = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "u", "name": "apps", "object": object, "oldObject": old,
            },
        });
        NamespaceReview::read(review.to_string().as_bytes()).unwrap()
    }

    fn warnings(review: &NamespaceReview, deniable: &[Deniable]) -> Value {
        let answer: Value =
            serde_json::from_slice(&review.answer(&Settings::default(), deniable, false)).unwrap();
        assert_eq!(answer["response"]["allowed"], true);
        answer["response"]["warnings"].clone()
    }

    #[test]
    fn a_label_that_is_no_mode_is_warned_about() {
        assert_eq!(
            warnings(&review(&namespace(Some("on")), &Value::Null), &[]),
            json!(["chartgate.dev/mode: \"on\" is none of off, audit, warn, enforce; enforce holds"])
        );
        assert_eq!(warnings(&review(&namespace(Some("audit")), &Value::Null), &[]), Value::Null);
    }

    #[test]
    fn only_who_begins_to_enforce_is_looked_into() {
        let begins = |label, before| {
            review(&namespace(label), &namespace(before)).begins_to_enforce(&Settings::default())
        };
        assert!(begins(Some("enforce"), Some("audit")));
        assert!(begins(None, Some("warn")), "the default holds again");
        assert!(begins(Some("typo"), Some("warn")), "the default holds here, too");
        assert!(!begins(Some("enforce"), None), "it did by default");
        assert!(!begins(Some("audit"), Some("enforce")));
        let new = review(&namespace(Some("enforce")), &Value::Null);
        let lax = Settings { mode: Mode::Audit, ..Settings::default() };
        assert!(!new.begins_to_enforce(&lax), "it is empty");
    }

    #[test]
    fn names_what_would_be_denied_as_far_as_it_fits_a_line() {
        let of = |name: &str| Deniable { name: name.to_owned(), rule: "partial-chart" };
        assert_eq!(
            about(&[of("podinfo")], false).unwrap(),
            "enforce will deny changes of 1 HelmRelease: podinfo (partial-chart)"
        );
        let many: Vec<_> = (0..20).map(|index| of(&format!("app-{index}"))).collect();
        let line = about(&many, true).unwrap();
        assert!(line.starts_with("enforce will deny changes of 20+ HelmReleases: app-0 (partial-chart), "));
        assert!(line.ends_with(", …") && line.chars().count() <= MAX_WARNING, "{line}");
        assert_eq!(about(&[], false), None);
    }

    #[test]
    fn a_stored_release_is_judged_as_it_is() {
        let release = |kind: &str, exempt: &str| {
            json!({
                "apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease",
                "metadata": {"name": "app", "namespace": "apps", "annotations": {EXEMPT: exempt}},
                "spec": {"chartRef": {"kind": kind, "name": "apps-app"}},
            })
            .to_string()
        };
        let (settings, facts) = (Settings::default(), Facts::default());
        let found = deniable(release("HelmChart", "").as_bytes(), &settings, &facts);
        assert_eq!(found, Some(Deniable { name: "app".into(), rule: "generated-chart-name" }));
        assert_eq!(deniable(release("OCIRepository", "").as_bytes(), &settings, &facts), None);
        let lenient = Settings { exemptions: true, ..Settings::default() };
        assert_eq!(deniable(release("HelmChart", "ticket").as_bytes(), &lenient, &facts), None);
    }
}
