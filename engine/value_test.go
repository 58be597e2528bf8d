package engine_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/journaldb"
	"github.com/claude-force/claude-force/workflow"
)

const computing = `
params:
  leads: {default: [{name: Ann, score: 7}, {name: Bob, score: 3}, {name: Cy, score: 1.10}]}
steps:
  - {id: good, value: "${{ filter(params.leads, #.score > 2) }}"}
  - {id: facts, value: {n: "${{ len(steps.good.json) }}", none: "${{ params.leads[0].age }}", all: ["${{ params.leads[2].score }}", x]}}
  - {id: names, foreach: {item: lead, in: "${{ steps.good.json }}"}, value: "${{ upper(lead.name) }}"}
  - {id: twice, loop: {max: 9, until: "int(steps.twice.output) > 20"}, value: "${{ int(loop.previous.twice.output == '' ? '2' : loop.previous.twice.output) * 2 }}"}
  - {id: chained, value: "${{ steps.never?.output ?? params.leads[9].age.x ?? params.leads[0].name }}"}
  - {id: absent, value: "${{ params.leads[0].age }}", on_failure: {fallback: instead}}
  - {id: instead, value: "${{ steps.absent.error contains 'give a default' }}"}
  - {id: never, value: x, when: steps.facts.json.n > 2}
  - {id: ask, agent: x, task: "${{ steps.facts.json.n }} ${{ steps.twice.json }}"}
  - id: group
    steps:
      - {id: inner, value: "${{ steps.ask.output }}!"}
output: "${{ steps.group.output }} ${{ steps.names.json }} ${{ steps.absent.output }}"
`

// compute runs a workflow of values behind the events that its journal has.
func compute(t *testing.T, wf *workflow.Workflow, events []journal.Event, set ...func(*engine.Options)) *lived {
	b, w := newBook(t, events...), &watch{world: &world{}}
	opts := engine.Options{RunID: bookID, Params: bound(t, wf), Execute: w.world.execute, Log: b.log}
	if events != nil {
		opts.Past = past(t, events)
	}
	for _, f := range set {
		f(&opts)
	}
	res := run(t.Context(), wf, opts)
	return &lived{watch: w, res: res, events: b.events(t)}
}

func TestValuesAreComputed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wf := parse(t, computing)
		l := compute(t, wf, nil)
		got := ends(l.res, func(s *engine.StepResult) string { return string(s.Status) + ": " + s.Output })
		for name, want := range map[string]string{
			"good":        `completed: [{"name":"Ann","score":7},{"name":"Bob","score":3}]`,
			"facts":       `completed: {"n":2,"none":null,"all":[1.10,"x"]}`,
			"twice":       "completed: 32",
			"absent":      "failed: true",
			"instead":     "completed: true",
			"chained":     "completed: Ann",
			"never":       "skipped: ",
			"ask":         "completed: result of ask",
			"group":       "completed: result of ask!",
			"group/inner": "completed: result of ask!",
		} {
			if got[name] != want {
				t.Errorf("%s is %q, not %q", name, got[name], want)
			}
		}
		if items := l.res.Steps["names"].Items; len(items) != 2 || items[1].Output != "BOB" || items[1].Status != engine.StatusCompleted {
			t.Errorf("items %+v", items)
		}
		if want := `result of ask! ["ANN","BOB"] true`; l.res.Output != want || l.res.Status != engine.StatusCompleted {
			t.Errorf("the run is %s: %q, not %q", l.res.Status, l.res.Output, want)
		}
		if calls := len(l.world.calls); calls != 1 || l.res.CostUSD == nil || *l.res.CostUSD != 0.1 {
			t.Errorf("%d calls at %v", calls, l.res.CostUSD)
		}
		if iterations := l.res.Steps["twice"].Iterations; iterations != 4 {
			t.Errorf("%d iterations", iterations)
		}
	})
}

// TestValuesResume lets a run die after each event: what it had computed is taken from
// the journal, and the rest gives the same.
func TestValuesResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wf := parse(t, computing)
		whole := compute(t, wf, nil)
		for n := 1; n < len(whole.events); n++ {
			prefix := whole.events[:n]
			again := compute(t, wf, prefix)
			if diff := cmp.Diff(whole.outcomes(), again.outcomes()); diff != "" {
				t.Errorf("after %d events: %s", n, diff)
			}
			done := finished(prefix)
			for _, ev := range again.events[n:] {
				if whole := ev.Item == "" && (ev.Step == "names" || ev.Step == "twice" || ev.Step == "group"); whole {
					continue // what is within it is restored one by one
				}
				if ev.Type == journal.StepStarted && done[unitName(ev.Step, ev.Item)] {
					t.Errorf("after %d events: %s was computed again", n, ev.Step)
				}
			}
		}
		rebuilt := compute(t, wf, whole.events, func(o *engine.Options) { o.Rebuild, o.Log = true, nil })
		if diff := cmp.Diff(whole.outcomes(), rebuilt.outcomes()); diff != "" {
			t.Errorf("rebuilt: %s", diff)
		}
	})
}

