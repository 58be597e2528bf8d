package engine_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/workflow"
)

const judged = `
steps:
- {id: review, foreach: [a.go, b.go], agent: x, task: "${{ item }}"}
- {id: part, workflow: part.yaml, on_failure: continue}
- {id: sum, agent: x, task: "${{ steps.part.error }}", dependencies: [review]}
findings: "${{ flatten(map(steps.review.json, #.found)) }}"
fail_when: {severity: high}
output: ${{ steps.sum.output }}
`

const judgedPart = `
steps: [{id: inner, agent: x, task: inner}]
fail_when: {when: 'steps.inner.output == "bad"', message: "it is ${{ steps.inner.output }}"}
`

func judgedAnswer(a engine.Attempt) (string, error) {
	switch {
	case a.Path == "review" && a.Task == "a.go":
		return `{"found": [{"file": "./a.go", "line": 3, "severity": "HIGH", "message": "it leaks"}]}`, nil
	case a.Path == "review":
		return `{"found": [{"message": "odd"}]}`, nil
	case a.Step.ID == "inner":
		return "bad", nil
	}
	return "done", nil
}

// TestFailWhenIsKept checks that a run whose fail_when is met fails with the same reason
// after a resume from any event, from the journal alone, and that no finished call is
// repeated.
func TestFailWhenIsKept(t *testing.T) {
	wf := parseFiles(t, judged, map[string]string{"part.yaml": judgedPart})
	findings := []workflow.Finding{
		{File: "a.go", Line: 3, Severity: workflow.SeverityHigh, Message: "it leaks"},
		{Severity: workflow.SeverityMedium, Message: "odd"},
	}
	const reason = "fail_when: 1 finding reaches severity high: a.go:3: it leaks"
	var events []journal.Event
	check := func(from []journal.Event, rebuild bool) {
		synctest.Test(t, func(t *testing.T) {
			w, b := &world{answer: judgedAnswer}, newBook(t, from...)
			opts := engine.Options{RunID: bookID, Execute: w.execute, Log: b.log, Rebuild: rebuild}
			if from != nil {
				opts.Past = past(t, from)
			}
			if rebuild {
				opts.Execute, opts.Log = nil, nil
			}
			res := run(t.Context(), wf, opts)
			if res.Status != engine.StatusFailed || res.Error == nil || *res.Error != reason || !res.FailWhen || res.Output != "done" {
				t.Fatalf("after %d events: %s, %v, output %q", len(from), res.Status, res.Error, res.Output)
			}
			if diff := cmp.Diff(findings, res.Findings); diff != "" {
				t.Errorf("after %d events: findings (-want +got): %s", len(from), diff)
			}
			if e := res.Steps["part"].Error; e == nil || !strings.HasPrefix(*e, "fail_when: it is bad") {
				t.Errorf("after %d events: part has the error %v", len(from), e)
			}
			for unit := range finished(from) {
				if w.times(unit) > 0 {
					t.Errorf("after %d events: %s ran again", len(from), unit)
				}
			}
			if from == nil {
				events = b.events(t)
			}
		})
	}
	check(nil, false)
	var end journal.RunEnd
	if err := events[len(events)-1].Decode(&end); err != nil || end.Error != reason {
		t.Errorf("the journal ends with %+v, %v", end, err)
	}
	for n := 1; n <= len(events); n++ {
		check(events[:n], false)
	}
	check(events, true)
}

// TestFindingsOfRunsThatDidNotComplete checks that what cannot be evaluated fails a run
// that has completed, and no other.
func TestFindingsOfRunsThatDidNotComplete(t *testing.T) {
	for name, c := range map[string]struct {
		source, answer string
		want           string // in the error; empty for none
	}{
		"no list":         {"findings: ${{ steps.a.json }}", `{"n": 1}`, "reading the findings of the workflow: the findings are no list"},
		"no message":      {"findings: ${{ steps.a.json }}", `[{"message": "m"}, {"file": "x"}]`, "finding 2 has no message"},
		"odd severity":    {"findings: ${{ steps.a.json }}", `[{"message": "m", "severity": "dreadful"}]`, "unknown severity; known are [critical"},
		"odd line":        {"findings: ${{ steps.a.json }}", `[{"message": "m", "line": 1.5}]`, "line that is no whole number"},
		"missing":         {"findings: ${{ steps.a.json.x.y }}", `{}`, "reading the findings"},
		"no boolean":      {"fail_when: steps.a.json", `3`, "neither true nor false"},
		"nothing found":   {"findings: ${{ steps.a.json }}\nfail_when: {severity: info}", `[]`, ""},
		"below":           {"findings: ${{ steps.a.json }}\nfail_when: {severity: high}", `[{"message": "m", "severity": "warning"}]`, ""},
		"other words":     {"findings: ${{ steps.a.json }}\nfail_when: {severity: high}", `[{"message": "m", "severity": "Blocker"}]`, "1 finding reaches severity high: m"},
		"not evaluated":   {"fail_when: steps.a.json.bad\n", `{"bad": false}`, ""},
		"condition":       {"fail_when: steps.a.json.bad", `{"bad": true}`, "fail_when: steps.a.json.bad"},
		"condition of it": {"fail_when: '${{ steps.a.status == \"completed\" }}'", `x`, "fail_when: ${{ steps.a.status"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{answer: func(engine.Attempt) (string, error) { return c.answer, nil }}
				res := run(t.Context(), parse(t, "steps: [{id: a, agent: x, task: t}]\n"+c.source), engine.Options{Execute: w.execute})
				got := ""
				if res.Error != nil {
					got = *res.Error
				}
				if (c.want == "") != (got == "") || !strings.Contains(got, c.want) || (got == "") != (res.Status == engine.StatusCompleted) {
					t.Errorf("%s, %q; want %q", res.Status, got, c.want)
				}
			})
			synctest.Test(t, func(t *testing.T) {
				w := &world{answer: func(engine.Attempt) (string, error) { return "", errBad }}
				res := run(t.Context(), parse(t, "steps: [{id: a, agent: x, task: t}]\n"+c.source), engine.Options{Execute: w.execute})
				if res.Status != engine.StatusFailed || res.Error != nil {
					t.Errorf("a failed run is %s, %v", res.Status, res.Error)
				}
			})
		})
	}
}
