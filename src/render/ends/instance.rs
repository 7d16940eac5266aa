//! One thing that prints objects, and what it prints.

use super::graph::Graph;
use super::index::{Index, Reach};
use super::roots::{Found, Place};
use super::{EndKind, Step};
use crate::render::flux::{self, FluxKustomization, Printed, Variables};
use crate::render::kustomize::Id;
use crate::render::{Note, Reason, Tree};
use crate::yaml::{Node, Span};

/// How often a Kustomization may print itself anew with other content.
const MAX_CHANGES: usize = 4;

/// Something that prints objects.
pub(super) struct Instance<'a> {
    pub(super) kind: EndKind,
    pub(super) step: Step,
    /// What led to it first: the step of a folder that only shows how a cluster was set up.
    pub(super) before: Option<Step>,
    /// The folder that is built, and what its path is relative to.
    pub(super) place: Option<Place>,
    /// The files and kustomizations that take part.
    pub(super) reach: Reach,
    /// What leads to it. Never empty, once it is reached.
    pub(super) arrivals: Vec<Arrival>,
    pub(super) printed: Printed<'a>,
    pub(super) key: Key<'a>,
    source: Option<flux::Source<'a>>,
    pub(super) depth: usize,
    /// Whether it would go on printing itself for ever.
    is_endless: bool,
}

/// One way in which something is led to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Arrival {
    /// By what; nothing, where it is the top of a cluster.
    pub(super) parent: Option<usize>,
    /// The object that says so.
    pub(super) step: Step,
}

/// Something that is still to be built.
pub(super) struct Task<'a> {
    pub(super) cluster: usize,
    pub(super) parent: Option<usize>,
    pub(super) what: What<'a>,
}

/// What a task is about.
#[derive(Clone)]
pub(super) enum What<'a> {
    /// A folder with a kustomization file.
    Folder(String),
    /// A Kustomization of Flux.
    Kustomization(Box<FluxKustomization<'a>>, Node<'a>),
    /// A `ResourceSet`.
    ResourceSet(Node<'a>),
}

/// What two instances have in common if they print the same.
#[derive(Clone, PartialEq)]
pub(super) struct Key<'a> {
    place: Result<Place, Note>,
    node: Option<Node<'a>>,
    variables: Variables<'a>,
}

// === impl Graph ===

impl<'a> Graph<'_, '_, 'a> {
    /// What decides about what a task prints.
    pub(super) fn key(&self, task: &Task<'a>) -> Key<'a> {
        let nowhere = Place { root: String::new(), folder: String::new() };
        match &task.what {
            What::Folder(folder) => {
                let place = Place { root: String::new(), folder: folder.clone() };
                Key { place: Ok(place), node: None, variables: Variables::default() }
            }
            What::ResourceSet(node) => {
                Key { place: Ok(nowhere), node: Some(node.clone()), variables: Variables::default() }
            }
            What::Kustomization(kustomization, node) => Key {
                place: self.place(kustomization, task.parent),
                node: Some(node.clone()),
                variables: self.variables(task.cluster, kustomization),
            },
        }
    }

    fn place(&self, kustomization: &FluxKustomization<'a>, parent: Option<usize>) -> Result<Place, Note> {
        let file = self.index.tree.file_of(kustomization.at);
        let parent = parent.map(|parent| &self.instances[parent]);
        let parent = parent.and_then(|parent| Some((&*parent.place.as_ref()?.root, parent.source.as_ref()?)));
        self.roots.place(
            self.index,
            &kustomization.path,
            &kustomization.source,
            Found { folder: file.folder(), parent },
        )
    }

    pub(super) fn build(&self, task: &Task<'a>, key: Key<'a>) -> Instance<'a> {
        let depth = task.parent.map_or(0, |parent| self.instances[parent].depth + 1);
        let empty = |kind, place| Instance {
            kind,
            step: task.what.step(self.index),
            before: None,
            place,
            reach: Reach::default(),
            arrivals: Vec::new(),
            printed: Printed::default(),
            key,
            source: None,
            depth,
            is_endless: false,
        };
        match &task.what {
            What::Folder(folder) => {
                let place = Place { root: String::new(), folder: folder.clone() };
                let mut instance = empty(EndKind::Folder, Some(place));
                instance.reach = self.index.reach(folder, &[]);
                instance.printed = Printed::of_folder(&self.kustomize, folder);
                self.settle(task, instance)
            }
            What::ResourceSet(node) => {
                let mut instance = empty(EndKind::ResourceSet, None);
                instance.printed.resources = flux::resources_of(node, &mut instance.printed.notes);
                instance
            }
            What::Kustomization(kustomization, _) => {
                let mut instance = empty(EndKind::Kustomization, None);
                self.print(&mut instance, kustomization);
                self.settle(task, instance)
            }
        }
    }

