package runs

import (
	"encoding/json"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
)

// Loop is what an agent with tools did in a step or an item, over all attempts.
type Loop struct {
	journal.Unit
	Turns []*Turn
}

// Turn is an answer of a loop and the calls of tools that it made.
type Turn struct {
	At         time.Time  `json:"answered_at"`
	Model      string     `json:"model"`
	StopReason string     `json:"stop_reason"`
	Usage      llm.Usage  `json:"usage"`
	CostUSD    *float64   `json:"cost_usd"` // nil if unknown
	Calls      []ToolCall `json:"tool_calls"`

	key llm.Key
}

// ToolCall is a call of a tool, in a turn.
type ToolCall struct {
	Tool     string    `json:"tool"`
	ID       string    `json:"id"`
	Argument string    `json:"argument,omitempty"` // the part of its input that says most
	At       time.Time `json:"started_at"`
	Seconds  float64   `json:"duration_seconds"`
	Outcome  string    `json:"outcome"`
}

// Outcomes of calls of tools.
const (
	ToolOK          = "ok"
	ToolFailed      = "failed"
	ToolDenied      = "denied"      // it did not run, since it may not
	ToolInterrupted = "interrupted" // the process that ran it ended before it did
	ToolRunning     = "running"     // it has no result yet
)

// LoopView is a loop as it is shown to programs.
type LoopView struct {
	Step  string  `json:"step"`
	Item  string  `json:"item,omitempty"`
	Turns []*Turn `json:"turns"`
}

// Calls returns the calls of all turns, in order.
func (l *Loop) Calls() []ToolCall {
	var calls []ToolCall
	if l != nil {
		for _, t := range l.Turns {
			calls = append(calls, t.Calls...)
		}
	}
	return calls
}

// loops collects loops from the events of a run.
type loops struct {
	list   []*Loop
	byUnit map[journal.Unit]*Loop

	own map[*Loop]bool // those that no other list has, after fork; nil if all are
}

// fork returns loops to which events can be added without a change of l: those that the
// events are about are copied.
func (l *loops) fork() loops {
	return loops{slices.Clone(l.list), maps.Clone(l.byUnit), map[*Loop]bool{}}
}

// loop returns the loop of a unit to be changed; nil if there is none.
func (l *loops) loop(unit journal.Unit) *Loop {
	loop := l.byUnit[unit]
	if loop == nil || l.own == nil || l.own[loop] {
		return loop
	}
	c := &Loop{Unit: unit, Turns: slices.Clone(loop.Turns)}
	for i, t := range c.Turns {
		turn := *t
		turn.Calls = slices.Clone(t.Calls)
		c.Turns[i] = &turn
	}
	l.own[c], l.byUnit[unit] = true, c
	l.list[slices.Index(l.list, loop)] = c
	return c
}

// collect passes events on and takes those of turns in.
func (l *loops) collect(events iter.Seq2[journal.Event, error]) iter.Seq2[journal.Event, error] {
	return func(yield func(journal.Event, error) bool) {
		for ev, err := range events {
			if err == nil {
				err = l.add(ev)
			}
			if !yield(ev, err) {
				return
			}
		}
	}
}

func (l *loops) add(ev journal.Event) error {
	unit := journal.Unit{Step: ev.Step, Item: ev.Item}
	switch ev.Type {
	case journal.TurnAnswered:
		return l.answered(unit, ev)
	case journal.ToolStarted, journal.ToolFinished:
		var call journal.ToolCall
		if err := ev.Decode(&call); err != nil {
			return err
		}
		if turn := l.turn(unit, ev.Key); turn != nil && call.Tool != "" {
			turn.set(call, ev)
		}
	}
	return nil
}

func (l *loops) answered(unit journal.Unit, ev journal.Event) error {
	var paid journal.Paid
	if err := ev.Decode(&paid); err != nil {
		return err
	}
	turn := &Turn{At: ev.Time, Usage: paid.Usage, CostUSD: paid.CostUSD, Calls: []ToolCall{}, key: ev.Key}
	var answer struct { // the part of an llm.Response that is shown
		Model      string `json:"model"`
		StopReason string `json:"stop_reason"`
	}
	if json.Unmarshal([]byte(ev.Output), &answer) == nil { // what cannot be read, Fold reports
		turn.Model, turn.StopReason = answer.Model, answer.StopReason
	}
	loop := l.loop(unit)
	if loop == nil {
		loop = &Loop{Unit: unit}
		l.byUnit[unit] = loop
		l.list = append(l.list, loop)
		if l.own != nil {
			l.own[loop] = true
		}
	}
	loop.Turns = append(loop.Turns, turn)
	return nil
}

// turn returns the last turn of a unit with this key.
func (l *loops) turn(unit journal.Unit, key llm.Key) *Turn {
	loop := l.loop(unit)
	if loop == nil {
		return nil
	}
	for _, t := range slices.Backward(loop.Turns) {
		if t.key == key {
			return t
		}
	}
	return nil
}

// set takes in how a call began or ended.
func (t *Turn) set(call journal.ToolCall, ev journal.Event) {
	done := ToolCall{Tool: call.Tool, ID: call.ID, Argument: call.Argument, At: ev.Time, Seconds: call.Seconds, Outcome: ToolRunning}
	if ev.Type == journal.ToolFinished {
		done.At = ev.Time.Add(-time.Duration(call.Seconds * float64(time.Second)))
		done.Outcome = OutcomeOf(call)
	}
	for i := range t.Calls {
		if t.Calls[i].ID == call.ID {
			if call.Interrupted {
				done.At = t.Calls[i].At
			}
			t.Calls[i] = done
			return
		}
	}
	t.Calls = append(t.Calls, done)
}

// OutcomeOf returns the outcome of a call that has ended.
func OutcomeOf(call journal.ToolCall) string {
	switch {
	case call.Interrupted:
		return ToolInterrupted
	case call.Denied:
		return ToolDenied
	case call.IsError:
		return ToolFailed
	}
	return ToolOK
}
