package pipeline

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/admission"
	"github.com/claude-force/claude-force/llm/cache"
	"github.com/claude-force/claude-force/llm/coalesce"
	"github.com/claude-force/claude-force/llm/fallback"
	"github.com/claude-force/claude-force/llm/hedge"
	"github.com/claude-force/claude-force/llm/promptcache"
	"github.com/claude-force/claude-force/llm/record"
	"github.com/claude-force/claude-force/llm/retry"
)

// layers are the wrappers of every pipeline, outermost first. To do without one,
// delete its line. A wrapper whose settings are off returns next itself.
var layers = []struct {
	name string
	wrap func(p *Pipeline, s *service, next llm.Model) llm.Model
}{
	{"trace", func(p *Pipeline, _ *service, next llm.Model) llm.Model { return p.traced(next) }},
	{"record", func(p *Pipeline, _ *service, next llm.Model) llm.Model { return p.recorded(next) }},
	{"key", func(p *Pipeline, _ *service, next llm.Model) llm.Model { return p.keyed(next) }},
	{"caller's own", func(p *Pipeline, _ *service, next llm.Model) llm.Model { return p.wrapped(next) }},
	{"cassette", func(p *Pipeline, _ *service, next llm.Model) llm.Model { return p.taped(next) }},
	{"cache", func(p *Pipeline, s *service, next llm.Model) llm.Model {
		return cache.New(next, p.cacheOptions(s.keyer))
	}},
	{"coalesce", func(p *Pipeline, s *service, next llm.Model) llm.Model {
		return coalesce.New(next, s.keyer, coalesce.Options{OnShared: p.opts.Telemetry.Shared})
	}},
	{"coalesce machines", func(p *Pipeline, s *service, next llm.Model) llm.Model { return p.sharedByMachines(next, s) }},
	{"fallback", func(p *Pipeline, _ *service, next llm.Model) llm.Model {
		return fallback.New(next, fallback.Options{Models: p.fallbackModels, OnFallback: p.fellBack})
	}},
	{"refusals", func(_ *Pipeline, s *service, next llm.Model) llm.Model { return s.refusals.Check(next) }},
	{"budget", func(_ *Pipeline, s *service, next llm.Model) llm.Model { return s.budget.Calls(next) }},
	{"key again", func(p *Pipeline, _ *service, next llm.Model) llm.Model { return p.checkModels(next) }},
	{"batch", func(p *Pipeline, s *service, next llm.Model) llm.Model { return p.batched(next, s) }},
	{"retry", func(p *Pipeline, _ *service, next llm.Model) llm.Model {
		return retry.New(next, retry.Options{Budget: retryBudget(p.config.Jobs), OnRetry: p.retrying})
	}},
	{"prompt cache", func(p *Pipeline, _ *service, next llm.Model) llm.Model {
		return promptcache.New(next, promptcache.Options{Prices: p.prices, Continues: p.continues})
	}},
	{"hedge", func(p *Pipeline, _ *service, next llm.Model) llm.Model {
		return hedge.New(next, hedge.Options{Quantile: p.config.Hedge, OnHedge: p.hedged})
	}},
	{"admission", func(p *Pipeline, _ *service, next llm.Model) llm.Model { return p.admitted(next) }},
	{"hedge start", func(_ *Pipeline, _ *service, next llm.Model) llm.Model { return hedge.MarkStart(next) }},
	{"refusals of attempts", func(_ *Pipeline, s *service, next llm.Model) llm.Model { return s.refusals.Watch(next) }},
	{"budget of attempts", func(_ *Pipeline, s *service, next llm.Model) llm.Model { return s.budget.Attempts(next) }},
	{"record of attempts", func(p *Pipeline, _ *service, next llm.Model) llm.Model { return p.recordedAttempts(next) }},
}

// build returns the service with all layers around it.
func (p *Pipeline) build(s *service) llm.Model {
	model := s.model
	for _, l := range slices.Backward(layers) {
		model = l.wrap(p, s, model)
	}
	return model
}

// Layers returns the names of the layers, outermost first, and of what they
// stand around.
func Layers() []string {
	var names []string
	for _, l := range layers {
		names = append(names, l.name)
	}
	return append(names, "provider")
}

// recorded returns next with every call measured.
func (p *Pipeline) recorded(next llm.Model) llm.Model {
	return record.New(next, record.Options{Prices: p.prices, Metered: p.opts.Replay == nil}, p.ended)
}

// recordedAttempts returns next with each request to the service measured.
func (p *Pipeline) recordedAttempts(next llm.Model) llm.Model {
	return record.Attempts(next, record.AttemptOptions{Prices: p.prices, Late: p.outlasted, OnSend: p.recordSent})
}

// wrapped returns next with the caller's own layer around it.
func (p *Pipeline) wrapped(next llm.Model) llm.Model {
	if p.opts.Wrap == nil {
		return next
	}
	return p.opts.Wrap(next)
}

// taped returns next with every call written to a cassette, if there is one.
func (p *Pipeline) taped(next llm.Model) llm.Model {
	if p.opts.Record == nil {
		return next
	}
	return p.opts.Record.Layer(next)
}

// admitted returns next with calls waiting for their turn.
func (p *Pipeline) admitted(next llm.Model) llm.Model {
	if p.limits == nil {
		return admission.New(next, p.gate)
	}
	return admission.NewLimited(next, p.gate, p.limits)
}

// paused tells the caller that the service has closed a pool of models.
func (p *Pipeline) paused(pause admission.Pause) {
	p.opts.Telemetry.Paused(pause.Pool, time.Until(pause.Until))
	if p.opts.OnPause != nil {
		p.opts.OnPause(p.background, pause)
	}
}

// answers tells the caller that a pool of models answers again.
func (p *Pipeline) answers(pool string) {
	if p.opts.OnAnswer != nil {
		p.opts.OnAnswer(p.background, pool)
	}
}

// fallbackModels returns the ids of the configured fallback models that the key of the
// call, if it has one, may call.
func (p *Pipeline) fallbackModels(ctx context.Context, _ *llm.Request) []string {
	var ids []string
	for _, name := range p.config.FallbackModels {
		if id := p.resolve(p.background, name); p.allowed(ctx, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// fellBack tells the user that another model is called instead of the first.
func (p *Pipeline) fellBack(ctx context.Context, f fallback.Fallback) {
	why := "it declined to answer"
	if f.Err != nil {
		why = f.Err.Error()
	}
	p.notice(ctx, fmt.Sprintf("asking %s instead of %s: %s", f.To, f.From, why))
}

// retryBudget returns the budget that all retries share, for a pipeline with so
// many calls in flight. It covers every attempt of the calls that an outage
// meets in flight, so a short one costs no call. Retries beyond that take half
// of one for each answer: a service that fails more than every third call is
// soon called once for each call.
func retryBudget(inFlight int) *retry.Budget {
	return retry.NewBudget(max(100, 4*inFlight), 0.5)
}

// retrying tells the caller of a retry.
func (p *Pipeline) retrying(ctx context.Context, attempt int, wait time.Duration, err error) {
	p.opts.Telemetry.Waiting(wait, err)
	if p.opts.OnRetry != nil {
		p.opts.OnRetry(ctx, Retry{Attempt: attempt, Wait: wait, Err: err})
	}
}
