//! What kustomize-controller prints for one Kustomization.

use super::applying;
use super::folders::{listed, unreadable};
use super::kustomization::{FluxKustomization, Patches};
use super::operator;
use super::substitution::Variables;
use crate::render::kustomize::{Build, Kustomization, Kustomize, Resource, Text, group_and_version};
use crate::render::{Note, Reason, join};
use crate::yaml::{Entry, Key, Node, Span, Value};

/// What a Kustomization prints.
#[derive(Debug, Default)]
pub struct Printed<'a> {
    /// The objects that are judged or lead to such, in order. Those without a namespace have that of the Kustomization.
    pub resources: Vec<Resource<'a>>,
    /// What was left out.
    pub notes: Vec<Note>,
}

impl<'a> Printed<'a> {
    /// What the kustomization file of a folder makes, without Flux.
    pub fn of_folder(kustomize: &Kustomize<'_, 'a>, folder: &str) -> Self {
        let Some(build) = kustomize.once(folder) else { return Self::default() };
        let mut notes = Vec::new();
        let (resources, _) = what_matters(build, &mut notes);
        Self { resources, notes }
    }
}

impl<'a> FluxKustomization<'a> {
    /// Builds a folder as kustomize-controller does for this Kustomization.
    pub fn build(
        &self,
        kustomize: &Kustomize<'_, 'a>,
        folder: &str,
        variables: &Variables<'_>,
    ) -> Printed<'a> {
        let mut notes = self.notes.clone();
        if let Some(post_build) = &self.post_build {
            post_build.check(&mut notes);
        }
        if let Some(name) = variables.known.keys().find(|name| !is_name(name)) {
            let message = format!("kustomize-controller refuses the variable {name:?}: that is no name");
            notes.push(Note::new(self.name.at, Reason::Refused, message));
        }
        let kustomization = self.generate(kustomize, folder, &mut notes);
        let build = kustomize.given(folder, kustomization);
        let may_do = |work| kustomize.may_do(work);
        let (printed, others) = what_matters(build, &mut notes);
        let mut read = Vec::with_capacity(printed.len());
        // Nobody looks at what becomes of the others, but for what may be in them; and one that cannot be applied is the end of all.
        for mut resource in others.into_iter().chain(printed) {
            if !applying::is_complete(&resource, &mut notes) {
                continue;
            }
            resource.is_literal = !variables.are_replaced_in(&resource.node);
            if !resource.is_literal {
                resource.node = variables.substitute(&resource.node, &may_do, &mut notes);
            }
            read.extend(applying::read(resource, &mut notes).into_iter().filter(|it| matters(&it.node)));
        }
        for resource in &mut read {
            self.set_common_metadata(resource);
            if let Some(namespace) = &self.namespace {
                supply_namespace(resource, namespace);
            }
        }
        read.retain(|resource| applying::is_applied(resource, &mut notes));
        Printed { resources: read, notes }
    }

    /// The kustomization of a folder with what this Kustomization says in addition.
    fn generate(
        &self,
        kustomize: &Kustomize<'_, 'a>,
        folder: &str,
        notes: &mut Vec<Note>,
    ) -> Kustomization<'a> {
        let mut made = if let Some((kustomization, refused)) = kustomize.kustomization(folder) {
            notes.extend(refused);
            kustomization
        } else {
            let view = kustomize.view();
            for (path, why) in unreadable(view, folder) {
                let message = format!("kustomize-controller lists {path}, which {why}");
                notes.push(Note::new(self.path.at, Reason::Missing, message));
            }
            let listed = listed(view, folder).into_iter();
            let resources = listed.map(|path| Text { text: path.into(), at: self.path.at }).collect();
            Kustomization { resources, ..Kustomization::at(self.at) }
        };
        notes.extend(made.mismatches.drain(..).map(|mismatch| mismatch.rewritten()));
        if let Some(at) = made.unversioned_component {
            let message = "a Component without an apiVersion: kustomize-controller fills in that of a Kustomization, which kustomize \
                           refuses; set apiVersion: kustomize.config.k8s.io/v1alpha1";
            notes.push(Note::new(at, Reason::Refused, message));
        }
        // kustomize-controller builds a Component as if it were none.
        made.is_component = false;
        for (mine, its) in [
            (&self.target_namespace, &mut made.namespace),
            (&self.name_prefix, &mut made.name_prefix),
            (&self.name_suffix, &mut made.name_suffix),
        ] {
            if mine.is_some() {
                its.clone_from(mine);
            }
        }
        let Patches { patches, strategic_merge, json6902 } = self.patches(notes);
        made.patches.extend(patches);
        made.patches_strategic_merge.extend(strategic_merge);
        made.patches_json6902.extend(json6902);
        let view = kustomize.view();
        for component in &self.components {
            let is_there = join(folder, &component.text).is_some_and(|path| view.is_folder(&path));
            if is_there || !self.ignore_missing_components {
                made.components.push(component.clone());
            }
        }
        made
    }

    /// `spec.commonMetadata` comes last, and over everything.
    fn set_common_metadata(&self, resource: &mut Resource<'a>) {
        for (field, entries) in [("labels", &self.common_labels), ("annotations", &self.common_annotations)] {
            for Entry { key, value } in entries {
                let field = Key { text: field.into(), at: key.at };
                set(
                    &mut resource.node,
                    [Key { text: "metadata".into(), at: key.at }, field, key.clone()],
                    value,
                );
            }
        }
    }
}

/// Gives an object that has no namespace the one of what prints it, unless it can have none.
pub(crate) fn supply_namespace<'a>(resource: &mut Resource<'a>, namespace: &Text<'a>) {
    let id = resource.id();
    if id.namespace.is_empty() && !id.is_cluster_scoped() {
        let key = |text: &'static str| Key { text: text.into(), at: namespace.at };
        set(&mut resource.node, [key("metadata"), key("namespace")], &namespace.node());
    }
}

/// Sets the value at the end of a path of keys; maps that are missing on the way are made.
fn set<'a, const N: usize>(node: &mut Node<'a>, path: [Key<'a>; N], value: &Node<'a>) {
    let mut node = node;
    let last = N - 1;
    for (index, key) in path.into_iter().enumerate() {
        if index == last {
            return node.set(key, value.clone());
        }
        let at: Span = key.at;
        let text = key.text.clone();
        if node.get(&text).is_none_or(|value| !matches!(value.value, Value::Mapping(_))) {
            node.set(key, Node::empty_mapping(at));
        }
        let Some(next) = node.get_mut(&text) else { return };
        node = next;
    }
}

/// What a kustomization prints that matters, and the rest as it was before it was printed.
fn what_matters<'a>(mut build: Build<'a>, notes: &mut Vec<Note>) -> (Vec<Resource<'a>>, Vec<Resource<'a>>) {
    notes.extend(build.all_notes().into_iter().cloned());
    let others = build.resources.extract_if(.., |resource| !matters(&resource.node));
    let others = others.filter(|resource| !resource.is_local()).collect();
    (build.into_printed(), others)
}

/// Whether an object is judged, or leads to others, or holds variables. All else is many times as much, and nobody looks at it.
fn matters(object: &Node<'_>) -> bool {
    let version = object.text_of(&["apiVersion"]).unwrap_or_default();
    match group_and_version(version) {
        Some((group, _)) => group.ends_with(".toolkit.fluxcd.io") || group == operator::GROUP,
        None => object.text_of(&["kind"]) == Some("ConfigMap"),
    }
}

/// Whether a variable may be called so.
fn is_name(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
