//! Patches and replacements of all forms.

use std::fmt::Write as _;

use super::{Generator, MAPS, Named, SINGLES};

impl Generator {
    pub(super) fn old_patches(&mut self, folder: &str) -> String {
        let mut text = String::new();
        if self.chance.percent(12) {
            self.feature("patchesStrategicMerge");
            let patch = self.merge_patch(None, false);
            let patch = self.twice(patch, false);
            if self.chance.percent(50) {
                let file = self.write(folder, &patch);
                writeln!(text, "patchesStrategicMerge: [{file}]").unwrap();
            } else {
                writeln!(text, "patchesStrategicMerge:\n- |-\n{}", indented(&patch, 2)).unwrap();
            }
        }
        if self.chance.percent(12) {
            self.feature("patchesJson6902");
            let (target, steps) = (self.exact_target(), self.steps());
            let steps = self.twice(steps, true);
            if self.chance.percent(50) {
                let file = self.write(folder, &steps);
                writeln!(text, "patchesJson6902:\n- target: {target}\n  path: {file}").unwrap();
            } else {
                writeln!(text, "patchesJson6902:\n- target: {target}\n  patch: |-\n{}", indented(&steps, 4))
                    .unwrap();
            }
        }
        text
    }

    pub(super) fn patch(&mut self, folder: &str) -> String {
        self.patch_of(Some(folder))
    }

    /// A patch as Flux takes it: in the object itself, and without options.
    pub(super) fn inline_patch(&mut self) -> String {
        self.patch_of(None)
    }

    fn patch_of(&mut self, folder: Option<&str>) -> String {
        let is_steps = self.chance.percent(40);
        let has_target = is_steps || self.chance.percent(60);
        let frees = folder.is_some() && !is_steps && self.chance.percent(20);
        let body = if is_steps {
            self.feature("JSON patches");
            self.steps()
        } else {
            self.feature(if has_target {
                "merge patches with a target"
            } else {
                "merge patches without a target"
            });
            let kind = frees.then_some("Renamed");
            self.merge_patch(kind.filter(|_| has_target), has_target)
        };
        let body = self.twice(body, is_steps);
        let mut text = match folder.filter(|_| self.chance.percent(40)) {
            Some(folder) => {
                self.feature("patches in files");
                format!("- path: {}\n", self.write(folder, &body))
            }
            None => format!("- patch: |-\n{}\n", indented(&body, 4)),
        };
        if has_target {
            let target = match self.chance.below(10) {
                0..5 => self.exact_target(),
                5..9 if is_steps => "{kind: 'HelmRelease|OCIRepository'}".to_owned(),
                _ => self.wide_target(),
            };
            writeln!(text, "  target: {target}").unwrap();
        }
        if frees {
            self.feature("allowNameChange and allowKindChange");
            let options = *self.chance.pick(&[
                "{allowNameChange: true}",
                "{allowKindChange: true}",
                "{allowNameChange: true, allowKindChange: true}",
                "{allowNameChange: false}",
            ]);
            writeln!(text, "  options: {options}").unwrap();
        }
        text
    }

    pub(super) fn named(&mut self) -> Named {
        let nobody =
            || Named { api_version: "v1", kind: "ConfigMap", name: "nobody".to_owned(), namespace: "" };
        if self.objects.is_empty() || self.chance.percent(2) {
            return nobody();
        }
        let index = self.chance.below(self.objects.len());
        self.objects[index].clone()
    }

    /// Mostly something that has what most patches and replacements are for.
    fn named_with_spec(&mut self) -> Named {
        for _ in 0..5 {
            let named = self.named();
            if matches!(named.kind, "HelmRelease" | "OCIRepository" | "Kustomization") {
                return named;
            }
        }
        self.named()
    }

    fn exact_target(&mut self) -> String {
        let named = self.named_with_spec();
        let (group, version) = named.api_version.split_once('/').unwrap_or(("", named.api_version));
        let mut fields = vec![format!("kind: {}", named.kind), format!("name: {}", named.name)];
        if self.chance.percent(40) {
            fields.push(format!("version: {version}"));
        }
        if self.chance.percent(40) && !group.is_empty() {
            fields.push(format!("group: {group}"));
        }
        if self.chance.percent(20) && !named.namespace.is_empty() {
            fields.push(format!("namespace: {}", named.namespace));
        }
        format!("{{{}}}", fields.join(", "))
    }

