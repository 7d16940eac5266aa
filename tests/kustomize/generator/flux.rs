//! Kustomizations of Flux: every field that is rendered, and every form of a variable, over a folder with a kustomization file, one that is a component, or
//! one that has none.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Case, Generator};

/// A `ConfigMap` or a Secret: its kind, its name, and the variables in it.
type Config = (&'static str, &'static str, BTreeMap<&'static str, &'static str>);

/// A Kustomization of Flux and the tree that it builds.
#[derive(Debug)]
pub(crate) struct FluxCase {
    pub(crate) case: Case,
    /// The object.
    pub(crate) kustomization: String,
    /// The `ConfigMaps` and Secrets that are there, each with the variables in it.
    pub(crate) config: Vec<Config>,
    /// Whether variables without a value are refused.
    pub(crate) strict: bool,
}

/// Values of variables: what YAML reads as something else than a text among them.
const VALUES: &[&str] = &[
    "",
    "x",
    "prod",
    "pre-mid-post",
    "a/b/c",
    "80",
    "true",
    "null",
    "~",
    "010",
    "0o10",
    "1e3",
    "1_000",
    ".5",
    "0x1F",
    "y",
    "no",
    "off",
    "Yes",
    "a b",
    "a: b",
    "[1, 2]",
    "{a: b}",
    "'q'",
    "\"q\"",
    "a#b",
    "a # b",
    "- x",
    "-",
    "ünïcödé",
    "one\ntwo",
    "*x",
    "&a b",
    "!x y",
    "%x",
    "@x",
    "`x",
    "a\\b",
    "2024-01-31",
    "1.2.3",
    "1.50",
    "=",
    "<<",
    "$A",
    "${B}",
    " padded ",
    "a:",
    "?",
    "|",
    "> x",
    "#x",
    "---",
    "{",
    "]",
    "x,y",
    "+1",
    "-7.0",
    ".inf",
];

/// Forms of a variable. Those that a shell knows and the library does not are among them.
const FORMS: &[&str] = &[
    "${A}",
    "${A}",
    "${A}",
    "${B}",
    "${C}",
    "${UNSET}",
    "${A:=d}",
    "${A:-d}",
    "${A=d}",
    "${A:+d}",
    "${A:?d}",
    "${UNSET:=d}",
    "${UNSET:-80}",
    "${UNSET=true}",
    "${UNSET:=}",
    "${UNSET:=a b}",
    "${UNSET:=${B}}",
    "${UNSET:=${UNSET2:=deep}}",
    "${A,}",
    "${A,,}",
    "${A^}",
    "${A^^}",
    "${#A}",
    "${A#*-}",
    "${A##*-}",
    "${A%-*}",
    "${A%%-*}",
    "${A#p?e}",
    "${A#[a-p]}",
    "${A%[^a]}",
    "${A/-/_}",
    "${A//-/_}",
    "${A/#pre/new}",
    "${A/%post/new}",
    "${A//\\//-}",
    "${A/x}",
    "${A:1}",
    "${A:1:2}",
    "${A:0:99}",
    "${A:-1}",
    "${A: -1}",
    "${A:9:1}",
    "$${A}",
    "$$A",
    "$A",
    "$$",
    "$",
    "${A-d}",
    "${A+d}",
    "${A",
    "${",
    "${}",
    "${1A}",
    "${A b}",
    "${A}}",
    "{${A}}",
    "$(A)",
    "${a.b}",
    "${A!}",
    "$${A}${A}",
    "${A}$",
    "${C:=x}",
    "${C}${C}",
];

/// How a text with a variable is written.
const TEXTS: &[&str] = &[
    "F",
    "'F'",
    "\"F\"",
    "x-F",
    "F-x",
    "'F: x'",
    "'a: F'",
    "oci://F/x:1",
    "\"F # x\"",
    "'F '",
    "F F",
    "'- F'",
    "'[F]'",
    "\"\\tF\"",
    "ä F",
];

impl FluxCase {
    /// A case for a seed.
    pub(crate) fn of(seed: u64) -> Self {
        let case = Case { files: BTreeMap::new(), end: "top", features: Vec::new() };
        let mut generator = Generator::new(seed ^ 0xf1_0c, case);
        generator.is_below = true;
        generator.flux()
    }
}

