package llm

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
)

// Rate is how calls are billed, beside the model. The zero value is the standard
// rate.
type Rate struct {
	Batch  bool // by way of Message Batches
	USOnly bool // inference in the United States only
	Fast   bool // fast mode
	Hour   bool // entries of the prompt cache may be written for an hour; for worst cases only
}

// RateOf returns the rate that a request asks for with its fields inference_geo
// and speed, and with its breakpoints of the prompt cache. It does not set Batch, which the request cannot ask for.
func RateOf(req *Request) Rate {
	is := func(field, value string) bool {
		var v string
		return json.Unmarshal(req.Extra[field], &v) == nil && v == value
	}
	return Rate{USOnly: is("inference_geo", "us"), Fast: is("speed", "fast"), Hour: cachesForHour(req)}
}

// cachesForHour reports whether a breakpoint of the request asks for an hour.
func cachesForHour(req *Request) bool {
	hour := func(control json.RawMessage) bool {
		for {
			i := bytes.Index(control, []byte(`1h"`)) // quotes are frequent, and would be looked at one by one
			if i < 0 {
				return false
			}
			if i > 0 && control[i-1] == '"' {
				return true
			}
			control = control[i+1:]
		}
	}
	block := func(b Block) bool { return hour(b.CacheControl) || hour(b.Raw) }
	return hour(req.Extra["cache_control"]) || slices.ContainsFunc(req.System, block) ||
		slices.ContainsFunc(req.Tools, func(t Tool) bool { return hour(t.Raw) }) ||
		slices.ContainsFunc(req.Messages, func(m Message) bool { return slices.ContainsFunc(m.Content, block) })
}

// Cost returns the price of usage on a model in US dollars, at the standard rate
// or at that of batches; ok is false if the model is not in the table. The whole
// prompt selects the tier, which applies to every token, output included. Use
// [PriceTable.CostOf] for sums that must be exact.
func (t *PriceTable) Cost(model string, u Usage) (usd float64, ok bool) {
	cost, ok := t.CostOf(model, u, Rate{})
	return cost.USD(), ok
}

// CostOf returns the price of usage on a model at a rate, rounded up; ok is false
// if the table has no price for it.
func (t *PriceTable) CostOf(model string, u Usage, rate Rate) (cost Money, ok bool) {
	m := t.find(model)
	if m == nil {
		return 0, false
	}
	rate.Batch = rate.Batch || u.Batch
	p, ok := t.prices(m, m.tier(u.PromptTokens()), rate)
	if !ok {
		return 0, false
	}
	tokens := times(p.input, u.InputTokens) + times(p.write5m, u.CacheWrite5m) + times(p.write1h, u.CacheWrite1h) +
		times(p.read, u.CacheReadTokens) + times(p.output, u.OutputTokens)
	return nanos(tokens) + t.Searches(u.WebSearches), true
}

// CostOfAnswer returns the price of an answer to a request, and the model that it is the
// price of: the one that answered, or the one that was asked if the table does not have
// that, since gateways and clouds add to the names of models. ok is false if the table
// has no price for either.
func (t *PriceTable) CostOfAnswer(req *Request, resp *Response) (cost Money, model string, ok bool) {
	rate := RateOf(req)
	for _, model := range []string{resp.Model, req.Model} {
		if cost, ok := t.CostOf(model, resp.Usage, rate); ok {
			return cost, model, true
		}
	}
	return 0, resp.Model, false
}

// WorstCase returns the most that one call can cost whose prompt has at most
// input tokens and whose answer has at most output tokens: in the most expensive
// tier, with the whole prompt written to the prompt cache, for an hour if the rate says so.
// It does not include tools on the provider's side. ok is false if the table has
// no price for it.
func (t *PriceTable) WorstCase(model string, input, output int, rate Rate) (cost Money, ok bool) {
	m := t.find(model)
	if m == nil {
		return 0, false
	}
	for _, tier := range m.Tiers {
		prompt := input
		if tier.PromptUpTo > 0 {
			prompt = min(input, tier.PromptUpTo)
		}
		p, ok := t.prices(m, tier, rate)
		if !ok {
			return 0, false
		}
		highest := max(p.input, p.write5m, p.read)
		if rate.Hour {
			highest = max(highest, p.write1h)
		}
		cost = max(cost, nanos(times(highest, prompt)+times(p.output, output)))
		if tier.PromptUpTo >= input {
			break // the tiers above are for prompts that are longer
		}
	}
	return cost, true
}

// Searches returns the price of n web searches.
func (t *PriceTable) Searches(n int) Money {
	return nanos(times(picos(t.WebSearch*1e3, 1), n)) // per search: 1e6 / 1,000
}

// tier returns the tier of a prompt of that many tokens.
func (m *ModelInfo) tier(prompt int) Tier {
	for _, tier := range m.Tiers {
		if tier.PromptUpTo == 0 || prompt <= tier.PromptUpTo {
			return tier
		}
	}
	return m.Tiers[len(m.Tiers)-1]
}

// tokenPrices are prices of single tokens in trillionths of a dollar, in which
// all listed prices, with the factors for batch and region, are whole numbers.
type tokenPrices struct{ input, output, write5m, write1h, read int64 }

// prices returns the prices of a tier at a rate.
func (t *PriceTable) prices(m *ModelInfo, tier Tier, rate Rate) (p tokenPrices, ok bool) {
	factor, in, out := 1.0, 1.0, 1.0
	if rate.Batch {
		factor *= t.Batch
	}
	if rate.USOnly {
		factor *= t.USOnly
	}
	if rate.Fast {
		if m.Fast == nil || rate.Batch || tier.Input == 0 || tier.Output == 0 {
			return tokenPrices{}, false
		}
		in, out = m.Fast.Input/tier.Input, m.Fast.Output/tier.Output
	}
	return tokenPrices{
		input:   picos(tier.Input*in, factor),
		write5m: picos(tier.Write5m*in, factor),
		write1h: picos(tier.Write1h*in, factor),
		read:    picos(tier.Read*in, factor),
		output:  picos(tier.Output*out, factor),
	}, true
}

// picos returns the price of one token, rounded up, from that of a million. It
// ignores the last digits, in which a product of floats may be off.
func picos(perMillion, factor float64) int64 {
	exact := perMillion * 1e6 * factor
	if nearest := math.Round(exact); math.Abs(exact-nearest) < 1e-3 {
		return int64(nearest)
	}
	return int64(math.Ceil(exact))
}

// maxPicos keeps the sum of a call's five products from overflowing.
const maxPicos = math.MaxInt64 / 8

// times returns the price of n tokens, at most maxPicos.
func times(picos int64, n int) int64 {
	if n <= 0 || picos <= 0 {
		return 0
	}
	if int64(n) > maxPicos/picos {
		return maxPicos
	}
	return picos * int64(n)
}

// nanos returns picos rounded up to Money.
func nanos(picos int64) Money { return Money((picos + 999) / 1000) }
