#!/usr/bin/env bash
# github.com/fluxcd/pkg/sourceignore v0.19.0 (source-controller 1.9), beside git check-ignore.
#
# Guess before running: a .sourceignore has the syntax and the rules of .gitignore, as the documentation of Flux says, so what git ignores
# by these patterns is not in the artifact.
#
# Behaviour seen:
# - A file of a folder that is left out is brought back by `!`; git never looks into such a folder.
# - `[!a]` is no negation: it stands for the characters ! and a. `[^a]` negates for both.
# - `**` beside other characters in a part of a path matches nothing; git takes it for `*`.
#
# Output seen:
#   /apps, !/apps/x.yaml                apps/x.yaml      artifact: in   git: ignored
#   apps/[!a]x.yaml                     apps/bx.yaml     artifact: in   git: ignored
#   apps/[^a]x.yaml                     apps/bx.yaml     artifact: out  git: ignored
#   apps/x**.yaml                       apps/xy.yaml     artifact: in   git: ignored
#
# Exits with 1 if any of that changes. Needs git, Go and its module proxy.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/fluxcd/pkg/sourceignore"
)

// Says whether a path is left out by the patterns that come before it.
func main() {
	patterns := sourceignore.ReadPatterns(strings.NewReader(os.Args[1]), nil)
	if sourceignore.NewMatcher(patterns).Match(strings.Split(os.Args[2], "/"), false) {
		fmt.Print("out")
	} else {
		fmt.Print("in")
	}
}
GO
go mod init example.com/ignored >/dev/null 2>&1
go get github.com/fluxcd/pkg/sourceignore@v0.19.0 >/dev/null 2>&1
go build -o ignored .

git init --quiet tree
compare() {
    local patterns=$1 path=$2
    mkdir -p "tree/$(dirname "$path")"
    touch "tree/$path"
    printf '%b' "$patterns" >tree/.gitignore
    local git=kept
    if git -C tree check-ignore --quiet "$path"; then git=ignored; fi
    printf '%-35s %-16s artifact: %-4s git: %s\n' "$(printf '%b' "$patterns" | paste -sd, | sed 's/,/, /')" "$path" \
        "$(./ignored "$(printf '%b' "$patterns")" "$path")" "$git"
}
seen=$(
    compare '/apps\n!/apps/x.yaml\n' apps/x.yaml
    compare 'apps/[!a]x.yaml\n' apps/bx.yaml
    compare 'apps/[^a]x.yaml\n' apps/bx.yaml
    compare 'apps/x**.yaml\n' apps/xy.yaml
)
echo "$seen"
expected='/apps, !/apps/x.yaml                apps/x.yaml      artifact: in   git: ignored
apps/[!a]x.yaml                     apps/bx.yaml     artifact: in   git: ignored
apps/[^a]x.yaml                     apps/bx.yaml     artifact: out  git: ignored
apps/x**.yaml                       apps/xy.yaml     artifact: in   git: ignored'
[[ $seen == "$expected" ]]
