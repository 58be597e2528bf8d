package journaldb_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/journaldb"
	"github.com/claude-force/claude-force/journal/journaltest"
)

// TestMain lets the test binary be the other processes of a test.
func TestMain(m *testing.M) {
	os.Exit(journaltest.Main(m, func(_ context.Context, path string) (journal.Store, error) {
		return journaldb.Open(path, journaldb.Options{})
	}))
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

// TestSuite runs the suite with stores that say they are another process, which
// is there, and can be killed.
func TestSuite(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]journaldb.Options{"clear": {}, "encrypted": {Key: bytes.Repeat([]byte{7}, 32)}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			journaltest.ProcessSuite(t, func(t *testing.T) string { return file(t) }, func(t *testing.T, path string, pid int) journal.Store {
				s, err := journaldb.OpenAs(path, opts, "", pid, "", false)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { s.Close() })
				return s
			})
		})
	}
}
