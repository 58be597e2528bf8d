package journaltest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
)

func finishedUsage(tokens int) llm.Usage { return llm.Usage{InputTokens: tokens} }

func events(t *testing.T, h Harness) {
	s := h.Open(t)
	log := mustCreate(t, s, journal.Run{ID: "a"})
	want := full()
	plain := journal.Event{Type: journal.StepAttempt, Step: "x", Attempt: 2, Run: "another", Seq: 99}
	empty := journal.Event{Type: journal.StepFinished, Step: "y"} // an empty answer is one
	before := time.Now()
	mustAppend(t, log, want, plain, empty)
	got := mustEvents(t, h.Other(t, s), "a", 1)
	if len(got) != 3 {
		t.Fatalf("%d events", len(got))
	}
	want.Run, want.Seq = "a", 2
	if diff := cmp.Diff(want, got[0]); diff != "" {
		t.Errorf("an event came back changed:\n%s", diff)
	}
	if tm := got[1].Time; tm.Before(before.Round(0)) || tm.After(time.Now()) {
		t.Errorf("an event without a time has %v", tm)
	}
	plain.Run, plain.Seq, plain.Time = "a", 3, got[1].Time
	if diff := cmp.Diff(plain, got[1]); diff != "" {
		t.Errorf("an event came back changed:\n%s", diff)
	}
	if n := len(mustEvents(t, s, "a", 3)); n != 1 {
		t.Errorf("%d events after the third", n)
	}
	if n := len(mustEvents(t, s, "a", 4)); n != 0 {
		t.Errorf("%d events after the last", n)
	}
	if n := len(mustEvents(t, s, "a", 1000)); n != 0 {
		t.Errorf("%d events after the thousandth", n)
	}
	for _, err := range s.Events(t.Context(), "unknown", 0) {
		if !errors.Is(err, journal.ErrNotFound) {
			t.Errorf("events of an unknown run: %v", err)
		}
	}
	state, err := journal.Fold(s.Events(t.Context(), "a", 0))
	if u := state.Unit("refine@2/critic", "a/b"); err != nil || u == nil || u.Output != want.Output || u.Key != want.Key {
		t.Errorf("folded: %+v, %v", u, err)
	}
	mustAppend(t, log) // nothing
	mustRelease(t, log)
}

func eventsWhileWriting(t *testing.T, h Harness) {
	s := h.Open(t)
	log := mustCreate(t, s, journal.Run{ID: "a"})
	for n := range 300 {
		log.Append(started(fmt.Sprint(n)))
	}
	mustAppend(t, log, started("last"))
	read := 0
	for ev, err := range s.Events(t.Context(), "a", 0) {
		if err != nil {
			t.Fatal(err)
		}
		if read++; ev.Seq != int64(read) {
			t.Fatalf("event %d came as the %d.", ev.Seq, read)
		}
		if read%100 == 0 {
			mustAppend(t, log, finished(ev.Step, "x"))
		}
	}
	if read < 302 {
		t.Errorf("%d events", read)
	}
	mustRelease(t, log)
}

func badDetail(t *testing.T, h Harness) {
	s := h.Open(t)
	log := mustCreate(t, s, journal.Run{ID: "a"})
	bad := journal.Event{Type: journal.StepFinished, Step: "x", Detail: []byte(`{"usage": "much"}`)}
	if err := log.Append(started("x"), bad)(); err == nil {
		t.Error("a detail that cannot be read was appended")
	}
	bad.Run = "a"
	if err := s.Signal(t.Context(), bad); err == nil {
		t.Error("a detail that cannot be read was sent")
	}
	mustAppend(t, log, finished("x", "good"))
	if evs := mustEvents(t, s, "a", 1); len(evs) != 1 || evs[0].Output != "good" {
		t.Errorf("%+v", evs)
	}
	mustRelease(t, log)
}

