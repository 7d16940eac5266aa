//! Flux's own Kustomization as typed data.

use crate::json::Kind;
use crate::render::kustomize::{Patch, PatchSource, Text, group_and_version};
use crate::render::{Note, Reason};
use crate::yaml::{Entry, Node, Span, Str};

/// The API group of Flux's Kustomizations.
const GROUP: &str = "kustomize.toolkit.fluxcd.io";

/// What a Kustomization of Flux says, as far as it decides what is printed.
#[derive(Debug, Clone)]
pub struct FluxKustomization<'a> {
    /// Where it stands.
    pub at: Span,
    /// `metadata.name`.
    pub name: Text<'a>,
    /// `metadata.namespace`; what it prints without a namespace goes there.
    pub namespace: Option<Text<'a>>,
    /// `spec.path`, the folder from the top of the source; left out it is the top.
    pub path: Text<'a>,
    /// `spec.sourceRef`.
    pub source: Source<'a>,
    /// `spec.targetNamespace`.
    pub target_namespace: Option<Text<'a>>,
    /// `spec.namePrefix`.
    pub name_prefix: Option<Text<'a>>,
    /// `spec.nameSuffix`.
    pub name_suffix: Option<Text<'a>>,
    /// `spec.components`: folders, from the path.
    pub components: Vec<Text<'a>>,
    /// `spec.ignoreMissingComponents`.
    pub ignore_missing_components: bool,
    /// `spec.commonMetadata.labels`.
    pub common_labels: Vec<Entry<'a>>,
    /// `spec.commonMetadata.annotations`.
    pub common_annotations: Vec<Entry<'a>>,
    /// `spec.postBuild`.
    pub post_build: Option<PostBuild<'a>>,
    /// `spec.force`: an object that cannot be changed in place is deleted and recreated.
    pub force: bool,
    /// What was refused before it was what it is.
    pub notes: Vec<Note>,
    /// `spec`. Its patches are read when they are applied, which is once, and costs more than all the rest.
    spec: Option<Node<'a>>,
}

/// The patches of a Kustomization.
#[derive(Debug, Default)]
pub struct Patches<'a> {
    /// `spec.patches`.
    pub patches: Vec<Patch<'a>>,
    /// `spec.patchesStrategicMerge` of versions before `v1`, each as a text.
    pub strategic_merge: Vec<Text<'a>>,
    /// `spec.patchesJson6902` of versions before `v1`.
    pub json6902: Vec<Patch<'a>>,
}

/// `spec.sourceRef`: where the files of a Kustomization come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Source<'a> {
    /// `kind`.
    pub kind: Str<'a>,
    /// `namespace`, or that of the Kustomization.
    pub namespace: Str<'a>,
    /// `name`.
    pub name: Str<'a>,
}

/// `spec.postBuild`: the variables of a Kustomization.
#[derive(Debug, Clone, Default)]
pub struct PostBuild<'a> {
    /// `substitute`.
    pub substitute: Vec<Entry<'a>>,
    /// `substituteFrom`.
    pub from: Vec<SubstituteFrom<'a>>,
    /// Whether `substituteStrategy` is `Always`.
    pub always: bool,
}

/// An item of `spec.postBuild.substituteFrom`.
#[derive(Debug, Clone)]
pub struct SubstituteFrom<'a> {
    /// Whether it is a `ConfigMap`; else it is a Secret, which cannot be read.
    pub is_config_map: bool,
    /// Its name.
    pub name: Text<'a>,
}

// === impl FluxKustomization ===

impl<'a> FluxKustomization<'a> {
    /// Whether an object is a Kustomization of Flux.
    pub fn is_one(object: &Node<'_>) -> bool {
        let version = object.text_of(&["apiVersion"]).unwrap_or_default();
        group_and_version(version).is_some_and(|(group, _)| group == GROUP)
            && object.text_of(&["kind"]) == Some("Kustomization")
    }

