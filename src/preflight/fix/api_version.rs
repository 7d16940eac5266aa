//! The step to a newer apiVersion, where nothing in the object stands in its way.

use json_patch::{PatchOperation, ReplaceOperation, jsonptr::PointerBuf};

use super::{Refusal, Scope, edits};
use crate::helmrelease::at;
use crate::json::pointer::escaped;
use crate::policy::{HELM_GROUP, SOURCE_GROUP};
use crate::render::Mend;
use crate::render::kustomize::Pattern;
use crate::report::{Edit, Excerpts, SuggestedFix};
use crate::yaml::{Entry, Layout, Node, Scalar, Span, Value};

/// A kind, its group, and its versions, oldest first.
const KINDS: &[(&str, &str, &[&str])] = &[
    ("HelmRelease", HELM_GROUP, &["v2beta1", "v2beta2", "v2"]),
    ("HelmChart", SOURCE_GROUP, &["v1beta1", "v1beta2", "v1"]),
    ("HelmRepository", SOURCE_GROUP, &["v1beta1", "v1beta2", "v1"]),
    ("OCIRepository", SOURCE_GROUP, &["v1beta2", "v1"]),
];

/// What some versions ask for, and older ones do not.
struct Step {
    kind: &'static str,
    from: &'static [&'static str],
    to: &'static [&'static str],
    demands: &'static [Demand],
}

/// A field, `[]` being each item of a list; what is right there; and what the newer schema asks for.
type Demand = (&'static str, fn(&Node<'_>) -> bool, &'static str);

