package journaltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
)

func create(t *testing.T, h Harness) {
	s := h.Open(t)
	before := time.Now()
	given := journal.Run{ID: "20260102-abc", Workflow: "review", File: "/tmp/review.yaml", Spec: spec(1), Status: journal.StatusFailed, Steps: 7}
	log := mustCreate(t, s, given)
	run := mustFind(t, h.Other(t, s), given.ID)
	if run.StartedAt.Before(before.Round(0)) || run.StartedAt.After(time.Now()) || run.Owner == nil || !run.Owner.Alive {
		t.Errorf("started at %v, owned by %+v", run.StartedAt, run.Owner)
	}
	want := given
	want.Status, want.Steps, want.StartedAt, want.Owner = journal.StatusRunning, 0, run.StartedAt, run.Owner
	if diff := cmp.Diff(want, run); diff != "" {
		t.Errorf("the run differs from the one created:\n%s", diff)
	}
	wantEvent := journal.Event{Run: given.ID, Seq: 1, Time: run.StartedAt, Type: journal.RunStarted}
	if diff := cmp.Diff([]journal.Event{wantEvent}, mustEvents(t, s, given.ID, 0)); diff != "" {
		t.Errorf("events of a new run:\n%s", diff)
	}
	mustRelease(t, log)
	if run = mustFind(t, s, given.ID); !bytes.Equal(run.Spec, given.Spec) {
		t.Errorf("the spec became %s", run.Spec)
	}
}

func createTwice(t *testing.T, h Harness) {
	s := h.Open(t)
	log := mustCreate(t, s, journal.Run{ID: "a", Workflow: "first"})
	for _, id := range []string{"a", "", "latest"} {
		if _, err := s.Create(t.Context(), journal.Run{ID: id, Workflow: "second"}); err == nil {
			t.Errorf("a run with the id %q was created", id)
		}
	}
	if run := mustFind(t, s, "a"); run.Workflow != "first" {
		t.Errorf("the first run became %+v", run)
	}
	mustRelease(t, log)
}

func find(t *testing.T, h Harness) {
	s := h.Open(t)
	ctx := t.Context()
	if _, err := s.Find(ctx, "latest"); !errors.Is(err, journal.ErrNotFound) {
		t.Errorf("the latest of no runs: %v", err)
	}
	var many []string
	for n := range 12 {
		many = append(many, fmt.Sprintf("many-%02d", n))
	}
	for _, id := range append([]string{"abc", "abd", "ab", "100%", "100_"}, many...) {
		mustRelease(t, mustCreate(t, s, journal.Run{ID: id}))
	}
	for given, want := range map[string]string{"abc": "abc", "abd": "abd", "ab": "ab", "100%": "100%", "many-03": "many-03", "many-1": "", "latest": "many-11"} {
		run, err := s.Find(ctx, given)
		if want == "" {
			if _, ambiguous := errors.AsType[*journal.AmbiguousError](err); !ambiguous {
				t.Errorf("Find(%q) = %s, %v; want an ambiguity", given, run.ID, err)
			}
			continue
		}
		if err != nil || run.ID != want {
			t.Errorf("Find(%q) = %s, %v; want %s", given, run.ID, err, want)
		}
	}
	for _, id := range []string{"", "x", "abce", "%", "_bc", "*", "ABC"} {
		if run, err := s.Find(ctx, id); !errors.Is(err, journal.ErrNotFound) {
			t.Errorf("Find(%q) = %s, %v", id, run.ID, err)
		}
	}
	_, err := s.Find(ctx, "many")
	if ambiguous, ok := errors.AsType[*journal.AmbiguousError](err); !ok || ambiguous.Prefix != "many" || !cmp.Equal(ambiguous.IDs, many[:10]) {
		t.Errorf("Find(many): %v", err)
	}
}

func header(t *testing.T, h Harness) {
	s := h.Open(t)
	log := mustCreate(t, s, journal.Run{ID: "a"})
	free := finished("free", "x") // its price is unknown
	free.Detail = journal.Detail(journal.Finished{Outcome: llm.Outcome{Usage: finishedUsage(100)}})
	failed := journal.Event{Type: journal.StepFailed, Step: "bad", Detail: journal.Detail(journal.Failed{Code: "invalid", CostUSD: new(0.5), Usage: finishedUsage(7)})}
	retried := failed
	retried.Type = journal.StepRetrying // its cost is that of the attempt, counted at the end
	mustAppend(t, log, finished("one", "x"), free, started("bad"), retried, failed)
	run := mustFind(t, s, "a")
	if run.Steps != 2 || run.CostUSD != 0.75 || run.Tokens != 15+100+7 {
		t.Errorf("%d steps, $%g, %d tokens; want 2, $0.75, 122", run.Steps, run.CostUSD, run.Tokens)
	}
	last := ended(journal.StatusFailed)
	last.Time = time.Date(2026, 5, 6, 7, 8, 9, 10, time.UTC)
	mustAppend(t, log, last)
	run = mustFind(t, s, "a")
	if run.Status != journal.StatusFailed || !run.FinishedAt.Equal(last.Time) || run.Owner == nil {
		t.Errorf("at its end: %+v", run)
	}
	mustRelease(t, log)
	if run = mustFind(t, s, "a"); run.Status != journal.StatusFailed || !run.FinishedAt.Equal(last.Time) || run.CostUSD != 0.75 {
		t.Errorf("given back after its end: %+v", run)
	}
}

