#!/usr/bin/env bash
# sigs.k8s.io/kustomize/kustomize v5.8.2.
#
# Guess before running: kustomize leaves a text that nothing patches as it is, whatever block it is written in.
#
# Behaviour seen:
# - A folded block (`>`) with deeper lines is printed with a line end more before these, so it is another text: values and scripts
#   reach the cluster changed. Building what was built changes nothing more. The same text in a literal block (`|`) stays.
#
# Output seen:
#   as written: "first\n  deeper\nlast"
#   built once: "first\n\n  deeper\nlast"
#   built twice: "first\n\n  deeper\nlast"
#   literal, built twice: "first\n  deeper\nlast"
#
# Exits with 1 if any of that changes. Needs Go and its module proxy, and python3 with PyYAML 6.0.2, which is installed.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
GOBIN=$dir GOFLAGS=-mod=mod go install sigs.k8s.io/kustomize/kustomize/v5@v5.8.2
python3 -m venv venv && venv/bin/pip install --quiet --disable-pip-version-check PyYAML==6.0.2

mkdir once twice
cat >once/object.yaml <<'YAML'
apiVersion: v1
kind: ConfigMap
metadata: {name: example}
data:
  folded: >-
    first
      deeper
    last
  literal: |-
    first
      deeper
    last
YAML
for folder in once twice; do echo 'resources: [object.yaml]' >$folder/kustomization.yaml; done
./kustomize build once >twice/object.yaml
./kustomize build twice >built.yaml

text() {
    venv/bin/python -c 'import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))["data"][sys.argv[2]]))' "$@"
}
seen="as written: $(text once/object.yaml folded)
built once: $(text twice/object.yaml folded)
built twice: $(text built.yaml folded)
literal, built twice: $(text built.yaml literal)"
echo "$seen"
expected='as written: "first\n  deeper\nlast"
built once: "first\n\n  deeper\nlast"
built twice: "first\n\n  deeper\nlast"
literal, built twice: "first\n  deeper\nlast"'
[[ $seen == "$expected" ]]
