package callsdb_test

import (
	"testing"
	"time"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/callsdb"
	"github.com/claude-force/claude-force/llm"
)

// TestUnreadWrites: of what attempts wrote, that which a later attempt read is no
// loss, whichever project or period it belongs to.
func TestUnreadWrites(t *testing.T) {
	t.Parallel()
	path := file(t)
	attempt := func(project string, minute, read, written int) analytics.Call {
		at := epoch.Add(time.Duration(minute) * time.Minute)
		u := llm.Usage{InputTokens: 10, CacheReadTokens: read, CacheWrite5m: written}
		return analytics.Call{
			Time: at, Project: project, Agent: "a", Asked: "m", Source: llm.SourceLive, Usage: u, Cost: 500,
			Tries: []analytics.Attempt{{Start: at, Model: "m", Usage: u, Cost: 500, WriteExtra: llm.Money(written / 10)}},
		}
	}
	for _, call := range []analytics.Call{
		attempt("/x", 0, 0, 3600), attempt("/x", 1, 0, 4000), attempt("/y", 2, 4000, 0), attempt("/y", 3, 0, 5000), attempt("/y", 62, 5000, 100),
	} {
		rec := callsdb.NewRecorder(path, callsdb.Retention{}, func(err error) { t.Error(err) })
		rec.Record(call)
		if err := rec.Close(); err != nil { // by way of the spool file
			t.Fatal(err)
		}
	}
	s := open(t, path)
	if err := s.Take(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		f    analytics.Filter
		want analytics.UnreadWrites
	}{
		"all":       {analytics.Filter{}, analytics.UnreadWrites{Writes: 4, Unread: 2, Tokens: 3700, Cost: 370, Written: 1270}},
		"x":         {analytics.Filter{Project: "/x"}, analytics.UnreadWrites{Writes: 2, Unread: 1, Tokens: 3600, Cost: 360, Written: 760}},
		"an hour":   {analytics.Filter{Until: epoch.Add(time.Hour)}, analytics.UnreadWrites{Writes: 3, Unread: 1, Tokens: 3600, Cost: 360, Written: 1260}},
		"the rest":  {analytics.Filter{Since: epoch.Add(time.Hour)}, analytics.UnreadWrites{Writes: 1, Unread: 1, Tokens: 100, Cost: 10, Written: 10}},
		"afterward": {analytics.Filter{Since: epoch.Add(2 * time.Hour)}, analytics.UnreadWrites{}},
	} {
		got, err := s.Unread(t.Context(), tt.f)
		if err != nil {
			t.Fatal(err)
		}
		if got != tt.want {
			t.Errorf("%s: %+v; want %+v", name, got, tt.want)
		}
	}
}
