package journal

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/claude-force/claude-force/llm"
)

// TurnAnswer is an answer within a unit whose agent has tools.
type TurnAnswer struct {
	Response *llm.Response
	Paid     Paid
}

// Paid is what calls took, and the detail of TurnAnswered.
type Paid struct {
	Usage   llm.Usage `json:"usage"`
	CostUSD *float64  `json:"cost_usd"` // nil if unknown
}

// Plus returns the sum of two payments, which may be nil; nil if both are. The cost
// is unknown if either is.
func (p *Paid) Plus(other *Paid) *Paid {
	if p == nil || other == nil {
		return cmp.Or(p, other)
	}
	sum := &Paid{Usage: p.Usage.Add(other.Usage)}
	if p.CostUSD != nil && other.CostUSD != nil {
		sum.CostUSD = new(*p.CostUSD + *other.CostUSD)
	}
	return sum
}

// ToolCall is the detail of ToolStarted and ToolFinished.
type ToolCall struct {
	ID       string `json:"id"`                 // of the tool_use block
	Tool     string `json:"tool"`               // empty for what follows an answer and no tool returned
	Argument string `json:"argument,omitempty"` // the part of its input that says most, for people
	IsError  bool   `json:"is_error,omitempty"` // ToolFinished: it failed

	// Of ToolFinished: how long it took, and, beside IsError, that it did not run
	// since it may not, or that the process which ran it ended before it did.
	Seconds     float64 `json:"seconds,omitempty"`
	Denied      bool    `json:"denied,omitempty"`
	Interrupted bool    `json:"interrupted,omitempty"`

	// Changed is what the call changed in the environment of the tools, as they
	// wrote it: ToolFinished.
	Changed json.RawMessage `json:"changed,omitempty"`

	// Noted is the version of what Changed says the call saw; 0 if that is not all.
	Noted int `json:"noted,omitempty"`

	// Spent is what calls of models within the call took, those of sub-agents
	// included: ToolFinished. Nil if there were none.
	Spent *Spent `json:"spent,omitempty"`
}

// Spent is what a call of a tool took of models.
type Spent struct {
	Paid
	Calls     int   `json:"calls"`                // of models
	Turns     int   `json:"turns,omitempty"`      // of sub-agents
	ToolCalls int   `json:"tool_calls,omitempty"` // of sub-agents
	InTurns   *Paid `json:"in_turns,omitempty"`   // the part that TurnAnswered events have; nil if there are none
}

// turn is what is known of one answer of a unit and of its calls of tools.
type turn struct {
	key     llm.Key // of the request
	answer  *TurnAnswer
	counted bool // what it took is in what its unit took
	calls   map[string]*CallState
}

// CallState is what is known of a call of a tool that has started.
type CallState struct {
	Blocks  []llm.Block     // that answer it; nil while it has not finished
	Changed json.RawMessage // see [ToolCall]
	Noted   int             // see [ToolCall]
	Spent   *Spent          // see [ToolCall]; nil from the second time on, as it has been counted
}

// Turns is what the journal knows of the turns of one unit, by the keys of the
// requests: the answers of the model, and which calls of tools were started and
// finished. The task reads from it what it need not do again, and writes to it as
// it goes on. It is safe for concurrent use.
type Turns struct {
	*turnsState        // shared with sub-agents
	within      []byte // the call that a sub-agent works for; empty for the unit's own agent
	outer       *Turns // of the agent that made the call; nil for the unit's own agent
	callKey     llm.Key
	callID      string
	paid        *Paid // see Paid
}

type turnsState struct {
	log  Log
	unit Unit

	mu    sync.Mutex // guards what turns holds, and what was paid in it
	turns []*turn
}

type turnsKey struct{}

// WithTurns returns ctx for a call of a tool, with the turns of a sub-agent that it
// may start. Nil keeps none.
func WithTurns(ctx context.Context, t *Turns) context.Context {
	return context.WithValue(ctx, turnsKey{}, t)
}

// TurnsOf returns the turns of ctx; nil if it has none.
func TurnsOf(ctx context.Context) *Turns {
	t, _ := ctx.Value(turnsKey{}).(*Turns)
	return t
}

// NewTurns returns the turns of a unit, with those of was, which may be nil, and
// whose further events go to log.
func NewTurns(log Log, unit Unit, was *UnitState) *Turns {
	t := &Turns{turnsState: &turnsState{log: log, unit: unit}}
	if was != nil {
		t.turns = cloneTurns(was.turns)
	}
	return t
}

