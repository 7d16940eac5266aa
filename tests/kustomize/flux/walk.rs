//! From the top of a cluster down to all that it is given, by the real libraries: built is what chartgate says that there is, but each step from what was
//! printed above it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::rc::Rc;

use chartgate::render::ends::{EndKind, Rendered, Step};
use chartgate::render::flux::{self, FluxKustomization};
use chartgate::render::{Tree, join};
use chartgate::yaml::Node;
use serde_json::{Value, json};

use super::oracle::{Config, Oracle, Question};

/// How often a Kustomization may print itself anew.
const MAX_CHANGES: usize = 5;

/// A step that chartgate says that there is, and those that it leads to.
#[derive(Debug, Default)]
pub(super) struct Followed {
    pub(super) steps: BTreeMap<(String, u32, u32), Self>,
    /// The numbers of the ends that it is.
    pub(super) ends: Vec<usize>,
}

/// What a Kustomization prints.
#[derive(Debug, Clone, Default)]
pub(super) struct Output {
    /// The objects, those without a namespace in that of the Kustomization.
    pub(super) objects: Vec<Value>,
    /// Its variables, with made up values for those that nobody knows.
    pub(super) variables: BTreeMap<String, String>,
    /// Whether there are such.
    pub(super) has_open: bool,
    /// How many objects had no namespace. The controller says `namespace not specified`, and applies nothing.
    pub(super) supplied: usize,
    pub(super) folder: String,
}

/// The data of `ConfigMaps`, by namespace and name.
pub(super) type ConfigMaps = BTreeMap<(String, String), BTreeMap<String, String>>;

/// Builds the Kustomizations of a tree.
pub(super) struct Walk<'w, 'a> {
    pub(super) oracle: &'w mut Oracle,
    pub(super) root: &'w Path,
    pub(super) tree: &'w Tree<'a>,
    pub(super) rendered: &'w Rendered<'a>,
    /// What the texts of the tree call variables.
    pub(super) names: BTreeSet<&'a str>,
    /// What was built before, by all that decides about it.
    built: HashMap<String, Result<Rc<Output>, String>>,
    /// What the clusters hold that were walked before.
    pub(super) clusters: Vec<ConfigMaps>,
}

/// What came of one way.
pub(super) type Seen = BTreeMap<Vec<(String, u32, u32)>, Result<Rc<Output>, String>>;

// === impl Followed ===

impl Followed {
    pub(super) fn of(rendered: &Rendered<'_>) -> Self {
        let mut this = Self::default();
        for (number, end) in rendered.ends.iter().enumerate() {
            if !matches!(end.kind, EndKind::Kustomization | EndKind::ResourceSet) {
                continue;
            }
            for way in &end.ways {
                let mut at = &mut this;
                for step in &way.steps {
                    at = at.steps.entry(key(step)).or_default();
                }
                at.ends.push(number);
            }
        }
        this
    }
}

fn key(step: &Step) -> (String, u32, u32) {
    (step.name.to_string(), step.at.file(), step.at.start())
}

// === impl Walk ===

impl<'w, 'a> Walk<'w, 'a> {
    pub(super) fn of(
        oracle: &'w mut Oracle,
        root: &'w Path,
        tree: &'w Tree<'a>,
        rendered: &'w Rendered<'a>,
    ) -> Self {
        let names = tree.files().iter().flat_map(|file| variables_in(file.text)).collect();
        Self { oracle, root, tree, rendered, names, built: HashMap::new(), clusters: Vec::new() }
    }

    /// Builds all that chartgate says that there is below one top.
    pub(super) fn cluster(&mut self, step: &(String, u32, u32), followed: &Followed) -> Seen {
        let mut config = ConfigMaps::new();
        loop {
            let mut seen = Seen::new();
            let mut new = ConfigMaps::new();
            let top = self.top(step);
            self.follow(vec![step.clone()], followed, top, &Output::default(), &config, &mut seen);
            for output in seen.values().flatten() {
                collect(&output.objects, &mut new);
            }
            if new == config {
                self.clusters.push(config);
                return seen;
            }
            config = new;
        }
    }

    /// The Kustomization at the top of a cluster.
    fn top(&self, (name, file, start): &(String, u32, u32)) -> Result<Value, String> {
        let file = &self.tree.files()[*file as usize];
        let is_kustomization_file = file.path == name;
        if is_kustomization_file {
            let path = format!("./{}", file.folder());
            return Ok(json!({"kind": "Kustomization", "metadata": {}, "spec": {"path": path}}));
        }
        for document in file.documents().iter().flatten().flat_map(expand) {
            let is_it = |node: &Node<'_>| node.at.start() == *start;
            if FluxKustomization::is_one(document) && document.at(&["metadata", "name"]).is_some_and(is_it) {
                return Ok(document.to_json());
            }
            if flux::is_flux_instance(document) {
                return sync(&document.to_json()).ok_or_else(|| "a FluxInstance without a sync".to_owned());
            }
        }
        Err("it is inside of a ResourceSet".to_owned())
    }

