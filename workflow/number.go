package workflow

import (
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/claude-force/claude-force/internal/jsontext"
)

// A number keeps the digits it was written with, from the file, the command line
// or an answer to the prompt. It is an int or a float64 if that writes the same
// digits, and else a [json.Number], such as 1.10, 1e400 or one of 30 digits. What is
// not written as JSON writes numbers (01234, 0x10, 1_000, .inf) is a text.
func number(text string) any {
	if isWhole(text) {
		if i, err := strconv.Atoi(text); err == nil && strconv.Itoa(i) == text {
			return i
		}
		return json.Number(text)
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil {
		if data, err := json.Marshal(f); err == nil && string(data) == text {
			return f
		}
	}
	return json.Number(text)
}

var jsonNumber = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`) })

func isNumber(text string) bool { return jsonNumber().MatchString(text) }

// isWhole reports whether a number is written without a fraction and an exponent.
func isWhole(text string) bool { return !strings.ContainsAny(text, ".eE") }

// ParseJSON returns the value of a JSON document: a text, bool, []any,
// [Object], nil, or a number that keeps its digits, which is an int, a float64
// or, if neither writes them in the same way, a [json.Number]. It refuses what has
// no exact value: texts that are not Unicode, and objects with one key twice.
func ParseJSON(text string) (any, error) { return jsontext.ParseObjects(text, number, newObject) }

var errDigits = errors.New("a number has more digits than can be calculated with exactly; it can be shown, and compared as string(...)")

// operand returns a value with its numbers as the int or float64 to calculate with.
// A number that neither can hold exactly stays as it is.
func operand(v any) any {
	switch v := v.(type) {
	case json.Number:
		return exact(v)
	case []any:
		for i, e := range v {
			if hasNumber(e) || hasObject(e) {
				out := append(make([]any, 0, len(v)), v[:i]...)
				for _, e := range v[i:] {
					out = append(out, operand(e))
				}
				return out
			}
		}
	case Object: // numbers of one may need to be converted, and its order does not count
		return operand(plainMap(v.values))
	case map[string]any:
		if hasObject(v) {
			return operand(plainMap(v))
		}
		if hasNumber(v) {
			out := make(map[string]any, len(v))
			for k, e := range v {
				out[k] = operand(e)
			}
			return out
		}
	}
	return v
}

func hasNumber(v any) bool {
	switch v := v.(type) {
	case json.Number:
		return true
	case []any:
		return slices.ContainsFunc(v, hasNumber)
	case Object:
		return hasNumber(v.values)
	case map[string]any:
		for _, e := range v {
			if hasNumber(e) {
				return true
			}
		}
	}
	return false
}

func exact(n json.Number) any {
	negative, digits, exponent := decimal(n.String())
	if digits == "" {
		return 0
	}
	if exponent >= 0 && len(digits)+exponent <= 19 {
		if i, err := strconv.Atoi(negative + digits + strings.Repeat("0", exponent)); err == nil {
			return i
		}
	}
	f, err := strconv.ParseFloat(n.String(), 64)
	if err != nil {
		return n
	}
	if neg, d, e := decimal(strconv.FormatFloat(f, 'e', -1, 64)); neg != negative || d != digits || e != exponent {
		return n
	}
	return f
}

// decimal returns a number as a sign ("-" or ""), its digits without zeros at either
// end, and the power of ten they are multiplied with.
func decimal(text string) (negative, digits string, exponent int) {
	text, isNegative := strings.CutPrefix(text, "-")
	if isNegative {
		negative = "-"
	}
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		var err error
		if exponent, err = strconv.Atoi(text[i+1:]); err != nil {
			exponent = 1 << 30 // larger than any that can be calculated with
		}
		text = text[:i]
	}
	whole, fraction, _ := strings.Cut(text, ".")
	exponent -= len(fraction)
	digits = strings.TrimLeft(whole+fraction, "0")
	trimmed := strings.TrimRight(digits, "0")
	return negative, trimmed, exponent + len(digits) - len(trimmed)
}
