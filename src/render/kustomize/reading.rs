//! From a kustomization file to typed data. What kustomize would refuse is noted, and left out.

use super::decoding::{Leniency, Mismatch, decoded};
use super::fields::{KUSTOMIZATION, PATCH, REPLACEMENT};
use super::kustomization::{
    Change, Generator, GeneratorOptions, Kustomization, Labels, Options, Patch, PatchSource, Replacement,
    ReplacementSource, ReplacementTarget, Skipped, SourceId, Text,
};
use super::labels::LabelSelector;
use super::names::{env_files, texts};
use super::printing::{Reading, settled};
use super::target::{Pattern, Target};
use crate::json::Kind;
use crate::render::tree::{Note, Reason};
use crate::yaml::{Entry, Key, Node, Span};

/// The fields that are not rendered, and whether they can change a field that a rule reads.
const SKIPPED: &[(&str, bool)] = &[
    ("images", false),
    ("imageTags", false),
    ("replicas", false),
    ("validators", false),
    ("helmCharts", true),
    ("helmChartInflationGenerator", true),
    ("generators", true),
    ("transformers", true),
    ("crds", true),
    ("openapi", true),
    ("vars", true),
];

/// Reads fields, and notes what is wrong with them.
struct Reader<'n> {
    notes: &'n mut Vec<Note>,
}

// === impl Kustomization ===

impl<'a> Kustomization<'a> {
    /// Reads the document of a kustomization file.
    pub fn read(document: &Node<'a>, notes: &mut Vec<Note>) -> Self {
        let document = settled(document, Reading::Patches).unwrap_or_else(|| document.clone());
        let mut this = Self::at(document.at);
        let mut reader = Reader { notes };
        if document.kind() != Kind::Object {
            reader.refuse(document.at, "a kustomization file that is no map of fields");
            return this;
        }
        let (document, mismatches) = decoded(&document, &KUSTOMIZATION);
        let kind = document.get("kind").and_then(Node::text).unwrap_or("Kustomization");
        match kind {
            "Component" => this.is_component = true,
            "Kustomization" | "" => {}
            _ => reader.refuse(
                document.at,
                format!("a kustomization file of kind {kind}; kustomize takes Kustomization and Component"),
            ),
        }
        let wanted = if this.is_component { "v1alpha1" } else { "v1beta1" };
        let version = document.get("apiVersion").filter(|version| !version.is_null());
        let is_known = matches!(kind, "Component" | "Kustomization" | "");
        if let Some(version) = version.filter(|it| is_known && !is_of_kustomize(it, wanted)) {
            let message = format!(
                "apiVersion of a {kind} is kustomize.config.k8s.io/{wanted}",
                kind = if kind.is_empty() { "Kustomization" } else { kind }
            );
            reader.refuse(version.at, message);
        }
        if this.is_component && version.is_none() {
            this.unversioned_component = document.get("kind").map(|kind| kind.at);
        }
        for entry in document.entries() {
            this.read_field(entry, &mut reader);
        }
        this.is_empty = mismatches.is_empty() && !document.entries().iter().any(says_something);
        this.mismatches = mismatches;
        this
    }

