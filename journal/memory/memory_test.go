package memory_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/journaltest"
	"github.com/claude-force/claude-force/journal/memory"
)

func TestSuite(t *testing.T) {
	t.Parallel()
	journaltest.Suite(t, journaltest.Harness{
		Open:  func(*testing.T) journal.Store { return memory.New() },
		Other: func(_ *testing.T, s journal.Store) journal.Store { return s },
		Die:   func(_ *testing.T, s journal.Store) { s.(*memory.Store).Abandon() },
	})
}

// TestTimesAreThoseOfTheBubble also fails if a goroutine is left behind.
func TestTimesAreThoseOfTheBubble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		log, err := s.Create(t.Context(), journal.Run{ID: "a"})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if err := log.Append(journal.Event{Type: journal.StepStarted, Step: "x"})(); err != nil {
			t.Fatal(err)
		}
		if err := log.Release(); err != nil {
			t.Fatal(err)
		}
		run, err := s.Find(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		if got := run.FinishedAt.Sub(run.StartedAt); got != time.Hour {
			t.Errorf("it took %s", got)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
