//! From the top of each cluster down to all that it is given.

use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;
use foldhash::{HashMap, HashSet};
use rayon::prelude::*;

use super::Step;
use super::artifacts::{Artifacts, Sources};
use super::index::Index;
use super::instance::{Arrival, Instance, Key, Task, What};
use super::roots::Roots;
use super::tops::Reached;
use crate::render::artifact::Ignore;
use crate::render::flux::{FluxKustomization, Variables};
use crate::render::kustomize::{Id, Text};
use crate::render::{Note, Reason};
use crate::yaml::Node;

/// How long a way may be. Flux itself knows no limit; nobody nests ten deep.
const MAX_DEPTH: usize = 32;

/// All that is rendered.
pub(super) struct Graph<'g, 't, 'a> {
    pub(super) index: &'g Index<'t, 'a>,
    pub(super) roots: &'g Roots<'a>,
    pub(super) artifacts: &'g Artifacts<'t, 'a>,
    clusters: Vec<Cluster<'a>>,
    /// In the order in which they were found.
    #[expect(clippy::vec_box, reason = "they are large, and a list that grows has room for twice as many")]
    pub(super) instances: Vec<Box<Instance<'a>>>,
    /// The instances by the hash of what they are called, so that few have to be compared.
    by_name: HashMap<u64, Vec<usize>>,
    hasher: RandomState,
    /// What all of them reach.
    pub(super) reached: Reached,
}

/// A task, and what tells whether something prints the same.
struct Resolved<'a> {
    task: Task<'a>,
    key: Key<'a>,
    step: Step,
    name: u64,
}

/// What is known of a cluster: of all that is reached from one top.
#[derive(Default)]
struct Cluster<'a> {
    /// The data of its `ConfigMaps`, by namespace and name.
    config_maps: HashMap<(String, String), Node<'a>>,
    /// The sources of manifests that are printed.
    sources: Sources<'a>,
    /// What was reached.
    seen: HashSet<usize>,
}

// === impl Graph ===

impl<'g, 't, 'a> Graph<'g, 't, 'a> {
    pub(super) fn of(
        index: &'g Index<'t, 'a>,
        roots: &'g Roots<'a>,
        artifacts: &'g Artifacts<'t, 'a>,
    ) -> Self {
        Self {
            index,
            roots,
            artifacts,
            clusters: Vec::new(),
            instances: Vec::new(),
            by_name: HashMap::default(),
            hasher: RandomState::default(),
            reached: Reached::of(index),
        }
    }

    /// Renders what is at the top of clusters, each of its own, and all that it leads to.
    pub(super) fn follow(&mut self, tops: impl IntoIterator<Item = What<'a>>) {
        let mut tasks = Vec::new();
        for what in tops {
            tasks.push(Task { cluster: self.clusters.len(), parent: None, what });
            self.clusters.push(Cluster::default());
        }
        while !tasks.is_empty() {
            let (now, later): (Vec<_>, Vec<_>) = self.ready(tasks);
            tasks = self.round(now);
            tasks.extend(later);
        }
    }

    /// Tells the tasks whose variables are known from those that had better wait, because what is still to be built in their cluster may
    /// bring them.
    fn ready(&self, tasks: Vec<Task<'a>>) -> (Vec<Task<'a>>, Vec<Task<'a>>) {
        let waits: Vec<bool> = tasks.iter().map(|task| self.lacks(task)).collect();
        let busy: HashSet<usize> =
            tasks.iter().zip(&waits).filter(|(_, waits)| !**waits).map(|(task, _)| task.cluster).collect();
        let (mut now, mut later) = (Vec::new(), Vec::new());
        for (task, waits) in tasks.into_iter().zip(waits) {
            if waits && busy.contains(&task.cluster) { later.push(task) } else { now.push(task) }
        }
        (now, later)
    }

    fn lacks(&self, task: &Task<'a>) -> bool {
        let What::Kustomization(written) = &task.what else { return false };
        let from = written.kustomization.post_build.iter().flat_map(|post_build| &post_build.from);
        from.filter(|from| from.is_config_map).any(|from| {
            let place = place_of(&written.kustomization, &from.name);
            !self.clusters[task.cluster].config_maps.contains_key(&place)
        })
    }

