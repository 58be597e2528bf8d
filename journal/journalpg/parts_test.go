package journalpg_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/internal/postgres/postgrestest"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/journalpg"
	"github.com/claude-force/claude-force/journal/memory"
	"github.com/claude-force/claude-force/llm"
)

const engine = "relay"

// TestPartTakesOneRoundTrip counts what a store asks of the database to join parts of a run
// and to write them, while another store does the same.
func TestPartTakesOneRoundTrip(t *testing.T) {
	t.Parallel()
	const steps = 100
	url := postgrestest.URL(t)
	address, asked := counted(t, url)
	stores := []*journalpg.Store{openStore(t, address), openAs(t, url, journalpg.Options{}, "elsewhere", 1)}
	log, err := stores[0].Create(t.Context(), journal.Run{ID: "run", Engine: engine})
	if err == nil {
		err = log.Release()
	}
	var before int64
	for i := range steps + 1 { // the first reads what there is, and prepares statements
		if i == 1 {
			before = asked.Load()
		}
		for n, s := range stores {
			var log journal.Log
			if err == nil {
				log, _, err = s.Join(t.Context(), "run", engine, journal.Unit{Step: fmt.Sprintf("s%d-%d", i, n)})
			}
			if err == nil {
				err = log.Append(journal.Event{Type: journal.StepStarted, Step: "a"}, journal.Event{Type: journal.StepFinished, Step: "a", Output: "done"})()
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	// As in TestStepTakesOneRoundTrip; the statements are prepared once more.
	if n := asked.Load() - before; n < 2*steps || n > 2*steps*3/2 {
		t.Errorf("%d round trips for %d steps, each of which is joined and written", n, steps)
	}
	if run, err := stores[0].Find(t.Context(), "run"); err != nil || run.Steps != 2*(steps+1) {
		t.Errorf("%d steps, %v", run.Steps, err)
	}
}

// TestPartReadsNoTable has a store write to a run that has many parts and events, among many
// runs: how many rows are read does not grow with these.
func TestPartReadsNoTable(t *testing.T) {
	t.Parallel()
	const others, steps = 3000, 100
	url := postgrestest.URL(t)
	s := openStore(t, url)
	log, err := s.Create(t.Context(), journal.Run{ID: "run", Engine: engine})
	if err := errors.Join(err, log.Release()); err != nil {
		t.Fatal(err)
	}
	db := postgrestest.Open(t, url)
	for _, sql := range []string{
		`INSERT INTO journal_parts (run, part, token) SELECT 1, ('part ' || i)::bytea, 'token' FROM generate_series(1, $1) i`,
		`INSERT INTO journal_runs (id, workflow, file, status, started, finished, steps, usd, tokens, seq, since, engine)
			SELECT id || i, workflow, file, status, started, finished, steps, usd, tokens, seq, since, engine FROM journal_runs, generate_series(1, $1) i`,
		`INSERT INTO journal_events (run, seq, time, type, step, item, attempt) SELECT 1, 1 + i, 1, 'step_attempt', 's', '', 1 FROM generate_series(1, $1) i`,
		`UPDATE journal_runs SET seq = 1 + $1 WHERE n = 1`,
	} {
		if _, err := db.Exec(t.Context(), sql, others); err != nil {
			t.Fatal(err)
		}
	}
	for i := range steps {
		log, _, err := s.Join(t.Context(), "run", engine, journal.Unit{Step: fmt.Sprint("step", i)})
		if err == nil {
			err = log.Append(journal.Event{Type: journal.StepStarted, Step: "s"}, journal.Event{Type: journal.StepFinished, Step: "s"})()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil { // the counts are complete once connections have ended
		t.Fatal(err)
	}
	for table, scans := range map[string]int64{"journal_runs": 2 * steps, "journal_parts": steps, "journal_events": steps} {
		// Once the first step has read what there is.
		if n := rowsRead(t, db, table, scans); n > 3*others+10*steps {
			t.Errorf("%d rows of %s were read", n, table)
		}
	}
}

// TestOthersQuestionIsSeen has one store ask a person while another one, which has not read
// that, ends all that is under way: the run waits.
func TestOthersQuestionIsSeen(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	s, other := openStore(t, url), openAs(t, url, journalpg.Options{}, "elsewhere", 1)
	log, err := s.Create(t.Context(), journal.Run{ID: "run", Engine: engine})
	if err := errors.Join(err, log.Release()); err != nil {
		t.Fatal(err)
	}
	write := func(s *journalpg.Store, step string, types ...journal.EventType) {
		t.Helper()
		log, _, err := s.Join(t.Context(), "run", engine, journal.Unit{Step: step})
		if err != nil {
			t.Fatal(err)
		}
		for _, typ := range types {
			if err := log.Append(journal.Event{Type: typ, Step: step})(); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(s, "a", journal.StepStarted, journal.StepFinished) // from now on s adds to the run, and does not read it
	write(s, "b", journal.StepStarted)
	write(other, "ask", journal.StepStarted, journal.ApprovalAsked)
	if run, err := s.Find(t.Context(), "run"); err != nil || run.Status != journal.StatusRunning {
		t.Errorf("while a step is under way the run is %s, %v", run.Status, err)
	}
	write(s, "b", journal.StepFinished)
	if run, err := s.Find(t.Context(), "run"); err != nil || run.Status != journal.StatusWaiting {
		t.Errorf("once only a question is open the run is %s, %v", run.Status, err)
	}
}

// TestPartsAreAsInMemory has two stores join and write the parts of a run, and people answer
// what they ask: what the run and its events are, and what is refused, is as in the store that
// keeps all in memory.
func TestPartsAreAsInMemory(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	stores := []*journalpg.Store{openStore(t, url), openAs(t, url, journalpg.Options{}, "elsewhere", 1)}
	var runs atomic.Int64
	rapid.Check(t, func(t *rapid.T) {
		id := fmt.Sprint("run", runs.Add(1))
		model := memory.New()
		for _, s := range []journal.Store{stores[0], model} {
			log, err := s.Create(t.Context(), journal.Run{ID: id, Engine: engine})
			if err := errors.Join(err, log.Release()); err != nil {
				t.Fatal(err)
			}
		}
		type both struct{ real, model journal.Log }
		var logs []both
		same := func(what string, real, model error) {
			for _, target := range []error{journal.ErrLost, journal.ErrNotFound} {
				if errors.Is(real, target) != errors.Is(model, target) {
					t.Fatalf("%s: %v; in memory %v", what, real, model)
				}
			}
			if (real == nil) != (model == nil) {
				t.Fatalf("%s: %v; in memory %v", what, real, model)
			}
		}
		units := rapid.SampledFrom([]journal.Unit{{}, {Step: "a"}, {Step: "b"}, {Step: "each", Item: "1"}})
		for range rapid.IntRange(1, 25).Draw(t, "operations") {
			unit := units.Draw(t, "unit")
			switch op := rapid.IntRange(0, 9).Draw(t, "operation"); {
			case op < 3 || len(logs) == 0:
				name := rapid.SampledFrom([]string{engine, engine, engine, "another"}).Draw(t, "engine")
				real, last, err := stores[rapid.IntRange(0, 1).Draw(t, "store")].Join(t.Context(), id, name, unit)
				imagined, wantLast, want := model.Join(t.Context(), id, name, unit)
				if same("joining", err, want); last != wantLast {
					t.Fatalf("joined at event %d; in memory %d", last, wantLast)
				}
				if err == nil {
					logs = append(logs, both{real, imagined})
				}
			case op < 9:
				log := logs[rapid.IntRange(0, len(logs)-1).Draw(t, "log")]
				var events []journal.Event
				for range rapid.IntRange(1, 3).Draw(t, "events") {
					events = append(events, drawEvent(t, unit))
				}
				same(fmt.Sprint("writing ", events), log.real.Append(events...)(), log.model.Append(events...)())
			default:
				ev := journal.Event{Run: id, Type: journal.CancelAsked}
				if rapid.Bool().Draw(t, "answer") {
					ev = journal.Event{Run: id, Type: journal.ApprovalGiven, Step: unit.Step, Item: unit.Item, Detail: journal.Detail(journal.Decision{Approved: true})}
				}
				same("a signal", stores[0].Signal(t.Context(), ev), model.Signal(t.Context(), ev))
			}
			compareRuns(t, stores[1], model, id)
		}
	})
}

// drawEvent draws an event of a unit.
func drawEvent(t *rapid.T, unit journal.Unit) journal.Event {
	ev := journal.Event{Step: unit.Step, Item: unit.Item}
	cost := float64(rapid.IntRange(0, 8).Draw(t, "cost")) / 8 // sums of eighths do not depend on their order
	switch rapid.IntRange(0, 11).Draw(t, "event") {
	case 0, 1, 2:
		ev.Type, ev.Attempt = journal.StepStarted, 1
	case 3, 4, 5:
		ev.Type, ev.Output = journal.StepFinished, rapid.SampledFrom([]string{"", "one", "two"}).Draw(t, "output")
		ev.Detail = journal.Detail(journal.Finished{Outcome: llm.Outcome{CostUSD: &cost, Usage: llm.Usage{OutputTokens: 3}}})
	case 6:
		ev.Type, ev.Detail = journal.StepFailed, journal.Detail(journal.Failed{Message: "e"})
	case 7:
		ev.Type, ev.Detail = journal.StepStopped, journal.Detail(journal.Stopped{UncountedUSD: cost})
	case 8:
		ev.Type = journal.StepAttempt
	case 9, 10:
		ev.Type, ev.Detail = journal.ApprovalAsked, journal.Detail(journal.ApprovalRequest{Message: "well?"})
	default:
		ev = journal.Event{Type: journal.RunFinished, Detail: journal.Detail(journal.RunEnd{Status: journal.StatusFailed, UncountedUSD: &cost})}
	}
	return ev
}

// compareRuns compares a run and its events in two stores.
func compareRuns(t *rapid.T, s, model journal.Store, id string) {
	got, err := s.Find(t.Context(), id)
	want, wantErr := model.Find(t.Context(), id)
	if err != nil || wantErr != nil {
		t.Fatal(err, wantErr)
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(journal.Run{}, "StartedAt", "FinishedAt"), cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("the run differs:\n%s", diff)
	}
	all := func(s journal.Store) (list []journal.Event) {
		for ev, err := range s.Events(t.Context(), id, 0) {
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, ev)
		}
		return list
	}
	if diff := cmp.Diff(all(model), all(s), cmpopts.IgnoreFields(journal.Event{}, "Time"), cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("events differ:\n%s", diff)
	}
}
