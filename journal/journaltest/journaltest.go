// Package journaltest holds the tests that every [journal.Store] passes that is also a
// [journal.Joiner].
//
//	journaltest.Suite(t, journaltest.Harness{Open: …, Other: …, Die: …})
package journaltest

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
)

// Harness is how the suite comes by stores.
type Harness struct {
	// Open opens a new, empty store. What it needs cleaned up it registers.
	Open func(t *testing.T) journal.Store
	// Other opens the runs of a store once more, as another process would. A
	// store of one process may give itself.
	Other func(t *testing.T, s journal.Store) journal.Store
	// Die makes the process that s stands for dead to all others. s may still
	// be used, as by a process that was taken for dead and is not.
	Die func(t *testing.T, s journal.Store)
}

// Suite checks the contract of [journal.Store], [journal.Joiner] and [journal.Log].
func Suite(t *testing.T, h Harness) {
	for name, test := range map[string]func(*testing.T, Harness){
		"Create":               create,
		"CreateTwice":          createTwice,
		"Exit":                 exit,
		"Find":                 find,
		"Events":               events,
		"EventsWhileWriting":   eventsWhileWriting,
		"Outline":              outline,
		"Notices":              notices,
		"NoticesWhileWriting":  noticesWhileWriting,
		"BadDetail":            badDetail,
		"AppendFromMany":       appendFromMany,
		"AppendIsInOrder":      appendIsInOrder,
		"Signal":               send,
		"Header":               header,
		"Runs":                 runs,
		"Release":              release,
		"Waiting":              waiting,
		"WaitingIsTakenOn":     waitingIsTakenOn,
		"WaitingEnds":          waitingEnds,
		"DecidedOnce":          decidedOnce,
		"OwnedRunIsRefused":    ownedRunIsRefused,
		"OneOfManyAcquires":    oneOfManyAcquires,
		"DeadOwnerLosesRun":    deadOwnerLosesRun,
		"Joins":                joins,
		"JoinedPartsAreFenced": joinedPartsAreFenced,
		"JoinedRunEnds":        joinedRunEnds,
		"JoinedRunWaits":       joinedRunWaits,
		"Signaled":             signaled,
		"ManyJoin":             manyJoin,
		"RemoveKeepsOutputs":   removeKeepsOutputs,
		"RemoveLeavesOwned":    removeLeavesOwned,
		"CancelledContext":     cancelledContext,
		"NothingAfterClose":    nothingAfterClose,
		"ReleasedLogIsRefused": releasedLogIsRefused,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, h)
		})
	}
}

func mustCreate(t *testing.T, s journal.Store, run journal.Run) journal.Log {
	t.Helper()
	log, err := s.Create(t.Context(), run)
	if err != nil {
		t.Fatalf("creating %s: %v", run.ID, err)
	}
	return log
}

func mustAppend(t *testing.T, log journal.Log, events ...journal.Event) {
	t.Helper()
	if err := log.Append(events...)(); err != nil {
		t.Fatalf("appending: %v", err)
	}
}

func mustRelease(t *testing.T, log journal.Log) {
	t.Helper()
	if err := log.Release(); err != nil {
		t.Fatalf("releasing: %v", err)
	}
}

func mustFind(t *testing.T, s journal.Store, id string) journal.Run {
	t.Helper()
	run, err := s.Find(t.Context(), id)
	if err != nil {
		t.Fatalf("finding %s: %v", id, err)
	}
	return run
}

// mustEvents returns the events of a run, whose numbers must have no gap.
func mustEvents(t *testing.T, s journal.Store, id string, after int64) []journal.Event {
	t.Helper()
	var all []journal.Event
	for ev, err := range s.Events(t.Context(), id, after) {
		if err != nil {
			t.Fatalf("reading the events of %s: %v", id, err)
		}
		if want := after + int64(len(all)) + 1; ev.Seq != want || ev.Run != id {
			t.Fatalf("event %d of run %s; want %d of %s", ev.Seq, ev.Run, want, id)
		}
		all = append(all, ev)
	}
	return all
}

// ids returns the ids of the runs a filter gives, in order.
func ids(t *testing.T, s journal.Store, f journal.Filter) []string {
	t.Helper()
	var all []string
	for run, err := range s.Runs(t.Context(), f) {
		if err != nil {
			t.Fatalf("listing runs: %v", err)
		}
		all = append(all, run.ID)
	}
	return all
}

func started(step string) journal.Event {
	return journal.Event{Type: journal.StepStarted, Step: step, Attempt: 1, Detail: journal.Detail(journal.Started{Agent: "linter", Task: "check " + step})}
}

func finished(step, output string) journal.Event {
	return journal.Event{
		Type: journal.StepFinished, Step: step, Attempt: 1, Key: llm.Key{1, 2, 3}, Output: output,
		Detail: journal.Detail(journal.Finished{
			Outcome:         llm.Outcome{Source: llm.SourceLive, Usage: llm.Usage{InputTokens: 10, OutputTokens: 5}, CostUSD: new(0.25)},
			DurationSeconds: 1,
		}),
	}
}

func ended(status journal.Status) journal.Event {
	return journal.Event{Type: journal.RunFinished, Detail: journal.Detail(journal.RunEnd{Status: status})}
}

// full returns an event with everything set.
func full() journal.Event {
	ev := finished("refine@2/critic", "an answer\nof two lines, with a \x00 and “quotes”")
	ev.Item, ev.Attempt = "a/b", 3
	ev.Time = time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	return ev
}

func spec(n int) json.RawMessage { return json.RawMessage(fmt.Sprintf(`{"n": %d}`, n)) }
