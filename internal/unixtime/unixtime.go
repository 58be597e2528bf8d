// Package unixtime holds times as stores have them: a count since 1970 in a column of
// integers. The zero time is 0 in all units, and what is read is in UTC.
package unixtime

import "time"

// Seconds returns a time in whole seconds.
func Seconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// FromSeconds returns the time that [Seconds] was given, to the second.
func FromSeconds(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(n, 0).UTC()
}

// Millis returns a time in whole milliseconds.
func Millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// FromMillis returns the time that [Millis] was given, to the millisecond.
func FromMillis(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMilli(n).UTC()
}

// Nanos returns a time in nanoseconds.
func Nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// FromNanos returns the time that [Nanos] was given.
func FromNanos(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}