    fn follow(
        &mut self,
        way: Vec<(String, u32, u32)>,
        followed: &Followed,
        kustomization: Result<Value, String>,
        above: &Output,
        config: &ConfigMaps,
        seen: &mut Seen,
    ) {
        let mut output =
            kustomization.and_then(|kustomization| self.settled(&way, followed, kustomization, config));
        if let Ok(output) = &mut output
            && above.has_open
        {
            // What is open above may be in what this one says, too.
            let output = Rc::make_mut(output);
            output.has_open = true;
            for (name, value) in &above.variables {
                output.variables.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
        for (step, below) in &followed.steps {
            let kustomization = match &output {
                Ok(output) => led_to(&output.objects, &step.0)
                    .ok_or_else(|| format!("{} is not printed by {}", step.0, way.last().unwrap().0)),
                Err(error) => Err(format!("what leads to it: {error}")),
            };
            let mut way = way.clone();
            way.push(step.clone());
            let above = output.as_deref().unwrap_or(above);
            self.follow(way, below, kustomization, above, config, seen);
        }
        seen.insert(way, output);
    }

    /// What a Kustomization prints once it has printed itself as it is.
    fn settled(
        &mut self,
        way: &[(String, u32, u32)],
        followed: &Followed,
        mut kustomization: Value,
        config: &ConfigMaps,
    ) -> Result<Rc<Output>, String> {
        let title = &way.last().unwrap().0;
        for _ in 0..MAX_CHANGES {
            let output = self.build(followed, &kustomization, config)?;
            match led_to(&output.objects, title) {
                Some(itself) if itself != kustomization => kustomization = itself,
                _ => return Ok(output),
            }
        }
        Err("it prints itself with other content each time".to_owned())
    }

    fn build(
        &mut self,
        followed: &Followed,
        kustomization: &Value,
        config: &ConfigMaps,
    ) -> Result<Rc<Output>, String> {
        let spec = &kustomization["spec"];
        let path = spec["path"].as_str().unwrap_or_default();
        let notes = followed.ends.iter().flat_map(|end| &self.rendered.ends[*end].notes);
        if let Some(note) = notes.into_iter().find(|note| note.message.contains("another source")) {
            return Err(format!("another source: {}", note.message));
        }
        let mut folder = join("", path).filter(|folder| self.tree.is_folder(folder));
        if folder.is_none() {
            // Relative to something else than the top of the repository, which only chartgate guesses.
            let guessed = followed.ends.iter().map(|end| &self.rendered.ends[*end].path);
            folder = guessed.filter(|path| !path.is_empty()).min().cloned();
        }
        let folder = folder.ok_or_else(|| "its path is not in the tree".to_owned())?;
        let namespace = kustomization["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
        let mut held = Vec::new();
        let mut open = Vec::new();
        for from in spec["postBuild"]["substituteFrom"].as_array().into_iter().flatten() {
            let name = from["name"].as_str().unwrap_or_default().to_owned();
            let is_map = from["kind"] == "ConfigMap";
            match self.config_map(config, &(namespace.clone(), name.clone())).filter(|_| is_map) {
                Some(data) => held.push((name, data)),
                None => open.push((if is_map { "ConfigMap" } else { "Secret" }, name)),
            }
        }
        let key = serde_json::to_string(&(&folder, kustomization, &held, &open)).unwrap();
        if let Some(output) = self.built.get(&key) {
            return output.clone();
        }
        let mut variables = BTreeMap::new();
        let has_open = !open.is_empty();
        let (mut config, mut known) = (Vec::new(), BTreeMap::new());
        for (name, data) in held {
            known.extend(data.clone());
            config.push(Config { kind: "ConfigMap", namespace: namespace.clone(), name, data: json!(data) });
        }
        if has_open {
            let unknown = self.names.iter().filter(|name| !known.contains_key(**name));
            variables.extend(unknown.map(|name| ((*name).to_owned(), format!("open-{name}"))));
        }
        for (kind, name) in open {
            config.push(Config { kind, namespace: namespace.clone(), name, data: json!(variables) });
        }
        variables.extend(known);
        for (name, value) in spec["postBuild"]["substitute"].as_object().into_iter().flatten() {
            variables.insert(name.clone(), value.as_str().unwrap_or_default().replace('\n', ""));
        }
        let kustomization = &with_texts(kustomization);
        let strict = self.tree.refuses_unset_variables();
        let question = Question { root: self.root, folder: &folder, kustomization, strict, config };
        let built = self.oracle.build(&question).map(|mut objects| {
            let supplied = objects.iter_mut().map(|object| supply(object, &namespace)).map(usize::from).sum();
            Rc::new(Output { objects, variables, has_open, supplied, folder })
        });
        self.built.insert(key, built.clone());
        built
    }

    /// The data of a `ConfigMap` of a cluster; or of another one, if all that have it agree.
    fn config_map<'c>(
        &'c self,
        config: &'c ConfigMaps,
        place: &(String, String),
    ) -> Option<&'c BTreeMap<String, String>> {
        config.get(place).or_else(|| {
            let mut others = self.clusters.iter().filter_map(|cluster| cluster.get(place));
            let first = others.next()?;
            others.all(|other| other == first).then_some(first)
        })
    }
}

/// The Kustomization with texts for labels: the API server refuses others, and what it says is of interest all the same.
fn with_texts(kustomization: &Value) -> Value {
    let mut kustomization = kustomization.clone();
    let labels = kustomization["metadata"].get_mut("labels").and_then(Value::as_object_mut);
    for label in labels.into_iter().flat_map(|labels| labels.values_mut()).filter(|label| !label.is_string())
    {
        *label = json!(label.to_string());
    }
    kustomization
}

/// Gives an object without a namespace that of its Kustomization; says whether a controller of Flux would look for it.
fn supply(object: &mut Value, namespace: &str) -> bool {
    if !object["metadata"]["namespace"].is_null() {
        return false;
    }
    // To look at what is missing has put a null there.
    object["metadata"].as_object_mut().unwrap().remove("namespace");
    let is_supplied = !namespace.is_empty() && has_namespace(object);
    if is_supplied {
        object["metadata"]["namespace"] = json!(namespace);
    }
    is_supplied && is_flux(object)
}

/// The Kustomization of a name among objects, also if it is one that a `FluxInstance` makes.
fn led_to(objects: &[Value], title: &str) -> Option<Value> {
    let made = objects.iter().filter_map(sync);
    objects
        .iter()
        .filter(|object| is_kustomization(object))
        .cloned()
        .chain(made)
        .find(|it| title_of(it) == title)
}

/// What the Flux Operator makes of the sync of a `FluxInstance`: <https://fluxcd.control-plane.io/operator/fluxinstance/#sync-configuration>.
fn sync(instance: &Value) -> Option<Value> {
    let is_one = instance["kind"] == "FluxInstance" && instance["spec"]["sync"].is_object();
    let (metadata, sync) = (&instance["metadata"], &instance["spec"]["sync"]);
    let namespace = &metadata["namespace"];
    let name = if sync["name"].is_string() { &sync["name"] } else { namespace };
    is_one.then(|| {
        json!({
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
            "kind": "Kustomization",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"path": sync["path"], "sourceRef": {"kind": sync["kind"], "name": name}},
        })
    })
}

