//! Objects, and what kustomize remembers of them.

use crate::yaml::{Key, Node, Scalar, Span, Str, Value};

/// The namespace of what has none, for kustomize.
const DEFAULT_NAMESPACE: &str = "default";

/// The annotation of what is for kustomize alone.
const LOCAL_CONFIG: &str = "config.kubernetes.io/local-config";

/// What kustomize takes for the namespace of an object that can have none.
const NOT_A_NAMESPACE: &str = "_non_namespaceable_";

/// The kinds that kustomize knows to have no namespace, by their group. A custom kind is taken to have one, whatever its definition says.
const CLUSTER_SCOPED: &[(&str, &[&str], &[&str])] = &[
    ("", &["v1"], &["ComponentStatus", "Namespace", "Node", "NodeProxyOptions", "PersistentVolume"]),
    (
        "admissionregistration.k8s.io",
        &["v1", "v1beta1"],
        &["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"],
    ),
    (
        "admissionregistration.k8s.io",
        &["v1"],
        &["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"],
    ),
    ("apiextensions.k8s.io", &["v1", "v1beta1"], &["CustomResourceDefinition"]),
    ("apiregistration.k8s.io", &["v1", "v1beta1"], &["APIService"]),
    ("certificates.k8s.io", &["v1", "v1beta1"], &["CertificateSigningRequest"]),
    ("flowcontrol.apiserver.k8s.io", &["v1beta1"], &["FlowSchema", "PriorityLevelConfiguration"]),
    ("networking.k8s.io", &["v1", "v1beta1"], &["IngressClass"]),
    ("node.k8s.io", &["v1", "v1beta1"], &["RuntimeClass"]),
    ("policy", &["v1beta1"], &["PodSecurityPolicy"]),
    ("rbac.authorization.k8s.io", &["v1", "v1beta1"], &["ClusterRole", "ClusterRoleBinding"]),
    ("scheduling.k8s.io", &["v1", "v1beta1"], &["PriorityClass"]),
    ("storage.k8s.io", &["v1", "v1beta1"], &["CSIDriver", "CSINode", "StorageClass", "VolumeAttachment"]),
];

/// An object as far as it is rendered.
#[derive(Debug, Clone)]
pub struct Resource<'a> {
    /// The object.
    pub node: Node<'a>,
    /// The document that it comes from.
    pub document: Span,
    /// What it went through, from the innermost: the entry by which each folder names it, and the patches that changed it.
    pub layers: Vec<Layer>,
    /// What it was called before, from the first; kustomize looks for the targets of patches by these, too.
    pub previous: Vec<Previous<'a>>,
    /// Where a patch, or a target, names the version by which it found the object: the scalar, an `apiVersion` or a `version`.
    pub found_by: Vec<Span>,
    /// What is to be known of an object that a generator made.
    pub generated: Generated,
    /// Whether it was applied without its variables being replaced, so that they stay as they are written.
    pub is_literal: bool,
    /// Whether `configurations` name a field that decides about its chart, so that the source that it refers to is not known here.
    pub has_open_chart: bool,
}

/// What is to be known of an object that `configMapGenerator` or `secretGenerator` made; nothing of any other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Generated {
    /// Whether a generator made it.
    pub is_generated: bool,
    /// Whether a hash of what is in it comes behind its name in the end.
    pub needs_hash: bool,
    /// Whether there is more data in it than is known here.
    pub is_partial: bool,
}

/// Something that an object went through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Layer {
    /// The place in the kustomization file, or in Flux's Kustomization, that asks for it.
    pub at: Span,
    /// What was done there.
    pub by: By,
}

/// How an object got through a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum By {
    /// It is named in `resources` or `bases`, by its file or a folder.
    Resources,
    /// A component, named in `components`, was applied to it or brought it.
    Components,
    /// A patch changed it.
    Patch,
    /// A replacement changed it.
    Replacement,
}

/// A name, namespace and kind that an object had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Previous<'a> {
    /// The name.
    pub name: Str<'a>,
    /// The namespace, `default` where it had none.
    pub namespace: Str<'a>,
    /// The kind.
    pub kind: Str<'a>,
}

/// What tells an object from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id<'r> {
    /// The group; empty for the core.
    pub group: &'r str,
    /// The version.
    pub version: &'r str,
    /// The kind.
    pub kind: &'r str,
    /// `metadata.name`.
    pub name: &'r str,
    /// `metadata.namespace`; empty where there is none.
    pub namespace: &'r str,
}

// === impl Resource ===

impl<'a> Resource<'a> {
    /// An object as it stands in a document.
    pub fn of(node: Node<'a>, document: Span) -> Self {
        let (layers, previous, found_by) = (Vec::new(), Vec::new(), Vec::new());
        let generated = Generated::default();
        Self {
            node,
            document,
            layers,
            previous,
            found_by,
            generated,
            is_literal: false,
            has_open_chart: false,
        }
    }

