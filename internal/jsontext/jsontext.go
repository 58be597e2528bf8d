// Package jsontext reads JSON that people write: its values arrive as they were written, and
// what is wrong with it is said in words of JSON, with its line.
package jsontext

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Parse returns the value of a JSON document: a text, bool, []any, map[string]any,
// nil, or what number makes of the digits of a number; nil for a [json.Number]. It
// refuses what has no exact value: texts that are not Unicode, and objects with one
// key twice.
func Parse(text string, number func(string) any) (any, error) {
	return ParseObjects(text, number, func(_ []string, values map[string]any) any { return values })
}

// ParseObjects returns the value of a JSON document like [Parse], with what object
// makes of each object: of its keys in the order of the text, and its values.
func ParseObjects(text string, number func(string) any, object func(keys []string, values map[string]any) any) (any, error) {
	if !utf8.ValidString(text) {
		return nil, errNotUnicode
	}
	if number == nil {
		number = func(digits string) any { return json.Number(digits) }
	}
	if digits := strings.Trim(text, " \t\r\n"); digits != "" && (digits[0] == '-' || '0' <= digits[0] && digits[0] <= '9') && json.Valid([]byte(digits)) {
		return number(digits), nil // without a decoder, which takes 2 kB
	}
	p := parser{dec: json.NewDecoder(strings.NewReader(text)), number: number, object: object}
	p.dec.UseNumber()
	v, err := p.value()
	if err != nil {
		return nil, err
	}
	if _, err := p.dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more follows the JSON value")
	}
	if loneSurrogate(text) {
		return nil, errNotUnicode
	}
	return v, nil
}

var errNotUnicode = errors.New("it holds a text that is not Unicode")

type parser struct {
	dec    *json.Decoder
	number func(string) any
	object func(keys []string, values map[string]any) any
}

func (p *parser) value() (any, error) {
	tok, err := p.token()
	if err != nil {
		return nil, err
	}
	switch t := tok.(type) {
	case json.Number:
		return p.number(t.String()), nil
	case json.Delim:
		if t == '[' {
			return p.list()
		}
		return p.members()
	}
	return tok, nil
}

func (p *parser) token() (json.Token, error) {
	tok, err := p.dec.Token()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return tok, err
}

func (p *parser) list() (any, error) {
	list := []any{}
	for p.dec.More() {
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err := p.token()
	return list, err
}

func (p *parser) members() (any, error) {
	m, keys := map[string]any{}, []string(nil)
	for p.dec.More() {
		key, err := p.token()
		if err != nil {
			return nil, err
		}
		name, ok := key.(string)
		if !ok {
			return nil, fmt.Errorf("%v is not a key", key)
		}
		if _, twice := m[name]; twice {
			return nil, fmt.Errorf("the key %.80q is given twice", name)
		}
		if m[name], err = p.value(); err != nil {
			return nil, err
		}
		keys = append(keys, name)
	}
	if _, err := p.token(); err != nil {
		return nil, err
	}
	return p.object(keys, m), nil
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