pub(super) fn is_kustomization(object: &Value) -> bool {
    object["kind"] == "Kustomization"
        && object["apiVersion"].as_str().is_some_and(|it| it.starts_with("kustomize.toolkit.fluxcd.io/"))
}

pub(super) fn title_of(kustomization: &Value) -> String {
    let metadata = &kustomization["metadata"];
    let name = metadata["name"].as_str().unwrap_or_default();
    match metadata["namespace"].as_str() {
        Some(namespace) => format!("Kustomization {namespace}/{name}"),
        None => format!("Kustomization {name}"),
    }
}

pub(super) fn is_flux(object: &Value) -> bool {
    object["apiVersion"].as_str().is_some_and(|it| it.contains(".toolkit.fluxcd.io/"))
}

/// Whether it is of a kind that has a namespace, as far as anybody here asks.
fn has_namespace(object: &Value) -> bool {
    is_flux(object) || object["kind"] == "ConfigMap" || object["kind"] == "FluxInstance"
}

/// The `ConfigMaps` among objects.
fn collect(objects: &[Value], config: &mut ConfigMaps) {
    for object in objects.iter().filter(|object| object["kind"] == "ConfigMap") {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let data = object["data"].as_object().into_iter().flatten();
        let data =
            data.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect();
        config.insert((text("namespace"), text("name")), data);
    }
}

/// What a text calls variables.
fn variables_in(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("${").filter_map(|(at, _)| {
        let rest = text[at + 2..].trim_start_matches('#');
        let end = rest.find(|it: char| !it.is_ascii_alphanumeric() && it != '_').unwrap_or(rest.len());
        let is_name = !rest[..end].is_empty() && !rest.starts_with(|it: char| it.is_ascii_digit());
        is_name.then_some(&rest[..end])
    })
}

/// The objects in a document: itself, or the items of a list.
pub(super) fn expand<'n, 'a>(node: &'n Node<'a>) -> Vec<&'n Node<'a>> {
    match node.get("items") {
        Some(items) if node.text_of(&["kind"]).is_some_and(|kind| kind.ends_with("List")) => {
            items.items().iter().collect()
        }
        _ => vec![node],
    }
}
