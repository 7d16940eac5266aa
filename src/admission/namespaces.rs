//! A namespace that asks for a mode: what its writer should hear. Nothing here denies or changes a namespace.

use serde::Serialize;

use super::EXEMPT;
use super::envelope::{self, or_empty, quoted};
use super::request::BadReview;
use crate::{
    helmrelease::{Field, HelmRelease, Text},
    json::{Error, Reader},
    policy::{
        self, Case, Facts, HELM_GROUP, Level, MAX_WARNING, Mode, Operation, Settings, Subject, is_label,
    },
};

/// Number of releases that would be denied and are kept by name: no more fit in a warning.
const MAX_NAMED: usize = 10;

/// A write of a namespace, as far as it is about the mode.
#[derive(Debug)]
pub struct NamespaceReview {
    protocol: &'static str,
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

/// The releases of a namespace that the mode enforce would deny.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Found {
    /// The first of them, by name.
    named: Vec<Deniable>,
    /// How many there are.
    count: usize,
    /// Whether some releases were not examined.
    pub more: bool,
}

#[derive(Default)]
struct Request<'a> {
    uid: Text<'a>,
    name: Text<'a>,
    object: Field<Namespace<'a>>,
    old: Field<Namespace<'a>>,
}

/// A namespace, as far as it is read: the value of the label.
#[derive(Default)]
struct Namespace<'a> {
    label: Text<'a>,
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
    pub fn read(body: &[u8]) -> Result<Self, BadReview> {
        let (protocol, request) = envelope::open(body, Request::read)?;
        let Request { uid, name, object, old } = request;
        let uid = envelope::uid(uid)?;
        let is_update = old.set().is_some();
        let label = |namespace: Field<Namespace<'_>>| {
            namespace.into_set().and_then(|it| it.label.into_set()).map(|label| quoted(&label))
        };
        let (uid, name) = (uid.into_owned(), quoted(&or_empty(name)));
        Ok(Self { protocol, uid, name, label: label(object), is_update, before: label(old) })
    }

    /// The namespace.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it starts to enforce and did not before, so that its releases should be examined. `known` is the mode that
    /// the namespace has in the cluster: a request may come from anybody.
    pub fn begins_to_enforce(&self, settings: &Settings, known: Option<Mode>) -> bool {
        let mode = |label: &Option<String>| settings.mode_in(label.as_deref().and_then(Mode::of_label));
        let is_lax = |mode: Mode| mode < Mode::Enforce;
        self.is_update
            && is_label(&self.name)
            && is_lax(settings.mode_in(known))
            && is_lax(mode(&self.before))
            && mode(&self.label) == Mode::Enforce
    }

    /// Allows it, with a warning for a label that is no mode, and one about what would be denied.
    pub fn answer(&self, settings: &Settings, found: &Found) -> Vec<u8> {
        let unknown = self.label.as_deref().filter(|label| Mode::of_label(label).is_none());
        let unknown = unknown.map(|label| {
            let default = settings.mode.as_str();
            format!("{}: {label:?} is none of off, audit, warn, enforce; {default} holds", Mode::LABEL)
        });
        let warnings: Vec<_> = unknown.into_iter().chain(found.warning()).collect();
        let answer = Answer {
            api_version: self.protocol,
            kind: "AdmissionReview",
            response: Response { uid: &self.uid, allowed: true, warnings: &warnings },
        };
        serde_json::to_vec(&answer).expect("an answer holds nothing that JSON cannot")
    }
}

// === impl Found ===

impl Found {
    /// Counts a release that would be denied.
    pub fn add(&mut self, deniable: Deniable) {
        self.count += 1;
        if self.named.len() < MAX_NAMED {
            self.named.push(deniable);
        }
    }

    /// One line about the releases that would be denied, with as many of them as fit.
    fn warning(&self) -> Option<String> {
        let Self { named, count, more } = self;
        let (first, rest) = named.split_first()?;
        let (plus, s) = (if *more { "+" } else { "" }, if *count == 1 { "" } else { "s" });
        let mut line = format!("enforce will deny changes of {count}{plus} HelmRelease{s}: {first}");
        for (index, one) in rest.iter().enumerate() {
            let next = format!(", {one}");
            let dots = if index + 2 == *count { 0 } else { 3 };
            if line.chars().count() + next.chars().count() + dots > MAX_WARNING {
                line.push_str(", …");
                break;
            }
            line.push_str(&next);
        }
        Some(line.chars().take(MAX_WARNING).collect())
    }
}

// === impl Request, Namespace ===

impl<'a> Request<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Field<Self>, Error> {
        Field::read_members(reader, |request: &mut Self, key, reader| {
            match key {
                "uid" => request.uid = Text::read_text(reader)?,
                "name" => request.name = Text::read_text(reader)?,
                "object" => request.object = Namespace::read(reader)?,
                "oldObject" => request.old = Namespace::read(reader)?,
                _ => _ = reader.skip()?,
            }
            Ok(())
        })
    }
}

impl<'a> Namespace<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Field<Self>, Error> {
        Field::read_members(reader, |namespace: &mut Self, key, reader| {
            match key {
                "metadata" => namespace.label = label(reader)?.into_set().unwrap_or_default(),
                _ => _ = reader.skip()?,
            }
            Ok(())
        })
    }
}

