package claudeforce_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/claudeforcetest"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/structured"
)

type review struct {
	Score    int       `json:"score" jsonschema:"from 1 to 5"`
	Findings []finding `json:"findings"`
	Note     *string   `json:"note,omitempty"`
}

type finding struct {
	Line int    `json:"line"`
	Text string `json:"text"`
}

func TestSchemaFor(t *testing.T) {
	t.Parallel()
	want := `{"type":"object","properties":{` +
		`"score":{"type":"integer","description":"from 1 to 5"},` +
		`"findings":{"type":"array","items":{"type":"object","properties":{"line":{"type":"integer"},"text":{"type":"string"}},"required":["line","text"],"additionalProperties":false}},` +
		`"note":{"type":["null","string"]}},"required":["score","findings"],"additionalProperties":false}`
	for name, schemaFor := range map[string]func() (json.RawMessage, error){
		"value": claudeforce.SchemaFor[review], "pointer": claudeforce.SchemaFor[*review],
	} {
		got, err := schemaFor()
		if err != nil || string(got) != want {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, want)
		}
		if _, _, ok := structured.Strict(got); !ok {
			t.Errorf("%s: the service does not take it", name)
		}
	}
	type node struct{ Next *node }
	for name, schemaFor := range map[string]func() (json.RawMessage, error){
		"contains itself": claudeforce.SchemaFor[node], "function": claudeforce.SchemaFor[func()],
	} {
		if _, err := schemaFor(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestExecuteReturnsAValue(t *testing.T) {
	t.Parallel()
	want := review{Score: 4, Findings: []finding{{Line: 3, Text: "unused"}}}
	model := claudeforcetest.NewModel(t,
		claudeforcetest.Answer{Contains: "good", JSON: want},
		claudeforcetest.Answer{Contains: "words", Text: "It is rather good code."},
		claudeforcetest.Answer{Contains: "broken", Err: llm.NewError(llm.CodeAuth, "no", nil)},
	)
	orch := claudeforcetest.New(t, claudeforce.Options{Model: model})
	got, res, err := claudeforce.Execute[review](t.Context(), orch, claudeforce.Task{Agent: "code-reviewer", Prompt: "good"})
	if diff := cmp.Diff(want, got); diff != "" || err != nil || res.Calls != 1 {
		t.Errorf("%v, %+v, %s", err, res, diff)
	}
	_, res, err = claudeforce.Execute[review](t.Context(), orch, claudeforce.Task{Agent: "code-reviewer", Prompt: "words", NoRetry: true})
	output, ok := errors.AsType[*claudeforce.OutputError](err)
	if !ok || output.Output != "It is rather good code." || res.Output != output.Output || *res.CostUSD == 0 {
		t.Errorf("text instead of JSON: %v, %+v", err, res)
	}
	_, res, err = claudeforce.Execute[review](t.Context(), orch, claudeforce.Task{Agent: "code-reviewer", Prompt: "broken"})
	if llm.CodeOf(err) != llm.CodeAuth || res.Status != claudeforce.StatusFailed {
		t.Errorf("a failed call: %v, %+v", err, res)
	}
	calls := len(model.Calls())
	if _, _, err := claudeforce.Execute[func()](t.Context(), orch, claudeforce.Task{Agent: "code-reviewer", Prompt: "good"}); err == nil || len(model.Calls()) != calls {
		t.Errorf("a type without a schema: %v, %d calls", err, len(model.Calls())-calls)
	}
}

func TestExecuteKeepsTheTasksOwnSchema(t *testing.T) {
	t.Parallel()
	model := claudeforcetest.NewModel(t, claudeforcetest.Answer{JSON: review{Score: 9, Findings: []finding{}}})
	orch := claudeforcetest.New(t, claudeforce.Options{Model: model})
	bounded := json.RawMessage(`{"type":"object","properties":{"score":{"type":"integer","maximum":5}}}`)
	_, _, err := claudeforce.Execute[review](t.Context(), orch, claudeforce.Task{Agent: "code-reviewer", Prompt: "p", Schema: bounded, NoRetry: true})
	if _, ok := errors.AsType[*claudeforce.OutputError](err); !ok {
		t.Errorf("a score of 9: %v", err)
	}
}

func TestRunWorkflowReturnsAValue(t *testing.T) {
	t.Parallel()
	want := review{Score: 5, Findings: []finding{}}
	for name, c := range map[string]struct {
		answer claudeforcetest.Answer
		want   string // in the error; empty for none
		status engine.Status
	}{
		"value":     {claudeforcetest.Answer{JSON: want}, "", engine.StatusCompleted},
		"text":      {claudeforcetest.Answer{Text: "fine"}, "not JSON", engine.StatusCompleted},
		"other":     {claudeforcetest.Answer{JSON: map[string]string{"score": "high"}}, "score", engine.StatusCompleted},
		"no output": {claudeforcetest.Answer{Err: llm.NewError(llm.CodeAuth, "no key", nil)}, "step review: ", engine.StatusFailed},
	} {
		orch := claudeforcetest.New(t, claudeforce.Options{Model: claudeforcetest.NewModel(t, c.answer)})
		wf, err := orch.ParseWorkflow("w.yaml", []byte("steps:\n- {id: review, agent: code-reviewer, task: Review}\n"))
		if err != nil {
			t.Fatal(err)
		}
		got, res, err := claudeforce.RunWorkflow[review](t.Context(), orch, wf, claudeforce.RunOptions{})
		if res == nil || res.Status != c.status {
			t.Fatalf("%s: %+v, %v", name, res, err)
		}
		if c.want == "" {
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("%s: %v %s", name, err, diff)
			}
			continue
		}
		if c.status == engine.StatusFailed {
			checkRunError(t, c.status, err)
		} else if _, ok := errors.AsType[*claudeforce.OutputError](err); !ok {
			t.Errorf("%s: %v; want an output error", name, err)
		}
		if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q in it", name, err, c.want)
		}
	}
}