impl Generator {
    fn flux(&mut self) -> FluxCase {
        match self.chance.below(10) {
            0..4 => self.flux_folder(),
            4 => {
                self.feature("a component as the path");
                self.tree();
                self.make_component("top");
            }
            _ => {
                self.feature("a kustomization file");
                self.tree();
            }
        }
        if let Some(file) = self.case.files.get_mut("top/kustomization.yaml") {
            // One without resources makes the library ask for an annotation that is not rendered.
            *file = file.replace("bases:", "resources:");
        }
        if self.chance.percent(70) {
            self.with_variables();
        }
        let (config, post_build) = self.post_build();
        let mut spec = String::from(
            "  interval: 10m\n  prune: true\n  sourceRef: {kind: GitRepository, name: repository}\n  path: ./top\n",
        );
        for (field, value, percent) in
            [("targetNamespace", "target", 30), ("namePrefix", "flux-", 20), ("nameSuffix", "-flux", 20)]
        {
            if self.chance.percent(percent) {
                self.feature(field);
                writeln!(spec, "  {field}: {value}").unwrap();
            }
        }
        spec.push_str(&self.flux_components());
        spec.push_str(&self.common_metadata());
        spec.push_str(&self.flux_patches());
        spec.push_str(&post_build);
        let namespace = if self.chance.percent(90) { "  namespace: flux-system\n" } else { "" };
        let kustomization = format!(
            "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata:\n  name: apps\n{namespace}spec:\n{spec}"
        );
        let case = std::mem::replace(
            &mut self.case,
            Case { files: BTreeMap::new(), end: "top", features: Vec::new() },
        );
        let strict = self.chance.percent(20);
        let mut this = FluxCase { case, kustomization, config, strict };
        // A directive that there is none of stays in the object, where a later patch that has one finds it.
        for text in this.case.files.values_mut().chain([&mut this.kustomization]) {
            *text = text.replace("{$patch: wrong}", "{$patch: merge}");
        }
        this
    }

    /// A folder without a kustomization file, and folders in it with one and without.
    fn flux_folder(&mut self) {
        self.feature("no kustomization file");
        self.resources("top", 1);
        for folder in ["top/plain", "top/plain/deeper"] {
            if self.chance.percent(50) {
                self.feature("folders in it");
                self.resources(folder, 1);
            }
        }
        if self.chance.percent(40) {
            self.feature("folders with a kustomization file in it");
            let own = self.resources("top/built", 1);
            self.kustomization("top/built", &own, &[]);
            // What stands below is only seen if the kustomization names it.
            self.resources("top/built/below", 1);
        }
        for (path, percent) in [
            ("top/.github/workflow.yaml", 15),
            ("top/.sops.yaml", 15),
            ("top/plain/.gitlab-ci.yml", 15),
            ("top/notes.txt", 15),
            ("top/values.json", 15),
        ] {
            if self.chance.percent(percent) {
                self.feature("files that are left out");
                self.case.files.insert(path.to_owned(), "no: object\n".to_owned());
            }
        }
        if self.chance.percent(20) {
            self.feature("other ends of names");
            let object = self.object();
            self.case.files.insert("top/last.yml".to_owned(), object);
        }
    }

    fn flux_components(&mut self) -> String {
        if !self.chance.percent(25) {
            return String::new();
        }
        self.feature("spec.components");
        self.kustomization("flux-component", &[], &[]);
        self.make_component("flux-component");
        let is_missing = self.chance.percent(25);
        let more = if is_missing { ", ../missing" } else { "" };
        let mut text = format!("  components: [../flux-component{more}]\n");
        if is_missing || self.chance.percent(20) {
            self.feature("ignoreMissingComponents");
            writeln!(text, "  ignoreMissingComponents: {}", self.chance.pick(&["true", "true", "false"]))
                .unwrap();
        }
        text
    }

    fn common_metadata(&mut self) -> String {
        if !self.chance.percent(25) {
            return String::new();
        }
        self.feature("commonMetadata");
        (*self.chance.pick(&[
            "  commonMetadata: {labels: {app: ours, tier: ours}}\n",
            "  commonMetadata: {annotations: {note: ours}}\n",
            "  commonMetadata:\n    labels: {app: '${A}'}\n    annotations: {x: '1', note: 'true'}\n",
            "  commonMetadata: {}\n",
        ]))
        .to_owned()
    }

    fn flux_patches(&mut self) -> String {
        let mut patches = String::new();
        for _ in 0..self.chance.below(3) {
            self.feature("spec.patches");
            let patch = self.inline_patch();
            patches.push_str(&patch.lines().map(|line| format!("  {line}\n")).collect::<String>());
        }
        if patches.is_empty() { patches } else { format!("  patches:\n{patches}") }
    }

