// Package modelselect picks the model for a call whose model is [Auto]: of the models
// that its rules allow, the cheapest whose limits fit the call.
//
// Rules are data in rules.yaml, which users can read and replace. A choice depends
// only on the rules, the price table and the task, so the same task gets the same
// model again. Each choice has a reason:
//
//	c, err := modelselect.Default().Choose(llm.Prices(), modelselect.Task{Prompt: 1200, Effort: "high"})
//	// claude-sonnet-5-5: cheapest for about 1,200 prompt tokens, from sonnet (effort is high) up to opus
package modelselect

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/claude-force/claude-force/llm"
)

// Auto is the name that stands for a model to be chosen.
const Auto = "auto"

// Task is what a choice depends on.
type Task struct {
	Agent     string // its name
	Prompt    int    // tokens of the whole prompt, estimated; see [Tokens]
	MaxTokens int    // most output tokens; 0 if the task sets no limit
	Effort    string // empty for the model's default
	Schema    bool   // the output must obey a schema
	Tools     bool   // the agent names tools

	Floor, Ceiling Bound // replace the bounds of the rules; zero to use those
}

// Bound is the weakest or the strongest model that may be chosen.
type Bound struct {
	Model string // an alias or an id
	Why   string // for the reason, such as "the agent's floor"
}

// Choice is the model that was chosen.
type Choice struct {
	Model  string // its id
	Reason string // why, without its name
}

// UnknownError says that a bound is not one of the models to choose from.
type UnknownError struct {
	Bound
	Known []string
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("%s %q is not one of the models to choose from: %s", e.Why, e.Model, strings.Join(e.Known, ", "))
}

// PriceError reports a model to choose from that has no price.
type PriceError struct{ Model string }

func (e *PriceError) Error() string { return fmt.Sprintf("models: %q has no price", e.Model) }

// Tokens returns the estimated number of tokens of the texts with the current
// tokenizer, since the model that will read them is not chosen yet.
func Tokens(prices *llm.PriceTable, texts ...string) int {
	characters := 0
	for _, text := range texts {
		characters += utf8.RuneCountInString(text)
	}
	return prices.EstimateTokens("", characters)
}

// expectedOutput is the assumed length of an answer in tokens. Input and output
// prices usually rise together from model to model, so little depends on it.
const expectedOutput = 1000

// Choose selects the model for a task. The error is an [*UnknownError].
func (r *Rules) Choose(prices *llm.PriceTable, t Task) (Choice, error) {
	span, err := r.span(prices, t)
	if err != nil {
		return Choice{}, err
	}
	list, note := span.fitting(t)
	best := slices.MinFunc(list, func(a, b candidate) int { return cmp.Compare(a.cost, b.cost) })
	reason := fmt.Sprintf("cheapest for about %s prompt tokens, ", thousands(t.Prompt))
	switch {
	case len(span.models) == 1:
		reason = "the only one allowed, "
	case len(list) == 1:
		reason = fmt.Sprintf("the only one for about %s prompt tokens, ", thousands(t.Prompt))
	}
	return Choice{Model: best.id, Reason: reason + span.String() + note}, nil
}

// Knows reports whether the name of a model can be a bound.
func (r *Rules) Knows(prices *llm.PriceTable, name string) bool { return r.rung(prices, name) >= 0 }

// candidate is a model with what the call would cost.
type candidate struct {
	name, id string
	info     llm.ModelInfo
	cost     llm.Money
}

// span is the part of the list of models that bounds and rules allow.
type span struct {
	models   []candidate
	low, top Bound
	crossed  bool // the floor was above the ceiling
}

