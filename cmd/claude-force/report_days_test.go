package main

import (
	"slices"
	"testing"
)

func TestDaysWithoutCallsAreShown(t *testing.T) {
	t.Parallel()
	l := series{labels: []string{"2026-02-27", "2026-03-02", "2026-03-03"}, values: []float64{1, 2, 3}}.withEmptyDays()
	if want := []string{"2026-02-27", "2026-02-28", "2026-03-01", "2026-03-02", "2026-03-03"}; !slices.Equal(l.labels, want) || !slices.Equal(l.values, []float64{1, 0, 0, 2, 3}) {
		t.Errorf("%v %v", l.labels, l.values)
	}
	weeks := series{labels: []string{"2026-W01", "2026-W04"}, values: []float64{1, 2}}
	if got := weeks.withEmptyDays(); !slices.Equal(got.labels, weeks.labels) {
		t.Errorf("weeks became %v", got.labels)
	}
}
