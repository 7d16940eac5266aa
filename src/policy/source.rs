//! Reads an `OCIRepository` as far as rules need it, and reports its faults for a release that takes its chart from it.
//!
//! Admission never judges sources, so these rules report only in files and in an audit. What helm-controller 1.7 does with the
//! OCIRepository that it makes of a `spec.chart` (Flux 2.10) was not run; what source-controller does with one is the same.

use std::borrow::Cow;

use super::finding::quoted;
use super::{Case, Findings, Flux, Installed, Level};
use crate::helmrelease::{Field, Text, at};
use crate::json::{Error, Kind, Reader};

/// The `spec` of an `OCIRepository`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OciRepository {
    /// `url`.
    pub url: Stated,
    /// `ref.tag`.
    pub tag: Stated,
    /// `ref.semver`.
    pub semver: Stated,
    /// `ref.digest`.
    pub digest: Stated,
    /// `ignore`.
    pub ignore: Stated,
    /// `layerSelector.operation`.
    pub operation: Stated,
}

/// A text of a source.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Stated {
    /// Not there, `null` or empty.
    #[default]
    Absent,
    /// There, with this value.
    Text(Box<str>),
    /// There, with a value that is not known here, or of another type.
    Unknown,
}

/// A fault of a source.
#[derive(Debug)]
pub(super) struct Fault {
    /// The field of the source, as a JSON Pointer.
    pub at: &'static str,
    /// The severity.
    pub level: Level,
    /// The fault, worded to follow the name of the source.
    pub what: String,
    /// The consequence.
    pub why: Cow<'static, str>,
    /// The advice.
    pub help: Cow<'static, str>,
}

/// Finds the fault of a source, for a release that takes its chart from it.
pub(super) type Judge = fn(&OciRepository, Minors) -> Option<Fault>;

/// The first and the last Flux minor that the cluster may run; nothing where they are unknown.
pub(super) type Minors = Option<(Flux, Flux)>;

// === impl OciRepository ===

impl OciRepository {
    /// Reads the `spec` of an object. `is_known` distinguishes a value from a placeholder for one.
    pub fn read(object: &[u8], is_known: impl Fn(&str) -> bool) -> Option<Self> {
        let mut source = Self::default();
        let stated =
            |reader: &mut Reader<'_>| Text::read_text(reader).map(|text| Stated::of(&text, &is_known));
        let read: Result<(), Error> = Reader::new(object).object(|key, reader| {
            if key != "spec" {
                return reader.skip().map(|_| ());
            }
            members(reader, |key, reader| {
                match key {
                    "url" => source.url = stated(reader)?,
                    "ignore" => source.ignore = stated(reader)?,
                    "ref" => {
                        let whole = members(reader, |key, reader| {
                            match key {
                                "tag" => source.tag = stated(reader)?,
                                "semver" => source.semver = stated(reader)?,
                                "digest" => source.digest = stated(reader)?,
                                _ => _ = reader.skip()?,
                            }
                            Ok(())
                        })?;
                        if let Field::WrongType(_) = whole {
                            source.digest = Stated::Unknown;
                        }
                    }
                    "layerSelector" => {
                        let whole = members(reader, |key, reader| {
                            match key {
                                "operation" => source.operation = stated(reader)?,
                                _ => _ = reader.skip()?,
                            }
                            Ok(())
                        })?;
                        if let Field::WrongType(_) = whole {
                            source.operation = Stated::Unknown;
                        }
                    }
                    _ => _ = reader.skip()?,
                }
                Ok(())
            })
            .map(|_| ())
        });
        read.ok().map(|()| source)
    }

    /// The tag that source-controller asks the registry for; `digest` and `semver` take precedence over it, and without any of
    /// them it is `latest`. Nothing where another reference decides, or the tag is not known.
    pub(super) fn tag_in_force(&self) -> Option<&str> {
        if self.digest != Stated::Absent || self.semver != Stated::Absent {
            return None;
        }
        match &self.tag {
            Stated::Absent => Some("latest"),
            Stated::Text(tag) => Some(tag),
            Stated::Unknown => None,
        }
    }

    /// Whether a rule flags it, for a release that takes its chart from it.
    pub fn is_flagged(&self, installed: Installed<'_>) -> bool {
        super::rules::of_sources().any(|judge| judge(self, installed.minors()).is_some())
    }
}

/// Reads the next value as an object, member by member.
fn members<'a>(
    reader: &mut Reader<'a>,
    mut member: impl FnMut(&str, &mut Reader<'a>) -> Result<(), Error>,
) -> Result<Field<()>, Error> {
    Field::read(reader, Kind::Object, |reader| reader.object(|key, reader| member(&key, reader)))
}

// === impl Stated ===

impl Stated {
    /// The value, where it is known.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Absent | Self::Unknown => None,
        }
    }

    fn of(text: &Text<'_>, is_known: impl Fn(&str) -> bool) -> Self {
        match text {
            Field::Absent => Self::Absent,
            Field::Set(text) if text.is_empty() => Self::Absent,
            Field::Set(text) if is_known(text) => Self::Text(text.as_ref().into()),
            Field::Set(_) | Field::WrongType(_) => Self::Unknown,
        }
    }
}

