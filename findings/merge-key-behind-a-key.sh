#!/usr/bin/env bash
# sigs.k8s.io/yaml v1.6.0 (kubectl reads manifests with it) and sigs.k8s.io/kustomize/kustomize v5.8.2.
#
# Guess before running: a merge key (<<) brings only what the map does not say itself, wherever in the map it stands, in both.
#
# Behaviour seen:
# - kustomize does so.
# - With sigs.k8s.io/yaml, what a merge key brings replaces each key that stands before it in the map, and is replaced by each that
#   stands behind it: the order decides, without an error. So one file applied with kubectl and built with kustomize gives two
#   objects. Strict reading (UnmarshalStrict) refuses both orders, also the one in which nothing is lost.
#
# Output seen:
#   sigs.k8s.io/yaml: {"behind":{"replicas":2},"before":{"replicas":1}}
#   strict: key "replicas" already set in map, 2 times
#   kustomize: behind 1, before 1
#
# Exits with 1 if any of that changes. Needs Go and its module proxy.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
GOBIN=$dir GOFLAGS=-mod=mod go install sigs.k8s.io/kustomize/kustomize/v5@v5.8.2

mkdir read build
cat >build/object.yaml <<'YAML'
apiVersion: example.com/v1
kind: Example
metadata: {name: example}
base: &base {replicas: 2}
spec:
  behind:
    replicas: 1
    <<: *base
  before:
    <<: *base
    replicas: 1
YAML
echo 'resources: [object.yaml]' >build/kustomization.yaml
cat >read/main.go <<'GO'
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"sigs.k8s.io/yaml"
)

func main() {
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		panic(err)
	}
	var object struct {
		Spec struct {
			Behind json.RawMessage `json:"behind"`
			Before json.RawMessage `json:"before"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(text, &object); err != nil {
		panic(err)
	}
	spec, _ := json.Marshal(object.Spec)
	fmt.Printf("sigs.k8s.io/yaml: %s\n", spec)
	var whole map[string]any
	const set = `key "replicas" already set in map`
	err = yaml.UnmarshalStrict(text, &whole)
	fmt.Printf("strict: %s, %d times\n", set, strings.Count(fmt.Sprint(err), set))
}
GO
(cd read && go mod init example >/dev/null 2>&1 && go get sigs.k8s.io/yaml@v1.6.0 >/dev/null 2>&1 && go build -o ../reader .)

built=$(./kustomize build build)
replicas() {
    sed -n "/^  $1:/{n;s/.*replicas: //p}" <<<"$built"
}
seen="$(./reader build/object.yaml)
kustomize: behind $(replicas behind), before $(replicas before)"
echo "$seen"
expected='sigs.k8s.io/yaml: {"behind":{"replicas":2},"before":{"replicas":1}}
strict: key "replicas" already set in map, 2 times
kustomize: behind 1, before 1'
[[ $seen == "$expected" ]]
