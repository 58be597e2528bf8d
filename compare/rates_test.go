package compare_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/compare"
)

func TestRatesAreThoseOfHoursWithCalls(t *testing.T) {
	t.Parallel()
	at := func(clock string) time.Time {
		moment, err := time.Parse(time.DateTime, "2026-11-01 "+clock)
		if err != nil {
			t.Fatal(err)
		}
		return moment
	}
	var r compare.Rates
	if got := r.Samples(); len(got) != 0 {
		t.Errorf("the rates of nothing are %v", got)
	}
	r.Work(at("10:30:00"), at("13:15:00")) // a run that waits from 11 to 13 o'clock
	for _, clock := range []string{"10:30:00", "10:45:00", "10:59:59", "13:00:00"} {
		r.Call(at(clock))
	}
	r.Work(at("13:00:00"), at("13:15:00")) // another beside it
	r.Call(at("13:10:00"))
	r.Call(at("15:00:00")) // took no time
	if diff := cmp.Diff([]float64{6, 4}, r.Samples()); diff != "" {
		t.Error(diff)
	}
}