/// The value of the label in `metadata`. A namespace of many labels takes no more memory than one.
fn label<'a>(reader: &mut Reader<'a>) -> Result<Field<Text<'a>>, Error> {
    Field::read_members(reader, |label: &mut Text<'a>, key, reader| {
        if key != "labels" {
            return reader.skip().map(drop);
        }
        let found = Field::read_members(reader, |found: &mut Text<'a>, key, reader| {
            match key {
                Mode::LABEL => *found = Text::read_text(reader)?,
                _ => _ = reader.skip()?,
            }
            Ok(())
        })?;
        *label = found.into_set().unwrap_or_default();
        Ok(())
    })
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
        Subject { release, old: Some(release), name, namespace, operation: Operation::Update, manager: None };
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
    use std::collections::BTreeMap;

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

    fn found(deniable: impl IntoIterator<Item = Deniable>, more: bool) -> Found {
        let mut found = Found { more, ..Found::default() };
        deniable.into_iter().for_each(|one| found.add(one));
        found
    }

    fn warnings(review: &NamespaceReview) -> Value {
        let answer: Value =
            serde_json::from_slice(&review.answer(&Settings::default(), &Found::default())).unwrap();
        assert_eq!(answer["response"]["allowed"], true);
        answer["response"]["warnings"].clone()
    }

    #[test]
    fn a_label_that_is_no_mode_is_warned_about() {
        assert_eq!(
            warnings(&review(&namespace(Some("on")), &Value::Null)),
            json!(["chartgate.dev/mode: \"on\" is none of off, audit, warn, enforce; enforce holds"])
        );
        assert_eq!(warnings(&review(&namespace(Some("audit")), &Value::Null)), Value::Null);
    }

    #[test]
    fn only_who_begins_to_enforce_is_looked_into() {
        let begins = |label, before: Option<&str>| {
            let known = before.and_then(Mode::of_label);
            review(&namespace(label), &namespace(before)).begins_to_enforce(&Settings::default(), known)
        };
        assert!(begins(Some("enforce"), Some("audit")));
        assert!(begins(None, Some("warn")), "the default holds again");
        assert!(begins(Some("typo"), Some("warn")), "the default holds here, too");
        assert!(!begins(Some("enforce"), None), "it did by default");
        assert!(!begins(Some("audit"), Some("enforce")));
        let new = review(&namespace(Some("enforce")), &Value::Null);
        let lax = Settings { mode: Mode::Audit, ..Settings::default() };
        assert!(!new.begins_to_enforce(&lax, None), "it is empty");
    }

    #[test]
    fn a_change_that_the_cluster_does_not_know_of_and_a_name_that_no_namespace_has_begin_nothing() {
        let begins = |name: &str, known| {
            let mut review = review(&namespace(Some("enforce")), &namespace(Some("audit")));
            review.name = name.to_owned();
            review.begins_to_enforce(&Settings::default(), known)
        };
        assert!(begins("apps", Some(Mode::Audit)));
        assert!(!begins("apps", Some(Mode::Enforce)), "it enforces already, whatever the request says");
        assert!(!begins("apps", None), "the default holds there");
        for name in ["", "apps/helmreleases?limit=100000&x=", "..", "apps.dev", "Apps"] {
            assert!(!begins(name, Some(Mode::Audit)), "{name:?}");
        }
    }

    #[test]
    fn a_body_that_is_no_review_is_refused() {
        let read = |body: Value| NamespaceReview::read(body.to_string().as_bytes()).map(drop).unwrap_err();
        let (version, kind) = ("admission.k8s.io/v1", "AdmissionReview");
        assert_eq!(read(json!({"apiVersion": version, "kind": kind})), BadReview::NoRequest);
        assert_eq!(read(json!({"apiVersion": version, "kind": kind, "request": {}})), BadReview::NoUid);
        let long = json!({"apiVersion": version, "kind": kind, "request": {"uid": "u".repeat(envelope::MAX_UID + 1)}});
        assert_eq!(read(long), BadReview::LongUid);
        assert!(
            matches!(read(json!({"kind": "x".repeat(1000)})), BadReview::Other { kind, .. } if kind.len() == 100)
        );
    }

    #[test]
    fn names_what_would_be_denied_as_far_as_it_fits_a_line() {
        let of = |name: &str| Deniable { name: name.to_owned(), rule: "partial-chart" };
        assert_eq!(
            found([of("podinfo")], false).warning().unwrap(),
            "enforce will deny changes of 1 HelmRelease: podinfo (partial-chart)"
        );
        let many = found((0..20).map(|index| of(&format!("app-{index}"))), true);
        assert_eq!(many.named.len(), MAX_NAMED, "no more are kept than may fit");
        let line = many.warning().unwrap();
        assert!(line.starts_with("enforce will deny changes of 20+ HelmReleases: app-0 (partial-chart), "));
        assert!(line.ends_with(", …") && line.chars().count() <= MAX_WARNING, "{line}");
        assert_eq!(Found::default().warning(), None);
    }

    #[test]
    fn a_stored_release_is_judged_as_it_is() {
        let release = |kind: &str, exempt: &str| {
            json!({
                "apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease",
                "metadata": {"name": "app", "namespace": "apps", "annotations": {EXEMPT: exempt}},
                "spec": {"chartRef": {"kind": kind, "name": "apps-app"}},
                "status": {"helmChart": "apps/apps-app"},
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
