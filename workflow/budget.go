package workflow

import (
	"math"
	"strconv"
	"time"

	yaml "go.yaml.in/yaml/v4"
)

// Budget is what a run or a step may spend. A zero ceiling is none.
type Budget struct {
	USD      float64
	Tokens   int
	Calls    int
	Time     time.Duration
	OnExceed OnExceed
}

// OnExceed says what happens when a budget has no room for a call.
type OnExceed string

// What happens when a budget has no room.
const (
	OnExceedStop      OnExceed = "stop"      // the call fails; the zero value means the same
	OnExceedAsk       OnExceed = "ask"       // whoever sits at the terminal may raise the budget
	OnExceedDowngrade OnExceed = "downgrade" // a cheaper model is asked, if one fits
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
		b.USD = p.dollars(n)
	}
	if n := f.given("tokens"); n != nil {
		b.Tokens = p.count(n, "tokens", 1)
	}
	if n := f.given("calls"); n != nil {
		b.Calls = p.count(n, "calls", 1)
	}
	if n := f.given("time"); n != nil {
		b.Time = p.duration(n, "time")
	}
	if n := f.given("on_exceed"); n != nil {
		b.OnExceed = OnExceed(p.oneOf(n, "on_exceed", []string{string(OnExceedStop), string(OnExceedAsk), string(OnExceedDowngrade), string(OnExceedPartial)}))
	}
	if f.given("usd") == nil && f.given("tokens") == nil && f.given("calls") == nil && f.given("time") == nil {
		p.fail(n, nil, "write budget: {usd: 0.50}", "budget has no ceiling")
	}
	return b
}

// dollars reads an amount of money above 0.
func (p *reader) dollars(n *yaml.Node) float64 {
	v, err := strconv.ParseFloat(n.Value, 64)
	switch {
	case n.Kind != yaml.ScalarNode || n.Tag != "!!int" && n.Tag != "!!float":
		p.fail(n, nil, "write it like 0.50", "usd must be a number of dollars, not %s", kindOf(n))
	case err != nil || math.IsInf(v, 0) || math.IsNaN(v) || v <= 0 || v > 1e9:
		p.fail(n, nil, "write it like 0.50", "usd must be more than 0, not %s", n.Value)
	default:
		return v
	}
	return 0
}
