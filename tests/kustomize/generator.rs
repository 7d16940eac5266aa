//! Kustomizations that nobody wrote: every field that is rendered, in every combination that chance brings.

mod decoding;
mod flux;
mod generators;
mod patches;

use std::collections::BTreeMap;
use std::fmt::Write as _;

pub(crate) use flux::FluxCase;

/// A tree with a folder to build.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) files: BTreeMap<String, String>,
    pub(crate) end: &'static str,
    /// What occurs in it, to count that nothing is forgotten.
    pub(crate) features: Vec<&'static str>,
}

/// Numbers that look random and are the same for the same seed (`SplitMix64`).
pub(crate) struct Chance(pub(crate) u64);

struct Generator {
    chance: Chance,
    /// Decides about what is generated, so that nothing else depends on that.
    of_generators: Chance,
    /// Decides about what strict decoders refuse.
    of_decoding: Chance,
    /// What is generated.
    made: Vec<Named>,
    case: Case,
    /// What there is to patch: group and version, kind, name, namespace.
    objects: Vec<Named>,
    next_file: usize,
    /// Whether a later patch may come. kustomize then looks at whether what was there before the first one had quotes, which is not
    /// remembered here: a patch that puts `'1'` where `x` was, and one that puts `2` there, make a text here and a number there.
    is_below: bool,
}

#[derive(Debug, Clone)]
struct Named {
    api_version: &'static str,
    kind: &'static str,
    name: String,
    namespace: &'static str,
}

const KINDS: &[(&str, &str)] = &[
    ("helm.toolkit.fluxcd.io/v2", "HelmRelease"),
    ("helm.toolkit.fluxcd.io/v2", "HelmRelease"),
    ("source.toolkit.fluxcd.io/v1", "OCIRepository"),
    ("kustomize.toolkit.fluxcd.io/v1", "Kustomization"),
    ("v1", "ConfigMap"),
    ("v1", "Namespace"),
    ("rbac.authorization.k8s.io/v1", "ClusterRole"),
];

const SCALARS: &[&str] = &[
    "1",
    "'1'",
    "yes",
    "'no'",
    "~",
    "null",
    "text",
    "two words",
    "1.50",
    "0x1F",
    "010",
    "1_000",
    "2024-01-31",
    "'${VAR}'",
    "true",
    "False",
    "''",
    "-3",
    "1e3",
    ".5",
    "on",
    "1.2.3",
    "\"x\\ny\"",
    "off",
    "-7.0",
    "x-y-z",
    "y",
    "n",
];

const MAPS: &[&str] = &["chart", "chartRef", "values"];

const SINGLES: &[&str] = &["interval", "suspend", "a", "b"];

const NAMESPACES: &[&str] = &["", "", "one", "two", "default"];

/// A case for a seed.
pub(crate) fn case(seed: u64) -> Case {
    let case = Case { files: BTreeMap::new(), end: "top", features: Vec::new() };
    let mut generator = Generator::new(seed, case);
    generator.tree();
    generator.case
}

// === impl Chance ===

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).expect("it is below a usize")
    }

    pub(crate) fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<'i, T>(&mut self, items: &'i [T]) -> &'i T {
        &items[self.below(items.len())]
    }
}

// === impl Generator ===

impl Generator {
    fn new(seed: u64, case: Case) -> Self {
        Self {
            chance: Chance(seed),
            of_generators: Chance(!seed),
            of_decoding: Chance(seed ^ 0xdec0),
            made: Vec::new(),
            case,
            objects: Vec::new(),
            next_file: 0,
            is_below: false,
        }
    }

    fn tree(&mut self) {
        let mut base = Vec::new();
        if self.chance.percent(30) {
            self.feature("two levels");
            let deep = self.resources("deep", 1);
            self.kustomization("deep", &deep, &[]);
            base.push("../deep".to_owned());
        }
        base.extend(self.resources("base", 2));
        self.kustomization("base", &base, &[]);
        let mut components = Vec::new();
        if self.chance.percent(35) {
            self.feature("components");
            components.push("../component");
            let own = if self.chance.percent(50) { self.resources("component", 1) } else { Vec::new() };
            let nested: &[&str] = if self.chance.percent(30) { &["../nested"] } else { &[] };
            if !nested.is_empty() {
                self.feature("nested components");
                self.kustomization("nested", &[], &[]);
                self.make_component("nested");
            }
            self.kustomization("component", &own, nested);
            self.make_component("component");
        }
        let mut top = vec!["../base".to_owned()];
        if self.chance.percent(40) {
            top.extend(self.resources("top", 1));
        }
        self.kustomization("top", &top, &components);
    }

    fn feature(&mut self, feature: &'static str) {
        self.case.features.push(feature);
    }

    fn make_component(&mut self, folder: &str) {
        let file = self
            .case
            .files
            .get_mut(&format!("{folder}/kustomization.yaml"))
            .expect("it was written just now");
        file.insert_str(0, "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n");
    }

    /// Files of objects, and their names.
    fn resources(&mut self, folder: &str, least: usize) -> Vec<String> {
        let count = least + self.chance.below(2);
        (0..count)
            .map(|_| {
                let mut documents: Vec<String> = Vec::new();
                for _ in 0..=self.chance.below(2) {
                    documents.push(self.object());
                }
                let is_list = self.chance.percent(15);
                let text = if is_list {
                    self.feature("lists");
                    let items =
                        documents.iter().map(|it| format!("- {}", it.trim_end().replace('\n', "\n  ")));
                    let items = items.collect::<Vec<_>>().join("\n");
                    let kind = *self.chance.pick(&["List", "HelmReleaseList"]);
                    format!("apiVersion: v1\nkind: {kind}\nitems:\n{items}\n")
                } else {
                    documents.join("---\n")
                };
                self.write(folder, &text)
            })
            .collect()
    }

