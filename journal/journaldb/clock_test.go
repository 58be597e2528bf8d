package journaldb_test

import (
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/journaldb"
)

// TestLatestIsTheLastCreated sets the clock back by decades between two runs: in a
// bubble it is the year 2000. The latest is the one that was created last, and the
// order of runs is that in which they were created.
func TestLatestIsTheLastCreated(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "history.db")
	create := func(t *testing.T, id string) {
		s, err := journaldb.Open(path, journaldb.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		log, err := s.Create(t.Context(), journal.Run{ID: id})
		if err != nil {
			t.Fatal(err)
		}
		if err := log.Release(); err != nil {
			t.Fatal(err)
		}
		if run, err := s.Find(t.Context(), journal.Latest); err != nil || run.ID != id {
			t.Errorf("the latest is %s, created %v; want %s (%v)", run.ID, run.StartedAt, id, err)
		}
	}
	create(t, "a")
	synctest.Test(t, func(t *testing.T) { create(t, "b") })
	create(t, "c")

	s, err := journaldb.Open(path, journaldb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, c := range []struct {
		filter journal.Filter
		want   []string
	}{
		{journal.Filter{}, []string{"c", "b", "a"}},
		{journal.Filter{Limit: 2}, []string{"c", "b"}},
		{journal.Filter{Before: time.Date(2010, 1, 1, 0, 0, 0, 0, time.UTC)}, []string{"b"}},
		{journal.Filter{After: time.Date(2010, 1, 1, 0, 0, 0, 0, time.UTC)}, []string{"c", "a"}},
	} {
		var got []string
		for run, err := range s.Runs(t.Context(), c.filter) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, run.ID)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v; want %v", c.filter, got, c.want)
		}
	}
}
