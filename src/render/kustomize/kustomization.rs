//! A kustomization file as typed data.

use super::decoding::Mismatch;
use super::target::Target;
use crate::yaml::{Entry, Node, Span, Str};

/// What a kustomization file says. Fields that are not rendered are listed in [`Kustomization::skipped`].
#[derive(Debug, Clone)]
pub struct Kustomization<'a> {
    /// The document, or for one that is in no file the place that it comes from.
    pub at: Span,
    /// Whether it is a `Component`, which changes what the one who names it has gathered.
    pub is_component: bool,
    /// `resources`: files, folders, and URLs.
    pub resources: Vec<Text<'a>>,
    /// `bases`, the old name for resources that are folders.
    pub bases: Vec<Text<'a>>,
    /// `components`: folders.
    pub components: Vec<Text<'a>>,
    /// `namespace`.
    pub namespace: Option<Text<'a>>,
    /// `namePrefix`.
    pub name_prefix: Option<Text<'a>>,
    /// `nameSuffix`.
    pub name_suffix: Option<Text<'a>>,
    /// `labels`.
    pub labels: Vec<Labels<'a>>,
    /// `commonLabels`.
    pub common_labels: Vec<Entry<'a>>,
    /// `commonAnnotations`.
    pub common_annotations: Vec<Entry<'a>>,
    /// `patches`.
    pub patches: Vec<Patch<'a>>,
    /// `patchesStrategicMerge`: each a path, or the patch itself.
    pub patches_strategic_merge: Vec<Text<'a>>,
    /// `patchesJson6902`.
    pub patches_json6902: Vec<Patch<'a>>,
    /// `replacements`.
    pub replacements: Vec<Replacement<'a>>,
    /// `configurations`: files.
    pub configurations: Vec<Text<'a>>,
    /// `configMapGenerator`, and then `secretGenerator`.
    pub generators: Vec<Generator<'a>>,
    /// `generatorOptions`, which hold for all of them.
    pub generator_options: GeneratorOptions<'a>,
    /// The names in `replicas`.
    pub replicas: Vec<Text<'a>>,
    /// Whether it says nothing at all, which kustomize refuses.
    pub is_empty: bool,
    /// Where `kind: Component` stands without an `apiVersion`: kustomize takes that, and kustomize-controller makes a version of it that
    /// kustomize refuses.
    pub unversioned_component: Option<Span>,
    /// What of the file does not fit what kustomize decodes it into.
    pub mismatches: Vec<Mismatch>,
    /// What is there and not rendered.
    pub skipped: Vec<Skipped>,
}

/// A text, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text<'a> {
    /// The text.
    pub text: Str<'a>,
    /// Where it stands.
    pub at: Span,
}

/// A field of a kustomization file that is not rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Its name.
    pub field: &'static str,
    /// Where it stands.
    pub at: Span,
    /// Whether it can change a field that a rule reads; what only adds objects, or touches other kinds, cannot.
    pub matters: bool,
}

/// An item of `configMapGenerator` or `secretGenerator`.
#[derive(Debug, Clone)]
pub struct Generator<'a> {
    /// Where it stands.
    pub at: Span,
    /// The kind of what it makes.
    pub kind: &'static str,
    /// `name`.
    pub name: Option<Text<'a>>,
    /// `namespace`.
    pub namespace: Option<Text<'a>>,
    /// `behavior`, where that is `merge` or `replace`, so that there has to be something to change.
    pub changes: Option<Change>,
    /// `literals`: `key=value` each.
    pub literals: Vec<Text<'a>>,
    /// `envs`, and `env`: files with a `KEY=value` in each line.
    pub envs: Vec<Text<'a>>,
    /// `files`: a path, or `name=path`.
    pub files: Vec<Text<'a>>,
    /// `type`, of a Secret.
    pub secret_type: Option<Text<'a>>,
    /// `options`.
    pub options: GeneratorOptions<'a>,
}

/// How a generator changes an object that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// `behavior: merge`: its data is added.
    Merge,
    /// `behavior: replace`: its data takes the place of all that was there.
    Replace,
}

/// `options` of a generator, or `generatorOptions`.
#[derive(Debug, Clone, Default)]
pub struct GeneratorOptions<'a> {
    /// `labels`.
    pub labels: Vec<Entry<'a>>,
    /// `annotations`.
    pub annotations: Vec<Entry<'a>>,
    /// `disableNameSuffixHash`.
    pub disables_hash: bool,
}

