//! Every Flux Kustomization of the real repositories.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use chartgate::render::ends::{self, End, EndKind};
use chartgate::render::flux::FluxKustomization;
use chartgate::render::flux::envsubst::{self, Variable};
use chartgate::render::{File, Note, Reason, Tree};
use serde_json::Value;

use super::oracle::Oracle;
use super::walk::{Followed, Output, Seen, Walk, expand, is_kustomization, title_of};
use crate::corpus::{files, generated, reason, trees, without_hashes};
use crate::go_tools::announce;
use crate::oracle::{by_name, difference};
use crate::scratch::Scratch;

/// What came of comparing.
#[derive(Debug, Default)]
struct Tally {
    documents: usize,
    ways: usize,
    ends: usize,
    built: usize,
    objects: usize,
    equal: usize,
    /// Kustomizations that what was built leads to.
    children: usize,
    /// Objects without a namespace.
    supplied: usize,
    /// Objects that say where they come from.
    origins: usize,
    with_open: usize,
    with_variables: usize,
    stand_ins: usize,
    remote: usize,
    not_judged: BTreeMap<String, Vec<String>>,
    unequal: Vec<String>,
}

#[test]
fn real_flux_kustomizations_are_rendered_as_the_controller_does() {
    let Some(tally) = compared(false) else { return };
    assert!(tally.built * 10 > tally.ends * 8, "most Kustomizations can be built");
}

#[test]
fn a_variable_without_a_value_is_refused_where_the_controller_does() {
    let Some(tally) = compared(true) else { return };
    let refused = tally.not_judged.iter().filter(|(_, which)| which[0].contains("strict mode"));
    assert!(refused.map(|(_, which)| which.len()).sum::<usize>() > 100, "many have one");
}

/// Compares all of the corpus, for a controller that refuses variables without a value, or one that does not.
fn compared(strict: bool) -> Option<Tally> {
    let Some(trees) = trees() else {
        eprintln!("skipped: no corpus");
        return None;
    };
    let (Some(first), Some(second)) = (Oracle::find(), Oracle::find()) else { return None };
    let next = std::sync::Mutex::new(trees.iter());
    let tally = std::thread::scope(|scope| {
        let work = |mut oracle: Oracle| {
            let mut tally = Tally::default();
            loop {
                let Some(root) = next.lock().unwrap().next() else { return tally };
                tally.tree(root, strict, &mut oracle);
            }
        };
        let other = scope.spawn(move || work(second));
        work(first).with(other.join().expect("a thread of the test ends"))
    });
    tally.tell();
    assert!(tally.unequal.is_empty(), "{}", tally.unequal.join("\n"));
    Some(tally)
}

// === impl Tally ===

impl Tally {
    fn tree(&mut self, root: &Path, strict: bool, oracle: &mut Oracle) {
        let files = files(root);
        let mut tree = Tree::default().refusing_unset_variables(strict);
        for (path, text) in &files {
            tree.add(path, text);
        }
        let scratch = tempfile::tempdir().unwrap();
        let done = Scratch::write(&tree, scratch.path());
        self.stand_ins += done.stand_ins;
        self.remote += done.remote;
        oracle.archive(scratch.path());
        let documents = tree.files().iter().flat_map(File::documents).flatten().flat_map(expand);
        self.documents += documents.filter(|document| FluxKustomization::is_one(document)).count();
        let rendered = ends::all(&tree, &[]);
        self.ends += rendered.ends.iter().filter(|end| end.kind == EndKind::Kustomization).count();
        let label = root.strip_prefix(root.ancestors().nth(2).unwrap()).unwrap().display().to_string();
        let mut walk = Walk::of(oracle, scratch.path(), &tree, &rendered);
        let followed = Followed::of(&rendered);
        // Once to know the ConfigMaps of all clusters, and once more with them.
        for (step, below) in &followed.steps {
            walk.cluster(step, below);
        }
        let mut compared = BTreeSet::new();
        for (step, below) in &followed.steps {
            let seen = walk.cluster(step, below);
            self.compare(&label, &rendered.ends, &followed, &seen, &mut compared);
        }
    }

