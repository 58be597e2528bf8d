package callsdb_test

import (
	"testing"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/analyticstest"
	"github.com/claude-force/claude-force/analytics/callsdb"
)

// TestToolsAreRecorded records calls of tools and tasks, and compares the figures of any
// period with theirs, as the suite does for those that are added.
func TestToolsAreRecorded(t *testing.T) {
	t.Parallel()
	path := file(t)
	calls, tasks := analyticstest.RandomTools()
	r := callsdb.NewRecorder(path, analytics.Retention{}, nil)
	for _, c := range calls {
		r.RecordTool(c)
	}
	for _, c := range tasks {
		r.RecordTask(c)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	s := open(t, path)
	if err := s.Take(t.Context()); err != nil {
		t.Fatal(err)
	}
	analyticstest.CheckTools(t, s, calls, tasks)
}