    fn post_build(&mut self) -> (Vec<Config>, String) {
        let mut config = Vec::new();
        if !self.chance.percent(85) {
            return (config, String::new());
        }
        let mut text = String::from("  postBuild:\n");
        if self.chance.percent(80) {
            self.feature("substitute");
            let entries: Vec<String> = ["A", "B"]
                .iter()
                .filter_map(|name| {
                    let value = self.value_of_variable()?;
                    Some(format!("{name}: {}", quoted(value)))
                })
                .collect();
            writeln!(text, "    substitute: {{{}}}", entries.join(", ")).unwrap();
        }
        if self.chance.percent(40) {
            self.feature("substituteFrom");
            text.push_str("    substituteFrom:\n");
            for (kind, name) in [("ConfigMap", "one"), ("Secret", "two"), ("ConfigMap", "three")] {
                if !self.chance.percent(60) {
                    continue;
                }
                let is_there = self.chance.percent(85);
                let optional = if is_there && self.chance.percent(70) { "" } else { ", optional: true" };
                writeln!(text, "    - {{kind: {kind}, name: {name}{optional}}}").unwrap();
                if is_there {
                    let mut data = BTreeMap::new();
                    for variable in ["A", "B", "C"] {
                        if let Some(value) = self.value_of_variable() {
                            data.insert(variable, value);
                        }
                    }
                    config.push((kind, name, data));
                }
            }
        }
        if self.chance.percent(30) {
            self.feature("substituteStrategy");
            let strategy = self.chance.pick(&["Always", "Always", "WithVariables"]);
            writeln!(text, "    substituteStrategy: {strategy}").unwrap();
        }
        if text == "  postBuild:\n" {
            return (config, "  postBuild: {}\n".to_owned());
        }
        (config, text)
    }

    fn value_of_variable(&mut self) -> Option<&'static str> {
        let is_plain = self.chance.percent(40);
        let value = if is_plain {
            self.chance.pick(&["prod", "pre-mid-post", "80"])
        } else {
            self.chance.pick(VALUES)
        };
        self.chance.percent(80).then_some(*value)
    }

    /// Puts variables into the objects of the tree.
    fn with_variables(&mut self) {
        self.feature("variables");
        let paths: Vec<String> =
            self.case.files.keys().filter(|path| path.contains("file-")).cloned().collect();
        for path in paths {
            let text = self.case.files[&path].clone();
            let mut changed = String::new();
            for line in text.lines() {
                if line.starts_with("  interval: 10m") && self.chance.percent(80) {
                    changed.push_str("  interval: 10m\n");
                    changed.push_str(&self.variables());
                } else if line == "metadata:" && self.chance.percent(10) && !text.contains("annotations:") {
                    self.feature("substitute: disabled");
                    let field = self.chance.pick(&["annotations", "annotations"]);
                    let value = self.chance.pick(&["disabled", "disabled", "enabled", "'disabled'"]);
                    writeln!(
                        changed,
                        "metadata:\n  {field}: {{kustomize.toolkit.fluxcd.io/substitute: {value}}}"
                    )
                    .unwrap();
                } else if line.starts_with("  name: ") && !text.contains("items:") && self.chance.percent(8) {
                    self.feature("variables in names");
                    writeln!(changed, "{line}-${{UNSET:=z}}").unwrap();
                } else {
                    changed.push_str(line);
                    changed.push('\n');
                }
            }
            self.case.files.insert(path, changed);
        }
    }

    /// Fields with variables in them.
    fn variables(&mut self) -> String {
        let mut text = String::new();
        for (index, _) in (0..=self.chance.below(3)).enumerate() {
            let form = self.form();
            let written = self.chance.pick(TEXTS).replace('F', form);
            match self.chance.below(10) {
                0 => writeln!(text, "  variable{index}:\n  - {written}\n  - x").unwrap(),
                1 => writeln!(text, "  variable{index}: {{deep: {{er: {}}}}}", quoted(form)).unwrap(),
                2 => writeln!(text, "  variable{index}: |\n    one\n    {form} two\n    three").unwrap(),
                3 => writeln!(text, "  variable{index}: >-\n    folded {form}\n    text").unwrap(),
                4 => {
                    let long =
                        "a long text that goes on and on so that a line would have to be broken somewhere ";
                    writeln!(text, "  variable{index}: {}", quoted(&format!("{long}{form} {long}"))).unwrap();
                }
                5 => writeln!(text, "  {}: x", quoted(&format!("key{index}-{form}"))).unwrap(),
                _ => writeln!(text, "  variable{index}: {written}").unwrap(),
            }
        }
        text
    }

    fn form(&mut self) -> &'static str {
        // What the library refuses takes the whole case out.
        for _ in 0..3 {
            let form: &&'static str = self.chance.pick(FORMS);
            let is_refused = ["${A-d}", "${A+d}", "${A", "${", "${}", "${A b}", "${A!}", "${a.b}", "${A/x}"]
                .contains(form);
            if !is_refused || self.chance.percent(15) {
                return form;
            }
        }
        "${A}"
    }
}

/// A text in the quotes in which YAML takes everything as JSON has it.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text is written as JSON")
}