    fn read_field(&mut self, entry: &Entry<'a>, reader: &mut Reader<'_>) {
        let Entry { key, value } = entry;
        if value.is_null() {
            return;
        }
        match &*key.text {
            "resources" => self.resources = reader.paths(&key.text, value),
            "bases" => self.bases = reader.paths(&key.text, value),
            "components" => self.components = reader.paths(&key.text, value),
            "configurations" => self.configurations = reader.paths(&key.text, value),
            "crds" => {
                reader.paths(&key.text, value);
                self.skip(key);
            }
            "namespace" => self.namespace = text_that_says(value),
            "namePrefix" => self.name_prefix = text_that_says(value),
            "nameSuffix" => self.name_suffix = text_that_says(value),
            "labels" => {
                let pairs = value.items().iter().map(|item| item.get("pairs").map(Node::entries));
                let labels = pairs.map(|pairs| Labels { pairs: pairs.unwrap_or_default().to_vec() });
                self.labels = labels.collect();
            }
            "commonLabels" => self.common_labels = value.entries().to_vec(),
            "commonAnnotations" => self.common_annotations = value.entries().to_vec(),
            "patches" => self.patches = reader.patches(value),
            "patchesJson6902" => self.patches_json6902 = reader.patches(value),
            "patchesStrategicMerge" => self.patches_strategic_merge = reader.paths(&key.text, value),
            "replacements" => {
                let items = value.items().iter();
                self.replacements = items.filter_map(|item| reader.replacement(item)).collect();
            }
            "configMapGenerator" => {
                let made = value.items().iter().map(|item| generator(item, "ConfigMap"));
                self.generators.splice(0..0, made);
            }
            "secretGenerator" => {
                self.generators.extend(value.items().iter().map(|item| generator(item, "Secret")));
            }
            "generatorOptions" => self.generator_options = GeneratorOptions::of(value),
            "replicas" => {
                let names = value.items().iter().filter_map(|item| item.get("name"));
                self.replicas.extend(names.filter_map(Text::of));
                self.skip(key);
            }
            _ => self.skip(key),
        }
    }

    /// Remembers a field that is not rendered, unless it says nothing about what is.
    fn skip(&mut self, key: &Key<'a>) {
        if let Some((field, matters)) = SKIPPED.iter().find(|(field, _)| *field == key.text) {
            self.skipped.push(Skipped { field, at: key.at, matters: *matters });
        }
    }
}

fn generator<'a>(item: &Node<'a>, kind: &'static str) -> Generator<'a> {
    let text = |field: &str| item.get(field).and_then(Text::of).filter(|text| !text.text.is_empty());
    Generator {
        at: item.at,
        kind,
        name: text("name"),
        namespace: text("namespace"),
        changes: match item.text_of(&["behavior"]) {
            Some("merge") => Some(Change::Merge),
            Some("replace") => Some(Change::Replace),
            _ => None,
        },
        literals: texts(item, "literals").collect(),
        envs: env_files(item).collect(),
        files: texts(item, "files").collect(),
        secret_type: text("type"),
        options: item.get("options").map(GeneratorOptions::of).unwrap_or_default(),
    }
}

fn is_of_kustomize(version: &Node<'_>, wanted: &str) -> bool {
    let text = version.text().unwrap_or_default();
    text.is_empty() || text.strip_prefix("kustomize.config.k8s.io/") == Some(wanted)
}

/// Whether a field keeps a kustomization file from being empty, as kustomize (5.8) has it: an empty list is something, but for `bases`,
/// which is moved to `resources`.
fn says_something(Entry { key, value }: &Entry<'_>) -> bool {
    match &*key.text {
        "apiVersion" | "kind" => false,
        "bases" => !value.items().is_empty(),
        _ => !value.is_null() && value.text() != Some(""),
    }
}

// === impl GeneratorOptions ===

impl<'a> GeneratorOptions<'a> {
    fn of(options: &Node<'a>) -> Self {
        let entries = |field| options.get(field).map(Node::entries).unwrap_or_default().to_vec();
        let disables_hash = options.get("disableNameSuffixHash").and_then(Node::scalar);
        Self {
            labels: entries("labels"),
            annotations: entries("annotations"),
            disables_hash: disables_hash.is_some_and(|scalar| scalar.text == "true"),
        }
    }
}

// === impl Patch ===

impl<'a> Patch<'a> {
    /// Reads an item of `patches`; `None`, with a note, for one that kustomize would refuse.
    pub fn read(item: &Node<'a>, notes: &mut Vec<Note>) -> Option<Self> {
        let (item, mismatches) = decoded(item, &PATCH);
        notes.extend(mismatches.iter().map(Mismatch::refused));
        Reader { notes }.patch(&item)
    }
}

// === impl Replacement ===

