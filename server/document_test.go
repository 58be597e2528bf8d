package server_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
)

// conforms fails the test if an answer is not as the description of the API says.
func (s *service) conforms(res *http.Response, method, path string, body []byte) {
	s.t.Helper()
	path, _, _ = strings.Cut(path, "?")
	if !strings.HasPrefix(path, "/api/") || len(body) == 0 {
		return
	}
	_, data := s.send("GET", "/openapi.json", nil)
	schema := responseSchema(s.t, data, strings.ToLower(method), path, res)
	if schema == nil {
		return // a route that there is not
	}
	if !strings.Contains(res.Header.Get("Content-Type"), "json") || res.Header.Get("Content-Type") == "application/jsonl" {
		return // a text
	}
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	if err := schema.Validate(v); err != nil {
		s.t.Errorf("%s %s: the answer is not as described: %v\n%s", method, path, err, body)
	}
}

var pathParam = regexp.MustCompile(`\\{[a-z]+\\}`)

// responseSchema returns the schema of an answer; nil if no route is described for it.
func responseSchema(t *testing.T, document []byte, method, path string, res *http.Response) *jsonschema.Resolved {
	t.Helper()
	text := strings.ReplaceAll(string(document), "#/components/schemas/", "#/$defs/")
	var api struct {
		Paths map[string]map[string]struct {
			Responses map[string]struct {
				Content map[string]struct{ Schema json.RawMessage }
			}
		}
		Components struct{ Schemas map[string]json.RawMessage }
	}
	if err := json.Unmarshal([]byte(text), &api); err != nil {
		t.Fatal(err)
	}
	for template, methods := range api.Paths {
		if !regexp.MustCompile("^" + pathParam.ReplaceAllString(regexp.QuoteMeta(template), "[^/]+") + "$").MatchString(path) {
			continue
		}
		op, ok := methods[method]
		if !ok {
			continue
		}
		content := op.Responses[strconv.Itoa(res.StatusCode)].Content[res.Header.Get("Content-Type")]
		if content.Schema == nil {
			t.Fatalf("%s %s: an answer %s of type %s is not described", method, path, res.Status, res.Header.Get("Content-Type"))
		}
		whole, err := json.Marshal(map[string]any{"$defs": api.Components.Schemas, "allOf": []json.RawMessage{content.Schema}})
		if err != nil {
			t.Fatal(err)
		}
		var schema jsonschema.Schema
		if err := json.Unmarshal(whole, &schema); err != nil {
			t.Fatal(err)
		}
		resolved, err := schema.Resolve(nil)
		if err != nil {
			t.Fatal(err)
		}
		return resolved
	}
	return nil
}
