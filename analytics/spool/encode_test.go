package spool_test

import (
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/spool"
	"github.com/claude-force/claude-force/llm"
)

// TestEarlierFormsOfCalls: the form before keys is read, and a call with a key comes back
// as it was.
func TestEarlierFormsOfCalls(t *testing.T) {
	t.Parallel()
	c := analytics.Call{
		Time: time.Unix(5, 0), Project: "/app", Agent: "a", Asked: "m", Model: "m", Source: llm.SourceLive, Cost: 2, Uncertain: 3,
		Tries: []analytics.Attempt{{ID: 9, Start: time.Unix(5, 0), Cost: 2, Uncertain: 3}},
	}
	form4 := spool.AppendCall(nil, &c)
	form4 = form4[:len(form4)-2] // two empty texts
	form4[0] = 4
	got, ok := spool.ReadCall(form4)
	if diff := gocmp.Diff(c, got); !ok || diff != "" {
		t.Errorf("form 4 is read as %v:\n%s", ok, diff)
	}
	c.Key, c.Team = "ci", "web"
	form5 := spool.AppendCall(nil, &c)
	got, ok = spool.ReadCall(form5)
	if diff := gocmp.Diff(c, got); !ok || diff != "" {
		t.Errorf("form 5 is read as %v:\n%s", ok, diff)
	}
	if _, ok := spool.ReadCall(form5[:len(form5)-1]); ok {
		t.Error("a call that was cut off is read")
	}
}
