package spool

import (
	"encoding/binary"
	"time"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/llm"
)

// CallForm is the newest form of a call that this program knows: the first byte of what
// [AppendCall] writes. What a newer program wrote in another form is left to it.
const CallForm = 5

// maxTries bounds the attempts of a call that are kept, so that it does not outgrow
// its frame.
const maxTries = 100

// maxText bounds each text of a call, so that none outgrows its frame.
const maxText = 4 << 10

// AppendCall appends the fields of a call in a fixed order: numbers as varints,
// texts with their lengths.
func AppendCall(b []byte, c *analytics.Call) []byte {
	b = append(b, CallForm)
	b = appendTexts(b, c.Project, c.Workflow, c.Run, c.Step, c.Item, c.Agent, c.Asked, c.Model, string(c.Source), c.StopReason)
	unpriced := int64(0)
	if c.Unpriced {
		unpriced = 1
	}
	u, s := c.Usage, c.Saved
	for _, n := range [...]int64{
		c.Time.UnixNano(), int64(u.InputTokens), int64(u.OutputTokens), int64(u.CacheReadTokens), int64(u.CacheWrite5m), int64(u.CacheWrite1h), int64(u.WebSearches),
		int64(c.Cost), unpriced, int64(s.Cache), int64(s.Coalesced), int64(s.Prompt), int64(s.Batch), int64(s.Model),
		int64(c.Duration), int64(c.FirstToken), int64(c.Alone), int64(c.Attempts), int64(c.Code),
	} {
		b = binary.AppendVarint(b, n)
	}
	tries := c.Tries[:min(len(c.Tries), maxTries)]
	for _, n := range [...]int64{int64(c.Service), int64(c.Waited), batched(u), int64(len(tries))} {
		b = binary.AppendVarint(b, n)
	}
	for i := range tries {
		b = appendAttempt(b, &tries[i])
	}
	return appendTexts(b, c.Key, c.Team)
}

func batched(u llm.Usage) int64 {
	if u.Batch {
		return 1
	}
	return 0
}

// appendAttempt appends the fields of an attempt in a fixed order.
func appendAttempt(b []byte, a *analytics.Attempt) []byte {
	b = appendTexts(b, a.Model, string(a.Basis))
	u := a.Usage
	for _, n := range [...]int64{
		a.Start.UnixNano(), int64(a.Duration), int64(a.FirstToken), int64(a.Code), int64(a.Cost),
		int64(u.InputTokens), int64(u.OutputTokens), int64(u.CacheReadTokens), int64(u.CacheWrite5m), int64(u.CacheWrite1h), int64(u.WebSearches),
		int64(a.WriteExtra), a.ID, int64(a.Uncertain),
	} {
		b = binary.AppendVarint(b, n)
	}
	return b
}

// ReadCall reads what AppendCall has written, also in earlier forms.
func ReadCall(b []byte) (c analytics.Call, ok bool) {
	if len(b) == 0 || b[0] == 0 || b[0] > CallForm {
		return c, false
	}
	version := b[0]
	f := fields{b[1:], true}
	text, number := f.text, f.number
	for _, p := range [...]*string{&c.Project, &c.Workflow, &c.Run, &c.Step, &c.Item, &c.Agent, &c.Asked, &c.Model} {
		*p = text()
	}
	c.Source, c.StopReason = llm.Source(text()), text()
	c.Time = time.Unix(0, number())
	for _, p := range [...]*int{&c.Usage.InputTokens, &c.Usage.OutputTokens, &c.Usage.CacheReadTokens, &c.Usage.CacheWrite5m, &c.Usage.CacheWrite1h, &c.Usage.WebSearches} {
		*p = int(number())
	}
	c.Cost, c.Unpriced = llm.Money(number()), number() != 0
	for _, p := range [...]*llm.Money{&c.Saved.Cache, &c.Saved.Coalesced, &c.Saved.Prompt, &c.Saved.Batch, &c.Saved.Model} {
		*p = llm.Money(number())
	}
	c.Duration, c.FirstToken, c.Alone = time.Duration(number()), time.Duration(number()), time.Duration(number())
	c.Attempts, c.Code = int(number()), llm.Code(number())
	if version == 1 {
		return c, f.ok
	}
	c.Service, c.Waited, c.Usage.Batch = time.Duration(number()), time.Duration(number()), number() == 1
	for n := min(number(), maxTries); n > 0 && f.ok; n-- {
		a := analytics.Attempt{Model: text(), Basis: llm.Basis(text())}
		a.Start = time.Unix(0, number())
		a.Duration, a.FirstToken, a.Code, a.Cost = time.Duration(number()), time.Duration(number()), llm.Code(number()), llm.Money(number())
		u := &a.Usage
		for _, p := range [...]*int{&u.InputTokens, &u.OutputTokens, &u.CacheReadTokens, &u.CacheWrite5m, &u.CacheWrite1h, &u.WebSearches} {
			*p = int(number())
		}
		if version >= 3 {
			a.WriteExtra = llm.Money(number())
		}
		if version >= 4 {
			a.ID, a.Uncertain = number(), llm.Money(number())
			c.Uncertain = c.Uncertain.Add(a.Uncertain)
		}
		c.Tries = append(c.Tries, a)
	}
	if version >= 5 {
		c.Key, c.Team = text(), text()
	}
	return c, f.ok
}

