package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/claude-force/claude-force/config"
)

// TestDeployWorkers checks that the workers that deploy/ starts have flags that there are and
// variables that are read, and are given longer to stop than they take.
func TestDeployWorkers(t *testing.T) {
	known := []string{"ANTHROPIC_API_KEY", "PGPASSWORD", addressVar, namespaceVar, apiKeyVar}
	for _, name := range config.Names() {
		if _, env := config.About(name); env != "" {
			known = append(known, env)
		}
	}
	files, err := filepath.Glob("../../../deploy/kubernetes/worker/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	workers := 0
	for _, path := range append(files, "../../../deploy/compose.yaml") {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for document := range strings.SplitSeq(string(data), "\n---\n") {
			var object any
			if err := yaml.Unmarshal([]byte(document), &object); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			for _, c := range containers(object) {
				workers++
				o, err := parse(c.args)
				if err != nil {
					t.Errorf("%s: claude-force-worker %s: %v", path, strings.Join(c.args, " "), err)
				}
				for _, name := range c.variables {
					if !slices.Contains(known, name) {
						t.Errorf("%s sets %s, which is not read", path, name)
					}
				}
				if o != nil && c.grace != 0 && c.grace <= o.stopTime {
					t.Errorf("%s: a worker that takes %s to stop is killed after %s", path, o.stopTime, c.grace)
				}
			}
		}
	}
	if workers != 2 {
		t.Errorf("found %d workers, not 2", workers)
	}
}

// container is a container of a pod, or a service of a compose file.
type container struct {
	args, variables []string
	grace           time.Duration // before it is killed; 0 if the pod says it
}

// containers returns the containers of the image of workers within an object.
func containers(object any) (list []container) {
	switch object := object.(type) {
	case map[string]any:
		if object["image"] == "claude-force-worker" {
			list = append(list, containerOf(object))
		}
		for _, value := range object {
			list = append(list, containers(value)...)
		}
	case []any:
		for _, value := range object {
			list = append(list, containers(value)...)
		}
	}
	return list
}

func containerOf(object map[string]any) (c container) {
	for _, name := range []string{"args", "command"} {
		if list, ok := object[name].([]any); ok {
			for _, arg := range list {
				c.args = append(c.args, arg.(string))
			}
		}
	}
	if env, ok := object["env"].([]any); ok {
		for _, v := range env {
			c.variables = append(c.variables, v.(map[string]any)["name"].(string))
		}
	}
	if env, ok := object["environment"].(map[string]any); ok {
		for name := range env {
			c.variables = append(c.variables, name)
		}
	}
	if text, ok := object["stop_grace_period"].(string); ok {
		c.grace, _ = time.ParseDuration(text) // Compose refuses what is none
	}
	return c
}
