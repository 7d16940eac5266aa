// Builds many Kustomizations of Flux as kustomize-controller does, with the libraries that it is made of, in one process.
//
// Each line of stdin is a question, each line of stdout its answer, as JSON. A question is a Kustomization with the folder that it builds and what its
// cluster holds, or a folder to be made what source-controller would put into an artifact, or a text of YAML to be read as Kubernetes reads it, or a file of
// objects to be read as kubectl and kustomize do.
//
// kustomize-controller's own code between the libraries is in a package that cannot be imported. It is short, and repeated here: reconcile and build in
// internal/controller/kustomization_controller.go of v1.9.4.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	generator "github.com/fluxcd/pkg/kustomize"
	securefs "github.com/fluxcd/pkg/kustomize/filesys"
	"github.com/fluxcd/pkg/sourceignore"
	ssautil "github.com/fluxcd/pkg/ssa/utils"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

type question struct {
	// The top of the source, and the folder in it.
	Root   string `json:"root"`
	Folder string `json:"folder"`
	// The object as the API server holds it.
	Kustomization map[string]any `json:"kustomization"`
	// Strict is the flag of the controller by which a variable without a value is an error.
	Strict bool `json:"strict"`
	// What substituteFrom can read.
	Config []config `json:"config"`
	// In place of all that, a folder to take out what source-controller leaves out of an artifact.
	Archive string `json:"archive"`
	// Or a text of YAML.
	YAML *string `json:"yaml"`
	// Or the text of a file of objects.
	Objects *string `json:"objects"`
}

type config struct {
	Kind      string            `json:"kind"`
	Namespace string            `json:"namespace"`
	Name      string            `json:"name"`
	Data      map[string]string `json:"data"`
}

type answer struct {
	Objects []json.RawMessage `json:"objects,omitempty"`
	Value   json.RawMessage   `json:"value,omitempty"`
	Error   string            `json:"error,omitempty"`
	// What two programs make of a file of objects.
	Kubectl   *answer `json:"kubectl,omitempty"`
	Kustomize *answer `json:"kustomize,omitempty"`
}

// cluster is a client that reads the ConfigMaps and Secrets of a question. The library asks for nothing else.
type cluster struct {
	client.Client
	config []config
}

func (c cluster) Get(_ context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	var kind string
	switch object.(type) {
	case *corev1.ConfigMap:
		kind = "ConfigMap"
	case *corev1.Secret:
		kind = "Secret"
	}
	for _, held := range c.config {
		if held.Kind != kind || held.Namespace != key.Namespace || held.Name != key.Name {
			continue
		}
		switch object := object.(type) {
		case *corev1.ConfigMap:
			object.Data = held.Data
		case *corev1.Secret:
			object.Data = map[string][]byte{}
			for name, value := range held.Data {
				object.Data[name] = []byte(value)
			}
		}
		return nil
	}
	return apierrors.NewNotFound(schema.GroupResource{Resource: kind}, key.Name)
}

func main() {
	in, out := bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)
	questions := json.NewDecoder(in)
	for questions.More() {
		var asked question
		if err := questions.Decode(&asked); err != nil {
			fail(err)
		}
		answered := answerTo(asked)
		line, err := json.Marshal(answered)
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
}

func answerTo(asked question) (answered answer) {
	// A panic of a library is an answer, too; the controller recovers and stays where it is.
	defer func() {
		if cause := recover(); cause != nil {
			answered = answer{Error: fmt.Sprintf("panic: %v", cause)}
		}
	}()
	var err error
	switch {
	case asked.YAML != nil:
		answered.Value, err = yaml.YAMLToJSON([]byte(*asked.YAML))
	case asked.Objects != nil:
		kubectl, kustomize := reading(asked.Objects, asKubectl), reading(asked.Objects, asKustomize)
		return answer{Kubectl: &kubectl, Kustomize: &kustomize}
	case asked.Archive != "":
		err = archive(asked.Archive)
	default:
		answered.Objects, err = reconcile(asked)
	}
	if err != nil {
		return answer{Error: err.Error()}
	}
	return answered
}

// reconcile does what the controller does from the object in its cache to the objects that it applies.
func reconcile(asked question) ([]json.RawMessage, error) {
	stored, err := json.Marshal(asked.Kustomization)
	if err != nil {
		return nil, err
	}
	var kustomization kustomizev1.Kustomization
	if err := json.Unmarshal(stored, &kustomization); err != nil {
		return nil, fmt.Errorf("no Kustomization: %w", err)
	}
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&kustomization)
	if err != nil {
		return nil, err
	}
	folder := filepath.Join(asked.Root, asked.Folder)
	restore, err := kustomizationFile(folder)
	if err != nil {
		return nil, err
	}
	defer restore()
	if _, err := generator.NewGenerator(asked.Root, unstructured.Unstructured{Object: object}).WriteFile(folder); err != nil {
		return nil, err
	}
	built, err := build(asked, &kustomization, unstructured.Unstructured{Object: object}, folder)
	if err != nil {
		return nil, err
	}
	objects, err := ssautil.ReadObjects(bytes.NewReader(built))
	if err != nil {
		return nil, err
	}
	if common := kustomization.Spec.CommonMetadata; common != nil {
		ssautil.SetCommonMetadata(objects, common.Labels, common.Annotations)
	}
	var answers []json.RawMessage
	for _, object := range objects {
		line, err := json.Marshal(object.Object)
		if err != nil {
			return nil, err
		}
		answers = append(answers, line)
	}
	return answers, nil
}

