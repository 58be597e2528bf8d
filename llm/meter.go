package llm

import (
	"encoding/json"
)

// Basis says how the cost of an attempt is known.
type Basis string

// Bases of a [Charge].
const (
	BasisAnswer  Basis = "answer"  // a whole answer reported its usage
	BasisFree    Basis = "free"    // the service did no work; see [Unbilled]
	BasisPart    Basis = "part"    // usage was reported in part, as when the attempt broke off; more may have been billed
	BasisUnknown Basis = "unknown" // the attempt may have been billed, and reported nothing
)

// Charge is what one attempt at the service costs.
type Charge struct {
	Model string // the model that is billed
	Usage Usage  // what the service reported; zero if nothing
	Cost  Money  // of Usage: exact for a whole answer, else the least that may be billed
	// Priced reports whether the price table has the model. Without a price Cost
	// is 0.
	Priced bool
	Basis  Basis
}

// Exact reports whether the service bills Cost, and no more.
func (c Charge) Exact() bool { return c.Basis == BasisAnswer || c.Basis == BasisFree }

// Meter follows the stream of one attempt and tells what the attempt costs. It
// is the only place that decides this: budgets charge what it says, and records
// write it down, so their sums agree. Make one with [NewMeter]; it belongs to one
// goroutine.
type Meter struct {
	req      *Request
	reported *Usage
	size     int // bytes of the pieces of the answer
	began    bool
	resp     *Response
	err      error
}

// NewMeter returns the meter of an attempt that sends req.
func NewMeter(req *Request) *Meter { return &Meter{req: req} }

// See takes in an element of the attempt's stream.
func (m *Meter) See(ev Event, err error) {
	switch {
	case err != nil:
		m.err = err
		return
	case ev.Type == EventDone:
		m.resp = ev.Response
	}
	m.began = true
	m.size += len(ev.Text)
	if ev.Usage != nil {
		m.reported = ev.Usage
	}
}

// Answered reports whether the answer is whole.
func (m *Meter) Answered() bool { return m.resp != nil }

// Charge returns what the attempt costs, when it has ended.
func (m *Meter) Charge(prices *PriceTable) Charge {
	if m.resp != nil {
		return m.answer(prices)
	}
	c := Charge{Model: m.req.Model, Basis: BasisUnknown}
	_, c.Priced = prices.CostOf(c.Model, Usage{}, RateOf(m.req))
	switch {
	case m.err != nil && !m.began && Unbilled(m.err):
		c.Basis = BasisFree
	case m.reported != nil:
		c.Basis, c.Usage = BasisPart, *m.reported
		c.Cost, c.Priced = prices.CostOf(c.Model, c.Usage, RateOf(m.req))
	}
	return c
}

// answer returns the charge of a whole answer. No prompt is without tokens, nor is content:
// where none are counted, the service or a gateway before it has left them out.
func (m *Meter) answer(prices *PriceTable) Charge {
	if m.resp.Source != "" && m.resp.Source != SourceLive {
		return Charge{Model: m.resp.Model, Basis: BasisFree, Priced: true}
	}
	c := Charge{Usage: m.resp.Usage, Basis: BasisAnswer}
	c.Cost, c.Model, c.Priced = prices.CostOfAnswer(m.req, m.resp)
	switch {
	case c.Usage.TotalTokens() == 0:
		c.Basis = BasisUnknown
	case c.Usage.PromptTokens() == 0, c.Usage.OutputTokens == 0 && len(m.resp.Content) > 0:
		c.Basis = BasisPart
	}
	return c
}

// Length returns the tokens that a whole answer took, or would have taken at least
// if it had not been cut.
func (m *Meter) Length(c Charge) int {
	if m.resp != nil && m.resp.StopReason == StopMaxTokens {
		return max(c.Usage.OutputTokens, m.req.MaxTokens)
	}
	return c.Usage.OutputTokens
}

// Doubt returns the tokens and the money that an attempt may have been billed
// beyond its charge c, for a prompt of about input tokens. Both are 0 if the
// charge is exact.
//
// The service streams: it reports the prompt before it writes the first token,
// and stops writing when the connection is lost. So an attempt that reported
// nothing has written nothing that is known, and is doubted for its prompt; one
// that broke off later is doubted for what arrived, no token being shorter than
// a byte, and for its whole answer if it may have written what does not arrive:
// hidden thinking, or the work of a tool on the service's side. A whole answer is
// doubted in the same way for what it does not count.
func (m *Meter) Doubt(c Charge, prices *PriceTable, input int) (tokens int, money Money) {
	if c.Exact() {
		return 0, 0
	}
	most := c.Usage
	if most.PromptTokens() == 0 {
		most.CacheWrite5m = input
	}
	if m.began || m.req.Wire != nil && !m.req.Wire.Stream {
		most.OutputTokens = max(most.OutputTokens, m.unseen(most.OutputTokens))
	}
	cost, _ := prices.CostOf(c.Model, most, RateOf(m.req))
	return most.TotalTokens() - c.Usage.TotalTokens(), max(cost.Sub(c.Cost), 0)
}

// unseen returns the most tokens of the answer that were written when the
// attempt broke off, of which some were reported.
func (m *Meter) unseen(reported int) int {
	if m.req.Wire != nil && !m.req.Wire.Stream {
		return m.req.MaxTokens // all of it comes at once
	}
	if thinks(m.req.Thinking) || len(m.req.Tools) > 0 && hasServerTools(m.req) {
		return m.req.MaxTokens
	}
	return min(reported+m.size, max(m.req.MaxTokens, reported))
}

// thinks reports whether a request asks for thinking.
func thinks(thinking json.RawMessage) bool {
	var t struct {
		Type string `json:"type"`
	}
	return len(thinking) > 0 && (json.Unmarshal(thinking, &t) != nil || t.Type != "disabled")
}

// hasServerTools reports whether a request has tools that are given as raw JSON,
// which may run on the service's side.
func hasServerTools(req *Request) bool {
	for _, t := range req.Tools {
		if t.Raw != nil {
			return true
		}
	}
	return false
}
