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

// In returns the filter's time zone.
func (f Filter) In() *time.Location { return cmp.Or(f.Zone, time.UTC) }
