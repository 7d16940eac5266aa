//! What strict decoders refuse: unknown fields, values of another type, empty entries, and keys that are there twice.

use std::fmt::Write as _;

use super::Generator;

/// What takes the place of what in a kustomization file.
const IN_PLACE: &[(&str, &str)] = &[
    ("target: {", "target: {bogus: x, "),
    ("target: {kind: ", "TARGET: {KIND: "),
    ("options: {", "options: {bogus: x, "),
    ("select: {", "select: {apiVersion: v1, "),
    ("pairs: {", "pairs: {n: 1, "),
    ("pairs: {", "pairs: {n: ~, "),
    ("commonAnnotations: {", "commonAnnotations: {n: yes, "),
    ("commonAnnotations: {", "CommonAnnotations: {n: null, "),
    ("sourceValue: given", "sourceValue: 5"),
    ("fieldPaths: [", "fieldPath: x, fieldPaths: ["),
    ("index: 0", "index: 0.0"),
    ("index: 0", "index: '0'"),
    ("create: true", "create: yes"),
    ("create: true", "create: 'true'"),
    ("{allowNameChange: true", "{allowNameChange: 1"),
    ("resources: [", "resources: [null, "),
    ("resources: [", "resources: ['', "),
    ("components: [", "components: [~, "),
    ("literals: [", "literals: [5, "),
    ("- {name: made", "- {bogus: x, name: made"),
    ("disableNameSuffixHash: true", "disableNameSuffixHash: 'yes'"),
    ("disableNameSuffixHash: true", "disableNameSuffixHash: yes"),
    ("namePrefix: pre-", "namePrefix: 1"),
    ("namespace: three", "namespace: four\nnamespace: three"),
];

/// What is added to one.
const ADDED: &[&str] = &[
    "bogus: 1",
    "x-shared: {resources: [nowhere.yaml]}",
    "buildMetadata: foo",
    "buildMetadata: [true]",
    "images: [{name: a, newTag: 1.10}]",
    "images: [{name: a, foo: b}]",
    "IMAGES: [null, {Name: a, NEWTAG: b}]",
    "sortOptions: {order: fifo}",
    "sortOptions: {order: fifo, foo: b}",
    "sortOptions: {order: legacy, legacySortOptions: {orderFirst: [5]}}",
    "metadata: {name: x, labels: {a: b}}",
    "metadata: {name: 1}",
    "metadata: x",
    "helmGlobals: {chartHome: x, chartHomes: y}",
    "configurations: [~]",
    "labels: [{pairs: {own: label}, includeSelector: true}]",
    "labels: [{pairs: {own: label}, fields: [{path: spec/own, creat: true}]}]",
];

/// Second values of a key of a patch.
const SECOND: &[&str] =
    &["null", "text", "5", "{x: 1, x: 2}", "{app: null, app: 5}", "[{a: 1, a: 2}]", "{x: 7}"];

impl Generator {
    /// Puts something into a kustomization file that decoders mind.
    pub(super) fn misfit(&mut self, text: &mut String) {
        if !self.of_decoding.percent(12) {
            return;
        }
        if self.of_decoding.percent(30) {
            self.feature("fields that decoders mind");
            let added = *self.of_decoding.pick(ADDED);
            let field = added.split(':').next().unwrap_or_default();
            if !text.lines().any(|line| line.starts_with(&format!("{field}:"))) {
                writeln!(text, "{added}").unwrap();
            }
            return;
        }
        let fitting: Vec<_> = IN_PLACE.iter().filter(|(what, _)| text.contains(what)).collect();
        if !fitting.is_empty() {
            self.feature("values that decoders mind");
            let (what, other) = self.of_decoding.pick(&fitting);
            *text = text.replacen(what, other, 1);
        }
    }

    /// A patch in which a key is there twice, as a rule in what it sets.
    pub(super) fn twice(&mut self, patch: String, is_steps: bool) -> String {
        if !self.of_decoding.percent(15) {
            return patch;
        }
        if is_steps {
            self.feature("keys twice in JSON patches");
            let (what, other) = *self.of_decoding.pick(&[
                ("{op: ", "{op: test, op: "),
                ("path: /", "path: /nowhere, path: /"),
                ("value: ", "value: {a: 1, a: 2}, value: "),
                ("value: {", "value: {again: 1, again: 2, "),
            ]);
            return patch.replacen(what, other, 1);
        }
        self.feature("keys twice in merge patches");
        let second = *self.of_decoding.pick(SECOND);
        let Some((before, spec)) = patch.split_once("spec:\n") else {
            let (what, other) = *self.of_decoding.pick(&[
                ("{app: patched}", "{app: patched, app: again}"),
                ("{key: patched}", "{key: patched, key: again}"),
                ("{key: null", "{key: null, key: again"),
                ("{n: 5}", "{n: 5, n: 6}"),
            ]);
            return patch.replacen(what, other, 1);
        };
        let keys: Vec<_> = spec.lines().filter_map(|line| line.trim_start().split_once(':')).collect();
        let (key, _) = *self.of_decoding.pick(&keys);
        if self.of_decoding.percent(60) {
            format!("{before}spec:\n{}\n  {key}: {second}\n", spec.trim_end())
        } else {
            format!("{before}spec:\n  {key}: {second}\n{spec}")
        }
    }
}
