package proxy

import (
	"encoding/json"
	"slices"
)

// marks are where the long values of a JSON text end. They are recorded when the text is
// crossed for the first time. A value is looked at several times, as part of those that
// it is in, and each further time is a jump.
type marks struct {
	text      []byte
	recording bool
	spans     []span // by where they begin
	open      [maxMarkedDepth]int
}

// span is where a value begins, and the byte behind its end; 0 until that is known.
type span struct{ begin, end int }

const (
	maxMarkedDepth  = 8       // of objects and arrays within each other
	maxMarks        = 1 << 16 // bounds the memory for a text that is nothing but brackets
	minMarkedString = 128     // shorter ones are crossed as fast as they are looked up
)

// record calls f with the names and values of the text, which is an object, and keeps
// where their parts end. It reports whether the text is one object.
func (m *marks) record(f func(name string, value json.RawMessage)) bool {
	m.recording = true
	defer func() { m.recording = false }()
	return (&scanner{text: m.text, marks: m}).members(f)
}

func (m *marks) members(part []byte, f func(name string, value json.RawMessage)) bool {
	return m.scanner(part).members(f)
}

func (m *marks) elements(part []byte, f func(value json.RawMessage)) bool {
	return m.scanner(part).elements(f)
}

// scanner returns a scanner of a part of the text. A part shares the text's memory up to
// its end, so that its capacity says where in the text it begins.
func (m *marks) scanner(part []byte) *scanner {
	s := &scanner{text: part}
	from := cap(m.text) - cap(part)
	if len(part) > 0 && from >= 0 && from < len(m.text) && &m.text[from] == &part[0] {
		s.marks, s.from = m, from
	}
	return s
}

func (m *marks) sawString(begin, end int) {
	if m != nil && m.recording && end-begin >= minMarkedString && len(m.spans) < maxMarks {
		m.spans = append(m.spans, span{begin, end})
	}
}

func (m *marks) opens(depth, at int) {
	if m == nil || !m.recording || depth >= maxMarkedDepth {
		return
	}
	m.open[depth] = -1
	if len(m.spans) < maxMarks {
		m.open[depth] = len(m.spans)
		m.spans = append(m.spans, span{begin: at})
	}
}

func (m *marks) closes(depth, at int) {
	if m != nil && m.recording && depth < maxMarkedDepth && m.open[depth] >= 0 {
		m.spans[m.open[depth]].end = at
	}
}

// end returns where the value ends that begins at a place of the text; 0 if it was not
// recorded.
func (m *marks) end(begin int) int {
	if m == nil || m.recording {
		return 0
	}
	i, ok := slices.BinarySearchFunc(m.spans, begin, func(s span, at int) int { return s.begin - at })
	if !ok {
		return 0
	}
	return m.spans[i].end
}