// exit: the header has how a step ended the run, until it is taken on again or has another end.
func exit(t *testing.T, h Harness) {
	s := h.Open(t)
	log := mustCreate(t, s, journal.Run{ID: "a"})
	want := &journal.Exit{Status: journal.StatusFailed, Message: "too\x1b[1m many\n\u2028", Code: 7}
	end := journal.Event{Type: journal.RunFinished, Detail: journal.Detail(journal.RunEnd{Status: want.Status, Exited: &journal.Exited{Step: "stop", Exit: *want}})}
	expect := func(when string, want *journal.Exit) {
		t.Helper()
		if diff := cmp.Diff(want, mustFind(t, s, "a").Exit); diff != "" {
			t.Errorf("%s:\n%s", when, diff)
		}
		for run, err := range h.Other(t, s).Runs(t.Context(), journal.Filter{}) {
			if diff := cmp.Diff(want, run.Exit); diff != "" || err != nil {
				t.Errorf("listed %s: %v\n%s", when, err, diff)
			}
		}
	}
	expect("under way", nil)
	mustAppend(t, log, finished("x", "x"), end)
	expect("ended", want)
	mustRelease(t, log)
	expect("given back", want)
	mustFind(t, s, "a").Exit.Message = "changed by who read it"
	expect("read", want)
	log, err := s.Acquire(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	expect("taken on", nil)
	mustAppend(t, log, end)
	expect("ended again", want)
	mustAppend(t, log, ended(journal.StatusCompleted))
	expect("ended otherwise", nil)
	mustRelease(t, log)
}

func runs(t *testing.T, h Harness) {
	s := h.Open(t)
	for _, run := range []journal.Run{
		{ID: "a", Workflow: "w", File: "/f", Spec: spec(1)}, {ID: "b", Workflow: "w", File: "/g", StartedBy: "ci"}, {ID: "c", Workflow: "v", File: "/f", StartedBy: "ops"}, {ID: "d", StartedBy: "ci"},
	} {
		log := mustCreate(t, s, run)
		if run.ID == "b" {
			mustAppend(t, log, ended(journal.StatusCompleted))
		}
		mustRelease(t, log)
	}
	started := mustFind(t, s, "c").StartedAt
	for name, test := range map[string]struct {
		filter journal.Filter
		want   []string
	}{
		"all":      {journal.Filter{}, []string{"d", "c", "b", "a"}},
		"workflow": {journal.Filter{Workflow: "w"}, []string{"b", "a"}},
		"file":     {journal.Filter{File: "/f"}, []string{"c", "a"}},
		"both":     {journal.Filter{File: "/f", Workflow: "v"}, []string{"c"}},
		"status":   {journal.Filter{Statuses: []journal.Status{journal.StatusCompleted, journal.StatusFailed}}, []string{"b"}},
		"before":   {journal.Filter{Before: started}, []string{"b", "a"}},
		"after":    {journal.Filter{After: started}, []string{"d", "c"}},
		"limit":    {journal.Filter{Limit: 2}, []string{"d", "c"}},
		"older":    {journal.Filter{Older: "c"}, []string{"b", "a"}},
		"oldest":   {journal.Filter{Older: "a"}, nil},
		"page":     {journal.Filter{Older: "d", File: "/f", Limit: 1}, []string{"c"}},
		"limited":  {journal.Filter{Workflow: "w", Limit: 1}, []string{"b"}},
		"none":     {journal.Filter{Workflow: "x"}, nil},

		"started by":      {journal.Filter{StartedBy: "ci"}, []string{"d", "b"}},
		"one of them":     {journal.Filter{StartedBy: "ci", Workflow: "w"}, []string{"b"}},
		"the next page":   {journal.Filter{StartedBy: "ci", Older: "d", Limit: 1}, []string{"b"}},
		"started by none": {journal.Filter{StartedBy: "c"}, nil},
	} {
		if diff := cmp.Diff(test.want, ids(t, s, test.filter)); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
	log, err := s.Acquire(t.Context(), "c") // who has it now did not start it
	if err != nil {
		t.Fatal(err)
	}
	mustRelease(t, log)
	for id, want := range map[string]string{"a": "", "b": "ci", "c": "ops"} {
		if got := mustFind(t, s, id).StartedBy; got != want {
			t.Errorf("run %s was started by %q, want %q", id, got, want)
		}
	}
	for run, err := range s.Runs(t.Context(), journal.Filter{}) {
		if err != nil || run.Spec != nil {
			t.Errorf("listed with spec %s, %v", run.Spec, err)
		}
		// The store can be used while it is read.
		if _, err := s.Find(t.Context(), run.ID); err != nil {
			t.Error(err)
		}
	}
	for _, err := range s.Runs(t.Context(), journal.Filter{Older: "e"}) {
		if !errors.Is(err, journal.ErrNotFound) {
			t.Errorf("older than a run that there is not: %v", err)
		}
	}
	many := h.Open(t)
	for n := range 250 {
		mustRelease(t, mustCreate(t, many, journal.Run{ID: fmt.Sprint("run", n)}))
	}
	if n := len(ids(t, many, journal.Filter{})); n != 250 {
		t.Errorf("%d of 250 runs were listed", n)
	}
}

func removeKeepsOutputs(t *testing.T, h Harness) {
	s := h.Open(t)
	for _, id := range []string{"a", "b"} {
		log := mustCreate(t, s, journal.Run{ID: id})
		mustAppend(t, log, finished("x", "shared"), finished("y", "of "+id), finished("z", "shared"))
		mustRelease(t, log)
	}
	if n, err := s.Remove(t.Context(), "a", "a"); n != 1 || err != nil {
		t.Fatalf("removed %d, %v", n, err)
	}
	if _, err := s.Find(t.Context(), "a"); !errors.Is(err, journal.ErrNotFound) {
		t.Errorf("the removed run: %v", err)
	}
	for _, err := range s.Events(t.Context(), "a", 0) {
		if !errors.Is(err, journal.ErrNotFound) {
			t.Errorf("the removed run's events: %v", err)
		}
	}
	left := mustEvents(t, s, "b", 1)
	if len(left) != 3 || left[0].Output != "shared" || left[1].Output != "of b" || left[2].Output != "shared" {
		t.Errorf("left of the other run: %+v", left)
	}
	if n, err := s.Remove(t.Context()); n != 0 || err != nil {
		t.Errorf("removing nothing: %d, %v", n, err)
	}
	log := mustCreate(t, s, journal.Run{ID: "a"}) // the id is free again
	mustAppend(t, log, finished("x", "of a"))
	if evs := mustEvents(t, s, "a", 0); len(evs) != 2 || evs[1].Output != "of a" {
		t.Errorf("%+v", evs)
	}
	mustRelease(t, log)
}

func cancelledContext(t *testing.T, h Harness) {
	s := h.Open(t)
	mustRelease(t, mustCreate(t, s, journal.Run{ID: "a"}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, createErr := s.Create(ctx, journal.Run{ID: "b"})
	_, acquireErr := s.Acquire(ctx, "a")
	_, findErr := s.Find(ctx, "a")
	_, removeErr := s.Remove(ctx, "a")
	sendErr := s.Signal(ctx, journal.Event{Run: "a", Type: journal.CancelAsked})
	var runsErr, eventsErr error
	for _, err := range s.Runs(ctx, journal.Filter{}) {
		runsErr = err
	}
	for _, err := range s.Events(ctx, "a", 0) {
		eventsErr = err
	}
	for name, err := range map[string]error{"Create": createErr, "Acquire": acquireErr, "Find": findErr, "Remove": removeErr, "Signal": sendErr, "Runs": runsErr, "Events": eventsErr} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(mustEvents(t, s, "a", 0)); n != 1 {
		t.Errorf("%d events", n)
	}
	if got := ids(t, s, journal.Filter{}); len(got) != 1 {
		t.Errorf("runs %v", got)
	}
}

func nothingAfterClose(t *testing.T, h Harness) {
	s := h.Open(t)
	mustRelease(t, mustCreate(t, s, journal.Run{ID: "a"}))
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(t.Context(), journal.Run{ID: "b"}); err == nil {
		t.Error("a closed store created a run")
	}
	if _, err := s.Find(t.Context(), "a"); err == nil || errors.Is(err, journal.ErrNotFound) {
		t.Errorf("a closed store was read: %v", err)
	}
}