const BETAS: &[&str] = &["v2beta1", "v2beta2"];
const SOURCE_BETAS: &[&str] = &["v1beta1", "v1beta2"];
const GONE: fn(&Node<'_>) -> bool = |_| false;

/// Read from the CRDs of Flux 2.0 to 2.10; the tests compare each of them.
static STEPS: &[Step] = &[
    Step {
        kind: "HelmRelease",
        from: BETAS,
        to: &["v2"],
        demands: &[
            ("spec.chart.spec.valuesFile", GONE, "it has no such field; valuesFiles takes a list"),
            ("spec.postRenderers.[].kustomize.patchesStrategicMerge", GONE, NO_PATCHES),
            ("spec.postRenderers.[].kustomize.patchesJson6902", GONE, NO_PATCHES),
        ],
    },
    Step {
        kind: "HelmRelease",
        from: BETAS,
        to: &["v2beta2", "v2"],
        demands: &[
            ("spec", has_one_source, "it takes either chart or chartRef"),
            ("spec.chart.spec.sourceRef", |source| source.get("kind").is_some(), "it asks for kind"),
        ],
    },
    Step {
        kind: "HelmRelease",
        from: &["v2beta1"],
        to: &["v2beta2", "v2"],
        demands: &[
            ("spec.chart.spec.chart", |chart| is_as_long_as(chart, 2048), "it takes 1 to 2048 characters"),
            ("spec.serviceAccountName", |name| is_as_long_as(name, 253), "it takes 1 to 253 characters"),
        ],
    },
    Step {
        kind: "HelmChart",
        from: SOURCE_BETAS,
        to: &["v1"],
        demands: &[
            ("spec.accessFrom", GONE, "it has no such field, and it never had an effect"),
            ("spec.valuesFile", GONE, "it has no such field; valuesFiles takes a list"),
            ("spec", verifies_what_it_can, "it takes verify with a HelmRepository alone"),
        ],
    },
    Step {
        kind: "HelmChart",
        from: &["v1beta1"],
        to: &["v1beta2", "v1"],
        demands: &[("spec.interval", |it| is_duration(it, &["ms", "s", "m", "h"]), DURATION)],
    },
    Step {
        kind: "HelmRepository",
        from: &["v1beta1"],
        to: &["v1beta2", "v1"],
        demands: &[
            ("spec.interval", |it| is_duration(it, &["ms", "s", "m", "h"]), DURATION),
            (
                "spec.timeout",
                |it| is_duration(it, &["ms", "s", "m"]),
                "it takes a duration without hours, such as 90s",
            ),
        ],
    },
    Step {
        kind: "HelmRepository",
        from: SOURCE_BETAS,
        to: &["v1beta2", "v1"],
        demands: &[("spec.url", is_url, "it takes a URL of http, https or oci")],
    },
];

const NO_PATCHES: &str = "it has no such field; patches takes them";
const DURATION: &str = "it takes a duration such as 1h30m";

/// The edits that bring a rendered object to a newer version (`v2`), in every file that names the older one for it: its own, and those of
/// the patches and targets that find it by that. An annotation of the settings that follows the version follows it.
///
/// Refused where the object holds what the newer schema has no place for, or lacks what it asks for.
pub fn api_version(scope: &Scope<'_, '_>, to: &str) -> Result<Vec<Edit>, Refusal> {
    let object = scope.object;
    let unsuitable = |why: String| Refusal::Unsuitable { field: "apiVersion".to_owned(), why };
    let kind = object.text_of(&["kind"]).unwrap_or_default();
    let given = object.text_of(&["apiVersion"]).unwrap_or_default();
    let Some((kind, group, versions)) = KINDS.iter().find(|(name, ..)| *name == kind) else {
        return Err(unsuitable(format!("the schemas of {kind} are not known")));
    };
    let from = given.strip_prefix(group).and_then(|rest| rest.strip_prefix('/')).unwrap_or(given);
    let place = |version: &str| versions.iter().position(|it| *it == version);
    if !matches!((place(from), place(to)), (Some(from), Some(to)) if from < to) {
        return Err(unsuitable(format!("there is no known step from {given} to {group}/{to}")));
    }
    meets(object, kind, from, to)?;
    let new = format!("{group}/{to}");
    let operations = operations(scope, from, to, &new);
    let in_its_line =
        if operations.len() == 1 { in_its_line(object, given, &new, scope.files) } else { None };
    let mut all = match in_its_line {
        Some(edit) => vec![edit],
        None => edits(object, &operations, scope.files)?,
    };
    let over = object.get("apiVersion").and_then(|value| value.over.as_deref());
    for overridden in std::iter::successors(over, |it| it.over.as_deref()) {
        let found = naming(overridden.at, given, scope);
        let path = scope.files.path(overridden.at.file()).to_owned();
        let found = found.ok_or_else(|| Refusal::Made { field: "apiVersion".to_owned(), path })?;
        all.extend(edits(&found, &[replacing(at::API_VERSION, &new)], scope.files)?);
    }
    for at in scope.found_by {
        all.extend(found_by(*at, (given, &new), (from, to), scope.files)?);
    }
    all.sort();
    all.dedup();
    Ok(all)
}

/// The edit of an `apiVersion` that has a line for itself, in a file without anchors: it is what stands there, nothing else is read from it,
/// and the new one reads as it is written. Most have one, and the file need not be read again for them.
fn in_its_line(object: &Node<'_>, given: &str, new: &str, files: &dyn Excerpts) -> Option<Edit> {
    let value = object.get("apiVersion").filter(|value| value.over.is_none())?;
    let text = files.text(value.at.file());
    let is_written = value.at.file() == object.at.file() && text.get(value.at.range())? == given;
    let (before, behind) = (text.get(..value.at.range().start)?, text.get(value.at.range().end..)?);
    let line = before.rsplit('\n').next().unwrap_or_default();
    let has_line = line.trim_start_matches([' ', '-']) == "apiVersion: "
        && (behind.starts_with('\n') || behind.starts_with("\r\n"));
    let is_read_once = memchr::memchr2(b'&', b'*', text.as_bytes()).is_none();
    (is_written && has_line && is_read_once).then(|| Edit { span: value.at, text: new.to_owned() })
}

/// The fix of a scalar that says what it must not; `None` where it does not stand there as it is read.
pub fn mended(mend: &Mend, files: &dyn Excerpts) -> Option<SuggestedFix> {
    let Mend { at, old, new } = mend;
    let (written, quote) = unquoted(*at, files);
    let what = format!("set it to {new}");
    let edits = vec![Edit { span: *at, text: format!("{quote}{new}{quote}") }];
    (written == old).then_some(SuggestedFix { what, edits, fields: Vec::new() })
}

/// What is written at a place, without the quotes around it.
fn unquoted(at: Span, files: &dyn Excerpts) -> (&str, &'static str) {
    let written = files.text(at.file()).get(at.range()).unwrap_or_default();
    for quote in ["'", "\""] {
        let inner = written.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        if let Some(inner) = inner {
            return (inner, quote);
        }
    }
    (written, "")
}

/// The edit of a place that finds the object by its version: an `apiVersion` or a `version`, which may be a regular expression.
fn found_by(
    at: Span,
    api_versions: (&str, &str),
    versions: (&str, &str),
    files: &dyn Excerpts,
) -> Result<Option<Edit>, Refusal> {
    let (bare, quote) = unquoted(at, files);
    let new = match bare {
        _ if bare == api_versions.0 => api_versions.1,
        _ if bare == versions.0 => versions.1,
        _ if bare == api_versions.1 || Pattern::parse(bare).is_ok_and(|it| it.matches(versions.1)) => {
            return Ok(None);
        }
        _ => {
            let path = files.path(at.file()).to_owned();
            return Err(Refusal::Made { field: "the version by which a patch finds it".to_owned(), path });
        }
    };
    Ok(Some(Edit { span: at, text: format!("{quote}{new}{quote}") }))
}

/// Whether a step leads from the version of an object to a newer one that is known.
pub(super) fn is_older(object: &Node<'_>, than: &str) -> bool {
    let given = object.text_of(&["apiVersion"]).unwrap_or_default();
    let kind = KINDS.iter().find(|(kind, ..)| object.text_of(&["kind"]) == Some(*kind));
    kind.is_some_and(|(_, group, versions)| {
        let place = |version: &str| versions.iter().position(|it| *it == version);
        let from = given.strip_prefix(group).and_then(|rest| place(rest.strip_prefix('/')?));
        from.zip(place(than)).is_some_and(|(from, to)| from < to)
    })
}

fn operations(scope: &Scope<'_, '_>, from: &str, to: &str, new: &str) -> Vec<PatchOperation> {
    let stale = scope
        .settings
        .annotations
        .keys()
        .filter(|key| scope.object.text_of(&["metadata", "annotations", key.as_str()]) == Some(from));
    let pointer = |key: &str| format!("{}/{}", at::ANNOTATIONS, escaped(key));
    let annotations = stale.map(|key| replacing(&pointer(key), to));
    [replacing(at::API_VERSION, new)].into_iter().chain(annotations).collect()
}

fn replacing(at: &str, text: &str) -> PatchOperation {
    let path = PointerBuf::parse(at).expect("the keys of a pointer are escaped");
    PatchOperation::Replace(ReplaceOperation { path, value: text.into() })
}

/// Holds the object against all that the newer schema asks for.
fn meets(object: &Node<'_>, kind: &str, from: &str, to: &str) -> Result<(), Refusal> {
    let concerns = |it: &&Step| it.kind == kind && it.from.contains(&from) && it.to.contains(&to);
    let mut demands = STEPS.iter().filter(concerns).flat_map(|step| step.demands);
    let broken = demands.find(|(path, holds, _)| {
        let path: Vec<&str> = path.split('.').collect();
        !all_at(object, &path).into_iter().all(holds)
    });
    broken.map_or(Ok(()), |(path, _, why)| {
        Err(Refusal::Schema { field: path.replace(".[]", "[]"), version: to.to_owned(), why })
    })
}

/// The values at a path, of which there may be several.
fn all_at<'n, 'a>(node: &'n Node<'a>, path: &[&str]) -> Vec<&'n Node<'a>> {
    match path {
        [] => vec![node],
        ["[]", rest @ ..] => node.items().iter().flat_map(|item| all_at(item, rest)).collect(),
        [key, rest @ ..] => node.get(key).map_or_else(Vec::new, |value| all_at(value, rest)),
    }
}

/// The map that an apiVersion is written in which another one took the place of, with nothing else in it.
fn naming<'s>(at: Span, api_version: &'s str, scope: &Scope<'s, '_>) -> Option<Node<'s>> {
    let layout = Layout::of(scope.files.text(at.file()), at.file());
    let trail = layout.value(at)?;
    let (key, map) = (trail.pair()?.key.at, trail.up()?.value.at);
    let value =
        Node { value: Value::Scalar(Scalar { text: api_version.into(), plain: true }), at, over: None };
    let entry = Entry { key: crate::yaml::Key { text: "apiVersion".into(), at: key }, value };
    Some(Node { value: Value::Mapping([entry].into()), at: map, over: None })
}

