#!/usr/bin/env bash
# k8s.io/apimachinery v0.35.4, util/managedfields: the field managers of kube-apiserver v1.35.4 for a custom resource.
#
# Guess before running: metadata.managedFields keeps one entry for each manager, operation, version and subresource, so that
# it always tells which client set a field.
#
# Behaviour seen: of the entries with operation Update, ten are kept. With the eleventh client that writes without
# server-side apply, the two oldest become one entry of a manager called `ancient-changes`, which no client is, and every
# further client adds its predecessor to it. Who set those fields is lost; the name matches no list of managers that
# kustomize-controller takes over by default (prefixes `kubectl` and `before-first-apply`).
#
# Output seen (clients that have written: entries):
#   10: 10
#   11: 10
#   13: 10
#   first entry: ancient-changes Update helm.toolkit.fluxcd.io/v2 {"f:spec":{".":{},"f:f00":{},"f:f01":{},"f:f02":{},"f:f03":{}}}
#
# Exits with 1 if any of that changes. Needs Go and its module proxy.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

cat >go.mod <<'MOD'
module finding

go 1.25.0

require k8s.io/apimachinery v0.35.4
MOD
cat >main.go <<'GO'
package main

import (
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
)

// scheme is that of one custom resource with one version: nothing is converted, and nothing has a default.
type scheme struct{}

func (scheme) Convert(_, _, _ any) error { return errors.New("one version only") }
func (scheme) ConvertToVersion(object runtime.Object, _ runtime.GroupVersioner) (runtime.Object, error) {
	return object, nil
}
func (scheme) ConvertFieldLabel(_ schema.GroupVersionKind, label, value string) (string, string, error) {
	return label, value, nil
}
func (scheme) Default(runtime.Object) {}
func (scheme) New(kind schema.GroupVersionKind) (runtime.Object, error) {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(kind)
	return object, nil
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func main() {
	kind := schema.FromAPIVersionAndKind("helm.toolkit.fluxcd.io/v2", "HelmRelease")
	types := managedfields.NewDeducedTypeConverter()
	manager := must(managedfields.NewDefaultCRDFieldManager(types, scheme{}, scheme{}, scheme{}, kind, kind.GroupVersion(), "", nil))
	live := must(scheme{}.New(kind)).(*unstructured.Unstructured)
	live.SetName("podinfo")
	live.SetNamespace("apps")
	for client := range 13 {
		changed := live.DeepCopy()
		if err := unstructured.SetNestedField(changed.Object, "x", "spec", fmt.Sprintf("f%02d", client)); err != nil {
			panic(err)
		}
		written := must(manager.Update(live, changed, fmt.Sprintf("client-%02d", client)))
		live = written.(*unstructured.Unstructured)
		if writers := client + 1; writers == 10 || writers == 11 || writers == 13 {
			fmt.Printf("%d: %d\n", writers, len(live.GetManagedFields()))
		}
	}
	first := live.GetManagedFields()[0]
	fmt.Printf("first entry: %s %s %s %s\n", first.Manager, first.Operation, first.APIVersion, first.FieldsV1.Raw)
}
GO
go mod tidy 2>/dev/null
diff - <(go run .) <<'SEEN'
10: 10
11: 10
13: 10
first entry: ancient-changes Update helm.toolkit.fluxcd.io/v2 {"f:spec":{".":{},"f:f00":{},"f:f01":{},"f:f02":{},"f:f03":{}}}
SEEN
echo 'as described'
