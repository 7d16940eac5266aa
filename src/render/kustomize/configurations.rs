//! `configurations`: which fields kustomize takes for names, labels and the like. They are not rendered. Almost all are about the hashes in the names of
//! generated `ConfigMaps`, which no rule asks for; only the others are worth a note.

use super::kustomization::Text;
use crate::render::tree::{Note, Reason, Tree, join};
use crate::yaml::Node;

/// The kind that has a chart.
const RELEASE: &str = "HelmRelease";

/// The kinds and fields that decide about charts, and about what is rendered.
const DECISIVE: &[(&str, &[&str])] = &[
    (RELEASE, &["spec/chart", "spec/chartRef"]),
    ("Kustomization", &["spec/path", "spec/targetNamespace", "spec/components", "spec/postBuild/substitute"]),
];

/// Notes the files that reach a field which decides about something. Returns whether one decides about the charts of HelmReleases.
pub(super) fn note<'a>(tree: &Tree<'a>, folder: &str, paths: &[Text<'a>], notes: &mut Vec<Note>) -> bool {
    let mut opens_charts = false;
    for path in paths {
        let Some(file) = join(folder, &path.text).and_then(|path| tree.file(&path)) else { continue };
        let fields: Vec<_> = file.documents().iter().flatten().flat_map(decisive).collect();
        if let Some((_, field)) = fields.first() {
            let message = format!("{}: what it says about {field} is not rendered", path.text);
            notes.push(Note::new(path.at, Reason::Unsupported, message));
        }
        opens_charts |= fields.iter().any(|(kind, _)| *kind == RELEASE);
    }
    opens_charts
}

/// The fields in a configuration that decide about something, each with the kind that it belongs to.
fn decisive<'n>(configuration: &'n Node<'_>) -> Vec<(&'static str, &'n str)> {
    let lists = configuration.entries().iter().flat_map(|entry| entry.value.items());
    // A reference to a name has a list of its own.
    let specs = lists.flat_map(|item| match item.get("fieldSpecs") {
        Some(nested) => nested.items(),
        None => std::slice::from_ref(item),
    });
    let found = specs.into_iter().filter_map(|spec| {
        let (path, kind) = (spec.text_of(&["path"])?, spec.text_of(&["kind"]).unwrap_or_default());
        let is_below = |field: &&str| {
            path.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '[']))
        };
        let mut of_kind = DECISIVE.iter().filter(|(its, _)| kind.is_empty() || *its == kind);
        of_kind.find(|(_, fields)| fields.iter().any(&is_below)).map(|(kind, _)| (*kind, path))
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    #[test]
    fn only_fields_that_decide_are_told() {
        for (text, field) in [
            (
                "nameReference: [{kind: ConfigMap, fieldSpecs: [{path: spec/valuesFrom/name, kind: HelmRelease}]}]",
                None,
            ),
            (
                "nameReference: [{kind: OCIRepository, fieldSpecs: [{path: spec/values}, {path: spec/chartRef/name, kind: HelmRelease}]}]",
                Some("spec/chartRef/name"),
            ),
            (
                "namespace: [{path: spec/chart/spec/sourceRef/namespace}]",
                Some("spec/chart/spec/sourceRef/namespace"),
            ),
            ("namePrefix: [{path: spec/path, kind: Kustomization}]", Some("spec/path")),
            ("namePrefix: [{path: spec/path, kind: Ingress}, {path: spec/charts}]", None),
            ("images: [{path: spec/values/image}]\ncommonLabels: null", None),
            ("[]", None),
        ] {
            let node = yaml::documents(text, 0).remove(0).unwrap();
            assert_eq!(decisive(&node).first().map(|(_, path)| *path), field, "{text}");
        }
    }

    #[test]
    fn a_note_stands_where_the_file_is_named() {
        let mut tree = Tree::default();
        tree.add("a/kustomizeconfig.yaml", "namePrefix: [{path: spec/chartRef/name}]");
        let at = yaml::Span::new(0, 3, 9);
        let text = |path: &'static str| Text { text: path.into(), at };
        let mut notes = Vec::new();
        assert!(note(&tree, "a", &[text("kustomizeconfig.yaml"), text("missing.yaml")], &mut notes));
        let message =
            "kustomizeconfig.yaml: what it says about spec/chartRef/name is not rendered".to_owned();
        assert_eq!(notes, [Note::new(at, Reason::Unsupported, message)]);
    }
}