    /// Builds the folder of a Kustomization.
    fn print(&self, instance: &mut Instance<'a>, kustomization: &FluxKustomization<'a>) {
        instance.source = Some(kustomization.source.clone());
        match &instance.key.place {
            Ok(place) => {
                instance.place = Some(place.clone());
                instance.reach = self.index.reach(&place.folder, &kustomization.components);
                instance.printed = kustomization.build(
                    self.index.tree,
                    &self.kustomize,
                    &place.folder,
                    &instance.key.variables,
                );
            }
            Err(note) => instance.printed = Printed { resources: Vec::new(), notes: vec![note.clone()] },
        }
    }

    /// The top of a cluster prints its own Kustomization. What is printed is what counts: it is patched where the raw file is not.
    fn settle(&self, task: &Task<'a>, mut instance: Instance<'a>) -> Instance<'a> {
        for _ in 0..MAX_CHANGES {
            let Some((kustomization, node)) = self.itself(task, &instance) else { return instance };
            if instance.kind == EndKind::Folder {
                instance.before = Some(instance.step.clone());
            }
            instance.kind = EndKind::Kustomization;
            instance.step = Step { name: kustomization.title(), at: kustomization.name.at };
            let place = instance.key.place.clone();
            let variables = self.variables(task.cluster, &kustomization);
            instance.key = Key { place, node: Some(node), variables };
            self.print(&mut instance, &kustomization);
        }
        let message = format!("{} prints itself with other content each time", instance.step.name);
        instance.printed.notes.push(Note { at: instance.step.at, reason: Reason::Refused, message });
        instance.is_endless = true;
        instance
    }

    /// The Kustomization of the folder that an instance builds, if that prints it, and not as it is already.
    fn itself(&self, task: &Task<'a>, instance: &Instance<'a>) -> Option<(FluxKustomization<'a>, Node<'a>)> {
        let place = instance.place.as_ref()?;
        let candidates = instance.printed.resources.iter().filter(|it| FluxKustomization::is_one(&it.node));
        for resource in candidates {
            let Some(kustomization) = FluxKustomization::read(&resource.node) else {
                continue;
            };
            let is_itself = instance.kind == EndKind::Folder || kustomization.title() == instance.step.name;
            let its = is_itself.then(|| self.place(&kustomization, task.parent).ok()).flatten();
            if its.is_some_and(|its| its.folder == place.folder) {
                let is_new = instance.key.node.as_ref() != Some(&resource.node);
                return is_new.then(|| (kustomization, resource.node.clone()));
            }
        }
        None
    }
}

// === impl Instance ===

impl<'a> Instance<'a> {
    /// What it prints that prints something itself.
    pub(super) fn leads_to(&self, tree: &Tree<'a>) -> Vec<What<'a>> {
        let others = self.printed.resources.iter().filter(|it| self.key.node.as_ref() != Some(&it.node));
        let all = others.filter_map(|resource| What::of(&resource.node, tree));
        all.filter(|what| !(self.is_endless && self.is(what))).collect()
    }

    fn is(&self, what: &What<'a>) -> bool {
        matches!(what, What::Kustomization(kustomization, _) if kustomization.title() == self.step.name)
    }
}

// === impl What ===

impl<'a> What<'a> {
    /// What an object leads to, if it leads to anything.
    pub(super) fn of(node: &Node<'a>, tree: &Tree<'a>) -> Option<Self> {
        let mut notes = Vec::new();
        let read = |node: Node<'a>, notes| {
            let mut kustomization = FluxKustomization::read(&node)?;
            kustomization.notes = notes;
            Some(Self::Kustomization(Box::new(kustomization), node))
        };
        if FluxKustomization::is_one(node) {
            read(node.clone(), notes)
        } else if flux::is_flux_instance(node) {
            read(flux::sync_of(node, tree, &mut notes)?, notes)
        } else {
            flux::is_resource_set(node).then(|| Self::ResourceSet(node.clone()))
        }
    }

    /// How it is told.
    pub(super) fn step(&self, index: &Index<'_, 'a>) -> Step {
        match self {
            Self::Folder(folder) => {
                let file = index.tree.kustomization(folder);
                let at = Span { file: file.map_or(0, |file| file.id), start: 0, end: 0 };
                Step { name: file.map_or(folder.clone(), |file| file.path.to_owned()), at }
            }
            Self::Kustomization(kustomization, _) => {
                Step { name: kustomization.title(), at: kustomization.name.at }
            }
            Self::ResourceSet(node) => {
                let Id { namespace, name, .. } = Id::of(node);
                let slash = if namespace.is_empty() { "" } else { "/" };
                let at = node.at(&["metadata", "name"]).map_or(node.at, |name| name.at);
                Step { name: format!("ResourceSet {namespace}{slash}{name}"), at }
            }
        }
    }
}