// TestChangedValue changes a value of a run that is resumed: what reads it is asked again,
// and nothing else is.
func TestChangedValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const file = "steps:\n- {id: a, value: %s}\n- {id: b, value: same}\n- {id: x, agent: x, task: '${{ steps.a.output }}'}\n- {id: y, agent: x, task: '${{ steps.b.output }}'}\n"
		whole := compute(t, parse(t, fmt.Sprintf(file, "old")), nil)
		again := compute(t, parse(t, fmt.Sprintf(file, "new")), whole.events, func(o *engine.Options) { o.Changed = true })
		if got := strings.Join(again.world.units(), " "); got != "x" || again.world.prompt("x") != "new" {
			t.Errorf("asked %q with %q", got, again.world.prompt("x"))
		}
		started := []string{}
		for _, ev := range again.events[len(whole.events):] {
			if ev.Type == journal.StepStarted || ev.Type == journal.StepFinished && ev.Step == "a" {
				started = append(started, ev.Step)
			}
		}
		if diff := cmp.Diff([]string{"a", "x"}, started); diff != "" {
			t.Error(diff)
		}
	})
}

// TestValuesStop cancels a run among many values: the rest is not computed.
func TestValuesStop(t *testing.T) {
	_, params := each(t, 1000)
	wf := parse(t, "params: {list: {type: array}}\nsteps:\n- {id: e, value: '${{ item }}', foreach: '${{ params.list }}'}\n")
	ctx, cancel := context.WithCancel(t.Context())
	computed := 0
	res := run(ctx, wf, engine.Options{Params: params, Execute: nothing, MaxParallel: 4, Observe: func(_ context.Context, ev engine.Event) {
		if ev.Item != "" && ev.Status == engine.StatusCompleted {
			if computed++; computed == 10 {
				cancel()
			}
		}
	}})
	if res.Status != engine.StatusInterrupted || computed > 20 {
		t.Errorf("%s after %d values", res.Status, computed)
	}
}

// BenchmarkValues measures 10,000 steps that compute a value from that of another, beside
// the evaluation of the same expressions in a loop and the same events that are written
// with no engine around them.
func BenchmarkValues(b *testing.B) {
	const n = 10_000
	first := parse(b, "steps:\n- {id: s0, value: 1}\n- {id: s, value: '${{ steps.s0.json + 1 }}'}\n").Steps
	wf := &workflow.Workflow{Steps: []*workflow.Step{first[0]}}
	for i := 1; i < n; i++ {
		s := *first[1]
		s.ID = fmt.Sprint("s", i)
		wf.Steps = append(wf.Steps, &s)
	}
	env := workflow.Env{Steps: map[string]workflow.StepResult{"s0": {Output: "1", Status: "completed", JSON: 1}}}
	for _, durable := range []bool{false, true} {
		b.Run(map[bool]string{false: "memory", true: "durable"}[durable], func(b *testing.B) {
			var ours, bare, written time.Duration
			b.ReportAllocs()
			for b.Loop() {
				opts := engine.Options{Execute: nothing, RunID: bookID}
				finish := func() {}
				if durable {
					store, log := openStore(b)
					opts.Log, finish = log, func() {
						events := storedEvents(b, store)
						closeStore(b, store, log)
						written += timeToWrite(b, events)
					}
				}
				start := time.Now()
				res := run(b.Context(), wf, opts)
				ours += time.Since(start)
				finish()
				if res.Status != engine.StatusCompleted || res.Steps[fmt.Sprint("s", n-1)].Output != "2" {
					b.Fatal(res.Status)
				}
				start = time.Now()
				for _, s := range wf.Steps {
					if _, err := s.Value.Text(env); err != nil {
						b.Fatal(err)
					}
				}
				bare += time.Since(start)
			}
			b.ReportMetric(perStep(ours, b.N, n), "us/step")
			b.ReportMetric(perStep(bare, b.N, n), "us/evaluation")
			if durable {
				b.ReportMetric(perStep(written, b.N, n), "us/event")
			}
		})
	}
}

// storedEvents returns the events of a run but the first.
func storedEvents(b *testing.B, store *journaldb.Store) []journal.Event {
	b.Helper()
	var events []journal.Event
	for ev, err := range store.Events(b.Context(), bookID, 1) {
		if err != nil {
			b.Fatal(err)
		}
		events = append(events, ev)
	}
	return events
}

// timeToWrite returns how long it takes to write events until all are durable.
func timeToWrite(b *testing.B, events []journal.Event) time.Duration {
	b.Helper()
	store, log := openStore(b)
	defer closeStore(b, store, log)
	start := time.Now()
	for _, ev := range events {
		log.Append(ev)
	}
	if err := log.Append()(); err != nil {
		b.Fatal(err)
	}
	return time.Since(start)
}