// cloneTurns returns turns that can be changed apart from the given ones.
func cloneTurns(turns []*turn) []*turn {
	own := slices.Clone(turns)
	for i, known := range own {
		own[i] = &turn{key: known.key, answer: known.answer, counted: known.counted, calls: make(map[string]*CallState, len(known.calls))}
		for id, c := range known.calls {
			own[i].calls[id] = new(*c)
		}
	}
	return own
}

// Repeat lets calls run again that were cut off, instead of being reported as
// interrupted.
func (t *Turns) Repeat() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, known := range t.turns {
		maps.DeleteFunc(known.calls, func(_ string, c *CallState) bool { return c.Blocks == nil })
	}
}

// Within returns the turns of a sub-agent that works for a call of the answer to the
// request with the key. They are of the same unit, and apart from those of other
// calls even if the requests are the same.
func (t *Turns) Within(key llm.Key, id string) *Turns {
	own := t.own(key)
	return &Turns{turnsState: t.turnsState, within: append(own[:], id...), outer: t, callKey: own, callID: id}
}

// Suspend makes the call that the turns are within, and those around it, start again
// when the step goes on, instead of being reported as interrupted. It is for a call
// that waits for a person before it does anything.
func (t *Turns) Suspend() {
	for ; t.outer != nil; t = t.outer {
		if t.unset(t.callKey, t.callID) {
			t.log.Append(Event{Type: ToolWaits, Step: t.unit.Step, Item: t.unit.Item, Key: t.callKey, Detail: Detail(ToolCall{ID: t.callID})})
		}
	}
}

// unset forgets that a call has started, and reports whether it had.
func (t *Turns) unset(key llm.Key, id string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	known := find(t.turns, key)
	if known == nil || known.calls[id] == nil || known.calls[id].Blocks != nil {
		return false
	}
	delete(known.calls, id)
	return true
}

