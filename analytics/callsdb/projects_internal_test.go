package callsdb

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/internal/sqlitefile"
	"github.com/claude-force/claude-force/llm"
)

// TestProjectsOfEarlierVersions: what was recorded by names stays apart from what is
// recorded by paths.
func TestProjectsOfEarlierVersions(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "history.db")
	conn, err := sqlitefile.Open(path, sqlitefile.Options{Durable: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Migrate(&sqlitefile.Schema{Component: "calls", Version: 2, Migrations: migrations}); err != nil {
		t.Fatal(err)
	}
	if err := conn.Exec(`INSERT INTO call_names VALUES (1, 'app', '', 'a', 'm', 'm', 'live');
		INSERT INTO call_rows (time, name, run, step, item, input, output, cache_read, cache_write_5m, cache_write_1h, searches, unpriced, cost, saved_cache, saved_coalesced,
			saved_prompt, saved_batch, saved_model, duration, first_token, alone, attempts, code, stop) VALUES (1, 1, '', '', '', 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, '')`); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	call := analytics.Call{Time: time.Unix(100, 0), Agent: "a", Asked: "m", Source: llm.SourceLive}
	x, y := call, call
	x.Project, x.Cost = "/x/app", 11
	y.Project, y.Cost = "/y/app", 13
	if err := s.Add(t.Context(), x, y); err != nil {
		t.Fatal(err)
	}
	got, err := s.Projects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []analytics.Project{{ID: "app", Name: "app (name only)"}, {ID: "/x/app", Name: "x/app", Path: "/x/app"}, {ID: "/y/app", Name: "y/app", Path: "/y/app"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	costs := map[any]any{}
	if err := s.Query(t.Context(), `SELECT project, project_path, cast(sum(cost_usd) * 1e9 AS INTEGER) FROM calls GROUP BY project`, analytics.QueryLimits{}, func(_ []string, values []any) error {
		if values != nil {
			costs[values[0]] = values[2]
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[any]any{"app (name only)": int64(7), "x/app": int64(11), "y/app": int64(13)}, costs); diff != "" {
		t.Error(diff)
	}
}
