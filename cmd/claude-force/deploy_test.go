package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/claude-force/claude-force/config"
)

// TestDeployCommands checks that what deploy/ starts are commands with flags that there
// are, and that the variables it sets are ones that are read.
func TestDeployCommands(t *testing.T) {
	known := []string{"ANTHROPIC_API_KEY", "PGPASSWORD"}
	for _, name := range config.Names() {
		if _, env := config.About(name); env != "" {
			known = append(known, env)
		}
	}
	files, err := filepath.Glob("../../deploy/kubernetes/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	commands := 0
	for _, path := range append(files, "../../deploy/compose.yaml") {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for document := range strings.SplitSeq(string(data), "\n---\n") {
			var object map[string]any
			if err := yaml.Unmarshal([]byte(document), &object); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			for _, c := range containers(object) {
				if args := c.args(); args != nil {
					commands++
					if err := checkCommand(t, args); err != nil {
						t.Errorf("%s: claude-force %s: %v", path, strings.Join(args, " "), err)
					}
				}
				for _, name := range c.variables() {
					if !slices.Contains(known, name) {
						t.Errorf("%s sets %s, which is not read", path, name)
					}
				}
			}
		}
	}
	if commands != 4 {
		t.Errorf("found %d commands of ours, not 4", commands)
	}
}

type container map[string]any

// containers returns the containers of an object, and the services of a compose file, of
// our image.
func containers(object any) (list []container) {
	switch object := object.(type) {
	case map[string]any:
		if object["image"] == "claude-force" {
			list = append(list, object)
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

// args returns the arguments that the program is started with; nil for another program.
func (c container) args() (args []string) {
	list, ok := c["args"].([]any)
	if command, is := c["command"].([]any); is && !ok {
		if list = command; command[0] == "install" {
			return nil // of an init container
		}
	}
	for _, arg := range list {
		args = append(args, arg.(string))
	}
	return args
}

// variables returns the names of the environment variables that are set.
func (c container) variables() (names []string) {
	if env, ok := c["env"].([]any); ok {
		for _, v := range env {
			names = append(names, v.(map[string]any)["name"].(string))
		}
	}
	if env, ok := c["environment"].(map[string]any); ok {
		for name := range env {
			names = append(names, name)
		}
	}
	return names
}
