package callsdb

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/spool"
	"github.com/claude-force/claude-force/internal/sqlitefile"
	"github.com/claude-force/claude-force/llm"
)

// TestEveryEarlierVersionOpens: a store of each version before this one opens, keeps
// what it has, and takes calls of tools.
func TestEveryEarlierVersionOpens(t *testing.T) {
	t.Parallel()
	for from := 1; from < version; from++ {
		t.Run(fmt.Sprint(from), func(t *testing.T) {
			t.Parallel()
			path, tools := filepath.Join(t.TempDir(), "history.db"), int64(1)
			conn, err := sqlitefile.Open(path, sqlitefile.Options{Durable: true})
			if err != nil {
				t.Fatal(err)
			}
			if err := conn.Migrate(&sqlitefile.Schema{Component: "calls", Version: from, Migrations: migrations}); err != nil {
				t.Fatal(err)
			}
			if err := conn.Exec(`INSERT INTO call_names (id, project, workflow, agent, asked, model, source) VALUES (1, '/app', 'w', 'a', 'm', 'm', 'live');
				INSERT INTO call_rows (time, name, run, step, item, input, output, cache_read, cache_write_5m, cache_write_1h, searches, unpriced, cost, saved_cache, saved_coalesced,
					saved_prompt, saved_batch, saved_model, duration, first_token, alone, attempts, code, stop) VALUES (1, 1, 'r', 's', '', 3, 4, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, '')`); err != nil {
				t.Fatal(err)
			}
			if from >= 5 {
				if err := conn.Exec(`INSERT INTO call_tool_names VALUES (1, '/app', 'w', 'a', 'Bash'), (2, '/app', 'w', 'a', 'm');
					INSERT INTO call_tools VALUES (1, 7, 1, 'r', 's', '', 1, 5), (2, 3600000000000, 1, 'r', 's', '', 2, 5);
					INSERT INTO call_tool_tasks VALUES (1, 8, 2, 'r', 's', '', 3, 2, 0, 5)`); err != nil {
					t.Fatal(err)
				}
				tools += 2
			}
			if err := conn.Close(); err != nil {
				t.Fatal(err)
			}
			// A process of an earlier version left a call beside it, too.
			if _, err := file(path).Append(spool.Calls([]analytics.Call{{Time: time.Unix(5, 0), Project: "/app", Agent: "a", Asked: "m", Source: llm.SourceLive, Cost: 2}})...); err != nil {
				t.Fatal(err)
			}
			r := NewRecorder(path, analytics.Retention{}, nil)
			r.RecordTool(analytics.ToolCall{Time: time.Unix(6, 0), Project: "/app", Workflow: "w", Agent: "a", Tool: "Read"})
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			s, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if err := s.Take(t.Context()); err != nil {
				t.Fatal(err)
			}
			cost, calls := llm.Money(0), 0
			for c, err := range s.Calls(t.Context(), analytics.Filter{}) {
				if err != nil {
					t.Fatal(err)
				}
				cost, calls = cost.Add(c.Cost), calls+1
			}
			use, err := s.Tools(t.Context(), analytics.Filter{Project: "/app"}, "w")
			if err != nil {
				t.Fatal(err)
			}
			if calls != 2 || cost != 9 || use.Calls != tools {
				t.Errorf("%d calls that cost %d, and %d of tools; want 2, 9 and %d", calls, cost, use.Calls, tools)
			}
			checkToolSums(t.Context(), t, s)
		})
	}
}
