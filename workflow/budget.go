package workflow

import (
	"encoding/json"
	"math"
	"strconv"
	"time"

	yaml "go.yaml.in/yaml/v4"
)

// Budget is what a run or a step may spend. A nil field sets no ceiling; a
// ceiling of 0 allows nothing. The zero value is no budget.
type Budget struct {
	USD      *float64       `json:"usd,omitempty"`
	Tokens   *int           `json:"tokens,omitempty"`    // of prompts and answers
	Calls    *int           `json:"calls,omitempty"`     // that are sent; the attempts of one count once
	Time     *time.Duration `json:"time,omitempty"`      // from the start of the run, in nanoseconds
	OnExceed OnExceed       `json:"on_exceed,omitempty"` // empty means [OnExceedStop]
}

// IsZero reports whether b has no ceiling.
func (b Budget) IsZero() bool {
	return b.USD == nil && b.Tokens == nil && b.Calls == nil && b.Time == nil
}

// UnmarshalJSON reads a budget. It also reads the older form in the journals of
// runs, from before ceilings could be 0: it has the key OnExceed, and a ceiling
// of 0 means none.
func (b *Budget) UnmarshalJSON(data []byte) error {
	type plain Budget
	var read struct {
		plain
		Old *OnExceed `json:"OnExceed"`
	}
	if err := json.Unmarshal(data, &read); err != nil {
		return err
	}
	*b = Budget(read.plain)
	if read.Old == nil {
		return nil
	}
	b.OnExceed = *read.Old
	dropZero(&b.USD)
	dropZero(&b.Tokens)
	dropZero(&b.Calls)
	dropZero(&b.Time)
	return nil
}

func dropZero[T comparable](p **T) {
	var zero T
	if *p != nil && **p == zero {
		*p = nil
	}
}

// OnExceed says what happens when a budget has no room for a call.
type OnExceed string

// What happens when a budget has no room.
const (
	OnExceedStop      OnExceed = "stop"      // the call fails; the zero value means the same
	OnExceedAsk       OnExceed = "ask"       // the user at the terminal may raise the budget
	OnExceedDowngrade OnExceed = "downgrade" // the call goes to a cheaper model, if one fits
	OnExceedPartial   OnExceed = "partial"   // the run ends with what it has, and does not count as failed
)

// Latency says how soon a step's calls are to be answered.
type Latency string

// Latencies.
const (
	LatencyLive  Latency = "live"  // at once; the zero value means the same
	LatencyBatch Latency = "batch" // within a day, at half the price
)

// budget reads {usd: 0.50, tokens: 1000000, calls: 10, time: 5m, on_exceed: stop}.
func (p *reader) budget(n *yaml.Node) *Budget {
	if n == nil {
		return nil
	}
	f, ok := p.fields(n, "budget", budgetKeys)
	if !ok {
		return nil
	}
	b := &Budget{}
	if n := f.given("usd"); n != nil {
		b.USD = new(p.dollars(n))
	}
	if n := f.given("tokens"); n != nil {
		b.Tokens = new(p.count(n, "tokens", 0))
	}
	if n := f.given("calls"); n != nil {
		b.Calls = new(p.count(n, "calls", 0))
	}
	if n := f.given("time"); n != nil {
		b.Time = new(p.duration(n, "time"))
	}
	if n := f.given("on_exceed"); n != nil {
		b.OnExceed = OnExceed(p.oneOf(n, "on_exceed", []string{string(OnExceedStop), string(OnExceedAsk), string(OnExceedDowngrade), string(OnExceedPartial)}))
	}
	if b.IsZero() {
		p.fail(n, nil, "write budget: {usd: 0.50}", "budget has no ceiling")
	}
	return b
}

// dollars reads an amount of money, 0 or more.
func (p *reader) dollars(n *yaml.Node) float64 {
	v, err := strconv.ParseFloat(n.Value, 64)
	switch {
	case n.Kind != yaml.ScalarNode || n.Tag != "!!int" && n.Tag != "!!float":
		p.fail(n, nil, "write it like 0.50", "usd must be a number of dollars, not %s", kindOf(n))
	case err != nil || math.IsInf(v, 0) || math.IsNaN(v) || v < 0 || v > 1e9:
		p.fail(n, nil, "write it like 0.50", "usd must be 0 or more, not %s", n.Value)
	default:
		return v
	}
	return 0
}
