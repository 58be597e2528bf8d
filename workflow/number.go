package workflow

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
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

var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

func isNumber(text string) bool { return jsonNumber.MatchString(text) }

// isWhole reports whether a number is written without a fraction and an exponent.
func isWhole(text string) bool { return !strings.ContainsAny(text, ".eE") }

// ParseJSON returns the value of a JSON document: a text, bool, []any,
// map[string]any, nil, or a number that keeps its digits, which is an int, a float64
// or, if neither writes them in the same way, a [json.Number]. It refuses what has
// no exact value: texts that are not Unicode, and objects with one key twice.
func ParseJSON(text string) (any, error) {
	if !utf8.ValidString(text) {
		return nil, errNotUnicode
	}
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	v, err := parseValue(dec)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more follows the JSON value")
	}
	if loneSurrogate(text) {
		return nil, errNotUnicode
	}
	return v, nil
}

var errNotUnicode = errors.New("it holds a text that is not Unicode")

func parseValue(dec *json.Decoder) (any, error) {
	tok, err := dec.Token()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	switch t := tok.(type) {
	case json.Number:
		return number(t.String()), nil
	case json.Delim:
		if t == '[' {
			return parseList(dec)
		}
		return parseObject(dec)
	}
	return tok, nil
}

func parseList(dec *json.Decoder) (any, error) {
	list := []any{}
	for dec.More() {
		v, err := parseValue(dec)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err := dec.Token()
	return list, err
}

func parseObject(dec *json.Decoder) (any, error) {
	m := map[string]any{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		name, ok := key.(string)
		if !ok {
			return nil, fmt.Errorf("%v is not a key", key)
		}
		if _, twice := m[name]; twice {
			return nil, fmt.Errorf("the key %s is given twice", quote(name))
		}
		if m[name], err = parseValue(dec); err != nil {
			return nil, err
		}
	}
	_, err := dec.Token()
	return m, err
}

// loneSurrogate reports whether valid JSON has an escaped half of a surrogate pair
// without the other half: it stands for no character.
func loneSurrogate(text string) bool {
	high := false // the escape before was the first half
	for i := 0; i < len(text); {
		unit := uint64(0)
		size := 1
		if text[i] == '\\' && i+1 < len(text) {
			if size = 2; text[i+1] == 'u' && i+6 <= len(text) {
				size = 6
				unit, _ = strconv.ParseUint(text[i+2:i+6], 16, 16)
			}
		}
		if low := unit >= 0xdc00 && unit < 0xe000; low != high {
			return true
		}
		high = unit >= 0xd800 && unit < 0xdc00
		i += size
	}
	return high
}

var errDigits = errors.New("a number has more digits than can be calculated with exactly; it can be shown, and compared as string(...)")

// operand returns a value with its numbers as the int or float64 to calculate with.
// A number that neither can hold exactly stays as it is.
func operand(v any) any {
	switch v := v.(type) {
	case json.Number:
		return exact(v)
	case []any:
		for i, e := range v {
			if hasNumber(e) {
				out := append(make([]any, 0, len(v)), v[:i]...)
				for _, e := range v[i:] {
					out = append(out, operand(e))
				}
				return out
			}
		}
	case map[string]any:
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
		for _, e := range v {
			if hasNumber(e) {
				return true
			}
		}
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
			exponent = 1 << 40 // larger than any that can be calculated with
		}
		text = text[:i]
	}
	whole, fraction, _ := strings.Cut(text, ".")
	exponent -= len(fraction)
	digits = strings.TrimLeft(whole+fraction, "0")
	trimmed := strings.TrimRight(digits, "0")
	return negative, trimmed, exponent + len(digits) - len(trimmed)
}
