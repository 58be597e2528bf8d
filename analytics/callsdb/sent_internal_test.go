package callsdb

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/spool"
	"github.com/claude-force/claude-force/internal/process"
	"github.com/claude-force/claude-force/llm"
)

// sending returns an attempt that is being sent, with an id.
func sending(id int64) analytics.Call {
	return analytics.Call{
		Time: time.Unix(100+id, 0), Project: "/app", Run: "r", Agent: "a", Asked: "m", Attempts: 1, Code: llm.CodeIncomplete, Unpriced: true, Uncertain: 50,
		Tries: []analytics.Attempt{{ID: id, Start: time.Unix(100+id, 0), Model: "m", Code: llm.CodeIncomplete, Basis: llm.BasisUnknown, Uncertain: 50}},
	}
}

// answered returns the call that an attempt became.
func answered(id int64) analytics.Call {
	c := sending(id)
	c.Code, c.Source, c.Cost, c.Unpriced = 0, llm.SourceLive, 7, false
	c.Tries[0].Code, c.Tries[0].Basis, c.Tries[0].Cost, c.Tries[0].Uncertain = 0, llm.BasisAnswer, 7, 0
	return c
}

// TestLostAttempts: of what processes were sending, that of crashed ones is added once,
// and only what they have not recorded.
func TestLostAttempts(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "history.db")
	dead := process.This()
	dead.Born--
	spoolFile := file(path)
	record := func(list ...spool.Entry) {
		t.Helper()
		if _, err := spoolFile.Append(list...); err != nil {
			t.Fatal(err)
		}
	}
	record(spool.Entry{Sent: &spool.Sent{By: dead, Call: sending(1)}}, spool.Entry{Sent: &spool.Sent{By: dead, Call: sending(2)}}, spool.Entry{Sent: &spool.Sent{By: process.This(), Call: sending(3)}}, spool.Entry{Call: answered(2)})
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Take(t.Context()); err != nil {
		t.Fatal(err)
	}
	// It was in the spool before the process ended, and no process has read it yet.
	record(spool.Entry{Sent: &spool.Sent{By: dead, Call: sending(4)}}, spool.Entry{Call: answered(4)})
	for range 2 {
		if err := s.AddLost(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	// A ledger knows some of them, too.
	if err := s.AddOnce(t.Context(), sending(1), sending(2), sending(5), sending(5)); err != nil {
		t.Fatal(err)
	}
	got := map[int64][2]llm.Money{}
	for c, err := range s.Calls(t.Context(), analytics.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		id := c.Time.Unix() - 100
		if _, twice := got[id]; twice {
			t.Errorf("attempt %d is there twice", id)
		}
		got[id] = [2]llm.Money{c.Cost, c.Uncertain}
	}
	if diff := cmp.Diff(map[int64][2]llm.Money{1: {0, 50}, 2: {7, 0}, 4: {7, 0}, 5: {0, 50}}, got); diff != "" {
		t.Errorf("calls by attempt, with cost and what is uncertain (-want +got):\n%s", diff)
	}
	// The living process ends its call, after it was taken for dead somewhere else.
	if err := s.AddOnce(t.Context(), sending(3)); err != nil {
		t.Fatal(err)
	}
	record(spool.Entry{Call: answered(3)})
	v, err := s.Verify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if v.Cost != 21 || v.Uncertain != 150 || v.RunUncertain["r"] != 150 || v.Attempts != 6 {
		t.Errorf("cost %d, uncertain %d, of run r %d, %d attempts; want 21, 150, 150 and 6", v.Cost, v.Uncertain, v.RunUncertain["r"], v.Attempts)
	}
	if len(v.CallsDiffer)+len(v.DaysDiffer)+len(v.RunsDiffer) > 0 {
		t.Errorf("figures differ: %+v", v)
	}
	sum, err := s.Summary(t.Context(), analytics.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	if sum.CostUSD != llm.Money(21).USD() || sum.UncertainUSD != llm.Money(150).USD() {
		t.Errorf("the summary says %v and %v uncertain", sum.CostUSD, sum.UncertainUSD)
	}
}

// BenchmarkRecordSent measures what it costs a call that it is known before it is sent.
func BenchmarkRecordSent(b *testing.B) {
	path := filepath.Join(b.TempDir(), "history.db")
	r := NewRecorder(path, analytics.Retention{}, nil)
	defer r.Close()
	c := sending(1)
	for b.Loop() {
		r.RecordSent(c)
	}
}
