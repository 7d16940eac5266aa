//! From what was rendered to ends, and the ways that lead to them.

use rayon::prelude::*;

use super::graph::Graph;
use super::instance::Instance;
use super::{End, EndKind, Object, Step, Way};
use crate::yaml::Node;

/// How many ways to one end are told. More tell nobody more.
const MAX_WAYS: usize = 16;

impl<'a> Graph<'_, '_, 'a> {
    /// The ends, in the order in which they were found, folders last.
    pub(super) fn ends(mut self) -> Vec<End<'a>> {
        let this = &self;
        let ways: Vec<_> =
            (0..this.instances.len()).into_par_iter().map(|number| this.ways(number)).collect();
        let instances = std::mem::take(&mut self.instances).into_par_iter();
        let mut ends: Vec<End<'a>> =
            instances.zip(ways).map(|(instance, ways)| end(*instance, ways)).collect();
        ends.sort_by(|one, other| rank(one).cmp(&rank(other)));
        // It dies with the process, as what is left of the instances does: to free it piece by piece takes a tenth of all the time.
        std::mem::forget(self);
        ends
    }

    /// The ways to an instance, each instance at most once in each, in the order of their places.
    fn ways(&self, number: usize) -> Vec<Way> {
        let mut ways = Vec::new();
        let mut stack = vec![(vec![number], Vec::new())];
        while let Some((upwards, steps)) = stack.pop() {
            let highest = &self.instances[*upwards.last().expect("it begins with the end itself")];
            for arrival in &highest.arrivals {
                let mut steps: Vec<&Step> = steps.clone();
                steps.push(&arrival.step);
                steps.extend(&highest.before);
                match arrival.parent {
                    None => ways.push(Way { steps: steps.into_iter().rev().cloned().collect() }),
                    Some(parent) if !upwards.contains(&parent) => {
                        let mut upwards = upwards.clone();
                        upwards.push(parent);
                        stack.push((upwards, steps));
                    }
                    Some(_) => {}
                }
            }
            if ways.len() >= MAX_WAYS {
                break;
            }
        }
        ways.sort_by(|one, other| {
            one.steps.iter().map(|step| step.at).cmp(other.steps.iter().map(|step| step.at))
        });
        ways
    }
}

/// Folders come last, by their paths; all else stays in its order.
fn rank<'e>(end: &'e End<'_>) -> Option<&'e str> {
    (end.kind == EndKind::Folder).then_some(&*end.path)
}

/// Whether a release reads a value from a ConfigMap for a `targetPath`.
fn reads_a_value(object: &Object<'_>, map: &Node<'_>) -> bool {
    let name = map.text_of(&["metadata", "name"]);
    let references = object.node.at(&["spec", "valuesFrom"]).map(Node::items).unwrap_or_default();
    references.iter().any(|it| it.get("targetPath").is_some() && it.text_of(&["name"]) == name)
}

fn end(mut instance: Instance<'_>, ways: Vec<Way>) -> End<'_> {
    let mut notes = std::mem::take(&mut instance.notes);
    notes.sort();
    notes.dedup();
    let mut config_maps = std::mem::take(&mut instance.config_maps);
    config_maps.retain(|map| instance.objects.iter().any(|object| reads_a_value(object, map)));
    let end = End {
        kind: instance.kind,
        config_maps,
        path: instance.place.map(|place| place.folder.to_owned()).unwrap_or_default(),
        forced_by: instance.is_forced.then(|| instance.step.name.to_string()),
        ways,
        objects: std::mem::take(&mut instance.objects),
        notes,
    };
    std::mem::forget(instance);
    end
}
