package config

import (
	"errors"
	"fmt"
	"math"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// none is the value of a limit that is not set.
const none = "none"

func dollars(to **float64, value string) error {
	if value == none {
		*to = nil
		return nil
	}
	v, err := strconv.ParseFloat(strings.TrimPrefix(value, "$"), 64)
	if err != nil || math.IsNaN(v) || v < 0 || v > 1e9 {
		return errors.New("is not an amount of dollars such as 0.50, nor none")
	}
	*to = &v
	return nil
}

func usd(v *float64) string {
	if v == nil {
		return none
	}
	return strconv.FormatFloat(*v, 'f', -1, 64)
}

// list reads what commas outside parentheses separate.
func list(to *[]string, value string) error {
	*to = nil
	depth, start := 0, 0
	for i, r := range value + "," {
		switch {
		case r == '(':
			depth++
		case r == ')':
			depth = max(0, depth-1)
		case r == ',' && (depth == 0 || i == len(value)):
			if entry := strings.TrimSpace(value[start:i]); entry != "" {
				*to = append(*to, entry)
			}
			start = i + 1
		}
	}
	return nil
}

func oneOf(to *string, value string, known ...string) error {
	if !slices.Contains(known, value) {
		return errors.New("is none of " + strings.Join(known, ", "))
	}
	*to = value
	return nil
}

func text(to *string, value string) error {
	*to = value
	return nil
}

// storeAddress sets the address of a PostgreSQL database; empty for none.
func storeAddress(to *string, value string) error {
	u, err := url.Parse(value)
	if value != "" && (err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql") {
		return errStore
	}
	*to = value
	return nil
}

// passwords are the parameters of an address of a database that are secret.
var passwords = []string{"password", "sslpassword"}

// withoutPassword returns an address that storeAddress took with its password hidden.
func withoutPassword(address string) string {
	u, err := url.Parse(address)
	if err != nil || address == "" {
		return ""
	}
	query, hidden := u.Query(), false
	for _, name := range passwords {
		if query.Has(name) {
			query.Set(name, "xxxxx")
			hidden = true
		}
	}
	if hidden {
		u.RawQuery = query.Encode()
	}
	return u.Redacted()
}

// hasPassword reports whether an address holds a password.
func hasPassword(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false // it is no address
	}
	_, set := u.User.Password()
	query := u.Query()
	return set || slices.ContainsFunc(passwords, query.Has)
}

func truth(to *bool, value string) error {
	b, err := strconv.ParseBool(value)
	if err != nil {
		return errors.New("is neither true nor false")
	}
	*to = b
	return nil
}

func count(to *int, value string) error {
	n, err := strconv.Atoi(value)
	if err != nil || n <= 0 {
		return errors.New("is not a whole number above 0")
	}
	*to = n
	return nil
}

func duration(to *time.Duration, value string) error {
	d, err := ParseDuration(value)
	if err != nil {
		return errors.New("is not a duration such as 90s, 5m, 24h or 7d")
	}
	*to = d
	return nil
}

// timeLimit sets a limit of time; 0 in to means none. A limit of 0 would end
// everything at once, and was once the way to write that there is none.
func timeLimit(to *time.Duration, value string) error {
	if value == none {
		*to = 0
		return nil
	}
	var d time.Duration
	if err := duration(&d, value); err != nil {
		return err
	}
	if d == 0 {
		return errors.New("must be more than 0; write none for no limit")
	}
	*to = d
	return nil
}

// ParseDuration parses a duration like [time.ParseDuration], or a whole number of
// days such as 7d. A day has 24 hours. A negative duration is an error.
func ParseDuration(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, fmt.Errorf("parsing a number of days: %w", err)
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(text)
	if err == nil && d < 0 {
		err = errors.New("a duration cannot be negative")
	}
	return d, err
}

func period(to *time.Duration, value string) error {
	var d time.Duration
	if err := duration(&d, value); err != nil {
		return err
	}
	if d == 0 {
		return errors.New("must be above 0; to keep nothing, set cache.enabled to false")
	}
	*to = d
	return nil
}

func folder(to *string, value string) error {
	abs, err := filepath.Abs(value)
	if err != nil {
		return fmt.Errorf("is not a folder: %w", err)
	}
	*to = abs
	return nil
}

// short returns a duration as text, without the zero units that String writes.
func short(d time.Duration) string {
	s := d.String()
	s, _ = strings.CutSuffix(s, "m0s")
	if s != d.String() {
		s += "m"
		if cut, ok := strings.CutSuffix(s, "h0m"); ok {
			s = cut + "h"
		}
	}
	return s
}
