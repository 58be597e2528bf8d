// Package amount writes amounts of money, time and things for people.
package amount

import (
	"fmt"
	"strconv"
	"time"
)

// Dollars returns an amount of US dollars with as many digits as matter.
func Dollars(usd float64) string {
	switch {
	case usd == 0:
		return "$0"
	case usd < 0: // a saving that was a loss
		return "-" + Dollars(-usd)
	case usd < 0.01:
		return fmt.Sprintf("$%.5f", usd)
	case usd < 1:
		return fmt.Sprintf("$%.4f", usd)
	}
	return fmt.Sprintf("$%.2f", usd)
}

// Seconds returns a duration in seconds, with its unit, to about three digits.
func Seconds(s float64) string {
	switch {
	case s < 1:
		return fmt.Sprintf("%.0f ms", s*1000)
	case s < 60:
		return fmt.Sprintf("%.2f s", s)
	}
	return time.Duration(s * float64(time.Second)).Round(time.Second).String()
}

// Thousands returns a whole number with separators, such as 1,234,567.
func Thousands[N int | int64](n N) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
