//! Generators of `ConfigMap` and `Secret` objects.

use std::fmt::Write as _;

use super::{Generator, Named};

impl Generator {
    /// A patch in a form that few write, or that does not do what it seems to.
    pub(super) fn odd_patch(&mut self) -> String {
        if self.objects.is_empty() || !self.of_generators.percent(12) {
            return String::new();
        }
        self.feature("odd patches");
        let objects = self.objects.clone();
        let Named { api_version, kind, name, namespace } = self.of_generators.pick(&objects);
        let target = format!("  target: {{kind: {kind}, name: {name}}}\n");
        let steps = *self.of_generators.pick(&[
            "\"[{op: add, path: /metadata/labels, value: {a: b}}]\"",
            "'[{\"op\": \"add\", \"path\": \"/metadata/labels\", \"value\": {\"a\": \"b\"}},]'",
            "'[{\"op\": \"add\", \"path\": \"/metadata/labels\", \"value\": {\"a\": \"b\"}}]'",
            "|-\n    # in flow style\n    [{op: add, path: /metadata/labels, value: {a: b}}]",
            "|-\n    - {op: add, path: /metadata/labels, value: {a: b}}\n    ---\n    - {op: remove, path: /metadata}",
            "|-\n    - {op: remove, path: /metadata/name}",
            "|-\n    - {op: replace, path: \"\", value: {a: b}}",
            "|-\n    - {op: add, path: data, value: x}",
            "|-\n    - {op: replace, path: /kind, value: 12}",
            "|-\n    - {op: replace, path: /apiVersion, value: 12}",
            "|-\n    - {op: add, path: /items, value: []}",
            "|-\n    - {op: add, path: /items, value: [{apiVersion: v1, kind: ConfigMap, metadata: {name: inner}}]}",
            "|-\n    - {op: add, path: /items, value: [{apiVersion: v1, kind: ConfigMap, metadata: {name: inner}}, x]}",
            "|-\n    - {op: replace, path: /apiVersion, value: kustomize.config.k8s.io/v1}",
        ]);
        if self.of_generators.percent(70) {
            return format!("- patch: {steps}\n{target}");
        }
        let namespace =
            if namespace.is_empty() { String::new() } else { format!(", namespace: {namespace}") };
        let replaced = "$patch: replace\n    spec: {interval: 1m}\n    data: {key: other}";
        let head = format!("apiVersion: {api_version}\n    kind: {kind}");
        if self.of_generators.percent(50) {
            return format!("- patch: |-\n    {head}\n    metadata: {{name: x}}\n    {replaced}\n{target}");
        }
        format!("- patch: |-\n    {head}\n    metadata: {{name: {name}{namespace}}}\n    {replaced}\n")
    }

    /// `configMapGenerator`, `secretGenerator` and `generatorOptions`, and patches of what they make.
    pub(super) fn generators(&mut self, folder: &str, text: &mut String, patches: &mut String) {
        if !self.of_generators.percent(25) {
            return;
        }
        for (field, kind) in [("secretGenerator", "Secret"), ("configMapGenerator", "ConfigMap")] {
            if !self.of_generators.percent(if kind == "Secret" { 25 } else { 90 }) {
                continue;
            }
            self.feature(field);
            writeln!(text, "{field}:").unwrap();
            for _ in 0..=self.of_generators.below(2) {
                text.push_str(&self.generator_of(folder, kind));
            }
        }
        if self.of_generators.percent(60) {
            self.feature("generatorOptions");
            let options = *self.of_generators.pick(&[
                "{disableNameSuffixHash: true}",
                "{disableNameSuffixHash: true, labels: {app: made}, annotations: {note: common}}",
                "{disableNameSuffixHash: false, labels: {}}",
            ]);
            writeln!(text, "generatorOptions: {options}").unwrap();
        }
        if !self.made.is_empty() && self.of_generators.percent(60) {
            self.feature("patches of what is generated");
            patches.push_str(&self.patch_of_made());
        }
    }

