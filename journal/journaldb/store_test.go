package journaldb_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/claude-force/claude-force/internal/processtest"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/journaldb"
	"github.com/claude-force/claude-force/journal/journaltest"
)

// TestMain lets the test binary be the other processes of a test.
func TestMain(m *testing.M) {
	os.Exit(processtest.Main(m, map[string]processtest.Job{"idle": idle, "work": work}))
}

// idle lives until its input ends, or it is killed.
func idle([]string) error {
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

func file(tb testing.TB) string { return filepath.Join(tb.TempDir(), "sub", "history.db") }

func openStore(tb testing.TB, path string, opts journaldb.Options) *journaldb.Store {
	tb.Helper()
	s, err := journaldb.Open(path, opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Close() })
	return s
}

// startOther starts a process beside this one that does nothing.
func startOther(t *testing.T) *processtest.Process {
	t.Helper()
	p := processtest.Start(t.Context(), "idle")
	t.Cleanup(func() { end(p) })
	return p
}

// end kills a process and waits until it has gone.
func end(p *processtest.Process) {
	p.Kill()
	_ = p.Wait() // killed
}

// TestSuite runs the suite with stores that say they are another process, which
// is there, and can be killed.
func TestSuite(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]journaldb.Options{"clear": {}, "encrypted": {Key: bytes.Repeat([]byte{7}, 32)}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex // guards the maps
			paths, processes := map[journal.Store]string{}, map[journal.Store]*processtest.Process{}
			open := func(t *testing.T, path string) journal.Store {
				t.Helper()
				process := startOther(t)
				s, err := journaldb.OpenAs(path, opts, "", process.PID(), "", false)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { s.Close() })
				mu.Lock()
				defer mu.Unlock()
				paths[s], processes[s] = path, process
				return s
			}
			journaltest.Suite(t, journaltest.Harness{
				Open: func(t *testing.T) journal.Store { return open(t, file(t)) },
				Other: func(t *testing.T, s journal.Store) journal.Store {
					mu.Lock()
					path := paths[s]
					mu.Unlock()
					return open(t, path)
				},
				Die: func(_ *testing.T, s journal.Store) {
					mu.Lock()
					defer mu.Unlock()
					end(processes[s])
				},
			})
		})
	}
}
