package journaldb_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/journaldb"
)

// TestLeaseOfAnotherMachine: a run of a machine whose processes cannot be looked
// at is kept while there are signs of life, and free LeaseTTL after the last.
func TestLeaseOfAnotherMachine(t *testing.T) {
	t.Parallel()
	path := file(t)
	synctest.Test(t, func(t *testing.T) {
		there, err := journaldb.OpenAs(path, journaldb.Options{}, "elsewhere", 0, "", false)
		if err != nil {
			t.Fatal(err)
		}
		here, err := journaldb.Open(path, journaldb.Options{})
		if err != nil {
			t.Fatal(err)
		}
		log, err := there.Create(t.Context(), journal.Run{ID: "a"})
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			time.Sleep(journal.LeaseTTL - time.Nanosecond)
			synctest.Wait()
			if _, err := here.Acquire(t.Context(), "a"); !isOwned(err) {
				t.Fatalf("a run that is worked on was acquired: %v", err)
			}
		}
		if err := there.Close(); err != nil { // no more signs of life
			t.Fatal(err)
		}
		run, err := here.Find(t.Context(), "a")
		if err != nil || run.Owner == nil || run.Owner.Host != "elsewhere" {
			t.Fatalf("%+v, %v", run, err)
		}
		time.Sleep(journal.LeaseTTL - journal.LeaseTTL/3 - time.Nanosecond)
		if _, err := here.Acquire(t.Context(), "a"); !isOwned(err) {
			t.Fatalf("a run was acquired before its lease ended: %v", err)
		}
		time.Sleep(journal.LeaseTTL / 3)
		taken, err := here.Acquire(t.Context(), "a")
		if err != nil {
			t.Fatalf("a run was not acquired after its lease ended: %v", err)
		}
		if err := log.Append(journal.Event{Type: journal.StepStarted})(); err == nil {
			t.Error("a closed store took an event")
		}
		if err := errors.Join(taken.Release(), here.Close()); err != nil {
			t.Error(err)
		}
	})
}

// TestARunThatIsGone shows that a process loses its lease of a run that was removed.
func TestARunThatIsGone(t *testing.T) {
	t.Parallel()
	path := file(t)
	s := openStore(t, path, journaldb.Options{})
	log, err := s.Create(t.Context(), journal.Run{ID: "a"})
	if err != nil {
		t.Fatal(err)
	}
	change(t, path, `DELETE FROM events; DELETE FROM runs`)
	if err := log.Release(); !errors.Is(err, journal.ErrLost) {
		t.Errorf("releasing a run that is gone: %v", err)
	}
}

func isOwned(err error) bool {
	_, owned := errors.AsType[*journal.OwnedError](err)
	return owned
}