impl<'a> Replacement<'a> {
    /// Reads what is in a file of replacements: one, or a list of them.
    pub(super) fn read_file(document: &Node<'a>, notes: &mut Vec<Note>) -> Vec<Self> {
        let items = match document.kind() {
            Kind::Array => document.items(),
            _ => std::slice::from_ref(document),
        };
        let mut read = |item: &Node<'a>| {
            let item = settled(item, Reading::Patches).unwrap_or_else(|| item.clone());
            let (item, mismatches) = decoded(&item, &REPLACEMENT);
            notes.extend(mismatches.iter().filter_map(ignored_in_file));
            Reader { notes }.replacement(&item)
        };
        items.iter().filter_map(&mut read).collect()
    }
}

/// The note about a place of a file of replacements, which kustomize decodes leniently (`ReplacementTransformerPlugin.Config`, 5.8).
fn ignored_in_file(mismatch: &Mismatch) -> Option<Note> {
    match mismatch.leniency {
        Leniency::None => Some(mismatch.refused()),
        Leniency::Dropped => {
            let message = format!("{}: kustomize drops it without a word", mismatch.what);
            Some(Note::new(mismatch.at, Reason::Lenient, message))
        }
        Leniency::MadeText => None,
    }
}

/// A text that is not empty, since an empty one says nothing.
fn text_that_says<'a>(node: &Node<'a>) -> Option<Text<'a>> {
    Text::of(node).filter(|text| !text.text.is_empty())
}

// === impl Reader ===