// appendFromMany: what was said to be durable is there, in one order that each
// writer's own agrees with.
func appendFromMany(t *testing.T, h Harness) {
	s := h.Open(t)
	const logs, writers, each = 3, 8, 10
	var all sync.WaitGroup
	for l := range logs {
		log := mustCreate(t, s, journal.Run{ID: fmt.Sprint("run", l)})
		var mine sync.WaitGroup
		for w := range writers {
			mine.Go(func() {
				for n := range each {
					step := fmt.Sprint("step", w)
					if err := log.Append(
						journal.Event{Type: journal.StepStarted, Step: step, Attempt: n + 1},
						journal.Event{Type: journal.StepFinished, Step: step, Attempt: n + 1, Output: fmt.Sprint(w, n)},
					)(); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Go(func() {
			mine.Wait()
			if err := log.Release(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	other := h.Other(t, s)
	for l := range logs {
		got := mustEvents(t, other, fmt.Sprint("run", l), 1)
		if len(got) != writers*each*2 {
			t.Fatalf("run %d has %d events; want %d", l, len(got), writers*each*2)
		}
		next := map[string]int{}
		for i := 0; i < len(got); i += 2 {
			a, b := got[i], got[i+1]
			next[a.Step]++
			if a.Type != journal.StepStarted || b.Type != journal.StepFinished || a.Step != b.Step || a.Attempt != next[a.Step] || b.Attempt != a.Attempt {
				t.Fatalf("events %d and %d do not follow each other: %+v, %+v", a.Seq, b.Seq, a, b)
			}
		}
	}
}

// appendIsInOrder: appends that no caller waited for are in the order of the calls,
// and durable once a later one is.
func appendIsInOrder(t *testing.T, h Harness) {
	s := h.Open(t)
	log := mustCreate(t, s, journal.Run{ID: "a"})
	for n := range 500 {
		wait := log.Append(started(fmt.Sprint(n)))
		if n%100 != 99 {
			continue
		}
		if err := wait(); err != nil {
			t.Fatal(err)
		}
		if err := wait(); err != nil { // again gives the same
			t.Fatal(err)
		}
		got := mustEvents(t, s, "a", 1)
		if len(got) != n+1 {
			t.Fatalf("%d events are durable; want %d", len(got), n+1)
		}
		for i, ev := range got {
			if ev.Step != fmt.Sprint(i) {
				t.Fatalf("event %d is of step %s", ev.Seq, ev.Step)
			}
		}
	}
	mustRelease(t, log)
}

func send(t *testing.T, h Harness) {
	s := h.Open(t)
	other := h.Other(t, s)
	log := mustCreate(t, s, journal.Run{ID: "a"})
	mustAppend(t, log, journal.Event{Type: journal.ApprovalAsked, Step: "ask", Detail: journal.Detail(journal.ApprovalRequest{Message: "go on?"})})
	answer := journal.Event{Run: "a", Type: journal.ApprovalGiven, Step: "ask", Detail: journal.Detail(journal.Decision{Approved: true, By: "me"})}
	if err := other.Signal(t.Context(), answer); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, log, started("next"))
	mustRelease(t, log)
	if err := other.Signal(t.Context(), journal.Event{Run: "a", Type: journal.CancelAsked}); err != nil {
		t.Fatalf("sending to a run without an owner: %v", err)
	}
	var types []journal.EventType
	for _, ev := range mustEvents(t, s, "a", 1) {
		types = append(types, ev.Type)
	}
	want := []journal.EventType{journal.ApprovalAsked, journal.ApprovalGiven, journal.StepStarted, journal.CancelAsked}
	if diff := cmp.Diff(want, types); diff != "" {
		t.Error(diff)
	}
	state, err := journal.Fold(s.Events(t.Context(), "a", 0))
	if u := state.Unit("ask", ""); err != nil || u == nil || u.Decision == nil || !u.Decision.Approved || !state.Cancelled {
		t.Errorf("folded: %+v, %v", u, err)
	}
	if err := s.Signal(t.Context(), journal.Event{Run: "unknown", Type: journal.CancelAsked}); !errors.Is(err, journal.ErrNotFound) {
		t.Errorf("sending to an unknown run: %v", err)
	}
}

// outline checks that the events of items are left out, also where the others are many.
func outline(t *testing.T, h Harness) {
	s := h.Open(t)
	log := mustCreate(t, s, journal.Run{ID: "a"})
	const steps = 200
	var want []int64
	var events []journal.Event
	for i := range steps {
		events = append(events,
			journal.Event{Type: journal.StepFinished, Step: fmt.Sprint("s", i), Output: strings.Repeat("x", 20_000)},
			journal.Event{Type: journal.StepFinished, Step: "each", Item: fmt.Sprint(i)})
		want = append(want, int64(2*i+2))
	}
	mustAppend(t, log, events...)
	mustRelease(t, log)
	got := []int64{}
	for ev, err := range s.Outline(t.Context(), "a") {
		if err != nil || ev.Item != "" {
			t.Fatalf("event %d of item %q: %v", ev.Seq, ev.Item, err)
		}
		got = append(got, ev.Seq)
	}
	if want = append([]int64{1}, want...); !slices.Equal(got, want) {
		t.Errorf("the outline has the events %v; want %v", got, want)
	}
	for _, err := range s.Outline(t.Context(), "none") {
		if !errors.Is(err, journal.ErrNotFound) {
			t.Errorf("of no run: %v", err)
		}
	}
}
