#!/usr/bin/env bash
# gopkg.in/evanphx/json-patch.v4 v4.13.0, the JSON Patch library of kube-apiserver v1.35.4.
#
# Guess before running: RFC 6902 section 4.6, as in other implementations. `test` compares decoded JSON values, so the way
# a string or a number is written does not matter, and a test of an absent member fails; `replace` of an absent member fails.
#
# Behaviour seen:
# - `test` compares the bytes of scalars. Go's encoder writes < > & as \u003c \u003e \u0026, and the API server encodes the
#   object so before it applies a patch: a `test` for the text "x<y&z" that a client sends as it is fails, and one with
#   the escapes passes. 1 and 1.0 differ.
# - `test` for null passes where the member is absent.
# - `replace` of an absent member adds it.
#
# The same was seen with curl at kube-apiserver v1.35.4 (a ConfigMap; the failed test is answered with HTTP 422 and "the
# server rejected our request due to an error in our request"). kubectl patch is not affected: it encodes the patch anew,
# with the escapes. A client in another language is.
#
# Output seen:
#   literal text: test failed
#   escaped text: passes
#   1 against 1.0: test failed
#   null against absent: passes
#   replace absent: {"a":1,"b":2}
#
# Exits with 1 if any of that changes. Needs Go and its module proxy.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

cat >go.mod <<'MOD'
module finding

go 1.25

require gopkg.in/evanphx/json-patch.v4 v4.13.0
MOD
cat >main.go <<'GO'
package main

import (
	"encoding/json"
	"fmt"
	"strings"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
)

func apply(label string, document []byte, operations string) {
	patch, err := jsonpatch.DecodePatch([]byte(operations))
	if err != nil {
		panic(err)
	}
	patched, err := patch.Apply(document)
	switch {
	case err != nil && strings.HasSuffix(err.Error(), "test failed"):
		fmt.Println(label + ": test failed")
	case err != nil:
		fmt.Println(label+":", err)
	case string(patched) == string(document):
		fmt.Println(label + ": passes")
	default:
		fmt.Printf("%s: %s\n", label, patched)
	}
}

func main() {
	text, err := json.Marshal(map[string]string{"a": "x<y&z"})
	if err != nil {
		panic(err)
	}
	apply("literal text", text, `[{"op":"test","path":"/a","value":"x<y&z"}]`)
	apply("escaped text", text, `[{"op":"test","path":"/a","value":"x\u003cy\u0026z"}]`)
	number := []byte(`{"a":1}`)
	apply("1 against 1.0", number, `[{"op":"test","path":"/a","value":1.0}]`)
	apply("null against absent", number, `[{"op":"test","path":"/b","value":null}]`)
	apply("replace absent", number, `[{"op":"replace","path":"/b","value":2}]`)
}
GO
go mod tidy 2>/dev/null
diff - <(go run .) <<'SEEN'
literal text: test failed
escaped text: passes
1 against 1.0: test failed
null against absent: passes
replace absent: {"a":1,"b":2}
SEEN
echo 'as described'