func (r *Rules) span(prices *llm.PriceTable, t Task) (span, error) {
	floor, ceiling := t.Floor, t.Ceiling
	if floor.Model == "" {
		floor = Bound{Model: r.Floor}
	}
	if ceiling.Model == "" {
		ceiling = Bound{Model: r.Ceiling}
	}
	low, top := 0, len(r.Models)-1
	var s span
	at := func(b Bound) (int, error) {
		if i := r.rung(prices, b.Model); i >= 0 {
			return i, nil
		}
		return 0, &UnknownError{Bound: b, Known: r.Models}
	}
	var err error
	if floor.Model != "" {
		if low, err = at(floor); err != nil {
			return s, err
		}
	}
	if ceiling.Model != "" {
		if top, err = at(ceiling); err != nil {
			return s, err
		}
	}
	s.low.Why, s.top.Why = floor.Why, ceiling.Why
	for _, rule := range r.Rules {
		if !rule.If.holds(t) {
			continue
		}
		if i := r.rung(prices, rule.AtLeast); rule.AtLeast != "" && i > low {
			low, s.low.Why = i, rule.why()
		}
		if i := r.rung(prices, rule.AtMost); rule.AtMost != "" && i < top {
			top, s.top.Why = i, rule.why()
		}
	}
	if low > top {
		low, s.crossed = top, true
	}
	s.low.Model, s.top.Model = r.Models[low], r.Models[top]
	for _, name := range r.Models[low : top+1] {
		s.models = append(s.models, newCandidate(prices, name, t))
	}
	// Of equally priced models, the stronger comes first.
	slices.Reverse(s.models)
	return s, nil
}

func newCandidate(prices *llm.PriceTable, name string, t Task) candidate {
	c := candidate{name: name}
	c.id, _ = prices.Resolve(name)
	c.info, _ = prices.Info(c.id)
	output := expectedOutput
	if t.MaxTokens > 0 {
		output = min(output, t.MaxTokens)
	}
	c.cost, _ = prices.CostOf(c.id, llm.Usage{InputTokens: t.Prompt, OutputTokens: output}, llm.Rate{})
	return c
}

// fitting returns the models that can take the prompt and the answer, and a note
// on those that cannot. If none can, it returns those with the largest context:
// the size is only an estimate, and the service decides.
func (s *span) fitting(t Task) (list []candidate, note string) {
	var out []string
	for _, c := range s.models {
		if t.Prompt > c.info.Context || t.MaxTokens > c.info.MaxOutput {
			out = append(out, c.name)
		} else {
			list = append(list, c)
		}
	}
	slices.Reverse(out)
	switch {
	case len(list) == 0:
		largest := slices.MaxFunc(s.models, func(a, b candidate) int { return a.info.Context - b.info.Context }).info.Context
		for _, c := range s.models {
			if c.info.Context == largest {
				list = append(list, c)
			}
		}
		return list, "; no allowed model takes as much, this one takes the most"
	case len(out) > 0:
		return list, "; not " + strings.Join(out, ", ") + ", too small for it"
	}
	return list, ""
}

// String returns which models are allowed, and why.
func (s span) String() string {
	text := func(b Bound) string {
		if b.Why == "" {
			return b.Model
		}
		return b.Model + " (" + b.Why + ")"
	}
	switch {
	case s.crossed:
		return text(s.top) + ", which applies although " + cmp.Or(s.low.Why, "the floor is above it")
	case s.low.Model == s.top.Model && s.low.Why != "" && s.top.Why != "":
		return fmt.Sprintf("%s (%s, %s)", s.low.Model, s.low.Why, s.top.Why)
	case s.low.Model == s.top.Model:
		return text(Bound{s.low.Model, s.low.Why + s.top.Why})
	}
	return "from " + text(s.low) + " up to " + text(s.top)
}

// rung returns the index of a model in the list: its own, else the highest of its
// family, so that claude-opus-4-8 has the index of opus. It returns -1 if there is
// none.
func (r *Rules) rung(prices *llm.PriceTable, name string) int {
	id, _ := prices.Resolve(name)
	family := familyOf(prices, id)
	found := -1
	for i, m := range r.Models {
		rung, _ := prices.Resolve(m)
		if rung == id {
			return i
		}
		if family != "" && familyOf(prices, rung) == family {
			found = i
		}
	}
	return found
}

// familyOf returns the family that a model's id names, such as opus; empty if
// none. A family is a part of the id that is also an alias.
func familyOf(prices *llm.PriceTable, id string) string {
	for part := range strings.SplitSeq(id, "-") {
		if _, ok := prices.Aliases[part]; ok {
			return part
		}
	}
	return ""
}

func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
