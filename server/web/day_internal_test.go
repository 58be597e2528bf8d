package web

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/claude-force/claude-force/journal"
)

// TestDay draws runs of a day: each where it was in time, what has not ended until now,
// workflows with failures first, and no more rows than can be looked at.
func TestDay(t *testing.T) {
	at := func(hour, minute int) time.Time { return time.Date(2026, 11, 1, hour, minute, 0, 0, time.UTC) }
	now := at(12, 0)
	list := []journal.Run{ // the latest first
		{ID: "4", Workflow: "slow", Status: journal.StatusRunning, StartedAt: at(10, 0), Owner: &journal.Owner{Alive: true}},
		{ID: "3", Workflow: "nightly", Status: journal.StatusCompleted, StartedAt: at(8, 0), FinishedAt: at(9, 0)},
		{ID: "2", Workflow: "nightly", Status: journal.StatusFailed, StartedAt: at(4, 0), FinishedAt: at(4, 0).Add(time.Millisecond)},
		{ID: "1", Workflow: "a", Status: journal.StatusCancelled, StartedAt: at(2, 0), FinishedAt: at(3, 0)},
	}
	d := drawDay(list, now, time.UTC)
	span := 10 + dayGrain.Hours() // from the first start to now
	want := []struct {
		lane, text string
		runs       []string
		from, to   []float64 // hours after the first start
	}{
		{"nightly", "2 runs, 1 failed", []string{"2", "3"}, []float64{2, 6}, []float64{2 + 0.005*span, 7}},
		{"slow", "1 run, 1 in progress", []string{"4"}, []float64{8}, []float64{span}},
		{"a", "1 run", []string{"1"}, []float64{0}, []float64{1}},
	}
	if len(d.Lanes) != len(want) {
		t.Fatalf("%d rows, want %d", len(d.Lanes), len(want))
	}
	for i, w := range want {
		lane := d.Lanes[i]
		if lane.Name != w.lane || lane.Text != w.text || len(lane.Bars) != len(w.runs) {
			t.Fatalf("row %d is %s: %s with %d runs, want %v", i, lane.Name, lane.Text, len(lane.Bars), w)
		}
		for j, b := range lane.Bars {
			from, to := b.X*span/100, (b.X+b.Width)*span/100
			if b.ID != w.runs[j] || math.Abs(from-w.from[j]) > 1e-6 || math.Abs(to-w.to[j]) > 1e-6 {
				t.Errorf("run %s is drawn from %.4f to %.4f, want %s from %.4f to %.4f", b.ID, from, to, w.runs[j], w.from[j], w.to[j])
			}
		}
	}
	if len(d.Ticks) != 6 || d.Ticks[0].Text != "02:00" || d.Ticks[5].Text != "12:00" {
		t.Errorf("ticks: %+v", d.Ticks)
	}
	var many []journal.Run
	for i := range maxDayLanes + 5 {
		many = append(many, journal.Run{ID: fmt.Sprint(i), Workflow: fmt.Sprint("w", i), Status: journal.StatusCompleted, StartedAt: at(1, 0), FinishedAt: at(2, 0)})
	}
	if d := drawDay(many, now, time.UTC); len(d.Lanes) != maxDayLanes || d.Others != 5 {
		t.Errorf("%d rows are drawn, %d are not", len(d.Lanes), d.Others)
	}
	if d := drawDay(nil, now, time.UTC); len(d.Lanes) != 0 {
		t.Errorf("without runs: %+v", d)
	}
}
