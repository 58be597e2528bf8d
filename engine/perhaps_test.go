package engine_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
)

const perhaps = `
steps:
- {id: a, agent: x, task: t, on_failure: skip_dependents}
- {id: no, agent: x, task: t, when: false}
- {id: reads, agent: x, task: "${{ steps.a?.output ?? 'nothing' }}; ${{ steps.a.error }}; ${{ steps.a?.status }}; ${{ steps.no?.output ?? 'nothing' }}; ${{ steps.no.error }}"}
- {id: settled, agent: x, join: settled, dependencies: [a, no], task: "${{ steps.a.status }} ${{ steps.no.status }}"}
- {id: b, agent: x, task: t, on_failure: {fallback: c}}
- {id: c, agent: x, task: "after ${{ steps.b.error }} ${{ steps.b.status }}"}
- {id: d, agent: x, task: "${{ steps.b.output }}"}
- id: outer
  steps:
  - {id: inner, agent: x, task: "in: ${{ steps.a?.output ?? 'nothing' }}"}
`

// What may be missing is read with its default, a fallback and whoever waits for a step to
// end see why it failed; also when the run is resumed after each event.
func TestReadsOfWhatMayBeMissing(t *testing.T) {
	want := map[string]string{
		"reads":       "nothing; bad; failed; nothing; its condition is false",
		"settled":     "failed skipped",
		"c":           "after bad failed",
		"d":           "result of c",
		"outer/inner": "in: nothing",
	}
	answer := func(a engine.Attempt) (string, error) {
		if a.Path == "a" || a.Path == "b" {
			return "", errBad
		}
		return "result of " + a.Path, nil
	}
	var events []journal.Event
	check := func(from []journal.Event) {
		synctest.Test(t, func(t *testing.T) {
			w := &world{answer: answer}
			b := newBook(t, from...)
			opts := engine.Options{RunID: bookID, Execute: w.execute, Log: b.log}
			if from != nil {
				opts.Past = past(t, from)
			}
			res := run(t.Context(), parse(t, perhaps), opts)
			if res.Status != engine.StatusCompleted {
				t.Fatalf("after %d events: %s: %v", len(from), res.Status, res.NotDone)
			}
			got := map[string]string{}
			for unit := range want {
				if got[unit] = want[unit]; w.times(unit) > 0 {
					got[unit] = strings.ReplaceAll(w.prompt(unit), " (invalid_request)", "")
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("after %d events: %s", len(from), diff)
			}
			if from == nil {
				events = b.events(t)
			}
		})
	}
	check(nil)
	for n := 1; n < len(events); n++ {
		check(events[:n])
	}
}

// An answer that could not be saved is kept for who goes on without the file.
func TestReadsOfWhatCouldNotBeSaved(t *testing.T) {
	d := newDisk(nil)
	d.fails["a.txt"] = errBad
	s := saveRun(t, `
steps:
- {id: a, agent: x, task: t, save: a.txt, on_failure: continue}
- {id: reads, agent: x, task: "${{ steps.a?.output ?? 'nothing' }}; ${{ steps.a?.status }}"}
`, nil, d)
	if got := s.world.prompt("reads"); got != "result of a; failed" {
		t.Errorf("it was asked %q", got)
	}
}
