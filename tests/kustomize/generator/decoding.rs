//! What strict decoders refuse: unknown fields, values of another type, empty entries, and keys that are there twice.

use super::Generator;

/// What takes the place of what in a kustomization file, and is refused.
const REFUSED: &[(&str, &str)] = &[
    ("target: {", "target: {bogus: x, "),
    ("options: {", "options: {bogus: x, "),
    ("select: {", "select: {apiVersion: v1, "),
    ("pairs: {", "pairs: {own: 1, "),
    ("commonAnnotations: {", "commonAnnotations: {own: yes, "),
    ("sourceValue: given", "sourceValue: 5"),
    ("fieldPaths: [", "fieldPath: x, fieldPaths: ["),
    ("index: 0", "index: '0'"),
    ("create: true", "create: 'true'"),
    ("{allowNameChange: true", "{allowNameChange: 1"),
    ("resources: [", "resources: [null, "),
    ("resources: [", "resources: ['', "),
    ("components: [", "components: [~, "),
    ("literals: [", "literals: [5, "),
    ("- {name: made", "- {bogus: x, name: made"),
    ("disableNameSuffixHash: true", "disableNameSuffixHash: 'yes'"),
    ("namePrefix: pre-", "namePrefix: 1"),
    ("", "bogus: 1\n"),
    ("", "x-shared: {resources: [nowhere.yaml]}\n"),
    ("", "buildMetadata: foo\n"),
    ("", "buildMetadata: [true]\n"),
    ("", "images: [{name: a, newTag: 1.10}]\n"),
    ("", "images: [{name: a, foo: b}]\n"),
    ("", "sortOptions: {order: fifo, foo: b}\n"),
    ("", "sortOptions: {order: legacy, legacySortOptions: {orderFirst: [5]}}\n"),
    ("", "metadata: {name: 1}\n"),
    ("", "metadata: x\n"),
    ("", "helmGlobals: {chartHome: x, chartHomes: y}\n"),
    ("", "configurations: [~]\n"),
    ("labels: [{", "labels: [{includeSelector: true, "),
    ("labels: [{", "labels: [{fields: [{path: spec/own, creat: true}], "),
];

/// The same, for what is taken.
const TAKEN: &[(&str, &str)] = &[
    ("target: {kind: ", "TARGET: {KIND: "),
    ("pairs: {", "pairs: {own: ~, "),
    ("commonAnnotations: {", "CommonAnnotations: {own: null, "),
    ("index: 0", "index: 0.0"),
    ("create: true", "create: yes"),
    ("disableNameSuffixHash: true", "disableNameSuffixHash: yes"),
    ("namespace: three", "namespace: four\nnamespace: three"),
    ("", "IMAGES: [null, {Name: a, NEWTAG: b}]\n"),
    ("", "sortOptions: {order: fifo}\n"),
    ("", "metadata: {name: x, labels: {a: b, own: ~}}\n"),
];

/// Second values of a key of a patch.
const SECOND: &[&str] =
    &["null", "text", "5", "{x: 1, x: 2}", "{app: null, app: 5}", "[{a: 1, a: 2}]", "{x: 7}"];

impl Generator {
    /// Changes a kustomization file to one that a strict decoder may refuse.
    pub(super) fn misfit(&mut self, text: &mut String) {
        let (changes, feature) = match self.of_decoding.below(100) {
            0..6 => (REFUSED, "what only a lenient decoder takes"),
            6..16 => (TAKEN, "what a strict decoder takes"),
            _ => return,
        };
        let fitting: Vec<_> = changes.iter().filter(|(what, _)| text.contains(what)).collect();
        let (what, other) = self.of_decoding.pick(&fitting);
        self.case.features.push(feature);
        *text = text.replacen(what, other, 1);
    }

    /// A patch in which a key is there twice, as a rule in what it sets.
    pub(super) fn twice(&mut self, patch: String, is_steps: bool) -> String {
        if !self.of_decoding.percent(12) {
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
