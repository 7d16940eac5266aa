//! Which texts can decide about a HelmRelease. The others are not kept: most of a repository is about something else.
//!
//! Nothing that decides may be missed, so a text counts as soon as it could be what it looks like.

use std::sync::LazyLock;

use memchr::memmem;
use memchr::memmem::Finder;

/// What the `apiVersion` of an object of Flux or the Flux Operator holds, and that of kustomize's own files whatever they are called.
/// The definitions of those kinds hold none of it: they name the group and the version apart.
const API_VERSIONS: [&str; 3] = ["toolkit.fluxcd.io/", "fluxcd.controlplane.io/", "kustomize.config.k8s.io/"];

/// What of a text may decide, prepared once for all files.
static WORDS: LazyLock<Words> = LazyLock::new(|| Words {
    api_versions: API_VERSIONS.map(Finder::new),
    release: Finder::new("HelmRelease"),
    definition: Finder::new("CustomResourceDefinition"),
    replacement: Finder::new("fieldPaths"),
    kind: Finder::new("kind"),
    operation: Finder::new("op"),
});

struct Words {
    api_versions: [Finder<'static>; 3],
    release: Finder<'static>,
    definition: Finder<'static>,
    replacement: Finder<'static>,
    kind: Finder<'static>,
    operation: Finder<'static>,
}

/// The operations of a JSON patch (RFC 6902).
const OPERATIONS: [&str; 6] = ["add", "remove", "replace", "move", "copy", "test"];

/// Whether a text can hold an object of Flux that leads to others.
pub(super) fn can_lead(text: &str) -> bool {
    let groups = ["kustomize.toolkit.fluxcd.io/", "fluxcd.controlplane.io/"];
    groups.iter().any(|it| memmem::find(text.as_bytes(), it.as_bytes()).is_some())
}

/// Whether a text can hold an object of Flux or its operator, a kustomization, or what such are patched and filled in with.
pub(super) fn can_decide(text: &str) -> bool {
    let words = &*WORDS;
    let has = |word: &Finder<'_>| word.find(text.as_bytes()).is_some();
    words.api_versions.iter().any(has)
        // A patch may leave out the apiVersion, and a configuration of kustomize names the kind alone.
        || (has(&words.release) && !has(&words.definition))
        || says(text, &words.kind, &["ConfigMap"])
        || says(text, &words.operation, &OPERATIONS)
        || has(&words.replacement)
}

/// Whether a key is given a value that starts with one of some words, in YAML or JSON, quoted or not.
fn says(text: &str, key: &Finder<'_>, values: &[&str]) -> bool {
    let is_between = |it: char| it.is_ascii_whitespace() || matches!(it, '"' | '\'');
    key.find_iter(text.as_bytes()).any(|at| {
        let Some(rest) = text[at + key.needle().len()..].trim_start_matches(is_between).strip_prefix(':')
        else {
            return false;
        };
        let mut value = rest.trim_start_matches(is_between);
        // An anchor, a tag, or both.
        while value.starts_with(['&', '!']) {
            value = value
                .split_once(char::is_whitespace)
                .map_or("", |(_, rest)| rest)
                .trim_start_matches(is_between);
        }
        values.iter().any(|it| value.starts_with(it))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_whatever_a_release_can_come_of() {
        for text in [
            "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\n",
            "apiVersion: fluxcd.controlplane.io/v1\nkind: FluxInstance\n",
            "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n",
            "kind: HelmRelease\nmetadata: {name: a}\n",
            "nameReference:\n- kind: Secret\n  fieldSpecs:\n  - {path: spec/chartRef/name, kind: HelmRelease}\n",
            "apiVersion: v1\nkind: ConfigMap\n",
            r#"{"apiVersion":"v1","kind" : "ConfigMap"}"#,
            "kind: &kind !!str ConfigMap\n",
            "- op: replace\n  path: /spec/chart\n",
            "- path: /spec/chart\n  'op':\n    'remove'\n",
            r#"[{"op":"test","path":"/spec"}]"#,
            "- source: {kind: A}\n  targets:\n  - fieldPaths: [spec]\n",
        ] {
            assert!(can_decide(text), "{text}");
        }
    }

    #[test]
    fn leaves_out_what_only_defines_or_mentions() {
        for text in [
            "kind: Service\n",
            // As `flux install --export` prints them.
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: helmreleases.helm.toolkit.fluxcd.io\n\
             spec:\n  group: helm.toolkit.fluxcd.io\n  names:\n    kind: HelmRelease\n  versions:\n  - name: v2\n",
            "                    op:\n                      enum:\n                      - add\n",
            "kind:\n  enum:\n  - Secret\n  - ConfigMap\n",
            "drop: [ALL]\nstop: now\noptions: add\n",
            "operation: add\nkinds: ConfigMap\n",
        ] {
            assert!(!can_decide(text), "{text}");
        }
    }
}
