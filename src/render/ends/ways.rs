//! From what was rendered to ends, and the ways that lead to them.

use super::graph::Graph;
use super::instance::Instance;
use super::{End, EndKind, Object, Step, Way};

/// How many ways to one end are told. More tell nobody more.
const MAX_WAYS: usize = 16;

impl<'a> Graph<'_, '_, 'a> {
    /// The ends, in the order in which they were found, folders last.
    pub(super) fn ends(mut self) -> Vec<End<'a>> {
        let ways: Vec<_> = (0..self.instances.len()).map(|number| self.ways(number)).collect();
        let mut ends: Vec<End<'a>> =
            self.instances.iter_mut().zip(ways).map(|(instance, ways)| end(instance, ways)).collect();
        ends.sort_by(|one, other| {
            let rank = |end: &End<'_>| (end.kind == EndKind::Folder).then(|| end.path.clone());
            rank(one).cmp(&rank(other))
        });
        // It dies with the process: to free it piece by piece takes a tenth of all the time.
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

fn end<'a>(instance: &mut Instance<'a>, ways: Vec<Way>) -> End<'a> {
    let mut notes = std::mem::take(&mut instance.printed.notes);
    notes.sort();
    notes.dedup();
    End {
        kind: instance.kind,
        path: instance.place.as_ref().map(|place| place.folder.clone()).unwrap_or_default(),
        ways,
        objects: instance.printed.resources.iter().filter_map(Object::printed).collect(),
        notes,
    }
}