    fn wide_target(&mut self) -> String {
        self.feature("targets by pattern and selector");
        (*self.chance.pick(&[
            "{kind: HelmRelease}",
            "{kind: 'HelmRelease|OCIRepository'}",
            "{name: 'web-.*'}",
            "{kind: HelmRelease, name: '(pre-)?api.*'}",
            "{kind: ConfigMap, namespace: default}",
            "{namespace: 'one|three'}",
            "{group: '.*[.]fluxcd[.]io', version: v.}",
            "{labelSelector: 'app=web'}",
            "{labelSelector: 'app in (web, api),!tier'}",
            "{annotationSelector: 'note=common'}",
            "{kind: HelmRelease, labelSelector: 'app!=web', annotationSelector: '!note'}",
        ]))
        .to_owned()
    }

    /// A patch of an object; with a target it may name another one.
    fn merge_patch(&mut self, kind: Option<&str>, has_target: bool) -> String {
        let named = self.named();
        let kind = kind.filter(|_| self.chance.percent(50)).unwrap_or(named.kind);
        let name =
            if has_target && self.chance.percent(30) { "other".to_owned() } else { named.name.clone() };
        let mut text =
            format!("apiVersion: {}\nkind: {kind}\nmetadata:\n  name: {name}\n", named.api_version);
        if !named.namespace.is_empty() && self.chance.percent(98) {
            writeln!(text, "  namespace: {}", named.namespace).unwrap();
        }
        if self.chance.percent(25) {
            self.feature("patches of labels and annotations");
            let field = *self.chance.pick(&["labels", "annotations"]);
            let value = *self.chance.pick(&[
                "{app: null, new: x}",
                "null",
                "{}",
                "{app: patched}",
                "{$patch: replace, only: this}",
                "{n: 5}",
            ]);
            writeln!(text, "  {field}: {value}").unwrap();
        }
        if self.chance.percent(5) {
            self.feature("objects deleted");
            text.push_str("$patch: delete\n");
            return text;
        }
        if named.kind == "ConfigMap" {
            let value = *self.chance.pick(&[
                "{key: patched}",
                "{key: null, new: 'a'}",
                "{$patch: replace, x: 'y'}",
                "null",
            ]);
            writeln!(text, "data: {value}").unwrap();
            return text;
        }
        if matches!(named.kind, "Namespace" | "ClusterRole") {
            return text;
        }
        text.push_str("spec:\n");
        let mut is_empty = true;
        for field in MAPS.iter().chain(SINGLES).chain(&["list"]) {
            if self.chance.percent(30) {
                is_empty = false;
                let value = match self.chance.below(24) {
                    0 => self.value(1),
                    1 | 2 => "null".to_owned(),
                    3..7 if MAPS.contains(field) => self.directive(),
                    _ if MAPS.contains(field) => self.map(2),
                    _ if *field == "list" => "[{name: three, $patch: delete}, 5]".to_owned(),
                    _ => {
                        let scalar = self.scalar();
                        if self.is_below && scalar.starts_with(['\'', '"']) {
                            "text".to_owned()
                        } else {
                            scalar.to_owned()
                        }
                    }
                };
                writeln!(text, "  {field}: {value}").unwrap();
            }
        }
        if is_empty {
            text.push_str("  patched: {deep: {er: 1, gone: null}}\n");
        }
        text
    }

    fn directive(&mut self) -> String {
        self.feature("$patch");
        (*self.chance.pick(&[
            "{$patch: delete}",
            "{$patch: replace, new: 1}",
            "{$patch: merge, new: {$patch: delete}}",
            "{$patch: replace, map: {x: null}, c: {$patch: replace, d: 1}}",
            "{map: {$patch: delete}, more: {$patch: replace, x: 1}}",
            "{$patch: wrong}",
        ]))
        .to_owned()
    }

    fn steps(&mut self) -> String {
        let count = 1 + self.chance.below(2);
        let steps: Vec<String> = (0..count).map(|_| self.step()).collect();
        if self.chance.percent(20) {
            self.feature("JSON patches as JSON");
            let steps: Vec<String> = steps.iter().map(|step| json_of(step)).collect();
            return format!("[{}]", steps.join(", "));
        }
        steps.iter().map(|step| format!("- {step}\n")).collect()
    }

