//! The objects of the Flux Operator that lead to others.

use super::building::supply_namespace;
use super::substitution::is_opaque;
use crate::render::kustomize::{Kustomize, Patch, Resource, Text, group_and_version};
use crate::render::{Note, Reason, Tree};
use crate::yaml::{Entry, Key, Node, Span, Value};

/// The API group of the Flux Operator.
pub(super) const GROUP: &str = "fluxcd.controlplane.io";

/// Whether an object is a `FluxInstance`, which installs Flux and has it follow a folder.
pub fn is_flux_instance(object: &Node<'_>) -> bool {
    is_one(object, "FluxInstance")
}

/// Whether an object is a `ResourceSet`, which holds templates of objects.
pub fn is_resource_set(object: &Node<'_>) -> bool {
    is_one(object, "ResourceSet")
}

fn is_one(object: &Node<'_>, kind: &str) -> bool {
    let version = object.text_of(&["apiVersion"]).unwrap_or_default();
    group_and_version(version).is_some_and(|(group, _)| group == GROUP)
        && object.text_of(&["kind"]) == Some(kind)
}

/// The Kustomization that the Flux Operator makes of `spec.sync` of a `FluxInstance`; nothing where there is none.
///
/// `spec.kustomize.patches` are for all that the operator makes, and so for the Kustomization, too (`generate` and `kustomizationTmpl` in its
/// `internal/builder`). Patches of what else it makes, the controllers, say nothing about what is judged. What kustomize would refuse is noted.
pub fn sync_of<'a>(instance: &Node<'a>, tree: &Tree<'a>, notes: &mut Vec<Note>) -> Option<Node<'a>> {
    let sync = unpatched(instance)?;
    let patches = instance.at(&["spec", "kustomize", "patches"]).map(Node::items).unwrap_or_default();
    let patches: Vec<_> = patches.iter().filter_map(|item| Patch::read(item, notes)).collect();
    if patches.is_empty() {
        return Some(sync);
    }
    let resource = Resource::of(sync, instance.at);
    let mut build = Kustomize::of(tree).patched(resource, &patches);
    // That somewhere else is what a patch is for is no news.
    notes.extend(build.notes.drain(..).filter(|note| note.reason != Reason::Remote));
    build.into_printed().pop().map(|resource| resource.node)
}

fn unpatched<'a>(instance: &Node<'a>) -> Option<Node<'a>> {
    let sync = instance.at(&["spec", "sync"])?;
    let path = sync.get("path")?;
    let namespace = instance.at(&["metadata", "namespace"]);
    let name = sync.get("name").or(namespace).cloned();
    let name = name.unwrap_or_else(|| Node::text_at("flux-system", instance.at));
    let kind = sync.get("kind").cloned().unwrap_or_else(|| Node::text_at("", sync.at));
    let mut metadata = vec![("name", name.clone())];
    metadata.extend(namespace.map(|namespace| ("namespace", namespace.clone())));
    let map = |entries: Vec<(&'static str, Node<'a>)>| mapping(entries, sync.at);
    Some(map(vec![
        ("apiVersion", Node::text_at("kustomize.toolkit.fluxcd.io/v1", sync.at)),
        ("kind", Node::text_at("Kustomization", sync.at)),
        ("metadata", map(metadata)),
        ("spec", map(vec![("path", path.clone()), ("sourceRef", map(vec![("kind", kind), ("name", name)]))])),
    ]))
}

fn mapping<'a>(entries: Vec<(&'static str, Node<'a>)>, at: Span) -> Node<'a> {
    let entry = |(key, value): (&'static str, Node<'a>)| Entry { key: Key { text: key.into(), at }, value };
    Node { value: Value::Mapping(entries.into_iter().map(entry).collect()), at, over: None }
}

/// The objects in a `ResourceSet`, once each, however many inputs there are: what the inputs decide is open.
pub fn resources_of<'a>(set: &Node<'a>, notes: &mut Vec<Note>) -> Vec<Resource<'a>> {
    // Objects stand in the set itself, or in its steps.
    let steps = set.at(&["spec", "steps"]).map(Node::items).unwrap_or_default();
    let parts = || set.get("spec").into_iter().chain(steps);
    for template in parts().filter_map(|part| part.get("resourcesTemplate")) {
        let message =
            "resourcesTemplate is a text that only the Flux Operator can read; what it makes is not rendered";
        notes.push(Note::new(template.at, Reason::Unsupported, message.to_owned()));
    }
    let namespace = set.at(&["metadata", "namespace"]).and_then(Text::of);
    let items = parts().filter_map(|part| part.get("resources")).flat_map(Node::items);
    let mut resources: Vec<Resource<'a>> = items.map(|item| Resource::of(item.clone(), item.at)).collect();
    if let Some(namespace) = namespace.filter(|namespace| !is_opaque(&namespace.text)) {
        for resource in &mut resources {
            supply_namespace(resource, &namespace);
        }
    }
    resources
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    fn node(text: &str) -> Node<'_> {
        yaml::documents(text, 0).remove(0).unwrap()
    }

    #[test]
    fn an_instance_follows_its_path() {
        let text = "apiVersion: fluxcd.controlplane.io/v1\nkind: FluxInstance\nmetadata: {name: flux, namespace: flux-system}\n\
                    spec: {sync: {kind: GitRepository, path: clusters/prod}}\n";
        let instance = node(text);
        assert!(is_flux_instance(&instance) && !is_resource_set(&instance));
        let sync_of = |instance| sync_of(instance, &Tree::default(), &mut Vec::new());
        let sync = sync_of(&instance).unwrap();
        assert_eq!(sync.text_of(&["metadata", "name"]), Some("flux-system"));
        assert_eq!(sync.text_of(&["spec", "path"]), Some("clusters/prod"));
        assert_eq!(&text[sync.at(&["spec", "path"]).unwrap().at.range()], "clusters/prod");
        assert!(sync_of(&node("kind: FluxInstance")).is_none());
    }

    #[test]
    fn a_set_holds_objects_whose_inputs_are_open() {
        let set = node(
            "{metadata: {namespace: apps}, spec: {resourcesTemplate: x, resources: [{kind: A, metadata: {name: '<< inputs.a >>'}}, \
             {kind: B, metadata: {namespace: b}}]}}",
        );
        let mut notes = Vec::new();
        let resources = resources_of(&set, &mut notes);
        let namespaces: Vec<_> = resources.iter().map(|it| it.id().namespace).collect();
        assert_eq!((namespaces, notes.len()), (vec!["apps", "b"], 1));
    }
}
