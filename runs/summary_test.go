package runs_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/journaldb"
	"github.com/claude-force/claude-force/journal/memory"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/workflow"
)

// record runs a workflow of n items into a store. Answers fail whose task begins with "bad".
func record(tb testing.TB, store journal.Store, source string, n int) {
	tb.Helper()
	wf, err := workflow.Parse("w.yaml", []byte(source), workflow.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	spec := runs.Spec{Version: runs.SpecVersion, Source: source, Params: map[string]string{"n": fmt.Sprint(n)}}
	data, err := json.Marshal(spec)
	if err != nil {
		tb.Fatal(err)
	}
	log, err := store.Create(tb.Context(), journal.Run{ID: "run_1", Spec: data})
	if err != nil {
		tb.Fatal(err)
	}
	_, err = engine.Run(tb.Context(), wf, engine.Options{
		RunID: "run_1", Params: map[string]any{"n": n}, MaxParallel: 16, Log: log,
		Save: func(context.Context, engine.File) error { return nil },
		Execute: func(_ context.Context, a engine.Attempt) (llm.Outcome, error) {
			out := llm.Outcome{Output: a.Task + strings.Repeat(".", 500), Model: "m", Source: llm.SourceLive, CostUSD: new(0.5), Calls: 1}
			out.ServiceSeconds, out.InFlight = 0.001, []llm.Span{{Seconds: 0.001}}
			if strings.HasPrefix(a.Task, "bad") {
				return out, llm.NewError(llm.CodeInvalid, "a bad task", nil)
			}
			return out, nil
		},
	})
	if err != nil {
		tb.Fatal(err)
	}
	if err := log.Release(); err != nil {
		tb.Fatal(err)
	}
}

const wideSource = `params: {n: {type: integer}}
steps:
- {id: items, foreach: "${{ 1..params.n }}", agent: x, task: "see ${{ item }}"}
`

// A summary says of the steps of a run what the whole run says.
func TestSummaryIsThatOfTheRun(t *testing.T) {
	runs.SetSummaryFrom(t, 1)
	for name, source := range map[string]string{
		"items":  wideSource,
		"some":   "params: {n: {type: integer}}\nsteps:\n- {id: a, foreach: '${{ 1..params.n }}', agent: x, task: '${{ item == 2 ? \"bad\" : \"good\" }}', on_failure: continue}\n- {id: b, agent: x, task: 'after ${{ steps.a.output }}'}\n",
		"failed": "params: {n: {type: integer}}\nsteps:\n- {id: a, foreach: '${{ 1..params.n }}', agent: x, task: '${{ item == 2 ? \"bad\" : \"good\" }}'}\n- {id: b, agent: x, task: 'after ${{ steps.a.output }}'}\n- {id: c, agent: x, task: t}\n",
		"group":  "params: {n: {type: integer}}\nsteps:\n- {id: a, steps: [{id: b, foreach: '${{ 1..params.n }}', agent: x, task: t}, {id: c, value: '${{ params.n }}'}]}\n- {id: d, loop: {max: 3}, agent: x, task: t}\n- {id: e, agent: x, task: bad, on_failure: 'fallback: f'}\n- {id: f, agent: x, task: t}\n",
		"exit":   wideSource + "- {id: e, exit: {status: failed, message: 'm ${{ params.n }}', code: 3}, dependencies: [items]}\n- {id: f, agent: x, task: 'after ${{ steps.items.output }}'}\n- {id: g, foreach: '${{ 1..3 }}', agent: x, task: t, dependencies: [f]}\n",
		"saved":  wideSource + "- {id: s, agent: x, task: t, save: a/s.md}\n- {id: l, loop: {max: 2}, agent: x, task: t, save: a/l.md}\noutput: o\nsave: a/b.md\n",
		"unused": "params: {n: {type: integer}}\nsteps:\n- {id: a, foreach: '${{ 1..params.n }}', agent: x, task: t, on_failure: 'fallback: b'}\n- {id: b, agent: x, task: t}\n- {id: c, agent: x, task: t, when: '${{ false }}'}\n",
	} {
		t.Run(name, func(t *testing.T) {
			store := memory.New()
			record(t, store, source, 5)
			whole, err := runs.Load(t.Context(), store, "run_1")
			if err != nil {
				t.Fatal(err)
			}
			d, err := runs.LoadSummary(t.Context(), store, "run_1")
			if err != nil {
				t.Fatal(err)
			}
			if d.Within == nil {
				t.Fatal("the run was read whole")
			}
			if d.Result.Status != whole.Result.Status || math.Abs(*d.Result.CostUSD-*whole.Result.CostUSD) > 1e-9 || d.Result.Usage != whole.Result.Usage || d.Result.TotalTimeSeconds != whole.Result.TotalTimeSeconds {
				t.Errorf("the run: %v, want %v", asJSON(t, d.Result), asJSON(t, whole.Result))
			}
			if got, want := asJSON(t, []any{d.Result.Files, d.Result.Exited, d.Result.Error}), asJSON(t, []any{whole.Result.Files, whole.Result.Exited, whole.Result.Error}); got != want {
				t.Errorf("files, exit and error: %s, want %s", got, want)
			}
			if got, want := asJSON(t, d.Result.NotDone), asJSON(t, whole.Result.NotDone); got != want {
				t.Errorf("not done: %s, want %s", got, want)
			}
			for id, want := range whole.Result.Steps {
				done := 0
				for _, item := range want.Items {
					if item.Status == engine.StatusCompleted {
						done++
					}
				}
				if w := d.Within[id]; len(want.Items) > 0 && (w.Items != len(want.Items) || w.Completed != done) {
					t.Errorf("%s: %d of %d items; want %d of %d", id, w.Completed, w.Items, done, len(want.Items))
				}
				got := *d.Result.Steps[id]
				expected := *want
				expected.Items, expected.Steps, expected.Output, got.Output, expected.Fallback, expected.Iterations = nil, nil, "", "", "", 0
				if got, want := asJSON(t, &got), asJSON(t, &expected); got != want {
					t.Errorf("%s:\n got %s\nwant %s", id, got, want)
				}
			}
		})
	}
}

func asJSON(tb testing.TB, v any) string {
	tb.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return string(data)
}

// A run is read whole whose outline does not say all that is shown of it.
func TestSummaryReadsTheWholeRun(t *testing.T) {
	runs.SetSummaryFrom(t, 1)
	for name, source := range map[string]string{
		"files of items": "params: {n: {type: integer}}\nsteps:\n- {id: items, foreach: '${{ 1..params.n }}', agent: x, task: t, save: 'a/${{ item }}.md'}\n",
		"files within":   wideSource + "- {id: g, steps: [{id: s, agent: x, task: t, save: a/s.md}]}\n",
		"fail_when":      wideSource + "fail_when: params.n > 100\n",
		"within items":   "params: {n: {type: integer}}\nsteps:\n- {id: items, foreach: '${{ 1..params.n }}', max_parallel: 1, steps: [{id: a, agent: x, task: t}, {id: e, exit: m, when: item == 3, dependencies: [a]}]}\n",
	} {
		store := memory.New()
		record(t, store, source, 5)
		d, err := runs.LoadSummary(t.Context(), store, "run_1")
		if err != nil || d.Within != nil {
			t.Errorf("%s: %v, %v", name, d, err)
		}
	}
}

// A run that is small is read whole.
func TestSmallRunIsReadWhole(t *testing.T) {
	store := memory.New()
	record(t, store, wideSource, 5)
	d, err := runs.LoadSummary(t.Context(), store, "run_1")
	if err != nil || d.Within != nil || len(d.Result.Steps["items"].Items) != 5 {
		t.Errorf("%v, %v", d, err)
	}
}

// BenchmarkSummary reads the summary of a run of 10,000 items, beside all of the run.
func BenchmarkSummary(b *testing.B) {
	store, err := journaldb.Open(filepath.Join(b.TempDir(), "history.db"), journaldb.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	record(b, store, wideSource, 10_000)
	start := time.Now()
	if _, err := runs.Load(b.Context(), store, "run_1"); err != nil {
		b.Fatal(err)
	}
	whole := time.Since(start)
	b.ReportAllocs()
	for b.Loop() {
		d, err := runs.LoadSummary(b.Context(), store, "run_1")
		if err != nil || d.Within["items"].Completed != 10_000 {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(whole)*float64(b.N)/float64(b.Elapsed()), "x-faster")
}
