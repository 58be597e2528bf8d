package server_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// described is what the description of the API says of an operation.
type described struct {
	Summary     string
	Description string
	Parameters  []struct {
		Name, In, Description string
		Schema                struct {
			Description string
			Default     any
		}
	}
	RequestBody struct {
		Content map[string]struct {
			Schema struct {
				Ref string `json:"$ref"`
			}
		}
	}
}

// reference returns the operations of a description in Markdown.
func reference(t *testing.T, document []byte) string {
	t.Helper()
	var api struct {
		Paths      map[string]map[string]described
		Components struct {
			Schemas map[string]struct {
				Properties map[string]struct {
					Description string
				}
				Required []string
			}
		}
	}
	if err := json.Unmarshal(document, &api); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, path := range slices.Sorted(maps.Keys(api.Paths)) {
		for _, method := range []string{"get", "post", "put", "patch", "delete"} {
			op, ok := api.Paths[path][method]
			if !ok {
				continue
			}
			fmt.Fprintf(&b, "### `%s %s`\n\n%s.", strings.ToUpper(method), path, op.Summary)
			if op.Description != "" {
				fmt.Fprintf(&b, " %s", op.Description)
			}
			b.WriteString("\n")
			var list strings.Builder
			for _, p := range op.Parameters {
				text := p.Description
				if text == "" {
					text = p.Schema.Description
				}
				if p.In == "path" && p.Name == "run" {
					continue // the text above the list says it
				}
				if p.Schema.Default != nil {
					text = strings.TrimPrefix(fmt.Sprintf("%s; default %v", text, p.Schema.Default), "; ")
				}
				fmt.Fprintf(&list, "- `%s`, in the %s%s\n", p.Name, p.In, prefixed(text))
			}
			for _, content := range op.RequestBody.Content {
				body := api.Components.Schemas[content.Schema.Ref[strings.LastIndexByte(content.Schema.Ref, '/')+1:]]
				for _, name := range slices.Sorted(maps.Keys(body.Properties)) {
					needed := ""
					if slices.Contains(body.Required, name) {
						needed = ", needed"
					}
					fmt.Fprintf(&list, "- `%s`, in the body%s%s\n", name, needed, prefixed(body.Properties[name].Description))
				}
			}
			if list.Len() > 0 {
				b.WriteString("\n" + list.String())
			}
			b.WriteString("\n")
		}
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

func prefixed(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}

// TestReference compares the operations in docs/api.md with the description of the API.
func TestReference(t *testing.T) {
	const file, begin = "../docs/api.md", "<!-- What follows is written by `go test ./server -run Reference -update`. -->\n\n"
	_, document := serve(t, t.TempDir(), nil).send("GET", "/openapi.json", nil)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, got, ok := strings.Cut(string(text), begin)
	if !ok {
		t.Fatalf("%s has no line %q", file, begin)
	}
	want := reference(t, document)
	if *update {
		if err := os.WriteFile(file, []byte(before+begin+want), 0o644); err != nil { //nolint:gosec // a document
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the operations have changed; go test ./server -run Reference -update writes them:\n%s", diff)
	}
}