impl Reader<'_> {
    fn refuse(&mut self, at: Span, message: impl Into<String>) {
        self.notes.push(Note::new(at, Reason::Refused, message.into()));
    }

    /// A list of paths, or of texts that may be one: kustomize takes an empty one for none, and refuses it.
    fn paths<'a>(&mut self, field: &str, list: &Node<'a>) -> Vec<Text<'a>> {
        let items = list.items();
        // There is one for every file of a repository, so no room is left over.
        let mut paths = Vec::with_capacity(items.len());
        for text in items.iter().filter_map(Text::of) {
            if text.text.is_empty() {
                self.refuse(text.at, format!("an empty entry in {field}"));
            } else {
                paths.push(text);
            }
        }
        paths
    }

    fn patches<'a>(&mut self, list: &Node<'a>) -> Vec<Patch<'a>> {
        let items = list.items();
        let mut patches = Vec::with_capacity(items.len());
        patches.extend(items.iter().filter_map(|item| self.patch(item)));
        patches
    }

    fn patch<'a>(&mut self, item: &Node<'a>) -> Option<Patch<'a>> {
        let text_of = |field: &str| {
            let text = item.get(field).and_then(Text::of);
            text.filter(|text| !text.text.trim().is_empty())
        };
        let source = match (text_of("path"), text_of("patch")) {
            (Some(path), None) => PatchSource::Path(path),
            (None, Some(patch)) => PatchSource::Inline(patch),
            (None, None) => {
                self.refuse(item.at, "a patch with neither path nor patch");
                return None;
            }
            (Some(_), Some(_)) => {
                self.refuse(item.at, "a patch with both path and patch");
                return None;
            }
        };
        let target = match item.get("target").filter(|target| !target.is_null()) {
            Some(target) => Some(Box::new(self.target(target)?)),
            None => None,
        };
        let option = |name| {
            let value = item.at(&["options", name]).and_then(Node::scalar);
            value.is_some_and(|scalar| scalar.text == "true")
        };
        Some(Patch {
            at: item.at,
            source,
            target,
            allow_name_change: option("allowNameChange"),
            allow_kind_change: option("allowKindChange"),
        })
    }

    fn target<'a>(&mut self, node: &Node<'a>) -> Option<Target<'a>> {
        let mut target = Target::at(node.at);
        for Entry { key, value } in node.entries() {
            let Some(text) = text_that_says(value) else { continue };
            let field = match &*key.text {
                "group" => &mut target.group,
                "version" => &mut target.version,
                "kind" => &mut target.kind,
                "name" => &mut target.name,
                "namespace" => &mut target.namespace,
                _ => {
                    let selector = self.noted(text.at, LabelSelector::parse(&text.text))?;
                    let is_label = key.text == "labelSelector";
                    *if is_label { &mut target.labels } else { &mut target.annotations } = Some(selector);
                    continue;
                }
            };
            let at = text.at;
            *field = Some(self.noted(at, Pattern::parse(text.text))?);
            if key.text == "version" {
                target.version_at = Some(at);
            }
        }
        Some(target)
    }

    fn noted<T>(&mut self, at: Span, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.refuse(at, message)).ok()
    }

    fn replacement<'a>(&mut self, item: &Node<'a>) -> Option<Replacement<'a>> {
        let path = item.get("path").and_then(text_that_says);
        let targets = item.get("targets").map(Node::items).unwrap_or_default();
        let source = item.get("source").filter(|source| !source.is_null());
        let value = item.get("sourceValue").filter(|value| !value.is_null());
        if let Some(path) = path {
            if source.is_some() || !targets.is_empty() {
                self.refuse(item.at, "a replacement with both a path and fields of its own");
                return None;
            }
            return Some(Replacement::Path(path));
        }
        let source = match (source, value) {
            (Some(source), None) => Self::replacement_source(source),
            (None, Some(value)) => ReplacementSource::Value(Text::of(value)?),
            _ => {
                self.refuse(item.at, "a replacement takes one of source and sourceValue");
                return None;
            }
        };
        if item.get("targets").is_none_or(Node::is_null) {
            self.refuse(item.at, "a replacement without targets");
            return None;
        }
        let targets = targets.iter().filter_map(|target| self.replacement_target(target)).collect();
        Some(Replacement::Inline { at: item.at, source, targets })
    }

    fn replacement_source<'a>(source: &Node<'a>) -> ReplacementSource<'a> {
        let text_of = |field| source.get(field).and_then(text_that_says);
        let mut id = SourceId::default();
        for (field, into) in [
            ("group", &mut id.group),
            ("version", &mut id.version),
            ("kind", &mut id.kind),
            ("name", &mut id.name),
            ("namespace", &mut id.namespace),
        ] {
            *into = text_of(field).map(|text| text.text);
        }
        let path = text_of("fieldPath");
        ReplacementSource::Field {
            at: source.at,
            id: Box::new(id),
            path,
            options: options(source.get("options")),
        }
    }

    fn replacement_target<'a>(&mut self, target: &Node<'a>) -> Option<ReplacementTarget<'a>> {
        let Some(select) = target.get("select").filter(|select| !select.is_null()) else {
            self.refuse(target.at, "a target of a replacement without select");
            return None;
        };
        let select = self.target(select)?;
        let rejects = target.get("reject").map(Node::items).unwrap_or_default();
        if let Some(nothing) = rejects.iter().find(|reject| reject.is_null()) {
            self.refuse(nothing.at, "an empty entry in reject");
        }
        Some(ReplacementTarget {
            at: target.at,
            select,
            reject: rejects.iter().filter_map(|reject| self.target(reject)).collect(),
            paths: target.get("fieldPaths").map(|list| texts_of(list)).unwrap_or_default(),
            options: options(target.get("options")),
        })
    }
}

fn texts_of<'a>(list: &Node<'a>) -> Vec<Text<'a>> {
    list.items().iter().filter_map(Text::of).collect()
}

fn options<'a>(options: Option<&Node<'a>>) -> Options<'a> {
    let scalar = |field| options?.get(field).and_then(Node::scalar).map(|scalar| &*scalar.text);
    // A float of Go is written without its fraction.
    let index = scalar("index").and_then(|index| index.split(['.', 'e', 'E']).next()?.parse().ok());
    Options {
        delimiter: options.and_then(|it| it.get("delimiter")).and_then(text_that_says).map(|text| text.text),
        index: index.unwrap_or_default(),
        create: scalar("create") == Some("true"),
    }
}
