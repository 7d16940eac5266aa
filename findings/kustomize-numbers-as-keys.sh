#!/usr/bin/env bash
# sigs.k8s.io/kustomize/kustomize v5.8.2.
#
# Guess before running: a key that YAML reads as a number (`8080: web`) becomes the text "8080", as with kubectl, which every JSON
# needs anyway.
#
# Behaviour seen:
# - As a field of the object itself such a key is a text. Anywhere below it the whole build fails: the error is the object in Go's
#   own notation, and names neither the file nor the key. So it does for a boolean (`true:`) and a date (`2020-01-31:`).
# - `yes:`, `on:` and `y:` are texts. In quotes every key is one.
#
# Output seen:
#   field of the object: built
#   below it: json: unsupported type: map[interface {}]interface {}
#   boolean below it: json: unsupported type: map[interface {}]interface {}
#   date below it: json: unsupported type: map[interface {}]interface {}
#   yes below it: built
#   in quotes: built
#
# Exits with 1 if any of that changes. Needs Go and its module proxy.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
GOBIN=$dir GOFLAGS=-mod=mod go install sigs.k8s.io/kustomize/kustomize/v5@v5.8.2

build() {
    rm -rf try && mkdir try
    printf 'apiVersion: example.com/v1\nkind: Example\nmetadata: {name: example}\n%b\n' "$2" >try/object.yaml
    echo 'resources: [object.yaml]' >try/kustomization.yaml
    local said
    if said=$(./kustomize build try 2>&1); then said=built; fi
    said=${said##*\}: }
    echo "$1: $said"
}
seen=$(
    build 'field of the object' '8080: web'
    build 'below it' 'spec:\n  ports:\n    8080: web'
    build 'boolean below it' 'spec:\n  true: web'
    build 'date below it' 'spec:\n  2020-01-31: web'
    build 'yes below it' 'spec:\n  yes: web'
    build 'in quotes' "spec:\n  ports:\n    '8080': web"
)
echo "$seen"
expected='field of the object: built
below it: json: unsupported type: map[interface {}]interface {}
boolean below it: json: unsupported type: map[interface {}]interface {}
date below it: json: unsupported type: map[interface {}]interface {}
yes below it: built
in quotes: built'
[[ $seen == "$expected" ]]
