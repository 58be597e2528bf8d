package scheduledb_test

import (
	"path/filepath"
	"testing"

	"github.com/claude-force/claude-force/schedule"
	"github.com/claude-force/claude-force/schedule/scheduledb"
	"github.com/claude-force/claude-force/schedule/scheduletest"
)

func TestSuite(t *testing.T) {
	scheduletest.Suite(t, func(t *testing.T) schedule.Store {
		return scheduledb.New(filepath.Join(t.TempDir(), "data", "schedules.db"))
	})
}
