package engine_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/engine"
)

func TestAgentsAndModelsAreChosenByTheAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wf := parse(t, `
params: {x: b, y: c}
steps:
- {id: one, agent: {from: '${{ params.x }}', among: [a, b]}, task: t}
- {id: two, foreach: [a, b], agent: '${{ item }}', model: {from: '${{ steps.one.output }}', among: [m, n]}, task: t}
- {id: three, agent: {from: '${{ params.y }}', among: [a, b]}, task: t}
`)
		asked := make(chan string, 10)
		w := &world{answer: func(a engine.Attempt) (string, error) {
			asked <- a.Path + " " + a.Step.Agent + " " + a.Step.Model
			return "n", nil
		}}
		res := run(t.Context(), wf, engine.Options{Execute: w.execute, Params: bound(t, wf)})
		close(asked)
		got := map[string]bool{}
		for s := range asked {
			got[s] = true
		}
		if diff := cmp.Diff(map[string]bool{"one b ": true, "two a n": true, "two b n": true}, got); diff != "" {
			t.Error(diff)
		}
		two := res.Steps["two"]
		if res.Steps["one"].Agent != "b" || two.Agent != "" || two.Items[1].Agent != "b" {
			t.Errorf("agents %q, %q, %q", res.Steps["one"].Agent, two.Agent, two.Items[1].Agent)
		}
		if three := res.Steps["three"]; three.Status != engine.StatusFailed || !strings.Contains(*three.Error, `"c" is none of those that the file names: a, b`) {
			t.Errorf("%+v", three)
		}
	})
}