fn has_one_source(spec: &Node<'_>) -> bool {
    spec.get("chart").is_some() != spec.get("chartRef").is_some()
}

fn verifies_what_it_can(spec: &Node<'_>) -> bool {
    spec.get("verify").is_none() || spec.text_of(&["sourceRef", "kind"]) == Some("HelmRepository")
}

fn is_as_long_as(node: &Node<'_>, most: usize) -> bool {
    node.text().is_none_or(|text| (1..=most).contains(&text.chars().count()))
}

/// `1h30m`, `0.5s`: numbers, each with one of the units.
fn is_duration(node: &Node<'_>, units: &[&str]) -> bool {
    let Some(mut rest) = node.text().filter(|text| !text.is_empty()) else { return false };
    while !rest.is_empty() {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let whole = digits(rest);
        let fraction = rest[whole..].strip_prefix('.').map_or(0, |behind| 1 + digits(behind));
        let behind = &rest[whole + fraction..];
        let Some(unit) = units.iter().find(|unit| behind.starts_with(**unit)) else { return false };
        if whole == 0 || fraction == 1 {
            return false;
        }
        rest = &behind[unit.len()..];
    }
    true
}

fn is_url(node: &Node<'_>) -> bool {
    let schemes = ["http://", "https://", "oci://"];
    node.text().is_some_and(|url| schemes.iter().any(|scheme| url.starts_with(scheme)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::Tree;

    #[test]
    fn a_check_reads_all_that_a_newer_schema_asks_about() {
        for step in STEPS {
            for (path, ..) in step.demands {
                // As the value of the first key, so that `kind` can stand beside that.
                let (field, below) = path.split_once('.').unwrap_or((path, ""));
                let value =
                    below.rsplit('.').filter(|part| !part.is_empty()).fold("x".to_owned(), |value, part| {
                        if part == "[]" { format!("[{value}]") } else { format!("{{{part}: {value}}}") }
                    });
                let text = format!("kind: {}\n{field}: {value}\n", step.kind);
                let mut tree = Tree::of_what_decides();
                tree.add("a.yaml", &text);
                let [Ok(object)] = tree.files()[0].documents() else { panic!("{text}") };
                assert_eq!(all_at(object, &path.split('.').collect::<Vec<_>>()).len(), 1, "{text}");
            }
        }
    }
}