func build(asked question, kustomization *kustomizev1.Kustomization, object unstructured.Unstructured, folder string) ([]byte, error) {
	resources, err := secureBuild(asked.Root, folder)
	if err != nil {
		return nil, fmt.Errorf("kustomize build failed: %w", err)
	}
	for _, resource := range resources.Resources() {
		if resource.GetName() == "" || resource.GetKind() == "" || resource.GetApiVersion() == "" {
			return nil, fmt.Errorf("failed to decode Kubernetes apiVersion, kind and name from: %v", resource.String())
		}
		if kustomization.Spec.PostBuild == nil {
			continue
		}
		always := kustomization.GetSubstituteStrategy() == kustomizev1.SubstituteStrategyAlways
		replaced, err := generator.SubstituteVariables(context.Background(), cluster{config: asked.Config}, object, resource,
			generator.SubstituteWithStrict(asked.Strict), generator.SubstituteWithAlways(always))
		if err != nil {
			return nil, fmt.Errorf("post build failed for '%s/%s': %w", resource.GetGvk(), resource.GetName(), err)
		}
		if replaced != nil {
			if _, err := resources.Replace(resource); err != nil {
				return nil, err
			}
		}
	}
	return resources.AsYaml()
}

// secureBuild is the function of that name in the library, without remote bases, since nothing is fetched for a test, and without loading the schemas
// of Kubernetes anew for each build, which takes ten times as long as the rest. That matters after a build that has schemas of its own (openapi).
func secureBuild(root, folder string) (resources resmap.ResMap, err error) {
	files, err := securefs.MakeFsOnDiskSecure(root)
	if err != nil {
		return nil, err
	}
	options := &krusty.Options{LoadRestrictions: types.LoadRestrictionsNone, PluginConfig: types.DisabledPluginConfig()}
	return krusty.MakeKustomizer(options).Run(files, folder)
}

// reading is what a program makes of a file of objects.
func reading(text *string, read func(string) ([]json.RawMessage, error)) (answered answer) {
	defer func() {
		if cause := recover(); cause != nil {
			answered = answer{Error: fmt.Sprintf("panic: %v", cause)}
		}
	}()
	objects, err := read(*text)
	if err != nil {
		return answer{Error: err.Error()}
	}
	return answer{Objects: objects}
}

// asKubectl reads a file as kubectl does that does not begin as JSON (k8s.io/cli-runtime/pkg/resource, by way of YAMLOrJSONDecoder).
func asKubectl(text string) (objects []json.RawMessage, err error) {
	documents := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text)))
	for {
		document, err := documents.Read()
		switch {
		case errors.Is(err, io.EOF):
			return objects, nil
		case err != nil:
			return nil, err
		}
		object, err := yaml.YAMLToJSON(document)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(object, []byte("null")) {
			objects = append(objects, object)
		}
	}
}

// asKustomize builds a folder whose only resource is the file, and reads what is printed as kubectl would.
func asKustomize(text string) (objects []json.RawMessage, err error) {
	files := filesys.MakeFsInMemory()
	must(files.WriteFile("/kustomization.yaml", []byte("resources: [objects.yaml]")))
	must(files.WriteFile("/objects.yaml", []byte(text)))
	options := &krusty.Options{LoadRestrictions: types.LoadRestrictionsNone, PluginConfig: types.DisabledPluginConfig()}
	resources, err := krusty.MakeKustomizer(options).Run(files, "/")
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

// archive removes the files that source-controller leaves out of an artifact, as its storage does: one by one, by the patterns that the same
// library reads. A folder that is left out is walked all the same.
func archive(root string) error {
	domain := strings.Split(root, string(filepath.Separator))
	patterns, err := sourceignore.LoadIgnorePatterns(root, domain)
	if err != nil {
		return err
	}
	matcher := sourceignore.NewDefaultMatcher(patterns, domain)
	if len(patterns) > 0 {
		matcher = sourceignore.NewMatcher(append(sourceignore.VCSPatterns(domain), patterns...))
	}
	var folders []string
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		isLeftOut := matcher.Match(strings.Split(path, string(filepath.Separator)), entry.IsDir())
		switch {
		case entry.IsDir() && isLeftOut:
			folders = append(folders, path)
		case !entry.IsDir() && (isLeftOut || !entry.Type().IsRegular()):
			return os.Remove(path)
		}
		return nil
	})
	// Those that are empty now are not there; the others keep what is in them.
	for i := len(folders) - 1; i >= 0; i-- {
		_ = os.Remove(folders[i])
	}
	return err
}

// kustomizationFile returns what puts the kustomization file of a folder back to what it is now: the library writes over it, or makes one.
func kustomizationFile(folder string) (func(), error) {
	for _, name := range konfig.RecognizedKustomizationFileNames() {
		path := filepath.Join(folder, name)
		text, err := os.ReadFile(path)
		switch {
		case err == nil:
			return func() { must(os.WriteFile(path, text, 0o600)) }, nil
		case !errors.Is(err, os.ErrNotExist):
			return nil, err
		}
	}
	path := filepath.Join(folder, konfig.DefaultKustomizationFileName())
	return func() {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			fail(err)
		}
	}, nil
}

func must(err error) {
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
