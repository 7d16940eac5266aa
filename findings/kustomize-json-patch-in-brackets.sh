#!/usr/bin/env bash
# sigs.k8s.io/kustomize/kustomize v5.8.2.
#
# Guess before running: a JSON patch is a list in YAML, of which JSON is a part, so a list in flow style is as good as one with hyphens;
# and of a patch with a key twice the last value counts, or kustomize refuses it.
#
# Behaviour seen:
# - What begins with `[` is read as JSON and nothing else: `[{op: add, …}]` is refused, with a comment before it the same text is YAML.
# - `$patch: replace` at the top of a merge patch does nothing: neither replaces it the object, nor is it merged. Below a field it replaces.
# - Of a key twice in a merge patch the first value counts, and in a JSON patch the last one.
#
# Output seen:
#   flow style: refused
#   flow style behind a comment: a: b
#   replace at the top: a: a
#   key twice in a merge patch: a: first
#   key twice in a JSON patch: a: last
#
# Exits with 1 if any of that changes. Needs Go and its module proxy.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
GOBIN=$dir GOFLAGS=-mod=mod go install sigs.k8s.io/kustomize/kustomize/v5@v5.8.2

mkdir tree
cat >tree/object.yaml <<'YAML'
apiVersion: example.com/v1
kind: Example
metadata: {name: example}
spec: {a: a}
YAML
object='apiVersion: example.com/v1\nkind: Example\nmetadata: {name: example}\n'
patched() {
    printf 'resources: [object.yaml]\npatches: [{target: {kind: Example}, path: patch.yaml}]\n' >tree/kustomization.yaml
    printf '%b' "$1" >tree/patch.yaml
    if ./kustomize build tree >built.yaml 2>error; then sed -n 's/^  \(a: \)/\1/p' built.yaml; else echo refused; fi
}
flow='[{op: replace, path: /spec/a, value: b}]\n'
seen="flow style: $(patched "$flow")
flow style behind a comment: $(patched "# one step\n$flow")
replace at the top: $(patched "$object\$patch: replace\nspec: {a: b}\n")
key twice in a merge patch: $(patched "${object}spec:\n  a: first\n  a: last\n")
key twice in a JSON patch: $(patched '- op: replace\n  path: /spec/a\n  value: first\n  value: last\n')"
echo "$seen"
expected='flow style: refused
flow style behind a comment: a: b
replace at the top: a: a
key twice in a merge patch: a: first
key twice in a JSON patch: a: last'
[[ $seen == "$expected" ]]
