package analytics

import (
	"cmp"
	"fmt"
	"time"
)

// Calendar reports whether groups of the dimension are days, weeks or months, which
// depend on the time zone.
func (d Dimension) Calendar() bool { return d == ByDay || d == ByWeek || d == ByMonth }

// StartOf returns when the day, week or month of t begins in its time zone. Weeks
// begin on Mondays, as in ISO 8601.
func (d Dimension) StartOf(t time.Time) time.Time {
	year, month, day := t.Date()
	switch d {
	case ByWeek:
		day -= (int(t.Weekday()) + 6) % 7
	case ByMonth:
		day = 1
	}
	return time.Date(year, month, day, 0, 0, 0, 0, t.Location())
}

// Label returns the name of the day, week or month that begins at t.
func (d Dimension) Label(t time.Time) string {
	switch d {
	case ByWeek:
		year, week := t.ISOWeek()
		return fmt.Sprintf("%d-W%02d", year, week)
	case ByMonth:
		return t.Format("2006-01")
	}
	return t.Format(time.DateOnly)
}

// Next returns when the day, week or month after the one that begins at t begins.
func (d Dimension) Next(t time.Time) time.Time {
	switch d {
	case ByWeek:
		return t.AddDate(0, 0, 7)
	case ByMonth:
		return t.AddDate(0, 1, 0)
	}
	return t.AddDate(0, 0, 1)
}

// ParseLabel returns which of day, week and month a label of [Dimension.Label] names, and
// when that begins, in UTC.
func ParseLabel(label string) (d Dimension, start time.Time, ok bool) {
	if t, err := time.Parse(time.DateOnly, label); err == nil {
		return ByDay, t, true
	}
	if t, err := time.Parse("2006-01", label); err == nil {
		return ByMonth, t, true
	}
	var year, week int
	if n, err := fmt.Sscanf(label, "%d-W%d", &year, &week); err != nil || n != 2 || week < 1 || week > 53 {
		return "", time.Time{}, false
	}
	// January 4 is in the first week of its year.
	start = ByWeek.StartOf(time.Date(year, time.January, 4, 0, 0, 0, 0, time.UTC)).AddDate(0, 0, 7*(week-1))
	return ByWeek, start, ByWeek.Label(start) == label
}

// In returns the filter's time zone.
func (f Filter) In() *time.Location { return cmp.Or(f.Zone, time.UTC) }
