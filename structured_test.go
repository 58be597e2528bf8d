package claudeforce

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/sim"
)

func TestStrictSchemaIsWhatTheServiceTakes(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{ // an empty one is not taken
		`{"type":"object","properties":{"n":{"type":"integer","minimum":1}}}`:                       `{"type":"object","additionalProperties":false,"properties":{"n":{"type":"integer"}}}`,
		`{"type":"array","minItems":3,"items":{"type":"string","pattern":"^a"}}`:                    `{"type":"array","items":{"type":"string"}}`,
		`{"type":"array","minItems":1,"items":{"enum":["a"]}}`:                                      `{"type":"array","minItems":1,"items":{"enum":["a"]}}`,
		`{"anyOf":[{"type":"object","properties":{}},{"type":"string","maxLength":3}]}`:             `{"anyOf":[{"type":"object","properties":{},"additionalProperties":false},{"type":"string"}]}`,
		`{"type":"object","properties":{"pattern":{"type":"string"}},"additionalProperties":false}`: `{"type":"object","properties":{"pattern":{"type":"string"}},"additionalProperties":false}`,
		`{"type":"object","additionalProperties":{"type":"string"}}`:                                ``,
		`{"type":"object","properties":{"a":{"$ref":"#/$defs/a"}},"$defs":{"a":{"type":"string"}}}`: ``,
		`true`: ``,
		`{`:    ``,
	} {
		strict, ok := strictSchema(json.RawMessage(given))
		if ok != (want != "") {
			t.Errorf("strictSchema(%s): ok is %t", given, ok)
			continue
		}
		if !ok {
			continue
		}
		var v any
		if err := json.Unmarshal([]byte(want), &v); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(v, strict); d != "" {
			t.Errorf("strictSchema(%s): %s", given, d)
		}
	}
}

func TestExtractFindsTheJSON(t *testing.T) {
	t.Parallel()
	schema, err := compileSchema(json.RawMessage(`{"type":"object","required":["a"]}`))
	if err != nil {
		t.Fatal(err)
	}
	for given, want := range map[string]string{ // an empty one is not found
		` {"a": 1} `: `{"a": 1}`,
		"Here it is:\n```json\n{\"a\": 1}\n```\nDone.": `{"a": 1}`,
		`Sure: {"a": {"b": "}"}} and more`:             `{"a": {"b": "}"}}`,
		"{\"b\": 1}\n```\n{\"a\": 2}\n```":             `{"a": 2}`,
		`{"b": 1}`:                                     ``,
		`{"a": 1`:                                      ``,
		`prose`:                                        ``,
		``:                                             ``,
		"```":                                          ``,
		`[1, 2]`:                                       ``,
	} {
		got, err := extract(given, schema)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("extract(%q) = %q, %v; want %q", given, got, err, want)
		}
	}
}

// TestOutputsAreMended asks for texts that the simulator, which quotes its task,
// gives at once, when it is asked to mend, or never.
func TestOutputsAreMended(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern  string
		once     bool
		calls    int
		degraded bool
	}{
		{pattern: "Describe", calls: 1},
		{pattern: "Write this as JSON", calls: 2},
		{pattern: "Write this as JSON", once: true, calls: 1, degraded: true},
		{pattern: "no such text", calls: 2, degraded: true},
	} {
		dir := t.TempDir()
		cfg, err := config.Load(config.Sources{Dir: dir, Home: dir})
		if err != nil {
			t.Fatal(err)
		}
		server := sim.New(sim.Options{})
		orch, err := New(t.Context(), Options{Dir: dir, Config: cfg, Simulator: server})
		if err != nil {
			t.Fatal(err)
		}
		schema := `{"type":"object","required":["note"],"properties":{"note":{"type":"string","pattern":"` + c.pattern + `"}}}`
		res, err := orch.Execute(t.Context(), Task{Agent: "linter", Text: "Describe it", Schema: json.RawMessage(schema), Once: c.once}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := server.Stats().Requests; got != c.calls || res.calls != c.calls {
			t.Errorf("%+v: %d calls, %d in the result", c, got, res.calls)
		}
		if (res.Degraded != "") != c.degraded || !json.Valid([]byte(res.Output)) || !c.degraded && !strings.Contains(res.Output, c.pattern) {
			t.Errorf("%+v: %q, degraded %q", c, res.Output, res.Degraded)
		}
		if err := orch.Close(); err != nil {
			t.Error(err)
		}
	}
}
