package proxy

import (
	"bytes"
	"encoding/json"
)

// The scanner below finds where the values of a JSON text begin and end and reads none
// of them. Most of a request is in strings, which it crosses in long steps, so that it
// takes a tenth of what decoding takes. It accepts some texts that are not JSON; the
// service refuses them.

// scanner is a position in a JSON text.
type scanner struct {
	text  []byte
	at    int
	marks *marks // of a text that this one is part of; may be nil
	from  int    // where in that text this one begins
}

// space skips white space.
func (s *scanner) space() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return
		}
	}
}

// take skips a byte and reports whether it was there.
func (s *scanner) take(c byte) bool {
	if s.space(); s.at < len(s.text) && s.text[s.at] == c {
		s.at++
		return true
	}
	return false
}

// skipString skips a string, whose opening quote is the next byte.
func (s *scanner) skipString() bool {
	for from := s.at + 1; ; {
		i := bytes.IndexByte(s.text[from:], '"')
		if i < 0 {
			return false
		}
		end := from + i
		slashes := 0
		for end-slashes-1 > s.at && s.text[end-slashes-1] == '\\' {
			slashes++
		}
		if from = end + 1; slashes%2 == 0 {
			s.at = from
			return true
		}
	}
}

// value returns the next value.
func (s *scanner) value() (json.RawMessage, bool) {
	s.space()
	start := s.at
	if end := s.marks.end(s.from + s.at); end > 0 && end-s.from <= len(s.text) {
		s.at = end - s.from
		return s.text[start:s.at], true
	}
	for depth := 0; s.at < len(s.text); {
		switch s.text[s.at] {
		case '"':
			begin := s.at
			if !s.skipString() {
				return nil, false
			}
			s.marks.sawString(begin, s.at)
		case '{', '[':
			s.marks.opens(depth, s.at)
			depth++
			s.at++
		case '}', ']':
			if depth == 0 {
				return s.text[start:s.at], s.at > start
			}
			depth--
			s.at++
			s.marks.closes(depth, s.at)
		case ',', ' ', '\t', '\r', '\n', ':':
			if depth == 0 {
				return s.text[start:s.at], s.at > start
			}
			s.at++
			continue
		default:
			s.at++
			continue
		}
		if depth == 0 {
			return s.text[start:s.at], true
		}
	}
	return nil, false
}

// members calls f with the names and values of an object, in order, and reports whether
// the text is one object.
func members(text []byte, f func(name string, value json.RawMessage)) bool {
	return (&scanner{text: text}).members(f)
}

func (s *scanner) members(f func(name string, value json.RawMessage)) bool {
	if !s.take('{') {
		return false
	}
	if !s.take('}') {
		for {
			raw, ok := s.value()
			name, isText := unquote(raw)
			if !ok || !isText || !s.take(':') {
				return false
			}
			value, ok := s.value()
			if !ok {
				return false
			}
			f(name, value)
			if s.take('}') {
				break
			}
			if !s.take(',') {
				return false
			}
		}
	}
	s.space()
	return s.at == len(s.text)
}

// elements calls f with the values of an array, in order, and reports whether the text
// is one array.
func (s *scanner) elements(f func(value json.RawMessage)) bool {
	if !s.take('[') {
		return false
	}
	if !s.take(']') {
		for {
			value, ok := s.value()
			if !ok {
				return false
			}
			f(value)
			if s.take(']') {
				break
			}
			if !s.take(',') {
				return false
			}
		}
	}
	s.space()
	return s.at == len(s.text)
}

// unquote returns the text of a JSON string.
func unquote(raw json.RawMessage) (text string, ok bool) {
	if len(raw) < 2 || raw[0] != '"' || raw[len(raw)-1] != '"' {
		return "", false
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1]), true
	}
	return text, json.Unmarshal(raw, &text) == nil
}
