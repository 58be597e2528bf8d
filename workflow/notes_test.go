package workflow_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNotes(t *testing.T) {
	files := map[string]string{"sub.yaml": "steps: [{id: s, agent: x, task: t}]\nsave: out.md\n"}
	for name, test := range map[string]struct {
		steps string
		want  []string
	}{
		"save of a file that a step runs": {"- {id: a, workflow: sub.yaml}\n- {id: b, workflow: sub.yaml, save: b.md}", []string{
			`w.yaml:2:21: the save of "sub.yaml" has no effect where a step runs the file (write save for step "a" to save its output)`}},
		"exit without a condition": {"- {id: a, agent: x, task: t}\n- {id: b, agent: x, task: t}\n- {id: e, exit: done, dependencies: [a]}", []string{
			`w.yaml:4:17: step "e" ends every run, and does not wait for b (give it a when, or let it depend on them)`}},
		"exits with one": {`- {id: a, agent: x, task: t, on_failure: {fallback: f}}
- {id: f, exit: done}
- {id: w, exit: done, when: steps.a.output == ""}
- {id: b, agent: x, task: t, when: steps.a.output == "x"}
- {id: after, exit: done, dependencies: [b]}`, nil},
		"exit at the end": {"- {id: a, agent: x, task: t}\n- {id: e, exit: done, dependencies: [a]}", nil},
		"writes of one file": {`- {id: a, write: {path: a.md, content: x}}
- {id: b, write: {path: A.md, content: y}}
- {id: c, write: {path: a.md, content: z}, dependencies: [a, b]}
- {id: d, write: {path: d.md, content: z}}
- {id: e, foreach: [1, 2], write: {path: e.md, content: "${{ item }}"}}
- {id: f, foreach: [1, 2], write: {path: "${{ item }}.md", content: x}}
- {id: g, foreach: [1, 2], max_parallel: 1, write: {path: g.md, content: x}}
- {id: h, steps: [{id: i, write: {path: d.md, content: x}}]}`, []string{
			`w.yaml:6:3: several items may write the same file at the same time (put the item into the path, or write max_parallel: 1)`,
			`w.yaml:3:3: step "b" may write the same file at the same time as step "a" (let one depend on the other)`,
			`w.yaml:9:19: step "i" may write the same file at the same time as step "d" (let one depend on the other)`}},
	} {
		w := parseChanges(t, "steps:\n"+test.steps+"\n", files)
		var got []string
		for _, n := range w.Notes {
			got = append(got, n.Error())
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestGraphNamesVarsAndFindings(t *testing.T) {
	w := parseChanges(t, `
vars: {n: 1, list: "${{ [vars.n] }}"}
steps: [{id: a, agent: x, task: t}]
findings: ${{ steps.a.json }}
fail_when: {severity: high, when: vars.n > 1}
`, nil)
	want := "var n: 1\nvar list: [vars.n]\nfindings: steps.a.json\nfails when a finding is high or worse, or vars.n > 1\n"
	if got := w.Text(); !strings.HasSuffix(got, "\n"+want) {
		t.Errorf("got\n%s", got)
	}
}
