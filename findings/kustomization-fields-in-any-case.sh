#!/usr/bin/env bash
# sigs.k8s.io/kustomize/kustomize v5.8.2.
#
# Guess before running: fields of a kustomization.yaml are decoded strictly (an unknown one is "json: unknown field"), and field
# names of Kubernetes files mind case, so `Resources:` and `NAMESPACE:` are unknown fields and the build fails.
#
# Behaviour seen:
# - Field names are taken in any case, at every level: RESOURCES, NamePrefix, PATCHES with TARGET and KIND inside. The file is
#   turned into JSON, and Go's encoding/json prefers an exact match and else takes any other case. Names that differ in more are refused.
# - Of two spellings of one field the one that comes last by its bytes counts, lower case over upper case, wherever they stand: the
#   keys are sorted on the way to JSON. `Namespace: two` below `namespace: one` is ignored without a word.
#
# Output seen:
#   any case: name x-settings, data.added yes
#   two spellings: namespace one
#   another name: unknown field "resourcez"
#
# Exits with 1 if any of that changes. Needs Go and its module proxy.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
GOBIN=$dir GOFLAGS=-mod=mod go install sigs.k8s.io/kustomize/kustomize/v5@v5.8.2

mkdir any two other
for folder in any two other; do
    cat >"$folder/settings.yaml" <<'YAML'
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {a: b}
YAML
done
cat >any/kustomization.yaml <<'YAML'
RESOURCES: [settings.yaml]
NamePrefix: x-
PATCHES:
  - TARGET: {KIND: ConfigMap}
    Patch: |
      - {op: add, path: /data/added, value: "yes"}
YAML
cat >two/kustomization.yaml <<'YAML'
resources: [settings.yaml]
namespace: one
Namespace: two
YAML
echo 'resourcez: [settings.yaml]' >other/kustomization.yaml

field() {
    sed -n "s/^  $1: //p" | tr -d '"'
}
any=$(./kustomize build any)
seen="any case: name $(field name <<<"$any"), data.added $(field added <<<"$any")
two spellings: namespace $(./kustomize build two | field namespace)
another name: $({ ./kustomize build other 2>&1 || true; } | grep -o 'unknown field.*')"
echo "$seen"
expected='any case: name x-settings, data.added yes
two spellings: namespace one
another name: unknown field "resourcez"'
[[ $seen == "$expected" ]]
