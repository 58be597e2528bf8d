package compare

import (
	"fmt"
	"strings"
	"time"
)

// IsPeriod reports whether a text is meant as a period: it begins with a date.
func IsPeriod(text string) bool {
	if len(text) < len(time.DateOnly) {
		return false
	}
	_, err := time.Parse(time.DateOnly, text[:len(time.DateOnly)])
	return err == nil && (len(text) == len(time.DateOnly) || strings.HasPrefix(text[len(time.DateOnly):], ".."))
}

// SameKind returns an error if one of two texts is a period and the other is none.
func SameKind(a, b string) error {
	if IsPeriod(a) != IsPeriod(b) {
		return fmt.Errorf("%s and %s are not of one kind: compare two runs, or two periods such as 2026-11-01..07", a, b)
	}
	return nil
}

// ParsePeriod reads a day, or the first and the last day of a period, in a time
// zone: 2026-11-01, 2026-11-01..2026-11-07, 2026-11-01..11-07 or 2026-11-01..07.
// The end is the moment after the last day.
func ParsePeriod(text string, zone *time.Location) (from, to time.Time, err error) {
	first, last, several := strings.Cut(text, "..")
	if !several {
		last = first
	}
	bad := func(what string) error {
		return fmt.Errorf("period %q: %s is no day; write it as 2026-11-01..07", text, what)
	}
	if from, err = time.ParseInLocation(time.DateOnly, first, zone); err != nil {
		return from, to, bad(first)
	}
	whole := last
	if len(last) == len("07") || len(last) == len("11-07") { // the year, and the month, are those of the first
		whole = first[:len(first)-len(last)] + last
	}
	if to, err = time.ParseInLocation(time.DateOnly, whole, zone); err != nil {
		return from, to, bad(last)
	}
	if to.Before(from) {
		return from, to, fmt.Errorf("period %q ends before it begins", text)
	}
	return from, to.AddDate(0, 0, 1), nil
}