    /// Builds what is new among tasks; what they lead to is the next round.
    fn round(&mut self, tasks: Vec<Task<'a>>) -> Vec<Task<'a>> {
        let mut new: Vec<Resolved<'a>> = Vec::new();
        let mut reached = Vec::new();
        let first = self.instances.len();
        for resolved in self.resolved(tasks) {
            let known = self.by_name.entry(resolved.name).or_default();
            let same = known.iter().copied().find(|number| match number.checked_sub(first) {
                Some(planned) => new[planned].key == resolved.key,
                None => self.instances[*number].key == resolved.key,
            });
            let number = same.unwrap_or(first + new.len());
            let Task { cluster, parent, .. } = resolved.task;
            if same.is_some() {
                reached.push((cluster, parent, Some(resolved.step), number));
            } else {
                reached.push((cluster, parent, None, number));
                known.push(number);
                new.push(resolved);
            }
        }
        self.build_all(new);
        let mut next = Vec::new();
        for (cluster, parent, step, number) in reached {
            let step = step.unwrap_or_else(|| self.instances[number].step.clone());
            self.reach(cluster, Arrival { parent, step }, number, &mut next);
        }
        next
    }

    fn resolved(&self, tasks: Vec<Task<'a>>) -> Vec<Resolved<'a>> {
        let resolved = tasks.into_par_iter().map(|task| {
            let (key, step) = (self.key(&task), task.what.step(self.index));
            let name = self.hasher.hash_one(&step.name);
            Resolved { task, key, step, name }
        });
        resolved.collect()
    }

    fn build_all(&mut self, new: Vec<Resolved<'a>>) {
        let this = &*self;
        // One may take as long as all others, so that none waits behind another one.
        let built = new.into_par_iter().with_max_len(1).map(|Resolved { task, key, step, name }| {
            let instance = Box::new(this.build(&task, step, key));
            let now = this.hasher.hash_one(&instance.step.name);
            (instance, (now != name).then_some(now))
        });
        for (mut instance, renamed) in built.collect::<Vec<_>>() {
            if let Some(name) = renamed {
                self.by_name.entry(name).or_default().push(self.instances.len());
            }
            self.reached.add(self.index, std::mem::take(&mut instance.starts));
            self.instances.push(instance);
        }
    }

    /// Notes that something leads to an instance, and what that leads to in this cluster.
    fn reach(&mut self, cluster: usize, arrival: Arrival, number: usize, next: &mut Vec<Task<'a>>) {
        let instance = &mut self.instances[number];
        if arrival.parent != Some(number) && !instance.arrivals.contains(&arrival) {
            instance.arrivals.push(arrival);
        }
        let Cluster { config_maps, sources, seen } = &mut self.clusters[cluster];
        if !seen.insert(number) {
            return;
        }
        for map in &instance.config_maps {
            let (Id { namespace, name, .. }, Some(data)) = (Id::of(map), map.get("data")) else { continue };
            config_maps.insert((namespace.to_owned(), name.to_owned()), data.clone());
        }
        sources.extend(instance.sources.iter().cloned());
        if instance.depth < MAX_DEPTH {
            let leads_to = instance.leads_to.iter().cloned();
            next.extend(leads_to.map(|what| Task { cluster, parent: Some(number), what }));
        } else if !instance.leads_to.is_empty() {
            let message = format!(
                "what {} leads to is not rendered: it is {MAX_DEPTH} deep already",
                instance.step.name
            );
            instance.notes.push(Note::new(instance.step.at, Reason::Unsupported, message));
        }
    }

    /// `spec.ignore` of the source of a Kustomization: as it is printed in its cluster, else as it is written.
    pub(super) fn ignore(&self, cluster: usize, kustomization: &FluxKustomization<'a>) -> Ignore<'a> {
        let printed = self.clusters[cluster].sources.ignore_of(&kustomization.source);
        let file = kustomization.at.file();
        printed.unwrap_or_else(|| self.index.sources.ignore_in_files(&kustomization.source, file))
    }

    /// The variables of a Kustomization in a cluster.
    pub(super) fn variables(&self, cluster: usize, kustomization: &FluxKustomization<'a>) -> Variables<'a> {
        let mut variables = Variables::default();
        let Some(post_build) = &kustomization.post_build else { return variables };
        (variables.always, variables.strict) = (post_build.always, self.index.tree.refuses_unset_variables());
        for from in &post_build.from {
            let place = place_of(kustomization, &from.name);
            match self.config_map(cluster, &place).filter(|_| from.is_config_map) {
                Some(data) => variables.add(data.entries()),
                None => variables.may_be_more = true,
            }
        }
        variables.add(&post_build.substitute);
        variables
    }

    /// The data of a `ConfigMap` of a cluster; or of another one, if all that have it agree.
    fn config_map(&self, cluster: usize, place: &(String, String)) -> Option<&Node<'a>> {
        if let Some(own) = self.clusters[cluster].config_maps.get(place) {
            return Some(own);
        }
        let mut others = self.clusters.iter().filter_map(|cluster| cluster.config_maps.get(place));
        let first = others.next()?;
        others.all(|other| other == first).then_some(first)
    }
}

/// Where a `ConfigMap` is that a Kustomization reads.
fn place_of(kustomization: &FluxKustomization<'_>, name: &Text<'_>) -> (String, String) {
    let namespace = kustomization.namespace.as_ref().map_or("", |namespace| &namespace.text);
    (namespace.to_owned(), name.text.to_string())
}
