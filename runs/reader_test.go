package runs_test

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/journaldb"
	"github.com/claude-force/claude-force/journal/memory"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/workflow"
)

// readerSource is a workflow with a unit of each kind.
const readerSource = `
steps:
- {id: a, agent: x, task: "do a"}
- {id: items, foreach: [one, two, three], agent: x, task: "see ${{ item }}"}
- {id: group, steps: [{id: b, agent: x, task: t}, {id: c, value: "${{ 1 + 1 }}"}]}
- {id: ask, approval: "go on after ${{ steps.a.output }}?"}
- {id: again, loop: {max: 3}, agent: x, task: "once more"}
- {id: last, agent: x, task: "after ${{ steps.items.output }}", on_failure: continue}
`

// whole compares all that two readings of a run hold, but for what is only of how they
// were read.
var whole = cmp.Options{
	cmp.Exporter(func(reflect.Type) bool { return true }),
	cmp.FilterPath(func(p cmp.Path) bool {
		field, ok := p.Last().(cmp.StructField)
		return ok && field.Name() == "own"
	}, cmp.Ignore()),
	// Of a step of which no event says when it began, these are of the reading.
	cmpopts.IgnoreFields(engine.StepResult{}, "StartedAt", "DurationSeconds"),
	cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) }),
	cmp.Comparer(func(a, b *workflow.Workflow) bool {
		return slices.EqualFunc(a.Steps, b.Steps, func(a, b *workflow.Step) bool { return a.ID == b.ID && a.Summary() == b.Summary() })
	}),
}

// randomEvent returns an event that may come in a run of readerSource, or not.
func randomEvent(rng *rand.Rand, spec json.RawMessage) journal.Event {
	units := []journal.Unit{{Step: "a"}, {Step: "items"}, {Step: "group"}, {Step: "group/b"}, {Step: "group/c"}, {Step: "ask"}, {Step: "again"}, {Step: "again@1"}, {Step: "again@2"}, {Step: "last"}}
	for _, text := range []string{"one", "two", "three"} {
		units = append(units, journal.Unit{Step: "items", Item: text})
	}
	u := units[rng.IntN(len(units))]
	failed := journal.Failed{Code: []string{"overloaded", llm.CodeOutput.String()}[rng.IntN(2)], Message: "it failed", WaitSeconds: 3, CostUSD: new(0.25)}
	key := llm.Key{byte(rng.IntN(3))}
	call := journal.ToolCall{ID: fmt.Sprint("call", rng.IntN(3)), Tool: "Read", Seconds: 1, Spent: &journal.Spent{Calls: 1}}
	started := journal.Started{Agent: "x", Model: "m", Task: "do", Label: u.Item, Inputs: journal.Fingerprint{"task": fmt.Sprint(rng.IntN(9))}}
	finished := journal.Finished{Outcome: llm.Outcome{Model: "m", CostUSD: new(0.5), Calls: 1}, DurationSeconds: 2}
	resumed := journal.Resumed{}
	if rng.IntN(2) == 0 {
		resumed.Spec = spec
	}
	events := []journal.Event{
		{Type: journal.StepStarted, Attempt: 1, Detail: journal.Detail(started)},
		{Type: journal.StepFinished, Key: llm.Key{9}, Output: fmt.Sprint("out ", rng.IntN(100)), Detail: journal.Detail(finished)},
		{Type: journal.StepStarted, Attempt: 1, Detail: journal.Detail(started)},
		{Type: journal.StepFinished, Key: llm.Key{9}, Output: fmt.Sprint("out ", rng.IntN(100)), Detail: journal.Detail(finished)},
		{Type: journal.StepAttempt, Attempt: 2},
		{Type: journal.StepRetrying, Attempt: 1, Detail: journal.Detail(failed)},
		{Type: journal.StepFailed, Attempt: 1, Detail: journal.Detail(failed)},
		{Type: journal.StepSkipped, Detail: journal.Detail(journal.Skipped{Reason: "not wanted"})},
		{Type: journal.StepExpanded, Detail: journal.Detail(journal.Expanded{Items: 3})},
		{Type: journal.TurnAnswered, Key: key, Output: `{"model":"m","stop_reason":"tool_use","content":[{"type":"tool_use","id":"call1","name":"Read","input":{}}]}`, Detail: journal.Detail(journal.Paid{CostUSD: new(0.125)})},
		{Type: journal.ToolStarted, Key: key, Detail: journal.Detail(call)},
		{Type: journal.ToolFinished, Key: key, Output: `[{"type":"tool_result","tool_use_id":"call1"}]`, Detail: journal.Detail(call)},
		{Type: journal.ToolWaits, Key: key, Detail: journal.Detail(call)},
		{Type: journal.Conversation, Output: "[]", Detail: journal.Detail(journal.Kept{Instead: true})},
		{Type: journal.ApprovalAsked, Detail: journal.Detail(journal.ApprovalRequest{Message: "go on?"})},
		{Type: journal.FileSaved, Detail: journal.Detail(journal.Saved{Path: "f.md", Bytes: 3})},
		{Type: journal.ChangesListed, Detail: journal.Detail(journal.Changes{Files: []string{"f.go"}})},
		{Type: journal.CancelAsked},
		{Type: journal.RunResumed, Detail: journal.Detail(resumed)},
	}
	ev := events[rng.IntN(len(events))]
	switch ev.Type {
	case journal.CancelAsked, journal.RunResumed, journal.ChangesListed:
	default:
		ev.Step, ev.Item = u.Step, u.Item
	}
	return ev
}

