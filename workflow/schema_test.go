package workflow_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/jsonschema-go/jsonschema"
	yaml "go.yaml.in/yaml/v4"

	"github.com/claude-force/claude-force/workflow"
)

var fileSchema = sync.OnceValues(func() (*jsonschema.Resolved, error) {
	var s jsonschema.Schema
	if err := json.Unmarshal(workflow.Schema(), &s); err != nil {
		return nil, err
	}
	return s.Resolve(nil)
})

// matchSchema checks a file against the schema that editors use.
func matchSchema(tb testing.TB, src string) error {
	tb.Helper()
	s, err := fileSchema()
	if err != nil {
		tb.Fatal(err)
	}
	src = strings.TrimPrefix(src, "\ufeff")
	var v any
	if json.Unmarshal([]byte(src), &v) != nil {
		if err := yaml.Load([]byte(src), &v); err != nil {
			tb.Fatal(err)
		}
	}
	return s.Validate(asJSON(v))
}

// asJSON gives values the types that encoding/json would.
func asJSON(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			v[k] = asJSON(e)
		}
	case []any:
		for i, e := range v {
			v[i] = asJSON(e)
		}
	case time.Time:
		return v.Format(time.DateOnly)
	case int:
		return float64(v)
	}
	return v
}

// What the parser knows and what editors know must not drift apart.
func TestSchemaKnowsAllKeys(t *testing.T) {
	var s jsonschema.Schema
	if err := json.Unmarshal(workflow.Schema(), &s); err != nil {
		t.Fatal(err)
	}
	step := s.Defs["step"]
	object := func(s *jsonschema.Schema) *jsonschema.Schema {
		for _, one := range s.AnyOf {
			if one.Properties != nil {
				return one
			}
		}
		t.Fatal("no mapping in", s.Description)
		return nil
	}
	for name, in := range map[string]*jsonschema.Schema{
		"file": &s, "defaults": s.Properties["defaults"], "agent": s.Defs["agent"], "choice": object(s.Defs["choice"]), "param": object(s.Defs["param"]), "retries": object(s.Defs["retries"]),
		"step": step, "failure": object(step.Properties["on_failure"]), "foreach": object(step.Properties["foreach"]),
		"loop": step.Properties["loop"], "state": step.Properties["loop"].Properties["state"].AdditionalProperties, "approval": object(step.Properties["approval"]),
	} {
		var keys []string
		for key, value := range in.Properties {
			keys = append(keys, key)
			if value.Description == "" && value.Ref == "" && name != "param" && name != "foreach" {
				t.Errorf("%s: %s has no description", name, key)
			}
		}
		want := slices.Sorted(slices.Values(workflow.Keys[name]))
		slices.Sort(keys)
		if d := cmp.Diff(want, keys); d != "" {
			t.Errorf("keys of %s (-parser +schema):\n%s", name, d)
		}
		if in.AdditionalProperties == nil {
			t.Errorf("%s: other keys are let through", name)
		}
	}
}

func TestSchemaAgreesWithParser(t *testing.T) {
	for _, glob := range []string{"testdata/draw/*.yaml", "../examples/workflows/*"} {
		paths, err := filepath.Glob(glob)
		if err != nil || len(paths) == 0 {
			t.Fatal("no files", err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := matchSchema(t, string(data)); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
	archives, _ := filepath.Glob("testdata/errors/*.txtar")
	refused := 0
	for _, path := range archives {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, files := archive(string(data))
		for i := 0; i+1 < len(files); i += 2 {
			want := files[i+1].text
			switch {
			case want == "ok\n":
				if err := matchSchema(t, files[i].text); err != nil {
					t.Errorf("%s: %v", files[i].name, err)
				}
			case strings.Contains(want, "unknown key") && !strings.Contains(want, "given twice"):
				refused++
				if matchSchema(t, files[i].text) == nil {
					t.Errorf("%s: unknown keys are let through", files[i].name)
				}
			}
		}
	}
	if refused == 0 {
		t.Error("no file with unknown keys was tried")
	}
	for _, src := range []string{
		"steps: [{id: a, agent: x, task: t, whn: true}]",
		"steps: [{id: a, agent: x, task: t}]\nnmae: x",
		"steps: [{id: a, agent: x, task: t, retries: {mx: 3}}]",
		"steps: [{id: a, agent: x, task: t, loop: {max: 3, til: x}}]",
		"steps: [{id: a, agent: x, task: t, on_failure: {fallbck: x}}]",
		"steps: [{id: a, agent: x, task: t, foreach: {gob: x}}]",
		"steps: [{id: a, approval: {message: x, tmeout: 3}}]",
		"steps: [{id: a, steps: [{id: b, agnt: x, task: t}]}]",
		"steps: [{id: a, agent: x, task: t, approval: Go?}]",
		"steps: [{id: a, agent: x}]",
		"steps: [{id: a, agent: x, task: t, budget: {on_exceed: stop}}]",
		"steps: [{id: a, agent: x, task: t, timeout: soon}]",
	} {
		if matchSchema(t, src) == nil {
			t.Errorf("accepted: %s", src)
		}
	}
}