    /// Reads an object; `None` for one that is none, or has no name.
    pub fn read(object: &Node<'a>) -> Option<Self> {
        if !Self::is_one(object) {
            return None;
        }
        let name = Text::of(object.at(&["metadata", "name"])?)?;
        let namespace = object.at(&["metadata", "namespace"]).and_then(Text::of);
        let spec = object.get("spec");
        let field = |name: &str| spec.and_then(|spec| spec.get(name)).filter(|value| !value.is_null());
        let text = |name: &str| field(name).and_then(Text::of).filter(|text| !text.text.is_empty());
        let items = |name: &str| field(name).map(Node::items).unwrap_or_default();
        let common = |name: &str| {
            field("commonMetadata")
                .and_then(|it| it.get(name))
                .map(Node::entries)
                .unwrap_or_default()
                .to_vec()
        };
        Some(Self {
            at: object.at,
            path: field("path").and_then(Text::of).unwrap_or(Text { text: "".into(), at: name.at }),
            source: Source::read(field("sourceRef"), namespace.as_ref()),
            target_namespace: text("targetNamespace"),
            name_prefix: text("namePrefix"),
            name_suffix: text("nameSuffix"),
            components: items("components").iter().filter_map(Text::of).collect(),
            ignore_missing_components: field("ignoreMissingComponents")
                .is_some_and(|value| value.scalar().is_some_and(|scalar| scalar.text == "true")),
            common_labels: common("labels"),
            common_annotations: common("annotations"),
            post_build: field("postBuild").map(PostBuild::read),
            force: field("force")
                .is_some_and(|value| value.scalar().is_some_and(|scalar| scalar.text == "true")),
            notes: Vec::new(),
            spec: spec.cloned(),
            name,
            namespace,
        })
    }

    /// Its patches. What kustomize would refuse about them is noted, and left out.
    pub fn patches(&self, notes: &mut Vec<Note>) -> Patches<'a> {
        let items = |name: &str| {
            self.spec.as_ref().and_then(|spec| spec.get(name)).map(Node::items).unwrap_or_default()
        };
        Patches {
            patches: items("patches").iter().filter_map(|item| Patch::read(item, notes)).collect(),
            strategic_merge: items("patchesStrategicMerge").iter().map(as_json).collect(),
            json6902: items("patchesJson6902").iter().filter_map(|item| json_patch(item, notes)).collect(),
        }
    }

    /// What a person would call it.
    pub fn title(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("Kustomization {}/{}", namespace.text, self.name.text),
            None => format!("Kustomization {}", self.name.text),
        }
    }
}

// === impl Source, PostBuild ===

impl<'a> Source<'a> {
    /// Distinguishes it from others; the namespace is often absent, or supplied.
    pub(crate) fn kind_and_name(&self) -> (Str<'a>, Str<'a>) {
        (self.kind.clone(), self.name.clone())
    }

    fn read(field: Option<&Node<'a>>, namespace: Option<&Text<'a>>) -> Self {
        let text = |name: &str| field?.get(name).and_then(Text::of).map(|text| text.text);
        let own = || namespace.map(|namespace| namespace.text.clone());
        Self {
            kind: text("kind").unwrap_or_default(),
            namespace: text("namespace").or_else(own).unwrap_or_default(),
            name: text("name").unwrap_or_default(),
        }
    }
}

impl<'a> PostBuild<'a> {
    fn read(field: &Node<'a>) -> Self {
        let from = field.get("substituteFrom").map(Node::items).unwrap_or_default().iter();
        let from = from.filter_map(|item| {
            let name = Text::of(item.get("name")?)?;
            Some(SubstituteFrom { is_config_map: item.text_of(&["kind"]) == Some("ConfigMap"), name })
        });
        let substitute = field.get("substitute").map(Node::entries).unwrap_or_default();
        let always = field.text_of(&["substituteStrategy"]) == Some("Always");
        Self { substitute: substitute.to_vec(), from: from.collect(), always }
    }

    /// Notes what the API server or kustomize-controller would refuse about the variables.
    pub(super) fn check(&self, notes: &mut Vec<Note>) {
        for Entry { key, value } in &self.substitute {
            if !matches!(value.kind(), Kind::String | Kind::Null) {
                let message =
                    format!("the API server refuses the variable {}: its value is no text", key.text);
                notes.push(Note::new(value.at, Reason::Refused, message));
            }
        }
    }
}

/// A value as a text of JSON, which stands where the value does. It ends in a line end, by which kustomize tells a patch from a path.
fn as_json<'a>(node: &Node<'_>) -> Text<'a> {
    let mut json = Vec::new();
    node.write_json(&mut json);
    json.push(b'\n');
    let text = String::from_utf8(json).expect("JSON is written as UTF-8");
    Text { text: text.into(), at: node.at }
}

/// An item of `patchesJson6902`, whose operations are a list here, and a text for kustomize.
fn json_patch<'a>(item: &Node<'a>, notes: &mut Vec<Note>) -> Option<Patch<'a>> {
    let mut target_alone = item.clone();
    let operations = target_alone.remove("patch")?.value;
    let key = crate::yaml::Key { text: "patch".into(), at: operations.at };
    let text = as_json(&operations);
    target_alone.set(key, text.node());
    let patch = Patch::read(&target_alone, notes)?;
    Some(Patch { source: PatchSource::Inline(text), ..patch })
}
