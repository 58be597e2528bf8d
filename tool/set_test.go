package tool_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/tool"
)

type addInput struct {
	A int  `json:"a" jsonschema:"the first number"`
	B int  `json:"b"`
	C bool `json:"c,omitempty"`
}

func adder(t *testing.T) *tool.Set {
	t.Helper()
	add, err := tool.Func("add", "Adds two numbers.", func(_ context.Context, in addInput) (int, error) {
		if in.C {
			return 0, errors.New("cannot do that")
		}
		return in.A + in.B, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	set, err := tool.NewSet(add)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestFunctionAsATool(t *testing.T) {
	t.Parallel()
	set := adder(t)
	env, err := tool.NewEnv(t.TempDir(), tool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = env.Close() })
	for _, c := range []struct {
		name, input, want string
		isError           bool
	}{
		{"add", `{"a":1,"b":2}`, "3", false},
		{"add", `{"a":"1","b":"2","c":"false"}`, "3", false},
		{"add", `{"a":2.0,"b":1}`, "3", false},
		{"add", `{"a":1,"b":2,"c":true}`, "cannot do that", true},
		{"add", `{"a":1}`, "`b` is missing", true},
		{"add", `{"a":1,"b":2,"d":3}`, "`d`", true},
		{"add", `{"a":1.5,"b":2}`, "`a`", true},
		{"add", `{"a":"x","b":2}`, "`a`", true},
		{"add", `{"a":null,"b":2}`, "`a`", true},
		{"add", `{"a":[1],"b":2}`, "`a`", true},
		{"add", `{"a":1,`, `{"a":1,`, true},
		{"add", `[1]`, "object", true},
		{"add", ``, "`a` is missing", true},
		{"Add", `{}`, "call add", true},
		{"sub", `{}`, "No such tool available: sub", true},
	} {
		got := set.Call(t.Context(), env, llm.Block{Type: llm.BlockToolUse, Name: c.name, Input: json.RawMessage(c.input)})
		if got.IsError != c.isError || !strings.Contains(got.Text, c.want) {
			t.Errorf("%s %s: got %q, error %v; want %q, error %v", c.name, c.input, got.Text, got.IsError, c.want, c.isError)
		}
	}
}

// anything is a tool whose definition and inputs are someone else's business.
type anything struct{}

func (anything) Unchecked() {}

func (anything) Concurrent(json.RawMessage) bool { return false }

func (anything) Definition() llm.Tool {
	return llm.Tool{Name: "anything", InputSchema: json.RawMessage(`{"type":"object","properties":{"n":{"type":"nonsense"}},"required":["n"]}`)}
}

func (anything) Call(_ context.Context, _ *tool.Env, input json.RawMessage) (tool.Result, error) {
	return tool.Text(string(input)), nil
}

func TestUncheckedInput(t *testing.T) {
	t.Parallel()
	set, err := tool.NewSet(anything{})
	if err != nil {
		t.Fatal(err)
	}
	env, err := tool.NewEnv(t.TempDir(), tool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer env.Close()
	for input, want := range map[string]string{
		`{"z":"1","a":12345678901234567890}`: `{"z":"1","a":12345678901234567890}`,
		``:                                   `{}`,
		`[1]`:                                "",
		`{"a":`:                              "",
	} {
		got := set.Call(t.Context(), env, llm.Block{Type: llm.BlockToolUse, Name: "anything", Input: json.RawMessage(input)})
		if got.IsError != (want == "") || want != "" && got.Text != want {
			t.Errorf("%s: got %+v, want %q", input, got, want)
		}
	}
}
