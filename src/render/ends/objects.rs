//! The objects that are judged, among all that are printed.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::render::kustomize::{Layer, Resource, group_and_version};
use crate::yaml::{Node, Span};

/// A HelmRelease or a source, as the cluster is given it.
#[derive(Debug, Clone)]
pub struct Object<'a> {
    /// What it is.
    pub kind: Kind,
    /// The whole object. Where it names no namespace and Flux would supply one, that one is in it.
    pub node: Node<'a>,
    /// The document that it was made of.
    pub document: Span,
    /// What it went through, from the innermost: the entries by which kustomizations name it, and the patches that changed it.
    pub layers: Vec<Layer>,
    /// Where a patch, or a target, names the version by which it found the object.
    pub found_by: Vec<Span>,
    /// Whether Flux replaces no variables in it, so that they stay as they are written.
    pub is_literal: bool,
    /// Whether the source that it refers to is not known here, because of `configurations` of kustomize.
    pub has_open_chart: bool,
}

/// The kinds that decide about charts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// What installs a chart.
    HelmRelease,
    /// A chart, or another artifact, in a registry.
    OciRepository,
    /// A chart of a repository.
    HelmChart,
    /// Where charts are.
    HelmRepository,
    /// Where charts and manifests are.
    GitRepository,
    /// Where charts and manifests are.
    Bucket,
    /// An artifact that another controller makes.
    ExternalArtifact,
}

/// The kinds, by API group and name.
const KINDS: [(&str, &str, Kind); 7] = [
    ("helm.toolkit.fluxcd.io", "HelmRelease", Kind::HelmRelease),
    ("source.toolkit.fluxcd.io", "OCIRepository", Kind::OciRepository),
    ("source.toolkit.fluxcd.io", "HelmChart", Kind::HelmChart),
    ("source.toolkit.fluxcd.io", "HelmRepository", Kind::HelmRepository),
    ("source.toolkit.fluxcd.io", "GitRepository", Kind::GitRepository),
    ("source.toolkit.fluxcd.io", "Bucket", Kind::Bucket),
    ("source.toolkit.fluxcd.io", "ExternalArtifact", Kind::ExternalArtifact),
];

// === impl Object ===

impl<'a> Object<'a> {
    /// The object in a node, if it is of a kind that is judged.
    pub fn of(node: &Node<'a>) -> Option<Self> {
        let (layers, found_by, is_literal, has_open_chart) = (Vec::new(), Vec::new(), false, false);
        Some(Self {
            kind: Kind::of(node)?,
            node: node.clone(),
            document: node.at,
            layers,
            found_by,
            is_literal,
            has_open_chart,
        })
    }

    /// A printed object, if it is of a kind that is judged.
    pub(super) fn printed(resource: Resource<'a>) -> Option<Self> {
        let Resource { node, document, layers, found_by, is_literal, has_open_chart, .. } = resource;
        Some(Self { kind: Kind::of(&node)?, node, document, layers, found_by, is_literal, has_open_chart })
    }

    /// Its name; empty where it has none.
    pub fn name(&self) -> &str {
        self.node.text_of(&["metadata", "name"]).unwrap_or_default()
    }

    /// The version of its API.
    pub fn version(&self) -> &str {
        self.node.text_of(&["apiVersion"]).and_then(group_and_version).map_or("", |(_, version)| version)
    }

    /// Its namespace, if it names one or Flux supplies it.
    pub fn namespace(&self) -> Option<&str> {
        self.node.text_of(&["metadata", "namespace"])
    }
}

// === impl Kind ===

impl Kind {
    /// The kind of an object, if it is one that is judged.
    pub fn of(node: &Node<'_>) -> Option<Self> {
        let (group, kind) = (group_of(node)?, node.text_of(&["kind"])?);
        let found = KINDS.iter().find(|(its_group, its_kind, _)| *its_group == group && *its_kind == kind);
        found.map(|(_, _, kind)| *kind)
    }

    /// Its name in the API.
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|(_, _, kind)| *kind == self).map_or("", |(_, name, _)| name)
    }
}

/// The API group of an object; `None` where it names no `apiVersion`.
pub(crate) fn group_of<'n>(node: &'n Node<'_>) -> Option<&'n str> {
    Some(group_and_version(node.text_of(&["apiVersion"])?).map_or("", |(group, _)| group))
}

/// Whether a text can hold an object that is judged. Most files cannot, and need not be read.
pub(super) fn mentions(text: &str) -> bool {
    static GROUPS: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(".toolkit.fluxcd.io"));
    GROUPS.find(text.as_bytes()).is_some()
}

/// The objects in a document: itself, or the items of a list.
pub(crate) fn expand<'n, 'a>(node: &'n Node<'a>) -> Vec<&'n Node<'a>> {
    let is_list = node.text_of(&["kind"]).is_some_and(|kind| kind.ends_with("List"));
    match node.get("items") {
        Some(items) if is_list => items.items().iter().flat_map(expand).collect(),
        _ => vec![node],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    fn object(text: &str) -> Option<(Kind, String)> {
        let node = yaml::documents(text, 0).remove(0).unwrap();
        Object::of(&node).map(|object| (object.kind, object.name().to_owned()))
    }

    #[test]
    fn a_kind_counts_in_its_own_group_and_in_any_version() {
        let release = |group: &str| {
            object(&format!("{{apiVersion: {group}, kind: HelmRelease, metadata: {{name: a}}}}"))
        };
        assert_eq!(release("helm.toolkit.fluxcd.io/v2"), Some((Kind::HelmRelease, "a".to_owned())));
        assert_eq!(release("helm.toolkit.fluxcd.io/v2beta1"), Some((Kind::HelmRelease, "a".to_owned())));
        assert_eq!(release("example.com/v1"), None);
        assert_eq!(object("kind: HelmRelease"), None);
        assert_eq!(Kind::OciRepository.name(), "OCIRepository");
    }

    #[test]
    fn a_list_is_what_is_in_it() {
        let text = "kind: List\nitems:\n- {kind: A}\n- {kind: BList, items: [{kind: B}]}\n";
        let node = yaml::documents(text, 0).remove(0).unwrap();
        let kinds: Vec<_> = expand(&node).iter().filter_map(|node| node.text_of(&["kind"])).collect();
        assert_eq!(kinds, ["A", "B"]);
    }
}