    fn compare(
        &mut self,
        label: &str,
        ends: &[End<'_>],
        followed: &Followed,
        seen: &Seen,
        compared: &mut BTreeSet<usize>,
    ) {
        for (way, output) in seen {
            let at = way.iter().fold(followed, |at, step| &at.steps[step]);
            self.ways += at.ends.len();
            let name = &way.last().unwrap().0;
            let output = match output {
                Ok(output) => output,
                Err(error) => {
                    for end in &at.ends {
                        if ends[*end].kind == EndKind::Kustomization && compared.insert(*end) {
                            let told = format!("{label}/{}: {name}: {error}", ends[*end].path);
                            // What is elsewhere was taken out of the copy, which may leave nothing.
                            let is_told = |note: &Note| {
                                note.reason.is_failure()
                                    || matches!(note.reason, Reason::Remote | Reason::Unknown)
                            };
                            // What leads to it is told at that.
                            let is_led_to = error.starts_with("what leads to it");
                            // The definitions of an older Flux, which come with the controller that takes them.
                            let is_of_flux = error
                                .contains("'CustomResourceDefinition.v1.apiextensions.k8s.io/")
                                && error.contains(".toolkit.fluxcd.io': envsubst error");
                            if !is_led_to && !is_of_flux && !ends[*end].notes.iter().any(is_told) {
                                self.unequal.push(format!("refused there, and nothing is said here: {told}"));
                            }
                            self.not_judged.entry(reason(error)).or_default().push(told);
                        }
                    }
                    continue;
                }
            };
            for end in &at.ends {
                if compared.insert(*end) {
                    self.built += 1;
                    self.supplied += output.supplied;
                    self.with_open += usize::from(output.has_open);
                    self.with_variables += usize::from(!output.variables.is_empty());
                }
                self.compare_end(&format!("{label}/{}: {name}", ends[*end].path), &ends[*end], output);
            }
            // A folder that prints its own Kustomization only shows how a cluster was set up.
            if at.ends.is_empty() {
                continue;
            }
            let known: BTreeSet<&String> = at.steps.keys().map(|(title, ..)| title).collect();
            for child in output.objects.iter().filter(|object| is_kustomization(object)).map(title_of) {
                self.children += 1;
                let is_above = way.iter().any(|(title, ..)| *title == child);
                let is_cut = ends.iter().any(|end| {
                    end.ways.len() >= 16 && end.ways[0].steps.last().is_some_and(|step| *step.name == child)
                });
                if !known.contains(&child) && !is_above && !is_cut {
                    self.unequal.push(format!("{label}: {name} leads to {child} there, and not here"));
                }
            }
        }
    }

    fn compare_end(&mut self, label: &str, end: &End<'_>, output: &Output) {
        // A stand-in has been put where something is missing.
        if let Some(wrong) = end.notes.iter().find(|note| note.reason == Reason::Refused) {
            self.unequal.push(format!("{label}: built there, and here is said: {}", wrong.message));
        }
        if end.path != output.folder {
            self.unequal.push(format!("{label}: builds {} there", output.folder));
        }
        let hashed = generated(&output.objects);
        let theirs =
            by_name(output.objects.iter().filter(|object| is_judged(object)).cloned().map(|mut object| {
                without_hashes(&mut object, &hashed);
                self.origins += usize::from(without_origin(&mut object));
                bare(object)
            }));
        let ours = by_name(end.objects.iter().map(|object| {
            let mut ours = bare(object.node.to_json());
            let is_there = by_name([ours.clone()]).keys().all(|name| theirs.contains_key(name));
            if output.has_open && !is_there {
                fill_in(&mut ours["metadata"], output);
            }
            ours
        }));
        let names: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
        for name in names {
            self.objects += 1;
            let difference = match (ours.get(name).map(Vec::as_slice), theirs.get(name).map(Vec::as_slice)) {
                (Some([ours]), Some([theirs])) => {
                    let mut ours = ours.clone();
                    if output.has_open {
                        fill_in_where_it_differs(&mut ours, theirs, output);
                    }
                    difference(&ours, theirs, "")
                }
                (ours, theirs) => {
                    let count = |side: Option<&[Value]>| side.map_or(0, <[Value]>::len);
                    Some(format!("{} here, {} there", count(ours), count(theirs)))
                }
            };
            match difference {
                None => self.equal += 1,
                Some(difference) => self.unequal.push(format!("{label}: {name}: {difference}")),
            }
        }
    }

    fn with(mut self, other: Self) -> Self {
        for (mine, its) in [
            (&mut self.documents, other.documents),
            (&mut self.ways, other.ways),
            (&mut self.ends, other.ends),
            (&mut self.built, other.built),
            (&mut self.objects, other.objects),
            (&mut self.equal, other.equal),
            (&mut self.children, other.children),
            (&mut self.supplied, other.supplied),
            (&mut self.origins, other.origins),
            (&mut self.with_open, other.with_open),
            (&mut self.with_variables, other.with_variables),
            (&mut self.stand_ins, other.stand_ins),
            (&mut self.remote, other.remote),
        ] {
            *mine += its;
        }
        for (reason, told) in other.not_judged {
            self.not_judged.entry(reason).or_default().extend(told);
        }
        self.unequal.extend(other.unequal);
        self
    }

    fn tell(&self) {
        let Self { documents, ways, ends, built, objects, equal, children, supplied, .. } = self;
        let not_judged: usize = self.not_judged.values().map(Vec::len).sum();
        announce(&format!(
            "{documents} Flux Kustomizations in files, {ends} rendered in {ways} ways, {built} built by Flux's libraries, {not_judged} not judged"
        ));
        announce(&format!(
            "{objects} HelmReleases and sources compared, {equal} equal; {children} Kustomizations led to; {} unequal",
            self.unequal.len()
        ));
        announce(&format!(
            "{} with variables, {} of them with some that nobody knows; {supplied} objects without a namespace, {} with an annotation of their origin, which is not rendered; {} stand-ins, {} entries out of the tree left out",
            self.with_variables, self.with_open, self.origins, self.stand_ins, self.remote
        ));
        for (reason, told) in &self.not_judged {
            announce(&format!("not judged, {}: {reason}; such as {}", told.len(), told[0]));
        }
    }
}

/// Puts made up values in for the variables that nobody knows.
fn fill_in(value: &mut Value, output: &Output) {
    match value {
        Value::String(text) => {
            let known =
                |name: &str| output.variables.get(name).map_or(Variable::Unset, |it| Variable::Known(it));
            if let Ok(evaluated) = envsubst::evaluate(text, &known) {
                *text = evaluated.text.into_owned();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| fill_in(item, output)),
        Value::Object(fields) => fields.values_mut().for_each(|field| fill_in(field, output)),
        _ => {}
    }
}

/// The same where a value is another one there: a `${…}` may also be meant as it is written.
fn fill_in_where_it_differs(ours: &mut Value, theirs: &Value, output: &Output) {
    match (ours, theirs) {
        (Value::Array(ours), Value::Array(theirs)) => {
            ours.iter_mut()
                .zip(theirs)
                .for_each(|(ours, theirs)| fill_in_where_it_differs(ours, theirs, output));
        }
        (Value::Object(fields), Value::Object(theirs)) => {
            for (name, field) in fields {
                fill_in_where_it_differs(field, theirs.get(name).unwrap_or(&Value::Null), output);
            }
        }
        (ours, theirs) if *ours != *theirs => fill_in(ours, output),
        _ => {}
    }
}

/// An object without what the controller takes out before it applies it.
fn bare(mut object: Value) -> Value {
    object.as_object_mut().unwrap().remove("status");
    object
}

/// Takes away the annotation of where an object comes from, which the library asks kustomize for where a kustomization names no resources, so that it is
/// not empty.
fn without_origin(object: &mut Value) -> bool {
    let metadata = object["metadata"].as_object_mut().unwrap();
    let Some(Value::Object(annotations)) = metadata.get_mut("annotations") else { return false };
    let had = annotations.remove("config.kubernetes.io/origin").is_some();
    if had && annotations.is_empty() {
        metadata.remove("annotations");
    }
    had
}

/// Whether it is a HelmRelease or a source.
fn is_judged(object: &Value) -> bool {
    let version = object["apiVersion"].as_str().unwrap_or_default();
    let kind = object["kind"].as_str().unwrap_or_default();
    match version.split('/').next() {
        Some("helm.toolkit.fluxcd.io") => kind == "HelmRelease",
        Some("source.toolkit.fluxcd.io") => {
            let kinds = [
                "OCIRepository",
                "HelmChart",
                "HelmRepository",
                "GitRepository",
                "Bucket",
                "ExternalArtifact",
            ];
            kinds.contains(&kind)
        }
        _ => false,
    }
}
