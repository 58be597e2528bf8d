package callsdb_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/analyticstest"
	"github.com/claude-force/claude-force/analytics/callsdb"
)

// epoch is when the calls of the suite begin.
var epoch = analyticstest.Epoch

func file(tb testing.TB) string { return filepath.Join(tb.TempDir(), "sub", "history.db") }

func open(tb testing.TB, path string) *callsdb.Store {
	tb.Helper()
	s, err := callsdb.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Close() })
	return s
}

func TestSuite(t *testing.T) {
	t.Parallel()
	analyticstest.Suite(t, func(t *testing.T) analytics.Store { return open(t, file(t)) })
}

// TestFilesAreImportedOnce reads a file of the first implementation again and again.
func TestFilesAreImportedOnce(t *testing.T) {
	t.Parallel()
	s := open(t, file(t))
	data, err := os.ReadFile("../testdata/executions.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	read := func(text string) (added, known, bad int) {
		t.Helper()
		added, known, err := s.Import(t.Context(), analytics.ReadUpstream("f", strings.NewReader(text), analytics.UpstreamOptions{}), func(error) error {
			bad++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return added, known, bad
	}
	line, _, _ := strings.Cut(string(data), "\n")
	for _, step := range []struct {
		text              string
		added, known, bad int
	}{
		{line, 1, 0, 0},
		{string(data), 2, 1, 3},
		{string(data), 0, 3, 3},
		{string(data) + "\n" + line, 1, 3, 3}, // the same again, within one file, is another
	} {
		if added, known, bad := read(step.text); added != step.added || known != step.known || bad != step.bad {
			t.Errorf("import gave %d new, %d known, %d bad; want %+v", added, known, bad, step)
		}
	}
	analyticstest.Check(t, s, analytics.Filter{})
}