// TestReaderReadsWhatLoadDoes has events come one after the other, in any order: after each
// a reader, of another process, has what reading the whole run gives, and what it returned
// before has not changed. Runs end and are resumed, and are removed, and others begin with
// their ids.
func TestReaderReadsWhatLoadDoes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var stores [2]journal.Store
	for i := range stores {
		s, err := journaldb.Open(filepath.Join(dir, "history.db"), journaldb.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		stores[i] = s
	}
	store, other := stores[0], stores[1]
	spec := func(source string) json.RawMessage {
		data, err := json.Marshal(&runs.Spec{Version: runs.SpecVersion, Source: source})
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	rng := rand.New(rand.NewPCG(7, 7))
	reader := runs.NewReader(other)
	type pair struct{ read, loaded *runs.Detail }
	var pairs []pair
	equal := func(id, what string) {
		t.Helper()
		read, err := reader.Load(t.Context(), id)
		loaded, loadErr := runs.Load(t.Context(), other, id)
		if fmt.Sprint(err) != fmt.Sprint(loadErr) {
			t.Fatalf("after %s: the reader says %v, Load %v", what, err, loadErr)
		}
		if err != nil {
			return
		}
		if diff := cmp.Diff(loaded, read, whole); diff != "" {
			t.Fatalf("after %s:\n%s", what, diff)
		}
		if same, err := reader.Load(t.Context(), id); err != nil || same != read {
			t.Fatalf("after %s nothing happened, and the run was read again: %v", what, err)
		}
		pairs = append(pairs, pair{read, loaded})
	}
	for round := range 6 {
		id := fmt.Sprint("run_", round%2) // each is removed and begins again
		if _, err := store.Remove(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if _, err := reader.Load(t.Context(), id); err == nil {
			t.Fatal("a run that was removed is there")
		}
		log, err := store.Create(t.Context(), journal.Run{ID: id, Spec: spec(readerSource)})
		if err != nil {
			t.Fatal(err)
		}
		for range 40 {
			ev := randomEvent(rng, spec(readerSource+fmt.Sprintf("- {id: more, agent: x, task: 'more %d'}\n", round)))
			if err := log.Append(ev)(); err != nil {
				t.Fatal(err)
			}
			if rng.IntN(8) == 0 {
				if err := log.Append(journal.Event{Type: journal.RunFinished, Detail: journal.Detail(journal.RunEnd{Status: journal.StatusFailed, TotalTimeSeconds: 3})})(); err != nil {
					t.Fatal(err)
				}
				if err := log.Release(); err != nil {
					t.Fatal(err)
				}
				equal(id, "the end of the run")
				if log, err = store.Acquire(t.Context(), id); err != nil {
					t.Fatal(err)
				}
			}
			if rng.IntN(3) > 0 { // several events may come at once
				equal(id, fmt.Sprintf("round %d, %s of %s %s", round, ev.Type, ev.Step, ev.Item))
			}
		}
		if err := log.Release(); err != nil {
			t.Fatal(err)
		}
		equal(id, "its release")
	}
	for _, p := range pairs {
		if diff := cmp.Diff(p.loaded, p.read, whole); diff != "" {
			t.Fatalf("what was returned has changed:\n%s", diff)
		}
	}
	if len(pairs) < 100 {
		t.Errorf("only %d readings", len(pairs))
	}
}

// TestReaderReadsEventsOnce has many follow more runs than a reader keeps, while they
// grow: each event is read about once, not once for each follower, and the bound holds.
func TestReaderReadsEventsOnce(t *testing.T) {
	t.Parallel()
	const followers, events = 20, 30
	store := &eventCounter{Store: memory.New()}
	data, err := json.Marshal(&runs.Spec{Version: runs.SpecVersion, Source: readerSource})
	if err != nil {
		t.Fatal(err)
	}
	log, err := store.Create(t.Context(), journal.Run{ID: "run_1", Spec: data})
	if err != nil {
		t.Fatal(err)
	}
	reader := runs.NewReader(store)
	rng := rand.New(rand.NewPCG(1, 1))
	looks := 0
	for range events {
		if err := log.Append(randomEvent(rng, nil))(); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for range followers {
			looks++
			all.Go(func() {
				d, err := reader.Load(t.Context(), "run_1")
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := json.Marshal(d); err != nil { // reads it while it is read on
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	// Each look reads the last event that is known, to see that it is there.
	if most := looks + 2*events; store.read > most {
		t.Errorf("%d events were read for %d looks at a run of %d; want at most %d", store.read, looks, events, most)
	}
	for i := range 20 {
		log, err := store.Create(t.Context(), journal.Run{ID: fmt.Sprint("run_x", i), Spec: data})
		if err != nil {
			t.Fatal(err)
		}
		if err := log.Append(journal.Event{Type: journal.StepStarted, Step: "a", Output: string(make([]byte, 8<<20))})(); err != nil {
			t.Fatal(err)
		}
		if _, err := reader.Load(t.Context(), fmt.Sprint("run_x", i)); err != nil {
			t.Fatal(err)
		}
		if n, bytes := runs.Kept(reader); n > 8 || bytes > 64<<20 {
			t.Errorf("%d runs with %d bytes are kept", n, bytes)
		}
	}
}

// eventCounter counts the events that are read.
type eventCounter struct {
	journal.Store
	mu   sync.Mutex // guards the field below
	read int
}

func (s *eventCounter) Events(ctx context.Context, id string, after int64) iter.Seq2[journal.Event, error] {
	return func(yield func(journal.Event, error) bool) {
		for ev, err := range s.Store.Events(ctx, id, after) {
			s.mu.Lock()
			s.read++
			s.mu.Unlock()
			if !yield(ev, err) {
				return
			}
		}
	}
}