    fn write(&mut self, folder: &str, text: &str) -> String {
        let name = format!("file-{}.yaml", self.next_file);
        self.next_file += 1;
        self.case.files.insert(format!("{folder}/{name}"), text.to_owned());
        name
    }

    fn object(&mut self) -> String {
        let (api_version, kind) = *self.chance.pick(KINDS);
        let name = format!("{}-{}", self.chance.pick(&["web", "api", "db"]), self.objects.len());
        let namespace = *self.chance.pick(NAMESPACES);
        let mut text = format!("apiVersion: {api_version}\nkind: {kind}\nmetadata:\n  name: {name}\n");
        if !namespace.is_empty() {
            writeln!(text, "  namespace: {namespace}").unwrap();
        }
        for field in ["labels", "annotations"] {
            if self.chance.percent(40) {
                let value =
                    *self.chance.pick(&["{app: web}", "{app: api, 'a.b/c': x}", "{}", "{tier: back}"]);
                writeln!(text, "  {field}: {value}").unwrap();
            }
        }
        if self.chance.percent(15) {
            self.feature("annotations that are no texts");
            if !text.contains("annotations:") {
                text.push_str("  annotations: {number: 010, boolean: yes, date: 2024-01-31}\n");
            }
        }
        match kind {
            "ConfigMap" => text.push_str("data: {key: value, url: a.b.c, number: '5'}\n"),
            "HelmRelease" | "OCIRepository" | "Kustomization" => text.push_str(&self.spec()),
            _ => {}
        }
        self.objects.push(Named { api_version, kind, name, namespace });
        text
    }

    fn spec(&mut self) -> String {
        let mut text = String::new();
        let has_anchor = self.chance.percent(15);
        if has_anchor {
            self.feature("anchors and merge keys");
            writeln!(text, "shared: &shared {{x: {}, y: 2}}", self.scalar()).unwrap();
        }
        text.push_str("spec:\n  interval: 10m\n");
        if has_anchor {
            text.push_str("  merged: {<<: *shared, y: 3}\n  again: *shared\n");
        }
        text.push_str("  list: [{name: one, v: 1}, {name: two, v: 'x.y'}]\n");
        for field in MAPS {
            if self.chance.percent(60) {
                writeln!(text, "  {field}: {}", self.map(2)).unwrap();
            }
        }
        if self.chance.percent(25) {
            self.feature("what is left empty");
            text.push_str("  empty:\n  deep:\n    empty:\n    other: 1\n");
        }
        for field in &SINGLES[1..] {
            if self.chance.percent(50) {
                writeln!(text, "  {field}: {}", self.scalar()).unwrap();
            }
        }
        text
    }

    fn scalar(&mut self) -> &'static str {
        let scalar: &&'static str = self.chance.pick(SCALARS);
        scalar
    }

    fn value(&mut self, depth: usize) -> String {
        match self.chance.below(if depth == 0 { 1 } else { 4 }) {
            0 => self.scalar().to_owned(),
            1 => {
                let items: Vec<_> = (0..self.chance.below(3)).map(|_| self.value(depth - 1)).collect();
                format!("[{}]", items.join(", "))
            }
            _ => self.map(depth),
        }
    }

    /// A map whose fields mostly are of the same kind wherever they occur, so that patches fit.
    fn map(&mut self, depth: usize) -> String {
        let mut fields = Vec::new();
        for field in ["x", "z", "list", "map"] {
            if !self.chance.percent(50) {
                continue;
            }
            let value = match field {
                _ if self.chance.percent(4) => self.value(depth.saturating_sub(1)),
                "list" => format!("[{}, {}]", self.scalar(), self.value(depth.saturating_sub(1))),
                "map" if depth > 0 => self.map(depth - 1),
                "map" => "{}".to_owned(),
                _ => self.scalar().to_owned(),
            };
            fields.push(format!("{field}: {value}"));
        }
        format!("{{{}}}", fields.join(", "))
    }

    fn kustomization(&mut self, folder: &'static str, resources: &[String], components: &[&str]) {
        self.is_below = folder != "top";
        let mut text = String::new();
        if !resources.is_empty() {
            let field =
                if resources == ["../base"] && self.chance.percent(10) { "bases" } else { "resources" };
            writeln!(text, "{field}: [{}]", resources.join(", ")).unwrap();
        }
        if !components.is_empty() {
            writeln!(text, "components: [{}]", components.join(", ")).unwrap();
        }
        for (field, value, percent) in [
            ("namespace", "three", 30),
            ("namePrefix", "pre-", 20),
            ("nameSuffix", "-post", 20),
            ("commonLabels", "{app: common, more: '1'}", 10),
            ("labels", "[{pairs: {app: labelled}}, {pairs: {extra: x}, includeSelectors: true}]", 15),
            ("commonAnnotations", "{note: common}", 15),
        ] {
            if self.chance.percent(percent) {
                self.feature(field);
                writeln!(text, "{field}: {value}").unwrap();
            }
        }
        let mut patches = String::new();
        for _ in 0..self.chance.below(3) {
            patches.push_str(&self.patch(folder));
        }
        self.generators(folder, &mut text, &mut patches);
        patches.push_str(&self.odd_patch());
        if !patches.is_empty() {
            writeln!(text, "patches:\n{}", patches.trim_end()).unwrap();
        }
        text.push_str(&self.old_patches(folder));
        if self.chance.percent(25) {
            text.push_str(&self.replacements(folder));
        }
        if text.is_empty() {
            text.push_str("commonAnnotations: {only: this}\n");
        }
        self.misfit(&mut text);
        self.case.files.insert(format!("{folder}/kustomization.yaml"), text);
    }
}
