package workflow_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	yaml "go.yaml.in/yaml/v4"

	"github.com/claude-force/claude-force/workflow"
)

// ofGo is what messages of Go's own packages have, and those for users must not.
var ofGo = regexp.MustCompile(`\bGo (struct|value|type)|cannot (un)?marshal|strconv\.|json: |yaml: |reflect\.|invalid syntax|value out of range|parsing "|\b(u?int(8|16|32|64)?|float(32|64)|interface ?\{\}|map\[string\]|\[\](string|any|byte)|!!(int|float|str|map|seq|bool|null))\b`)

// wrongKinds are values of which each is of a wrong kind, or too large, somewhere.
var wrongKinds = []string{
	"1e2", "1e400", "-1", "0x", "99999999999999999999", "1.5", "true", "null", "''", "x y", "[]", "[1, [2]]", "{}", "{a: {b: 1}}", ".nan", "2026-01-01", "!!binary aGk=", "!!set {a}",
}

// TestErrorsNameNoTypesOfGo puts a value of each kind in the place of each value of the
// example workflows: what is wrong is said in the words of the file.
func TestErrorsNameNoTypesOfGo(t *testing.T) {
	files, err := filepath.Glob("../examples/workflows/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	wrong, places := 0, 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var doc yaml.Node
		if err := yaml.Unmarshal(data, &doc); err != nil {
			t.Fatal(err)
		}
		var visit func(n *yaml.Node)
		visit = func(n *yaml.Node) {
			for i, c := range n.Content {
				if n.Kind == yaml.MappingNode && i%2 == 0 {
					continue // a key
				}
				places++
				for k := places % 3; k < len(wrongKinds); k += 3 { // all, in places alike
					text := wrongKinds[k]
					var value yaml.Node
					if err := yaml.Unmarshal([]byte(text), &value); err != nil {
						t.Fatal(err)
					}
					n.Content[i] = value.Content[0]
					changed, err := yaml.Marshal(&doc)
					if err != nil {
						t.Fatal(err)
					}
					_, err = workflow.Parse(file, changed, workflow.Options{Load: os.ReadFile})
					if err != nil {
						wrong++
					}
					list, _ := errors.AsType[workflow.Errors](err)
					for _, e := range list {
						if m := ofGo.FindString(e.Message); m != "" {
							t.Errorf("%s in the place of line %d, %q is of Go: %v", text, c.Line, m, e)
						}
					}
				}
				n.Content[i] = c
				visit(c)
			}
		}
		visit(&doc)
	}
	if wrong < 500 {
		t.Errorf("%d files were wrong", wrong)
	}
}
