package engine_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/engine"
)

// TestChangedFilesAreListedOnce resumes a run at every event while the repository changes:
// what the run has listed stays as it was.
func TestChangedFilesAreListedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wf := parseFiles(t, `
steps:
  - {id: a, agent: x, task: "first ${{ changed_files('main') }}"}
  - {id: b, agent: x, task: "then ${{ changed_files('main') }} ${{ steps.a.output }}"}
  - {id: sub, workflow: sub.yaml, dependencies: [b]}
  - {id: c, agent: x, task: "${{ changed_files('wrong') }}", on_failure: continue}
output: "${{ changed_files('main', 'uncommitted') }} ${{ steps.sub.output }}"
`, map[string]string{"sub.yaml": "vars: {n: \"${{ len(changed_files('main')) }}\"}\nsteps:\n- {id: s, value: '${{ vars.n }}'}\n"})
		now, calls := "1.go", 0
		lists := func(o *engine.Options) {
			o.ChangedFiles = func(_ context.Context, base string, uncommitted bool) ([]string, error) {
				calls++
				if base == "wrong" {
					return nil, errors.New("no such base")
				}
				return []string{now}, nil
			}
		}
		whole := compute(t, wf, nil, lists)
		if got := whole.res.Output; got != `["1.go"] 1` || calls != 3 {
			t.Errorf("output %q after %d lists", got, calls)
		}
		if err := whole.res.Steps["c"].Error; err == nil || !strings.Contains(*err, "no such base") {
			t.Errorf("c: %v", err)
		}
		now = "2.go"
		for n := 1; n < len(whole.events); n++ {
			again := compute(t, wf, whole.events[:n], lists)
			listed := false
			for _, ev := range whole.events[:n] {
				listed = listed || ev.Type == "changes_listed"
			}
			if listed && cmp.Diff(whole.outcomes(), again.outcomes()) != "" {
				t.Errorf("after %d events: %s", n, cmp.Diff(whole.outcomes(), again.outcomes()))
			}
		}
	})
}
