//! One thing that prints objects, and what it prints.

use std::sync::Arc;

use super::artifacts::{SourceObject, Sources};
use super::graph::Graph;
use super::index::{Index, Reach};
use super::roots::{Found, Place, Roots, named};
use super::{EndKind, Object, Step};
use crate::render::artifact::{Ignore, Origin};
use crate::render::flux::{self, FluxKustomization, Printed, Variables};
use crate::render::kustomize::{Id, Resource};
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
    pub(super) place: Option<Place<'a>>,
    /// Where the files and kustomizations begin that take part.
    pub(super) starts: Reach,
    /// What leads to it. Never empty, once it is reached.
    pub(super) arrivals: Vec<Arrival>,
    /// What it prints that is judged.
    pub(super) objects: Vec<Object<'a>>,
    /// The `ConfigMaps` that it prints.
    pub(super) config_maps: Vec<Node<'a>>,
    /// The sources of manifests that it prints.
    pub(super) sources: Sources<'a>,
    /// What it prints that prints something itself.
    pub(super) leads_to: Vec<What<'a>>,
    /// What was left out of it.
    pub(super) notes: Vec<Note>,
    pub(super) key: Key<'a>,
    source: Option<flux::Source<'a>>,
    /// Whether Flux applies its output with `spec.force`.
    pub(super) is_forced: bool,
    pub(super) depth: usize,
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
    Folder(&'a str),
    /// A Kustomization of Flux.
    Kustomization(Arc<Written<'a>>),
    /// A `ResourceSet`.
    ResourceSet(Node<'a>),
}

/// A Kustomization of Flux, and the object that it was read from.
pub(super) struct Written<'a> {
    pub(super) kustomization: FluxKustomization<'a>,
    pub(super) node: Node<'a>,
    /// Whether the Flux Operator makes it of a `FluxInstance`, so that it stands nowhere.
    pub(super) is_made: bool,
}

/// What two instances have in common if they print the same.
#[derive(Clone, PartialEq)]
pub(super) struct Key<'a> {
    place: Result<Place<'a>, Note>,
    node: Option<Node<'a>>,
    variables: Variables<'a>,
    /// `spec.ignore` of its source.
    ignore: Ignore<'a>,
}

// === impl Graph ===

