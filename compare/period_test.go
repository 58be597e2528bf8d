package compare_test

import (
	"strings"
	"testing"
	"time"

	"github.com/claude-force/claude-force/compare"
)

func TestPeriodsAreRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"2026-11-01":             "2026-11-01 2026-11-02",
		"2026-11-01..07":         "2026-11-01 2026-11-08",
		"2026-11-28..12-03":      "2026-11-28 2026-12-04",
		"2026-12-28..2027-01-03": "2026-12-28 2027-01-04",
		"2026-11-30..30":         "2026-11-30 2026-12-01",
	} {
		from, to, err := compare.ParsePeriod(text, time.UTC)
		if got := from.Format(time.DateOnly) + " " + to.Format(time.DateOnly); err != nil || got != want || !compare.IsPeriod(text) {
			t.Errorf("%s: %s, %v; want %s", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"2026-11-07..01":  "ends before it begins",
		"2026-11-01..31":  "31 is no day",
		"2026-11-01..":    " is no day",
		"2026-11-01..7":   "7 is no day",
		"2026-11-01..x-y": "x-y is no day",
	} {
		_, _, err := compare.ParsePeriod(text, time.UTC)
		if err == nil || !strings.Contains(err.Error(), want) || !compare.IsPeriod(text) {
			t.Errorf("%s: %v; want %q", text, err, want)
		}
	}
	for _, text := range []string{"", "baseline.json", "run_2026", "2026-11-01.json", "2026-13-01"} {
		if compare.IsPeriod(text) {
			t.Errorf("%q is taken for a period", text)
		}
	}
}

func TestDaysEndWithTheClocksOfTheirZone(t *testing.T) {
	t.Parallel()
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	from, to, err := compare.ParsePeriod("2026-11-01", zone) // the day on which clocks go back
	if err != nil || to.Sub(from) != 25*time.Hour {
		t.Errorf("the day lasts %s, %v; want 25 h", to.Sub(from), err)
	}
}