    fn step(&mut self) -> String {
        let path = *self.chance.pick(&[
            "/spec/interval",
            "/spec/interval",
            "/spec/list/0",
            "/spec/list/1/v",
            "/spec/list/0/name",
            "/metadata/labels",
            "/metadata/annotations",
            "/spec/values",
            "/metadata/name",
        ]);
        let new = *self.chance.pick(&[
            "/spec/new",
            "/spec/list/-",
            "/spec/list/0",
            "/spec/list/-1",
            "/metadata/annotations/patched",
            "/metadata/annotations/a.b~1c",
            "/spec/interval",
        ]);
        let new = if self.chance.percent(4) {
            *self.chance.pick(&["/spec/nope/deep", "/spec/list/9"])
        } else {
            new
        };
        let value = self.value(1);
        match self.chance.below(10) {
            0..4 => format!(
                "{{op: add, path: {new}, value: {}}}",
                if new.contains("annotations") { "text" } else { &value }
            ),
            4..6 => {
                let value = match path {
                    "/metadata/labels" | "/metadata/annotations" => "{all: new}",
                    "/metadata/name" => "renamed",
                    _ => &value,
                };
                format!("{{op: replace, path: {path}, value: {value}}}")
            }
            6 => format!(
                "{{op: remove, path: {}}}",
                if path == "/metadata/name" { "/spec/interval" } else { path }
            ),
            // A copy of the annotations would show what kustomize keeps in there while it works.
            7 if path != "/metadata/annotations" => format!("{{op: copy, from: {path}, path: /spec/copied}}"),
            8 => "{op: move, from: /spec/interval, path: /spec/moved}".to_owned(),
            _ => format!(
                "{{op: test, path: /spec/interval, value: {}}}",
                if self.chance.percent(90) { "10m" } else { "5m" }
            ),
        }
    }

    pub(super) fn replacements(&mut self, folder: &str) -> String {
        self.feature("replacements");
        let source = self.named();
        let of_all = [
            "",
            "fieldPath: metadata.name, ",
            "fieldPath: metadata.name, options: {delimiter: '-', index: 0}, ",
        ];
        let of_kind: &[&str] = match source.kind {
            "Namespace" | "ClusterRole" => &of_all,
            "ConfigMap" => {
                &["fieldPath: data.url, options: {delimiter: ., index: 1}, ", "fieldPath: data.key, "]
            }
            _ => &[
                "fieldPath: spec.interval, ",
                "fieldPath: 'spec.list.0.name', ",
                "fieldPath: 'spec.list.[name=two].v', ",
                "fieldPath: 'metadata.labels.[a.b/c]', ",
                "fieldPath: spec.chart, ",
            ],
        };
        let path =
            if self.chance.percent(30) { *self.chance.pick(&of_all) } else { *self.chance.pick(of_kind) };
        let source = match self.chance.below(10) {
            0 => "sourceValue: given".to_owned(),
            _ => format!("source: {{{path}kind: {}, name: {}}}", source.kind, source.name),
        };
        let targets: Vec<String> = (0..=self.chance.below(2)).map(|_| self.replacement_target()).collect();
        let item = format!("{{{source}, targets: [{}]}}", targets.join(", "));
        if self.chance.percent(30) {
            let is_list = self.chance.percent(50);
            let item = if self.of_decoding.percent(25) {
                self.feature("keys twice in files of replacements");
                item.replacen("fieldPaths: ", "fieldPaths: [spec.nowhere], bogus: 1, fieldPaths: ", 1)
            } else {
                item
            };
            let file = self.write(folder, &if is_list { format!("- {item}\n") } else { format!("{item}\n") });
            return format!("replacements: [{{path: {file}}}]\n");
        }
        format!("replacements:\n- {item}\n")
    }

    fn replacement_target(&mut self) -> String {
        let select =
            if self.chance.percent(60) { self.exact_target() } else { "{kind: HelmRelease}".to_owned() };
        let reject = if self.chance.percent(25) { "reject: [{name: 'web.*'}], " } else { "" };
        let (paths, options) = *self.chance.pick(&[
            ("spec.interval", ""),
            ("spec.interval", "options: {delimiter: m, index: 0}, "),
            ("spec.created", "options: {create: true}, "),
            ("spec.created.deep", "options: {create: true}, "),
            ("'spec.list.[name=one].v'", ""),
            ("'spec.list.*.name'", ""),
            ("'spec.list.[name=new].v'", "options: {create: true}, "),
            ("'spec.list.1.v'", "options: {delimiter: ., index: 1}, "),
            ("metadata.name", "options: {delimiter: '-', index: 9}, "),
            ("'metadata.annotations.[x.y/z]'", "options: {create: true}, "),
            ("spec.chart", ""),
        ]);
        let paths = if self.chance.percent(3) { "spec.missing" } else { paths };
        format!("{{select: {select}, {reject}{options}fieldPaths: [{paths}]}}")
    }
}

fn indented(text: &str, by: usize) -> String {
    let indent = " ".repeat(by);
    text.trim_end().lines().map(|line| format!("{indent}{line}")).collect::<Vec<_>>().join("\n")
}

/// A flow map as JSON, by the reader of chartgate: it is the text of a test, and kustomize reads it as it is.
fn json_of(flow: &str) -> String {
    let node = chartgate::yaml::documents(flow, 0).remove(0).expect("the generator writes YAML");
    let mut json = Vec::new();
    node.write_json(&mut json);
    String::from_utf8(json).expect("JSON is text")
}
