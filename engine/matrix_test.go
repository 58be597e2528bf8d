package engine_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/engine"
)

// Every call of samples within samples, and of loops within them, has a number of its own.
func TestSamplesHaveNumbersOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wf := parse(t, `
steps:
- id: outer
  matrix: {x: [a, b]}
  samples: 2
  steps:
  - id: again
    loop: {max: 2}
    steps:
    - {id: ask, samples: 3, agent: x, task: '${{ matrix.x }}'}
`)
		asked := make(chan string, 100)
		w := &world{answer: func(a engine.Attempt) (string, error) {
			asked <- fmt.Sprint(a.Prompt(), a.Sample)
			return "same", nil
		}}
		res := run(t.Context(), wf, engine.Options{Execute: w.execute})
		close(asked)
		got, want := map[string]int{}, map[string]int{}
		for s := range asked {
			got[s]++
		}
		for i := range 2 * 2 * 3 {
			want[fmt.Sprint("a", i)], want[fmt.Sprint("b", i)] = 1, 1
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if item := res.Steps["outer"].Items[2]; item.Item != "b/1" {
			t.Errorf("the third item is %s", item.Item)
		}
	})
}

func TestResultsOfAMatrixAreFoundByKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wf := parse(t, `
steps:
- {id: all, matrix: {x: [a, b], y: [1, 2], exclude: [{x: a, y: 2}]}, agent: x, task: '${{ matrix.x }}${{ matrix.y }}'}
output: ${{ steps.all.json['b/2'] }} ${{ len(steps.all.json) }}
`)
		w := &world{answer: func(a engine.Attempt) (string, error) { return "answer " + a.Prompt(), nil }}
		res := run(t.Context(), wf, engine.Options{Execute: w.execute})
		if got := res.Output; got != "answer b2 3" {
			t.Errorf("output %q, %v", got, res.Error)
		}
	})
}