// Name returns a name for a call with these arguments that a sub-agent's turns are
// of, which no other call has.
func (t *Turns) Name(arguments ...string) string {
	h := sha256.New()
	h.Write(t.within)
	for _, a := range arguments {
		fmt.Fprintf(h, "\x00%d\x00%s", len(a), a)
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// own returns the key of a request among those of all agents of the unit.
func (t *Turns) own(key llm.Key) llm.Key {
	if len(t.within) == 0 {
		return key
	}
	return sha256.Sum256(append(slices.Clip(t.within), key[:]...))
}

// Answer returns the answer to the request with the key, if there is one. free
// reports whether what it took has been counted; it is from the second time on.
func (t *Turns) Answer(key llm.Key) (answer TurnAnswer, free, ok bool) {
	key = t.own(key)
	t.mu.Lock()
	defer t.mu.Unlock()
	known := find(t.turns, key)
	if known == nil {
		return TurnAnswer{}, false, false
	}
	if free, known.counted = known.counted, true; !free {
		t.pay(known.answer.Paid)
	}
	return *known.answer, free, true
}

// Paid returns what the answers took that Answer gave and did not call free, those
// that Answered kept, and those of sub-agents: the part of what the unit takes in
// this process that TurnAnswered events count. It is nil if there were none.
func (t *Turns) Paid() *Paid {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.paid == nil {
		return nil
	}
	return new(*t.paid)
}

// pay adds to Paid, also of the agents around.
func (t *Turns) pay(p Paid) {
	for ; t != nil; t = t.outer {
		if t.paid == nil {
			t.paid = &Paid{CostUSD: new(float64)}
		}
		t.paid.Usage = t.paid.Usage.Add(p.Usage)
		if p.CostUSD != nil {
			t.paid.CostUSD = new(*t.paid.CostUSD + *p.CostUSD)
		}
	}
}

// Answered keeps an answer. It returns once the answer is durable.
func (t *Turns) Answered(key llm.Key, answer TurnAnswer) error {
	output, err := json.Marshal(answer.Response)
	if err != nil {
		return fmt.Errorf("encoding an answer of step %s: %w", t.unit.Step, err)
	}
	key = t.own(key)
	t.mu.Lock()
	t.pay(answer.Paid)
	if find(t.turns, key) == nil {
		t.turns = append(t.turns, &turn{key: key, answer: &answer, counted: true, calls: map[string]*CallState{}})
	}
	t.mu.Unlock()
	return t.log.Append(Event{Type: TurnAnswered, Step: t.unit.Step, Item: t.unit.Item, Key: key, Output: string(output), Detail: Detail(answer.Paid)})()
}

// Call returns what is known of a call of the answer to a request, and whether it
// has started.
func (t *Turns) Call(key llm.Key, id string) (state CallState, started bool) {
	key = t.own(key)
	t.mu.Lock()
	defer t.mu.Unlock()
	if known := find(t.turns, key); known != nil {
		if c := known.calls[id]; c != nil {
			if c.Spent != nil && c.Spent.InTurns != nil {
				t.pay(*c.Spent.InTurns)
			}
			state, c.Spent = *c, nil
			return state, true
		}
	}
	return CallState{}, false
}

// Begin writes down that a call which may have effects is about to run. It returns
// once that is durable.
func (t *Turns) Begin(key llm.Key, call ToolCall) error {
	key = t.own(key)
	t.set(key, call.ID, CallState{})
	return t.log.Append(Event{Type: ToolStarted, Step: t.unit.Step, Item: t.unit.Item, Key: key, Detail: Detail(call)})()
}

// End keeps the result of a call: its tool_result block and what else answers it.
// It does not wait until that is durable; what is appended later is durable only if
// it is.
func (t *Turns) End(key llm.Key, call ToolCall, blocks []llm.Block) error {
	output, err := json.Marshal(blocks)
	if err != nil {
		return fmt.Errorf("encoding the result of tool %s in step %s: %w", call.Tool, t.unit.Step, err)
	}
	key = t.own(key)
	t.set(key, call.ID, CallState{Blocks: blocks, Changed: call.Changed, Noted: call.Noted})
	t.log.Append(Event{Type: ToolFinished, Step: t.unit.Step, Item: t.unit.Item, Key: key, Output: string(output), Detail: Detail(call)})
	return nil
}

func (t *Turns) set(key llm.Key, id string, state CallState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if known := find(t.turns, key); known != nil {
		known.calls[id] = &state
	}
}

// Changes returns what each call of a tool changed, in the order of the calls, if the
// version of what is noted there is at least noted. It returns false if a call has
// not ended or noted less, if there was input that no call gave, or if there are no calls.
func (t *Turns) Changes(noted int) (changes []json.RawMessage, ok bool) {
	if t == nil {
		return nil, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	calls := 0
	for _, known := range t.turns {
		uses := known.answer.Response.ToolUses()
		calls += len(uses)
		for _, use := range uses {
			c := known.calls[use.ID]
			if c == nil || c.Blocks == nil || c.Noted < noted {
				return nil, false
			}
			if c.Changed != nil {
				changes = append(changes, c.Changed)
			}
		}
		if len(known.calls) > len(uses) {
			return nil, false
		}
	}
	return changes, calls > 0
}

// Forget makes the unit begin from its first turn, as after an output that is not
// what was asked for.
func (t *Turns) Forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.turns = nil
}

func find(turns []*turn, key llm.Key) *turn {
	for _, known := range turns {
		if known.key == key {
			return known
		}
	}
	return nil
}

// addTurn takes in an event of a unit's turns.
func (u *UnitState) addTurn(ev Event) error {
	if ev.Type == TurnAnswered {
		answer := &TurnAnswer{Response: &llm.Response{}}
		if err := json.Unmarshal([]byte(ev.Output), answer.Response); err != nil {
			return fmt.Errorf("reading event %d (%s) of run %s: %w", ev.Seq, ev.Type, ev.Run, err)
		}
		if err := ev.Decode(&answer.Paid); err != nil {
			return err
		}
		u.Turns++
		u.turns = append(u.turns, &turn{key: ev.Key, answer: answer, calls: map[string]*CallState{}})
		return nil
	}
	var call ToolCall
	if err := ev.Decode(&call); err != nil {
		return err
	}
	known := find(u.turns, ev.Key)
	if known == nil {
		return nil
	}
	if ev.Type == ToolWaits {
		delete(known.calls, call.ID)
		return nil
	}
	state := &CallState{Changed: call.Changed, Noted: call.Noted, Spent: call.Spent}
	if ev.Type == ToolFinished {
		if call.Tool != "" {
			u.ToolCalls++
		}
		if err := json.Unmarshal([]byte(ev.Output), &state.Blocks); err != nil {
			return fmt.Errorf("reading event %d (%s) of run %s: %w", ev.Seq, ev.Type, ev.Run, err)
		}
	}
	known.calls[call.ID] = state
	return nil
}

// endTurns takes in how an attempt ended: for good, or to be tried again. What its
// turns took is in what the unit took only in the first case. An output that was
// not what was asked for would come again.
func (u *UnitState) endTurns(forGood bool) {
	if u.Failed.Code == llm.CodeOutput.String() {
		u.turns = nil
	}
	for _, known := range u.turns {
		known.counted = known.counted || forGood
		if forGood {
			for _, c := range known.calls {
				c.Spent = nil
			}
		}
	}
}