impl<'a> Graph<'_, '_, 'a> {
    /// What decides about what a task prints.
    pub(super) fn key(&self, task: &Task<'a>) -> Key<'a> {
        match &task.what {
            What::Folder(folder) => {
                let place = Place { root: "", folder };
                Key {
                    place: Ok(place),
                    node: None,
                    variables: Variables::default(),
                    ignore: Ignore::default(),
                }
            }
            What::ResourceSet(node) => {
                let (place, node) = (Ok(Place::default()), Some(node.clone()));
                Key { place, node, variables: Variables::default(), ignore: Ignore::default() }
            }
            What::Kustomization(written) => Key {
                place: self.place(&written.kustomization, task.parent),
                node: Some(written.node.clone()),
                variables: self.variables(task.cluster, &written.kustomization),
                ignore: self.ignore(task.cluster, &written.kustomization),
            },
        }
    }

    fn place(&self, kustomization: &FluxKustomization<'a>, parent: Option<usize>) -> Result<Place<'a>, Note> {
        let file = self.index.tree.file_of(kustomization.at);
        let parent = parent.map(|parent| &self.instances[parent]);
        let parent = parent.and_then(|parent| Some((parent.place.as_ref()?.root, parent.source.as_ref()?)));
        self.roots.place(
            self.index,
            &kustomization.path,
            &kustomization.source,
            Found { folder: file.folder(), parent },
        )
    }

    pub(super) fn build(&self, task: &Task<'a>, step: Step, key: Key<'a>) -> Instance<'a> {
        let depth = task.parent.map_or(0, |parent| self.instances[parent].depth + 1);
        let empty = |kind, place| Instance {
            kind,
            step,
            before: None,
            place,
            starts: Reach::default(),
            arrivals: Vec::new(),
            objects: Vec::new(),
            config_maps: Vec::new(),
            sources: Sources::default(),
            leads_to: Vec::new(),
            notes: Vec::new(),
            key,
            source: None,
            is_forced: false,
            depth,
        };
        match &task.what {
            What::Folder(folder) => {
                let mut instance = empty(EndKind::Folder, Some(Place { root: "", folder }));
                let kustomize = self.artifacts.whole();
                instance.starts = self.index.starts(kustomize.view(), folder, &[]);
                instance.take(Printed::of_folder(kustomize, folder), self.index.tree);
                self.settle(task, instance)
            }
            What::ResourceSet(node) => {
                let mut instance = empty(EndKind::ResourceSet, None);
                let mut notes = Vec::new();
                let resources = flux::resources_of(node, &mut notes);
                instance.take(Printed { resources, notes }, self.index.tree);
                instance.forget_itself(false);
                instance
            }
            What::Kustomization(written) => {
                let mut instance = empty(EndKind::Kustomization, None);
                self.print(&mut instance, &written.kustomization);
                self.settle(task, instance)
            }
        }
    }

    /// Builds the folder of a Kustomization; once more, where it prints its own source with another `spec.ignore` than was known before.
    fn print(&self, instance: &mut Instance<'a>, kustomization: &FluxKustomization<'a>) {
        instance.source = Some(kustomization.source.clone());
        instance.is_forced = kustomization.force;
        for _ in 0..2 {
            let printed = self
                .printed(instance, kustomization)
                .unwrap_or_else(|note| Printed { resources: Vec::new(), notes: vec![note] });
            instance.take(printed, self.index.tree);
            match instance.sources.ignore_of(&kustomization.source) {
                Some(ignore) if ignore != instance.key.ignore => instance.key.ignore = ignore,
                _ => break,
            }
        }
    }

    fn printed(
        &self,
        instance: &mut Instance<'a>,
        kustomization: &FluxKustomization<'a>,
    ) -> Result<Printed<'a>, Note> {
        let place = instance.key.place.clone()?;
        let source = &kustomization.source;
        let kustomize = self.artifacts.get(self.roots.origin(place, source, instance.key.ignore.clone()));
        let view = kustomize.view();
        if view.has_too_many_patterns() {
            let message = "the artifact is not rendered: its files times the patterns that leave files out are too many";
            return Err(Note::new(kustomization.path.at, Reason::TooMuch, message));
        }
        if !view.holds_folder(place.folder) {
            let why = view.reason(place.folder).map_or_else(String::new, |reason| format!(": {reason}"));
            let path = &kustomization.path;
            let message = format!("{} is no folder of {}{why}", path.text, named(source));
            return Err(Note::new(path.at, Reason::Missing, message));
        }
        instance.place = Some(place);
        instance.starts = self.index.starts(view, place.folder, &kustomization.components);
        Ok(kustomization.build(&kustomize, place.folder, &instance.key.variables))
    }

    /// The top of a cluster prints its own Kustomization. What is printed is what counts: it is patched where the raw file is not.
    fn settle(&self, task: &Task<'a>, mut instance: Instance<'a>) -> Instance<'a> {
        for _ in 0..MAX_CHANGES {
            let Some(written) = self.itself(task, &instance) else {
                instance.forget_itself(false);
                return instance;
            };
            if instance.kind == EndKind::Folder {
                instance.before = Some(instance.step.clone());
            }
            let Written { kustomization, node, .. } = &*written;
            instance.kind = EndKind::Kustomization;
            instance.step = Step { name: kustomization.title().into(), at: kustomization.name.at };
            instance.key.node = Some(node.clone());
            instance.key.variables = self.variables(task.cluster, kustomization);
            let printed = instance.sources.ignore_of(&kustomization.source);
            instance.key.ignore = printed.unwrap_or_else(|| self.ignore(task.cluster, kustomization));
            self.print(&mut instance, kustomization);
        }
        let message = format!("{} prints itself with other content each time", instance.step.name);
        instance.notes.push(Note::new(instance.step.at, Reason::Refused, message));
        instance.forget_itself(true);
        instance
    }

    /// The Kustomization of the folder that an instance builds, if that prints it, and not as it is already.
    fn itself(&self, task: &Task<'a>, instance: &Instance<'a>) -> Option<Arc<Written<'a>>> {
        let place = instance.place.as_ref()?;
        for what in &instance.leads_to {
            let What::Kustomization(written) = what else { continue };
            let is_itself = !written.is_made && (instance.kind == EndKind::Folder || instance.is(what));
            let its = is_itself.then(|| self.place(&written.kustomization, task.parent).ok()).flatten();
            if its.is_some_and(|its| its.folder == place.folder) {
                let is_new = instance.key.node.as_ref() != Some(&written.node);
                return is_new.then(|| Arc::clone(written));
            }
        }
        None
    }
}

