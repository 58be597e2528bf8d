package config

import (
	"errors"
	"fmt"
	"time"
)

// forever is the text for a retention without end.
const forever = "forever"

// ParseKeep parses a retention period: a duration of at least a day, or "forever",
// for which it returns 0.
func ParseKeep(text string) (time.Duration, error) {
	if text == forever {
		return 0, nil
	}
	d, err := ParseDuration(text)
	if err != nil || d < 24*time.Hour {
		return 0, errors.New("is neither a duration of at least a day, such as 90d, nor forever")
	}
	return d, nil
}

func keep(to *time.Duration, value string) error {
	d, err := ParseKeep(value)
	if err == nil {
		*to = d
	}
	return err
}

func keepText(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d == 0:
		return forever
	case d%day == 0:
		return fmt.Sprintf("%dd", d/day)
	}
	return short(d)
}

// settleKeep raises KeepHours to KeepRows if KeepHours has its default value. If a
// source set it to less, settleKeep returns an error.
func (c *Config) settleKeep() error {
	rows, hours := c.Analytics.KeepRows, c.Analytics.KeepHours
	if hours == 0 || rows != 0 && rows <= hours {
		return nil
	}
	const name = "analytics.keep_hours"
	if _, said := c.origins[name]; !said {
		c.Analytics.KeepHours = rows
		return nil
	}
	return &Error{
		File:    c.Origin(name),
		Message: fmt.Sprintf("%s: %q is less than analytics.keep_rows, which is %q", name, keepText(hours), keepText(rows)),
		Hint:    "sums of hours must be kept for at least as long as rows; shorten analytics.keep_rows too",
	}
}
