#!/usr/bin/env bash
# sigs.k8s.io/yaml v1.6.0 (kubectl) and sigs.k8s.io/kustomize/kustomize v5.8.2.
#
# Guess before running: `hosts: [https://example.com/?team=a]` is a list of one text. YAML 1.2 says so, and outside of brackets both
# programs read such an address.
#
# Behaviour seen:
# - Both refuse it: in brackets and braces a question mark ends a text without quotes, wherever it stands. Their YAML libraries keep
#   this rule of YAML 1.1 (libyaml dropped it years ago for a mark that no blank follows).
#
# Output seen:
#   block: sigs.k8s.io/yaml reads it, kustomize builds it
#   brackets: sigs.k8s.io/yaml: line 3: did not find expected ',' or ']', kustomize: line 3: did not find expected ',' or ']'
#   braces: sigs.k8s.io/yaml: line 3: did not find expected ',' or '}', kustomize: line 3: did not find expected ',' or '}'
#   quotes: sigs.k8s.io/yaml reads it, kustomize builds it
#
# Exits with 1 if any of that changes. Needs Go and its module proxy.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
GOBIN=$dir GOFLAGS=-mod=mod go install sigs.k8s.io/kustomize/kustomize/v5@v5.8.2
mkdir read
cat >read/main.go <<'GO'
package main

import (
	"fmt"
	"os"

	"sigs.k8s.io/yaml"
)

func main() {
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		panic(err)
	}
	if _, err := yaml.YAMLToJSON(text); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
GO
(cd read && go mod init example >/dev/null 2>&1 && go get sigs.k8s.io/yaml@v1.6.0 >/dev/null 2>&1 && go build -o ../reader .)

try() {
    rm -rf try && mkdir try
    printf 'apiVersion: example.com/v1\nkind: Example\nmetadata: {name: example}\n%b\n' "$2" >try/object.yaml
    echo 'resources: [object.yaml]' >try/kustomization.yaml
    local read=' reads it' built=' builds it' said
    said=$(./reader try/object.yaml) || read=": ${said#*yaml: }"
    said=$(./kustomize build try 2>&1) || built=": $(grep -o "line [0-9]*: did not find expected ',' or '.'" <<<"$said" | head -1)"
    echo "$1: sigs.k8s.io/yaml$read, kustomize$built"
}
seen=$(
    try block 'hosts:\n  - https://example.com/?team=a'
    try brackets 'hosts: [https://example.com/?team=a]'
    try braces 'hosts: {url: https://example.com/?team=a}'
    try quotes 'hosts: ["https://example.com/?team=a"]'
)
echo "$seen"
expected="block: sigs.k8s.io/yaml reads it, kustomize builds it
brackets: sigs.k8s.io/yaml: line 3: did not find expected ',' or ']', kustomize: line 3: did not find expected ',' or ']'
braces: sigs.k8s.io/yaml: line 3: did not find expected ',' or '}', kustomize: line 3: did not find expected ',' or '}'
quotes: sigs.k8s.io/yaml reads it, kustomize builds it"
[[ $seen == "$expected" ]]
