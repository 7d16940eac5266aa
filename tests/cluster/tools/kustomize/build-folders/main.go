// Builds many folders with the library that `kustomize build` is made of, in one process: starting one for each folder would take longer
// than all the building.
//
// Each line of stdin is a folder. Each line of stdout is the answer: what was printed, as the API server would be sent it, or an error.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

type answer struct {
	Folder  string            `json:"folder"`
	Objects []json.RawMessage `json:"objects,omitempty"`
	Error   string            `json:"error,omitempty"`
}

func main() {
	out := bufio.NewWriter(os.Stdout)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		answer := answer{Folder: lines.Text()}
		objects, err := build(answer.Folder)
		if err != nil {
			answer.Error = err.Error()
		}
		answer.Objects = objects
		line, err := json.Marshal(answer)
		if err != nil {
			fail(err)
		}
		if _, err := out.Write(append(line, '\n')); err != nil {
			fail(err)
		}
		// Whoever waits for one answer gets it.
		if err := out.Flush(); err != nil {
			fail(err)
		}
	}
	if err := lines.Err(); err != nil {
		fail(err)
	}
}

// build does what `kustomize build --load-restrictor LoadRestrictionsNone` does, and reads what is printed as kubectl would.
func build(folder string) (objects []json.RawMessage, err error) {
	// A panic of the library is an answer, too.
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic: %v", cause)
		}
	}()
	options := krusty.MakeDefaultOptions()
	options.LoadRestrictions = types.LoadRestrictionsNone
	resources, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		return nil, err
	}
	for _, resource := range resources.Resources() {
		text, err := resource.AsYAML()
		if err != nil {
			return nil, err
		}
		object, err := yaml.YAMLToJSON(text)
		if err != nil {
			return nil, err
		}
		objects = append(objects, object)
	}
	return objects, nil
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
