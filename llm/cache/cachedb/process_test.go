package cachedb_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/internal/processtest"
	"github.com/claude-force/claude-force/llm/cache/cachedb"
)

// TestMain lets the test binary be the other processes of a test.
func TestMain(m *testing.M) {
	os.Exit(processtest.Main(m, map[string]processtest.Job{"work": work}))
}

// work stores so many answers from a first on, or without end if that is 0, and
// prints the number of each once it is stored.
func work(args []string) error {
	s, err := cachedb.Open(args[0], cachedb.Options{})
	first, firstErr := strconv.Atoi(args[1])
	count, countErr := strconv.Atoi(args[2])
	if err := errors.Join(err, firstErr, countErr); err != nil {
		return err
	}
	ctx := context.Background()
	for n := first; count == 0 || n < first+count; n++ {
		if err := s.Put(ctx, entry(n)); err != nil {
			return err
		}
		if _, err := s.Get(ctx, entry(n).Key, time.Time{}); err != nil {
			return fmt.Errorf("reading %d: %w", n, err)
		}
		fmt.Println(n)
	}
	return s.Close()
}

// integrity checks the whole file.
func integrity(t *testing.T, path string) {
	t.Helper()
	conn, err := sqlite3.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stmt, _, err := conn.Prepare(`PRAGMA integrity_check`)
	if err != nil {
		t.Fatal(err)
	}
	defer stmt.Close()
	for stmt.Step() {
		if got := stmt.ColumnText(0); got != "ok" {
			t.Errorf("integrity: %s", got)
		}
	}
	if err := stmt.Err(); err != nil {
		t.Error(err)
	}
}

func TestTwentyProcesses(t *testing.T) {
	t.Parallel()
	const processes, each = 20, 25
	path := file(t)
	var all sync.WaitGroup
	for p := range processes {
		all.Go(func() {
			if err := processtest.Start(t.Context(), "work", path, p*each, each).Wait(); err != nil {
				t.Errorf("process %d: %v", p, err)
			}
		})
	}
	all.Wait()
	integrity(t, path)
	s := open(t, path, cachedb.Options{})
	if st := stats(t, s); st.Entries != processes*each || st.Hits != processes*each || st.Misses != 0 {
		t.Errorf("%+v; want %d entries and as many hits", st, processes*each)
	}
}

// TestKilledWriter kills a process that stores answers, again and again. Each
// time the file must open clean and hold every answer whose storing was
// confirmed.
func TestKilledWriter(t *testing.T) {
	t.Parallel()
	rounds := 50
	if testing.Short() {
		rounds = 10
	}
	path := file(t)
	next := 0
	for round := range rounds {
		w := processtest.Start(t.Context(), "work", path, next, 0)
		confirmed, err := w.KillAfter(1 + round%7)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}

		integrity(t, path)
		s, err := cachedb.Open(path, cachedb.Options{})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for _, line := range confirmed {
			n, err := strconv.Atoi(line)
			if err != nil || !has(t, s, n) {
				t.Errorf("round %d: answer %q was confirmed and is lost", round, line)
			}
		}
		if err := s.Close(); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
		next += len(confirmed) + 1
	}
}
