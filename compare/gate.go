package compare

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Gate is conditions under which a change is refused.
type Gate []Condition

// Condition is met when a metric has changed by more, or less, than a limit.
type Condition struct {
	Metric string
	Op     string  // ">", ">=", "<" or "<="
	Limit  float64 // the change, 0.1 for +10%
	text   string
}

// String returns the condition as it was written.
func (c Condition) String() string { return c.text }

// GateError is a mistake in the text of a [Gate].
type GateError struct {
	Text    string
	Column  int // in characters, from 1
	Message string
}

func (e *GateError) Error() string {
	return fmt.Sprintf("column %d of %q: %s", e.Column, e.Text, e.Message)
}

// ParseGate reads conditions such as "cost > +10%, cache_hit_rate < -5%". All
// are METRIC OP CHANGE%, separated by commas; OP is one of > >= < <=, CHANGE is
// relative to the baseline. A mistake is a [*GateError].
func ParseGate(text string) (Gate, error) {
	p := &gateParser{text: []rune(text)}
	var gate Gate
	for {
		c, err := p.condition()
		if err != nil {
			return nil, err
		}
		gate = append(gate, c)
		p.space()
		if p.at == len(p.text) {
			return gate, nil
		}
		if p.text[p.at] != ',' {
			return nil, p.fail("a comma or the end must follow a condition")
		}
		p.at++
	}
}

type gateParser struct {
	text []rune
	at   int
}

func (p *gateParser) fail(message string) error {
	return &GateError{Text: string(p.text), Column: p.at + 1, Message: message}
}

func (p *gateParser) space() { p.take(unicode.IsSpace) }

func (p *gateParser) take(is func(rune) bool) string {
	begin := p.at
	for p.at < len(p.text) && is(p.text[p.at]) {
		p.at++
	}
	return string(p.text[begin:p.at])
}

func (p *gateParser) condition() (c Condition, err error) {
	p.space()
	begin := p.at
	c.Metric = p.take(func(r rune) bool {
		return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("_.-/:", r)
	})
	if c.Metric == "" {
		return c, p.fail("expected a metric, such as cost or p95")
	}
	p.space()
	opAt := p.at
	c.Op = p.take(func(r rune) bool { return strings.ContainsRune("<>=!", r) })
	switch c.Op {
	case ">", ">=", "<", "<=":
	default:
		p.at = opAt
		return c, p.fail("expected one of > >= < <=")
	}
	p.space()
	limitAt := p.at
	number := p.take(func(r rune) bool { return unicode.IsDigit(r) || strings.ContainsRune("+-.", r) })
	percent, err := strconv.ParseFloat(number, 64)
	if err != nil {
		p.at = limitAt
		return c, p.fail("expected a change in percent, such as +10%")
	}
	p.space()
	if p.at == len(p.text) || p.text[p.at] != '%' {
		return c, p.fail("expected % after the number")
	}
	p.at++
	c.Limit = percent / 100
	c.text = strings.TrimSpace(string(p.text[begin:p.at]))
	return c, nil
}

// met reports whether a change is what the condition refuses.
func (c Condition) met(change float64) bool {
	// A change of exactly the limit must not depend on the last bit.
	if math.Abs(change-c.Limit) < 1e-9 {
		return c.Op == ">=" || c.Op == "<="
	}
	if c.Op[0] == '>' {
		return change > c.Limit
	}
	return change < c.Limit
}

// Outcome is what a condition came to.
type Outcome struct {
	Condition string `json:"condition"`
	Failed    bool   `json:"failed"`
	Why       string `json:"why"`
}

// Check holds a gate against a report. A change that is not significant counts
// as none; with too few samples for a test, one counts if no sample of one side
// lies among those of the other. A condition on latency is met by nothing if the
// service answered nothing on one side. Any other metric that is not in the report
// is an error.
func (g Gate) Check(r *Report) ([]Outcome, error) {
	var outcomes []Outcome
	for _, c := range g {
		row := r.Row(c.Metric)
		switch {
		case row == nil && r.unserved && c.onLatency():
			outcomes = append(outcomes, Outcome{Condition: c.String(), Why: "there is nothing to compare: on one side no answer of the service was measured"})
			continue
		case row == nil:
			return nil, fmt.Errorf("there is no metric %s on both sides to hold %q against; there are %s", c.Metric, c, strings.Join(r.names(), ", "))
		}
		outcomes = append(outcomes, c.check(row))
	}
	return outcomes, nil
}

// onLatency reports whether the condition is on how long the service takes.
func (c Condition) onLatency() bool {
	return slices.Contains([]string{LatencyMetric, "p50", "p95", "p99"}, c.Metric) || strings.HasPrefix(c.Metric, "step.")
}

func (c Condition) check(row *Row) Outcome {
	o := Outcome{Condition: c.String(), Failed: c.met(row.effective()), Why: "it is " + percent(row.Change())}
	switch {
	case row.Verdict != Same:
		o.Why += fmt.Sprintf(" (p=%s)", pText(row.Adjusted))
	case row.few:
		o.Why += fmt.Sprintf(", with too few samples (%s) for a test", row.counts())
		if !row.apart {
			o.Why += ", and they overlap"
		}
	default:
		o.Why += ", which is no significant change"
	}
	return o
}

// effective returns the change as far as it is one: 0 if it is not significant.
func (r *Row) effective() float64 {
	if r.Verdict != Same || r.few && r.apart {
		return r.Change()
	}
	return 0
}

func (r *Row) counts() string { return fmt.Sprintf("%d and %d", r.Baseline.N, r.Current.N) }

func (r *Report) names() []string {
	var names []string
	for i := range r.Rows {
		names = append(names, r.Rows[i].Metric)
	}
	return names
}