/// An item of `labels`.
#[derive(Debug, Clone)]
pub struct Labels<'a> {
    /// `pairs`.
    pub pairs: Vec<Entry<'a>>,
}

/// An item of `patches` or `patchesJson6902`.
#[derive(Debug, Clone)]
pub struct Patch<'a> {
    /// Where it stands.
    pub at: Span,
    /// The patch itself.
    pub source: PatchSource<'a>,
    /// What it is for; without one, a patch is for the object that it names itself.
    pub target: Option<Box<Target<'a>>>,
    /// `options.allowNameChange`.
    pub allow_name_change: bool,
    /// `options.allowKindChange`.
    pub allow_kind_change: bool,
}

/// Where the text of a patch is.
#[derive(Debug, Clone)]
pub enum PatchSource<'a> {
    /// In a file, by its path from the folder.
    Path(Text<'a>),
    /// In the kustomization file.
    Inline(Text<'a>),
}

/// An item of `replacements`.
#[derive(Debug, Clone)]
pub enum Replacement<'a> {
    /// A file that holds one or a list of them, by its path from the folder.
    Path(Text<'a>),
    /// One that is written here.
    Inline {
        /// Where it stands.
        at: Span,
        /// What is copied.
        source: ReplacementSource<'a>,
        /// Where to.
        targets: Vec<ReplacementTarget<'a>>,
    },
}

/// What a replacement copies.
#[derive(Debug, Clone)]
pub enum ReplacementSource<'a> {
    /// `sourceValue`: this very text.
    Value(Text<'a>),
    /// `source`: a field of an object.
    Field {
        /// Where it is asked for.
        at: Span,
        /// The object, by what is said of it. These are no patterns.
        id: Box<SourceId<'a>>,
        /// The field; `metadata.name` where none is said.
        path: Option<Text<'a>>,
        /// Which part of it.
        options: Options<'a>,
    },
}

/// The object that a replacement copies from, by what is said of it.
#[derive(Debug, Clone, Default)]
pub struct SourceId<'a> {
    /// `group`.
    pub group: Option<Str<'a>>,
    /// `version`.
    pub version: Option<Str<'a>>,
    /// `kind`.
    pub kind: Option<Str<'a>>,
    /// `name`.
    pub name: Option<Str<'a>>,
    /// `namespace`.
    pub namespace: Option<Str<'a>>,
}

/// Where a replacement writes.
#[derive(Debug, Clone)]
pub struct ReplacementTarget<'a> {
    /// Where it stands.
    pub at: Span,
    /// `select`: the objects.
    pub select: Target<'a>,
    /// `reject`: and these not.
    pub reject: Vec<Target<'a>>,
    /// `fieldPaths`; `metadata.name` where none is said.
    pub paths: Vec<Text<'a>>,
    /// Which part of the field, and whether to make it.
    pub options: Options<'a>,
}

/// `options` of a source or target of a replacement.
#[derive(Debug, Clone, Default)]
pub struct Options<'a> {
    /// `delimiter`, where it is not empty.
    pub delimiter: Option<Str<'a>>,
    /// `index`.
    pub index: i64,
    /// `create`.
    pub create: bool,
}

// === impl Kustomization ===

impl Kustomization<'_> {
    /// One that says nothing yet.
    pub fn at(at: Span) -> Self {
        Self {
            at,
            is_component: false,
            resources: Vec::new(),
            bases: Vec::new(),
            components: Vec::new(),
            namespace: None,
            name_prefix: None,
            name_suffix: None,
            labels: Vec::new(),
            common_labels: Vec::new(),
            common_annotations: Vec::new(),
            patches: Vec::new(),
            patches_strategic_merge: Vec::new(),
            patches_json6902: Vec::new(),
            replacements: Vec::new(),
            configurations: Vec::new(),
            generators: Vec::new(),
            generator_options: GeneratorOptions::default(),
            replicas: Vec::new(),
            is_empty: false,
            unversioned_component: None,
            mismatches: Vec::new(),
            skipped: Vec::new(),
        }
    }
}

// === impl Text ===

impl<'a> Text<'a> {
    /// The text that a node is, if it is one.
    pub fn of(node: &Node<'a>) -> Option<Self> {
        node.text()?;
        node.scalar().map(|scalar| Self { text: scalar.text.clone(), at: node.at })
    }

    /// The node that stands where the text does.
    pub fn node(&self) -> Node<'a> {
        Node::text_at(self.text.clone(), self.at)
    }
}
