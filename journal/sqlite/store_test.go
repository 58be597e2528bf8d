package sqlite_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/journaltest"
	"github.com/claude-force/claude-force/journal/sqlite"
)

// TestMain lets the test binary be the other processes of a test.
func TestMain(m *testing.M) {
	switch os.Getenv("STORE_ROLE") {
	case "idle": // lives until its input ends, or it is killed
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	case "writer":
		if err := work(os.Getenv("STORE_PATH")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func file(tb testing.TB) string { return filepath.Join(tb.TempDir(), "sub", "history.db") }

func openStore(tb testing.TB, path string, opts sqlite.Options) *sqlite.Store {
	tb.Helper()
	s, err := sqlite.Open(path, opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Close() })
	return s
}

// other is a process beside this one that does nothing.
type other struct {
	cmd *exec.Cmd
	in  io.Closer
}

func startOther(t *testing.T) *other {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o := &other{cmd: exec.CommandContext(t.Context(), self)}
	o.cmd.Env = append(os.Environ(), "STORE_ROLE=idle")
	if o.in, err = o.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := o.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.kill() })
	return o
}

func (o *other) kill() {
	_ = o.cmd.Process.Kill()
	_ = o.cmd.Wait()
}

// TestSuite runs the suite with stores that say they are another process, which
// is there, and can be killed.
func TestSuite(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]sqlite.Options{"clear": {}, "encrypted": {Key: bytes.Repeat([]byte{7}, 32)}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex // guards the maps
			paths, processes := map[journal.Store]string{}, map[journal.Store]*other{}
			open := func(t *testing.T, path string) journal.Store {
				t.Helper()
				process := startOther(t)
				s, err := sqlite.OpenAs(path, opts, "", process.cmd.Process.Pid, "", false)
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
					processes[s].kill()
				},
			})
		})
	}
}
