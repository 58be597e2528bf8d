package journal_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/journal"
)

// units are steps, with what is within them behind them.
var units = []journal.Unit{
	{Step: "lint"}, {Step: "ok"},
	{Step: "each"}, {Step: "each", Item: "k1"}, {Step: "each", Item: "k2"}, {Step: "each/ok", Item: "k1"}, {Step: "each/ok", Item: "k2"},
	{Step: "refine"}, {Step: "refine@1"}, {Step: "refine@1/critic"}, {Step: "refine@1/critic", Item: "k1/k3"}, {Step: "refine@2"},
}

// within reports whether u is within outer, by their names alone.
func within(u, outer journal.Unit) bool {
	step := u.Step == outer.Step || strings.HasPrefix(u.Step, outer.Step+"/") || strings.HasPrefix(u.Step, outer.Step+"@")
	item := u.Item == outer.Item || outer.Item == "" || strings.HasPrefix(u.Item, outer.Item+"/")
	return u != outer && step && item
}

// waits returns what [journal.Live] adds up, looked up in the whole list each time:
// of what was begun and has not ended, something asks, and all else has had
// something within it.
func waits(events []journal.Event) bool {
	open := map[journal.Unit]journal.EventType{}
	holds := map[journal.Unit]bool{}
	for _, ev := range events {
		u := journal.Unit{Step: ev.Step, Item: ev.Item}
		switch ev.Type {
		case journal.RunResumed:
			clear(holds)
			for v, typ := range open {
				if typ != journal.ApprovalAsked {
					delete(open, v)
				}
			}
			for _, outer := range units {
				for v := range open {
					holds[outer] = holds[outer] || within(v, outer)
				}
			}
		case journal.StepStarted, journal.ApprovalAsked:
			open[u] = ev.Type
			for _, outer := range units {
				holds[outer] = holds[outer] || within(u, outer)
			}
		case journal.StepFinished:
			delete(open, u)
			delete(holds, u)
		case journal.ApprovalGiven:
			if open[u] == journal.ApprovalAsked {
				open[u] = journal.ApprovalGiven
			}
		}
	}
	asks := false
	for u, typ := range open {
		if typ == journal.ApprovalAsked {
			asks = true
		} else if !holds[u] {
			return false
		}
	}
	return asks
}

func TestLiveIsWhatTheEventsSay(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var live journal.Live
		var events []journal.Event
		status := journal.StatusRunning
		for range rapid.IntRange(1, 40).Draw(t, "events") {
			u := rapid.SampledFrom(units).Draw(t, "unit")
			ev := journal.Event{Step: u.Step, Item: u.Item, Type: rapid.SampledFrom([]journal.EventType{
				journal.StepStarted, journal.StepStarted, journal.StepFinished, journal.ApprovalAsked, journal.ApprovalAsked, journal.ApprovalGiven, journal.RunResumed,
			}).Draw(t, "type")}
			switch {
			case ev.Type == journal.RunResumed:
				ev.Step, ev.Item = "", ""
			case ev.Type == journal.ApprovalAsked && slices.ContainsFunc(units, func(v journal.Unit) bool { return within(v, u) }):
				ev.Type = journal.StepStarted // only a step with nothing within it asks
			}
			events = append(events, ev)
			live.Add(&ev)
			status = live.Status(status)
			if want := waits(events); (status == journal.StatusWaiting) != want {
				var list strings.Builder
				for _, ev := range events {
					fmt.Fprintf(&list, "\n%s %s %s", ev.Type, ev.Step, ev.Item)
				}
				t.Fatalf("%s; want waiting: %v, after%s", status, want, list.String())
			}
		}
	})
}

func TestLiveLeavesAnEndedRunAlone(t *testing.T) {
	t.Parallel()
	var live journal.Live
	live.Add(&journal.Event{Type: journal.ApprovalAsked, Step: "ok"})
	for _, status := range []journal.Status{journal.StatusCompleted, journal.StatusFailed, journal.StatusInterrupted, journal.StatusCancelled} {
		if got := live.Status(status); got != status {
			t.Errorf("a run that is %s became %s", status, got)
		}
	}
}