/// Reports the faults of the `OCIRepository` that a release takes its chart from: the one that its chartRef names, where its
/// content is known, or the one that its `spec.chart` makes.
pub(super) fn report(case: &Case<'_>, findings: &mut Findings<'_>, judge: Judge) {
    if !case.judges_sources {
        return;
    }
    let minors = case.installed.minors();
    if let Some(chart) = case.inline_chart().filter(|_| case.chart_ref().is_none()) {
        // It is written as the object that it makes, with a `spec`.
        let source = OciRepository::read(chart.raw.bytes(), |_| true);
        let Some(mut fault) = source.and_then(|source| judge(&source, minors)) else { return };
        let at = format!("{}{}", at::CHART, fault.at);
        for text in [&mut fault.why, &mut fault.help] {
            *text = text.replace("spec.", "spec.chart.spec.").into();
        }
        tell(case, findings, at, "the OCIRepository of spec.chart", fault);
        return;
    }
    let Some(target) = case.target.filter(|target| target.kind == Some("OCIRepository")) else { return };
    let (Some(source), Some(name)) = (case.source, target.name) else { return };
    let Some(fault) = judge(source, minors) else { return };
    let name = match target.namespace.or(case.subject.namespace) {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    };
    tell(case, findings, at::CHART_REF, &format!("OCIRepository {}", quoted(&name)), fault);
}

fn tell(
    case: &Case<'_>,
    findings: &mut Findings<'_>,
    at: impl Into<Cow<'static, str>>,
    name: &str,
    fault: Fault,
) {
    let Fault { at: in_source, level, what, why, help } = fault;
    findings
        .report(at, format!("{name} {what}"))
        .level(level, case.settings)
        .why(why)
        .help(help)
        .in_source(in_source);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helmrelease::HelmRelease;
    use crate::policy::{Facts, Operation, Settings, Subject};

    fn read(spec: &str) -> OciRepository {
        let object = format!(r#"{{"kind":"OCIRepository","spec":{spec},"status":{{"a":1}}}}"#);
        OciRepository::read(object.as_bytes(), |text| !text.contains('$')).unwrap()
    }

    /// What is reported of the source that a `spec.chart` makes: rule, field, text and advice.
    fn reported(chart: &str, judges_sources: bool) -> Vec<(&'static str, String, String, String)> {
        let text = format!(r#"{{"apiVersion":"helm.toolkit.fluxcd.io/v2","spec":{{"chart":{chart}}}}}"#);
        let Ok(Field::Set(release)) = HelmRelease::read(&mut Reader::new(text.as_bytes())) else {
            panic!("no object")
        };
        let subject = Subject {
            release: &release,
            old: None,
            name: Some("podinfo"),
            namespace: Some("apps"),
            operation: Operation::Create,
            manager: None,
        };
        let (settings, facts) = (Settings::default(), Facts::default());
        let case = Case::new(subject, &settings, &facts, facts.serving("v2"));
        let case = if judges_sources { case.with_source(None) } else { case };
        let findings = crate::policy::evaluate(&case).into_iter().filter(|it| it.in_source.is_some());
        findings.map(|it| (it.rule.id, it.field(), it.what, it.help.into_owned())).collect()
    }

    #[test]
    fn the_source_that_spec_chart_makes_is_judged_where_sources_are() {
        let chart = r#"{"kind":"OCIRepository","spec":{"url":"oci://a/b","ref":{"tag":"1.0.0+b"},
            "layerSelector":{"operation":"copy"}}}"#;
        let [(rule, field, what, help)] = &reported(chart, true)[..] else { panic!("one is reported") };
        assert_eq!((*rule, &**field), ("oci-tag-mismatch", "spec.chart.spec.ref.tag"));
        assert_eq!(what, "the OCIRepository of spec.chart asks for tag \"1.0.0+b\": no tag holds a +");
        assert_eq!(help, "set spec.chart.spec.ref.tag to \"1.0.0_b\".");
        assert!(reported(chart, false).is_empty(), "admission reads no source");
        let chart = r#"{"kind":"OCIRepository","spec":{"url":"oci://a/b"}}"#;
        assert_eq!(reported(chart, true)[0].0, "layer-selector-missing");
        let chart = r#"{"spec":{"chart":"b","sourceRef":{"kind":"HelmRepository","name":"a"}}}"#;
        assert!(reported(chart, true).is_empty());
    }

    #[test]
    fn reads_what_rules_ask_for_and_skips_the_rest() {
        let source = read(
            r#"{"url":"oci://a/b","interval":"1m","ref":{"tag":"1.0.0","semver":null,"digest":""},
                "layerSelector":{"mediaType":"m","operation":"copy"},"verify":{"provider":"cosign"}}"#,
        );
        let expected = OciRepository {
            url: Stated::Text("oci://a/b".into()),
            tag: Stated::Text("1.0.0".into()),
            operation: Stated::Text("copy".into()),
            ..OciRepository::default()
        };
        assert_eq!(source, expected);
        assert_eq!(source.tag_in_force(), Some("1.0.0"));
    }

    #[test]
    fn a_placeholder_or_another_type_is_there_and_unknown() {
        for spec in [r#"{"ref":{"tag":"${TAG}"}}"#, r#"{"ref":{"tag":1.2}}"#] {
            assert_eq!(read(spec).tag_in_force(), None, "{spec}");
        }
        for spec in
            [r#"{"ref":"${REF}"}"#, r#"{"ref":{"semver":"${RANGE}"}}"#, r#"{"ref":{"digest":"sha256:0"}}"#]
        {
            assert_eq!(read(spec).tag_in_force(), None, "{spec}");
        }
        assert_eq!(read(r#"{"layerSelector":"${SELECTOR}"}"#).operation, Stated::Unknown);
    }

    #[test]
    fn without_a_reference_it_is_latest() {
        for spec in ["{}", r#"{"ref":null}"#, r#"{"ref":{}}"#, r#"{"ref":{"tag":""}}"#] {
            assert_eq!(read(spec).tag_in_force(), Some("latest"), "{spec}");
        }
    }

    #[test]
    fn what_is_no_object_is_not_read() {
        for object in ["", "[]", "3", "{"] {
            assert_eq!(OciRepository::read(object.as_bytes(), |_| true), None, "{object}");
        }
    }
}
