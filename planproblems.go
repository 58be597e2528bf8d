package claudeforce

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/budget"
	"github.com/claude-force/claude-force/plan"
	"github.com/claude-force/claude-force/workflow"
)

// maxProblems bounds how many problems a plan lists.
const maxProblems = 100

// Sizes by which prompts are judged.
const (
	largePrompt = 400_000 // characters below which every prompt fits
	sureExcess  = 1.5     // by how much an estimate must exceed a window to be sure
)

// checkSize returns an error for a task that is larger than its model's context
// window beyond doubt, so that it is not sent: the service would refuse it each time.
func (o *Orchestrator) checkSize(ctx context.Context, t Task) error {
	size := len(t.Prompt)
	for _, s := range t.SharedContext {
		size += len(s)
	}
	if len(t.Media) > 0 {
		size = largePrompt // it says little
	}
	if size < largePrompt {
		return nil
	}
	req, _, err := o.tasks.Request(ctx, t)
	if err != nil {
		return nil //nolint:nilerr // the run of the task reports it
	}
	return o.tooLargeFor(req, sureExcess)
}

// tooLargeFor returns the error of a request whose estimated size exceeds its
// model's context window by a factor; nil if it fits, or if the window is unknown.
func (o *Orchestrator) tooLargeFor(req *llm.Request, factor float64) error {
	prices := o.pipe.Prices()
	info, ok := prices.Info(req.Model)
	if !ok || info.Context == 0 {
		return nil
	}
	tokens := prices.EstimateTokens(req.Model, o.characters(req))
	if float64(tokens) <= factor*float64(info.Context) {
		return nil
	}
	return &llm.Error{
		Code:    llm.CodeTooLarge,
		Message: fmt.Sprintf("the prompt is about %s tokens, and %s takes %s; attach fewer files, or sum up in parts first", thousands(tokens), req.Model, thousands(info.Context)),
	}
}

func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// problem records what will stop a unit. The caller holds mu.
func (r *dryRun) problem(s *workflow.Step, path, item, message string) {
	p := plan.Problem{Step: path, Item: item, Message: message}
	p.File, p.Line = r.place(path)
	p.Tolerated = s != nil && s.OnFailure != "" && s.OnFailure != workflow.OnFailureFail
	if len(r.problems) < maxProblems && !slices.Contains(r.problems, p) {
		r.problems = append(r.problems, p)
	}
}

// failed records a unit that fails in the dry run, if it will in a run: if nothing
// that it needs depends on an answer that is not known yet. The caller holds mu.
func (r *dryRun) failed(ev engine.Event) {
	s := ev.Step
	if ev.Err == nil || s == nil || s.Body != nil {
		return // what is within it says why
	}
	if r.tainted(ev.Path, ev.Item) && !(attached(ev.Err) && filesKnown(s)) {
		return
	}
	if s.Foreach != nil && ev.Item == "" && len(r.problems) > 0 && r.problems[len(r.problems)-1].Step == ev.Path {
		return // its items said why
	}
	r.problem(s, ev.Path, cmp.Or(ev.Label, ev.Item), ev.Err.Error())
}

// attachError is an error of reading a step's files.
type attachError struct{ err error }

func (e attachError) Error() string { return e.err.Error() }
func (e attachError) Unwrap() error { return e.err }

func (r *dryRun) attach(ctx context.Context, patterns []string) (engine.Attached, error) {
	files, err := r.o.attach(ctx, patterns)
	if err != nil && ctx.Err() == nil {
		err = attachError{err}
	}
	return files, err
}

// filesKnown reports whether which files a step attaches depends on no answer.
func filesKnown(s *workflow.Step) bool {
	if !known(s.Files) {
		return false
	}
	return s.Foreach == nil || len(s.Foreach.Glob) > 0 && known(s.Foreach.Glob)
}

// known reports whether values are known before the run, but for items.
func known[V interface {
	Uses() iter.Seq2[string, string]
}](list []V) bool {
	for _, v := range list {
		for root := range v.Uses() {
			if root != "params" && root != "vars" && root != "env" && root != "run" && root != "item" && root != "index" {
				return false
			}
		}
	}
	return true
}

// smallest records what the smallest call costs that a run can start with.
func (r *dryRun) smallest(req *llm.Request, path string) {
	prices := r.o.pipe.Prices()
	usd, ok := prices.Cost(req.Model, llm.Usage{
		InputTokens: prices.EstimateTokens(req.Model, r.o.characters(req)), OutputTokens: budget.LeastAnswer(req.MaxTokens), Batch: req.Batch,
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.started = r.started || !ok // a call without a price is no matter of money
	if ok && (r.least == nil || usd < *r.least) {
		r.least, r.leastStep = &usd, path
	}
}

// checkBudget records that a budget has no room for any of the calls with which the
// run starts.
func (r *dryRun) checkBudget(usd *float64) {
	if usd == nil || r.started || r.least == nil || *r.least <= *usd {
		return
	}
	r.problems = append(r.problems, plan.Problem{Message: fmt.Sprintf(
		"the budget of $%s has no room for the first call: the smallest, step %s, needs about $%s; raise the budget, or choose a cheaper model",
		amount(*usd), r.leastStep, amount(*r.least))})
}

// amount writes dollars with three significant digits, without an exponent.
func amount(usd float64) string {
	if usd == 0 {
		return "0"
	}
	text := fmt.Sprintf("%.10f", usd)
	digits, seen := 0, false
	for i, c := range text {
		seen = seen || c >= '1' && c <= '9'
		if seen && c != '.' {
			digits++
		}
		if digits == 3 && strings.Contains(text[:i], ".") {
			return strings.TrimSuffix(strings.TrimRight(text[:i+1], "0"), ".")
		}
	}
	return cmp.Or(strings.TrimSuffix(strings.TrimRight(text, "0"), "."), "0")
}

// attached reports whether an error is of reading a step's files.
func attached(err error) bool {
	_, ok := errors.AsType[attachError](err)
	return ok
}