// What a payload begins with that is no call. Forms of calls stay below.
const (
	toolForm = 0x81
	taskForm = 0x82
	sentForm = 0x83
)

func appendEntry(b []byte, e *Entry) []byte {
	switch {
	case e.Tool != nil:
		c := e.Tool
		b = appendTexts(append(b, toolForm), c.Project, c.Workflow, c.Run, c.Step, c.Item, c.Agent, c.Tool)
		return appendNumbers(b, c.Time.UnixNano(), int64(c.Outcome), int64(c.Duration))
	case e.Task != nil:
		t := e.Task
		b = appendTexts(append(b, taskForm), t.Project, t.Workflow, t.Run, t.Step, t.Item, t.Agent, t.Model)
		failed := int64(0)
		if t.Failed {
			failed = 1
		}
		return appendNumbers(b, t.Time.UnixNano(), int64(t.Turns), int64(t.ToolCalls), failed, int64(t.Duration))
	case e.Sent != nil:
		p := e.Sent.By
		b = appendTexts(append(b, sentForm), p.Host, p.Boot)
		return AppendCall(appendNumbers(b, int64(p.PID), p.Born), &e.Sent.Call)
	}
	return AppendCall(b, &e.Call)
}

func readEntry(b []byte) (e Entry, ok bool) {
	if len(b) == 0 {
		return e, false
	}
	f := fields{b[1:], true}
	switch b[0] {
	case toolForm:
		c := &analytics.ToolCall{}
		f.texts(&c.Project, &c.Workflow, &c.Run, &c.Step, &c.Item, &c.Agent, &c.Tool)
		c.Time, c.Outcome, c.Duration = time.Unix(0, f.number()), analytics.ToolOutcome(f.number()), time.Duration(f.number())
		return Entry{Tool: c}, f.ok
	case taskForm:
		t := &analytics.ToolTask{}
		f.texts(&t.Project, &t.Workflow, &t.Run, &t.Step, &t.Item, &t.Agent, &t.Model)
		t.Time, t.Turns, t.ToolCalls, t.Failed, t.Duration = time.Unix(0, f.number()), int(f.number()), int(f.number()), f.number() == 1, time.Duration(f.number())
		return Entry{Task: t}, f.ok
	case sentForm:
		s := &Sent{}
		f.texts(&s.By.Host, &s.By.Boot)
		s.By.PID, s.By.Born = int(f.number()), f.number()
		s.Call, ok = ReadCall(f.b)
		return Entry{Sent: s}, ok && f.ok
	}
	e.Call, ok = ReadCall(b)
	return e, ok
}

// newer reports whether a newer program has written what is recorded, in a form that this
// one does not know.
func newer(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	switch b[0] {
	case toolForm, taskForm:
		return false
	case sentForm:
		f := fields{b[1:], true}
		f.texts(new(string), new(string))
		_, _ = f.number(), f.number()
		b = f.b
	}
	return len(b) > 0 && b[0] > CallForm
}

func appendTexts(b []byte, texts ...string) []byte {
	for _, s := range texts {
		s = s[:min(len(s), maxText)]
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}

func appendNumbers(b []byte, numbers ...int64) []byte {
	for _, n := range numbers {
		b = binary.AppendVarint(b, n)
	}
	return b
}

// fields reads what appendTexts and appendNumbers have written.
type fields struct {
	b  []byte
	ok bool // nothing was missing so far
}

func (f *fields) text() string {
	size, n := binary.Uvarint(f.b)
	if n <= 0 || size > uint64(len(f.b)-n) {
		f.ok, f.b = false, nil
		return ""
	}
	s := string(f.b[n : n+int(size)])
	f.b = f.b[n+int(size):]
	return s
}

func (f *fields) texts(to ...*string) {
	for _, p := range to {
		*p = f.text()
	}
}

func (f *fields) number() int64 {
	v, n := binary.Varint(f.b)
	if n <= 0 {
		f.ok, f.b = false, nil
		return 0
	}
	f.b = f.b[n:]
	return v
}