    fn generator_of(&mut self, folder: &str, kind: &'static str) -> String {
        let known = self.objects.iter().chain(&self.made).filter(|named| named.kind == kind);
        let known: Vec<Named> = known.cloned().collect();
        let changes = !known.is_empty() && self.of_generators.percent(50);
        let named = if changes {
            self.of_generators.pick(&known).clone()
        } else {
            let namespace = *self.of_generators.pick(&["", "", "one"]);
            let name = format!("made-{}", self.made.len());
            Named { api_version: "v1", kind, name, namespace }
        };
        let mut fields = vec![format!("name: {}", named.name)];
        if !named.namespace.is_empty() {
            fields.push(format!("namespace: {}", named.namespace));
        }
        if changes && self.of_generators.percent(97) || self.of_generators.percent(2) {
            let behavior = *self.of_generators.pick(&["merge", "merge", "replace"]);
            self.feature(if behavior == "merge" { "behavior: merge" } else { "behavior: replace" });
            fields.push(format!("behavior: {behavior}"));
        }
        if self.of_generators.percent(80) {
            let literals = *self.of_generators.pick(&[
                "[key=made, url=x.y.z]",
                "['number=5', \"quoted='a b'\", 'half=\"x']",
                "[empty=, 'more=a=b', 'html=<a & b>']",
                "['yes=no', 'lines=\"']",
            ]);
            let is_refused = self.of_generators.percent(2);
            let refused = *self.of_generators.pick(&["[key]", "['=x']", "[key=1, key=2]"]);
            fields.push(format!("literals: {}", if is_refused { refused } else { literals }));
        }
        if self.of_generators.percent(25) {
            self.feature("envs");
            let text =
                *self.of_generators.pick(&["A=1\n\n# B=2\n  C= x \nD\n", "\u{feff}E='q'\r\nF=a=b\n", ""]);
            let file = self.write(folder, text);
            fields.push(format!("envs: [{file}]"));
        }
        if self.of_generators.percent(15) {
            self.feature("files of a generator");
            let file = self.write(folder, "x: y\n");
            let renamed = *self.of_generators.pick(&["", "own=", "other.txt="]);
            fields.push(format!("files: ['{renamed}{file}']"));
        }
        if self.of_generators.percent(50) {
            let options = *self.of_generators.pick(&[
                "{disableNameSuffixHash: true}",
                "{disableNameSuffixHash: true, labels: {app: web}}",
                "{annotations: {note: own}}",
            ]);
            fields.push(format!("options: {options}"));
        }
        if !changes {
            self.made.push(named);
        }
        format!("- {{{}}}\n", fields.join(", "))
    }

    /// A patch of something that may be made by now.
    fn patch_of_made(&mut self) -> String {
        let made = self.made.clone();
        let Named { kind, name, namespace, .. } = self.of_generators.pick(&made);
        let body = *self.of_generators.pick(&[
            "data: {key: patched, more: null}",
            "metadata: {annotations: {$patch: replace, only: this}}",
            "metadata: {annotations: null}",
            "metadata: {labels: {app: web}}",
            "data: null",
        ]);
        if self.of_generators.percent(30) {
            let step = *self.of_generators.pick(&[
                "{op: add, path: /data/new, value: x}",
                "{op: remove, path: /data/key}",
                "{op: add, path: /metadata/annotations/patched, value: text}",
                "{op: remove, path: /metadata/annotations}",
            ]);
            return format!("- patch: |-\n    - {step}\n  target: {{kind: {kind}, name: {name}}}\n");
        }
        if self.of_generators.percent(30) {
            let body = format!("apiVersion: v1\nkind: {kind}\n{body}");
            let body = body.replace("metadata: {", "metadata: {name: x, ").replace('\n', "\n    ");
            let name = if body.contains("metadata") { "" } else { "\n    metadata: {name: x}" };
            return format!("- patch: |-\n    {body}{name}\n  target: {{kind: {kind}, name: 'made-.*'}}\n");
        }
        let namespace =
            if namespace.is_empty() { String::new() } else { format!(", namespace: {namespace}") };
        let name = format!("metadata: {{name: {name}{namespace}");
        let body = match body.strip_prefix("metadata: {") {
            Some(rest) => format!("{name}, {rest}"),
            None => format!("{name}}}\n    {body}"),
        };
        format!("- patch: |-\n    apiVersion: v1\n    kind: {kind}\n    {body}\n")
    }
}
