#!/usr/bin/env bash
# sigs.k8s.io/kustomize/kustomize v5.8.2.
#
# Guess before running: the hash behind the name of a generated ConfigMap is of kind, name and data, as the comment in the hasher of kustomize
# says, so two of different names have different hashes; and a generator with behavior: merge gives what it changes a hash, as all do.
#
# Behaviour seen:
# - The name is no part of the hash: the hasher looks for a field that is called "metadata/name", which no object has. Two generated
#   ConfigMaps with the same data have the same hash, whatever they are called.
# - What a generator merges into has a hash only if it had one before: a ConfigMap from a file keeps its name.
#
# Output seen:
#   one-t757gk2bmf
#   other-t757gk2bmf
#   written
#
# Exits with 1 if any of that changes. Needs Go and its module proxy.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
GOBIN=$dir GOFLAGS=-mod=mod go install sigs.k8s.io/kustomize/kustomize/v5@v5.8.2

mkdir tree
cat >tree/written.yaml <<'YAML'
apiVersion: v1
kind: ConfigMap
metadata: {name: written}
data: {key: value}
YAML
cat >tree/kustomization.yaml <<'YAML'
resources: [written.yaml]
configMapGenerator:
- {name: one, literals: [key=value]}
- {name: other, literals: [key=value]}
- {name: written, behavior: merge, literals: [more=value]}
YAML
./kustomize build tree >built.yaml
seen=$(sed -n 's/^  name: //p' built.yaml | sort)
echo "$seen"
expected='one-t757gk2bmf
other-t757gk2bmf
written'
[[ $seen == "$expected" ]]
