package journaldb_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/internal/processtest"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/journaldb"
	"github.com/claude-force/claude-force/journal/journaltest"
)

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

// TestKilledWriter checks that no acknowledged event is lost with its process, and that
// the file is whole after each kill.
func TestKilledWriter(t *testing.T) {
	t.Parallel()
	path := file(t)
	journaltest.KilledWriter(t, path, 25, func() journal.Store {
		integrity(t, path)
		return openStore(t, path, journaldb.Options{})
	})
}

// TestManyWritingProcesses: all get their turn. Of the first half of all steps,
// each process must have a share.
func TestManyWritingProcesses(t *testing.T) {
	t.Parallel()
	const processes, each = 8, 200
	path := file(t)
	openStore(t, path, journaldb.Options{}) // so that all begin with the schema
	var mu sync.Mutex                       // guards the next two
	order, counts := []int{}, map[int]int{}
	writers := make([]*processtest.Process, processes)
	for p := range writers {
		writers[p] = journaltest.StartWriter(t, path, fmt.Sprint("run", p), 4, each/4)
	}
	var all sync.WaitGroup
	for p, w := range writers {
		all.Go(func() {
			for range w.Lines() {
				mu.Lock()
				order = append(order, p)
				mu.Unlock()
			}
			if err := w.Wait(); err != nil {
				t.Errorf("process %d: %v", p, err)
			}
		})
	}
	for _, w := range writers {
		w.EndInput()
	}
	all.Wait()
	if len(order) != processes*each {
		t.Fatalf("%d steps were acknowledged; want %d", len(order), processes*each)
	}
	// How they share is up to the system, which may well prefer some for a
	// while; but none may wait until the others are done.
	most := len(order) * 3 / 4
	for _, p := range order[:most] {
		counts[p]++
	}
	for p := range processes {
		if counts[p] == 0 {
			t.Errorf("process %d had none of the first %d steps: %v", p, most, counts)
		}
	}
	t.Logf("of the first %d steps: %v", most, counts)
	integrity(t, path)
	s := openStore(t, path, journaldb.Options{})
	for p := range processes {
		if n := len(journaltest.Outputs(t, s, fmt.Sprint("run", p))); n != each {
			t.Errorf("run %d has %d steps", p, n)
		}
	}
}
