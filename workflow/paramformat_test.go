package workflow_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/workflow"
)

// A text that is given for a parameter with a format is read as the format says, whether
// it is a default, given for the run, or passed by another file.
func TestFormatsOfParameters(t *testing.T) {
	for _, c := range []struct{ typ, text, want, err string }{
		{"list", "a\n\n b c \n", `["a"," b c "]`, ""},
		{"list", `["a", 1.10]`, `["a",1.10]`, ""},
		{"list", "[1", "", "must be a JSON array"},
		{"list", "", `[]`, ""},
		{"json", ` {"b": 1.10, "a": [true]} `, `{"b":1.10,"a":[true]}`, ""},
		{"json", "12345678901234567890", `12345678901234567890`, ""},
		{"json", "null", "", "not null"},
		{"json", "{", "", "must be JSON"},
		{"csv", "id,ok,n\n007,true,1.10\nx y,,\"1,5\"\n", `[{"id":"007","ok":true,"n":1.10},{"id":"x y","ok":"","n":"1,5"}]`, ""},
		{"csv", "\ufeffid\r\n12345678901234567890\r\n", `[{"id":12345678901234567890}]`, ""},
		{"csv", "a,a\n1,2\n", "", "names each column once"},
		{"csv", "a,b\n1\n", "", "line 2"},
		{"csv", "", "", "it is empty"},
		{"jsonl", "{\"a\": 1.10}\n\n[2]", `[{"a":1.10},[2]]`, ""},
		{"jsonl", "1\n\n{", "", "line 3"},
		{"file", "notes.md", `"notes.md"`, ""},
		{"csv", "\xff", "", "UTF-8"},
	} {
		w := mustParse(t, "params: {p: {type: "+c.typ+"}}\nsteps: [{id: a, agent: x, task: t}]")
		got, err := w.BindParams(map[string]string{"p": c.text})
		passed, passedErr := w.BindValues(map[string]any{"p": c.text})
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) || (passedErr == nil) != (c.typ == "json") {
				t.Errorf("%s of %q: %v, %v", c.typ, c.text, err, passedErr)
			}
			continue
		}
		if d := cmp.Diff(c.want, jsonText(t, got["p"])); d != "" || err != nil {
			t.Errorf("%s of %q: %s %v", c.typ, c.text, d, err)
		}
		if c.typ != "json" && jsonText(t, passed["p"]) != c.want { // a text is JSON too
			t.Errorf("%s of %q: passed %v %v", c.typ, c.text, passed, passedErr)
		}
		w = mustParse(t, "params: {p: {type: "+c.typ+", default: "+jsonText(t, c.text)+"}}\nsteps: [{id: a, agent: x, task: t}]")
		if got, err = w.BindParams(nil); err != nil || jsonText(t, got["p"]) != c.want {
			t.Errorf("%s with the default %q: %v %v", c.typ, c.text, got, err)
		}
	}
}

func TestReadParams(t *testing.T) {
	got, err := workflow.ReadParams("p.yaml", []byte("a: 1.10\nb: 007\nc: [x, 1.10]\nd: {k: v}\ne:\nf: \"@x\"\ng: true\n"))
	want := map[string]string{"a": "1.10", "b": "007", "c": `["x",1.10]`, "d": `{"k":"v"}`, "f": "@x", "g": "true"}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Error(d, err)
	}
	for text, want := range map[string]string{
		"[a]":        "p.yaml:1:1: a file of parameters must be a mapping, not a list",
		"a: 1\na: 2": `p.yaml:2:1: key "a" is given twice`,
		"a: [":       "p.yaml:",
		"":           "p.yaml: the file is empty",
	} {
		if _, err := workflow.ReadParams("p.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func jsonText(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