    /// What it is called now.
    pub fn id(&self) -> Id<'_> {
        Id::of(&self.node)
    }

    /// All that it is and was called; the first is what it is called now.
    pub fn ids(&self) -> impl Iterator<Item = Id<'_>> {
        let now = self.id();
        let before = self.previous.iter().map(move |previous| Id {
            name: &previous.name,
            namespace: &previous.namespace,
            kind: &previous.kind,
            ..now
        });
        std::iter::once(now).chain(before)
    }

    /// What it was called first.
    pub fn original(&self) -> Id<'_> {
        self.ids().nth(usize::from(!self.previous.is_empty())).expect("what it is called now is one of them")
    }

    /// Remembers what it is called now.
    pub(super) fn remember(&mut self) {
        let id = self.id();
        let metadata = |key| text(self.node.get("metadata").and_then(|metadata| metadata.get(key)));
        let namespace = id.namespace_of_none().map_or_else(|| metadata("namespace"), Str::from);
        let kind = text(self.node.get("kind"));
        self.previous.push(Previous { name: metadata("name"), namespace, kind });
    }

    /// Whether what is in it is just what kustomize makes of it.
    pub(super) fn is_known(&self) -> bool {
        let is_patched = || self.layers.iter().any(|layer| layer.by == By::Patch);
        !(self.generated.is_partial || self.id().may_have_keyed_lists() && is_patched())
    }

    /// Whether it is for kustomize alone, so that it is not printed.
    pub(crate) fn is_local(&self) -> bool {
        let local = self.node.at(&["metadata", "annotations", LOCAL_CONFIG]);
        local.is_some_and(|local| local.scalar().is_none_or(|scalar| scalar.text != "false"))
    }

    /// Sets a field of `metadata`, which is made where it is missing.
    pub(super) fn set_metadata(&mut self, key: Key<'a>, value: Node<'a>) {
        if self.node.get("metadata").is_none_or(|metadata| !matches!(metadata.value, Value::Mapping(_))) {
            let metadata = Key { text: Str::from("metadata"), at: key.at };
            self.node.set(metadata, Node::empty_mapping(key.at));
        }
        if let Some(metadata) = self.node.get_mut("metadata") {
            metadata.set(key, value);
        }
    }
}

// === impl Id ===

impl<'r> Id<'r> {
    /// What an object is called.
    pub fn of(node: &'r Node<'_>) -> Self {
        let text = |node: Option<&'r Node<'_>>| scalar(node).map_or("", |scalar| &*scalar.text);
        let [api_version, kind, metadata] = values(node, ["apiVersion", "kind", "metadata"]);
        let [name, namespace] = metadata.map_or([None; 2], |it| values(it, ["name", "namespace"]));
        let api_version = text(api_version);
        let (group, version) = group_and_version(api_version).unwrap_or(("", api_version));
        Self { group, version, kind: text(kind), name: text(name), namespace: text(namespace) }
    }

    /// Whether kustomize knows that such an object has no namespace.
    pub fn is_cluster_scoped(&self) -> bool {
        CLUSTER_SCOPED.iter().any(|(group, versions, kinds)| {
            *group == self.group && versions.contains(&self.version) && kinds.contains(&self.kind)
        })
    }

    /// Group and version as an object names them.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// Whether Kubernetes itself defines such objects, or may do so, with lists in them. kustomize has their schemas, and merges such lists
    /// by keys, which is not done here.
    pub fn may_have_keyed_lists(&self) -> bool {
        let is_built_in = !self.group.contains('.') || self.group.ends_with(".k8s.io");
        is_built_in && !matches!(self.kind, "ConfigMap" | "Secret" | "Namespace" | "ClusterRole")
    }

    /// The namespace by which kustomize tells objects apart.
    pub fn effective_namespace(&self) -> &'r str {
        self.namespace_of_none().unwrap_or(self.namespace)
    }

    /// What stands for the namespace of an object that has none.
    fn namespace_of_none(&self) -> Option<&'static str> {
        match self.namespace {
            _ if self.is_cluster_scoped() => Some(NOT_A_NAMESPACE),
            "" => Some(DEFAULT_NAMESPACE),
            _ => None,
        }
    }

    /// Whether kustomize takes both for the same object.
    pub fn is_same(&self, other: &Id<'_>) -> bool {
        self.name == other.name
            && self.kind == other.kind
            && self.group == other.group
            && self.version == other.version
            && self.effective_namespace() == other.effective_namespace()
    }
}

/// The values of some keys. They stand at the start of nearly all objects, so that one look at the first entries finds them all.
fn values<'n, 'a, const N: usize>(node: &'n Node<'a>, keys: [&str; N]) -> [Option<&'n Node<'a>>; N] {
    let mut found = [None; N];
    let mut missing = N;
    for entry in node.entries() {
        if let Some(index) = keys.iter().position(|key| entry.key.text == *key)
            && found[index].is_none()
        {
            found[index] = Some(&entry.value);
            missing -= 1;
            if missing == 0 {
                break;
            }
        }
    }
    found
}

fn scalar<'n, 'a>(node: Option<&'n Node<'a>>) -> Option<&'n Scalar<'a>> {
    node.filter(|node| !node.is_null()).and_then(Node::scalar)
}

fn text<'a>(node: Option<&Node<'a>>) -> Str<'a> {
    scalar(node).map_or(Str::default(), |scalar| scalar.text.clone())
}

/// The group and the version of an `apiVersion`; none for the core group, which it does not name.
pub(crate) fn group_and_version(api_version: &str) -> Option<(&str, &str)> {
    let at = memchr::memchr(b'/', api_version.as_bytes())?;
    Some((&api_version[..at], &api_version[at + 1..]))
}

impl std::fmt::Display for Id<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind, self.name)?;
        if self.namespace.is_empty() { Ok(()) } else { write!(f, " in {}", self.namespace) }
    }
}
