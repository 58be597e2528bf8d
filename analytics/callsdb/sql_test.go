package callsdb_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/claude-force/claude-force/analytics"
)

// endless counts up for ever.
const endless = `WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) `

// TestQueriesAreBounded runs statements that want more time, memory or room than
// there is.
func TestQueriesAreBounded(t *testing.T) {
	t.Parallel()
	s := open(t, file(t))
	const text, result, memory, long = "string or blob too big", "its result is larger", "it needs more memory", "it took longer"
	for _, tt := range []struct{ sql, want string }{
		{`SELECT printf('%.*c', 1000000000, 'x')`, text},
		{`SELECT zeroblob(1000000000), zeroblob(1000000000)`, text},
		{`SELECT hex(zeroblob(100000000))`, text},
		{`SELECT replace(hex(zeroblob(1000000)), '0', 'xxxxxxxxxxxxxxxxxxxxxxxxxxxx')`, text},
		{`WITH RECURSIVE c(x) AS (SELECT zeroblob(4000000) UNION ALL SELECT x FROM c LIMIT 1000) SELECT x FROM c`, result},
		{endless + `SELECT zeroblob(1000) FROM c`, result},
		{`SELECT zeroblob(4000000) || x'00'` + strings.Repeat(`, zeroblob(4000000) || x'00'`, 100), memory},
		{`WITH RECURSIVE c(x, n) AS (SELECT zeroblob(4000000), 1 UNION ALL SELECT x, n + 1 FROM c LIMIT 1000) SELECT x FROM c ORDER BY n DESC`, long},
		{endless + `SELECT count(*) FROM c`, long},
		{`SELECT instr(zeroblob(400000), zeroblob(200000) || x'01')`, long}, // one call, which cannot be interrupted
	} {
		limits := analytics.QueryLimits{Result: 8 << 20}
		if tt.want == long {
			limits.Time = 100 * time.Millisecond
		}
		err := s.Query(t.Context(), tt.sql, limits, func([]string, []any) error { return nil })
		if _, ok := errors.AsType[*analytics.QueryError](err); !ok || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.60s: error is %v; want a QueryError with %q", tt.sql, err, tt.want)
		}
	}
}

func TestQueryEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := open(t, file(t))
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	err := s.Query(ctx, endless+`SELECT x FROM c`, analytics.QueryLimits{}, func(_ []string, values []any) error {
		if values != nil && values[0] == int64(100) {
			cancel(stopped)
		}
		return nil
	})
	if !errors.Is(err, stopped) {
		t.Errorf("the error is %v", err)
	}
	failed := errors.New("failed")
	if err := s.Query(t.Context(), endless+`SELECT x FROM c`, analytics.QueryLimits{}, func([]string, []any) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("after a row failed, the error is %v", err)
	}
}
