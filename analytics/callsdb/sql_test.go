package callsdb_test

import (
	"context"
	"errors"
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
	for _, sql := range []string{
		`SELECT printf('%.*c', 1000000000, 'x')`,
		`SELECT zeroblob(1000000000), zeroblob(1000000000)`,
		`SELECT hex(zeroblob(100000000))`,
		`SELECT replace(hex(zeroblob(1000000)), '0', 'xxxxxxxxxxxxxxxxxxxxxxxxxxxx')`,
		`WITH RECURSIVE c(x) AS (SELECT zeroblob(4000000) UNION ALL SELECT x FROM c LIMIT 1000) SELECT x FROM c`,
		`WITH RECURSIVE c(x, n) AS (SELECT zeroblob(4000000), 1 UNION ALL SELECT x, n + 1 FROM c LIMIT 1000) SELECT x FROM c ORDER BY n DESC`,
		endless + `SELECT count(*) FROM c`,
		endless + `SELECT x FROM c`,
		`SELECT instr(zeroblob(4000000), zeroblob(2000000) || x'01')`, // one call, which cannot be interrupted
	} {
		err := s.Query(t.Context(), sql, analytics.QueryLimits{Time: 2 * time.Second, Result: 8 << 20}, func([]string, []any) error { return nil })
		if _, ok := errors.AsType[*analytics.QueryError](err); !ok {
			t.Errorf("%.60s: error is %v; want a QueryError", sql, err)
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