// === impl Instance ===

impl<'a> Instance<'a> {
    /// The artifact that it was built from in the end.
    pub(super) fn origin(&self, roots: &Roots<'a>) -> Option<Origin<'a>> {
        Some(roots.origin(self.place?, self.source.as_ref()?, self.key.ignore.clone()))
    }

    /// Keeps what counts of what was printed.
    fn take(&mut self, printed: Printed<'a>, tree: &Tree<'a>) {
        let Printed { resources, notes } = printed;
        self.notes = notes;
        self.leads_to = resources.iter().filter_map(|resource| What::of(&resource.node, tree)).collect();
        self.sources = resources.iter().filter_map(|resource| SourceObject::read(&resource.node)).collect();
        self.config_maps =
            resources.iter().filter(|it| is_whole_config_map(it)).map(|it| it.node.clone()).collect();
        self.objects = resources.into_iter().filter_map(Object::printed).collect();
        // They are a few of all, in the place of which they were collected.
        self.objects.shrink_to_fit();
    }

    /// Leaves out that it prints itself: as it is already, and as anything else where it would go on doing so for ever.
    fn forget_itself(&mut self, is_endless: bool) {
        let mut leads_to = std::mem::take(&mut self.leads_to);
        leads_to.retain(|what| {
            let is_same = match what {
                What::Folder(_) => false,
                What::Kustomization(written) => {
                    !written.is_made && self.key.node.as_ref() == Some(&written.node)
                }
                What::ResourceSet(node) => self.key.node.as_ref() == Some(node),
            };
            !(is_same || is_endless && self.is(what))
        });
        self.leads_to = leads_to;
    }

    fn is(&self, what: &What<'a>) -> bool {
        matches!(what, What::Kustomization(written) if written.kustomization.title() == *self.step.name)
    }
}

fn is_whole_config_map(resource: &Resource<'_>) -> bool {
    !resource.generated.is_partial
        && resource.node.text_of(&["kind"]) == Some("ConfigMap")
        && resource.node.text_of(&["apiVersion"]) == Some("v1")
}

// === impl What ===

impl<'a> What<'a> {
    /// What an object leads to, if it leads to anything.
    pub(super) fn of(node: &Node<'a>, tree: &Tree<'a>) -> Option<Self> {
        let mut notes = Vec::new();
        let read = |node: Node<'a>, notes, is_made| {
            let mut kustomization = FluxKustomization::read(&node)?;
            kustomization.notes = notes;
            Some(Self::Kustomization(Arc::new(Written { kustomization, node, is_made })))
        };
        if FluxKustomization::is_one(node) {
            read(node.clone(), notes, false)
        } else if flux::is_flux_instance(node) {
            read(flux::sync_of(node, tree, &mut notes)?, notes, true)
        } else {
            flux::is_resource_set(node).then(|| Self::ResourceSet(node.clone()))
        }
    }

    /// How it is told.
    pub(super) fn step(&self, index: &Index<'_, 'a>) -> Step {
        match self {
            Self::Folder(folder) => {
                let file = index.tree.kustomization(folder);
                let at = Span::new(file.map_or(0, |file| file.id), 0, 0);
                Step { name: file.map_or(*folder, |file| file.path).into(), at }
            }
            Self::Kustomization(written) => {
                Step { name: written.kustomization.title().into(), at: written.kustomization.name.at }
            }
            Self::ResourceSet(node) => {
                let Id { namespace, name, .. } = Id::of(node);
                let slash = if namespace.is_empty() { "" } else { "/" };
                let at = node.at(&["metadata", "name"]).map_or(node.at, |name| name.at);
                Step { name: format!("ResourceSet {namespace}{slash}{name}").into(), at }
            }
        }
    }
}
