package telemetry

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/claude-force/claude-force/llm"
)

// Buckets that the GenAI conventions name.
var (
	tokenBounds  = []float64{1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864}
	secondBounds = []float64{0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92}
)

// instruments are the metrics of OpenTelemetry.
type instruments struct {
	tokens     metric.Float64Histogram
	duration   metric.Float64Histogram
	firstChunk metric.Float64Histogram
	service    metric.Float64Histogram
	waiting    metric.Float64Histogram
	calls      metric.Int64Counter
	cost       metric.Float64Counter
	saved      metric.Float64Counter
	steps      metric.Int64Counter
	tools      metric.Int64Counter
	toolTime   metric.Float64Histogram
}

func newInstruments(m metric.Meter) (*instruments, error) {
	var i instruments
	var errs [11]error
	i.tokens, errs[0] = m.Float64Histogram("gen_ai.client.token.usage", metric.WithUnit("{token}"),
		metric.WithDescription("Tokens that calls used."), metric.WithExplicitBucketBoundaries(tokenBounds...))
	i.duration, errs[1] = m.Float64Histogram("gen_ai.client.operation.duration", metric.WithUnit("s"),
		metric.WithDescription("How long calls to the service took, retries and waiting included."), metric.WithExplicitBucketBoundaries(secondBounds...))
	i.firstChunk, errs[2] = m.Float64Histogram("gen_ai.client.operation.time_to_first_chunk", metric.WithUnit("s"),
		metric.WithDescription("How long the service took until an answer began, without waiting."), metric.WithExplicitBucketBoundaries(secondBounds...))
	i.calls, errs[3] = m.Int64Counter("claude_force.calls", metric.WithUnit("{call}"), metric.WithDescription("Calls that ended, whatever answered them."))
	i.cost, errs[4] = m.Float64Counter("claude_force.cost", metric.WithUnit("{USD}"), metric.WithDescription("What calls cost, as far as prices are known."))
	i.saved, errs[5] = m.Float64Counter("claude_force.saved", metric.WithUnit("{USD}"), metric.WithDescription("What answers would have cost that were there already."))
	i.steps, errs[6] = m.Int64Counter("claude_force.steps", metric.WithUnit("{step}"), metric.WithDescription("Steps, items and iterations that ended, by status."))
	i.service, errs[7] = m.Float64Histogram("claude_force.call.service_time", metric.WithUnit("s"),
		metric.WithDescription("How long the service took for the attempts that answered, without waiting."), metric.WithExplicitBucketBoundaries(secondBounds...))
	i.waiting, errs[8] = m.Float64Histogram("claude_force.call.waiting_time", metric.WithUnit("s"),
		metric.WithDescription("How long calls waited with no request in flight: for a slot, a limit, a budget, between attempts."), metric.WithExplicitBucketBoundaries(secondBounds...))
	i.tools, errs[9] = m.Int64Counter("claude_force.tool.calls", metric.WithUnit("{call}"), metric.WithDescription("Calls of tools that ended, by tool and outcome."))
	i.toolTime, errs[10] = m.Float64Histogram("claude_force.tool.duration", metric.WithUnit("s"),
		metric.WithDescription("How long calls of tools took."), metric.WithExplicitBucketBoundaries(secondBounds...))
	return &i, errors.Join(errs[:]...)
}

func (i *instruments) call(ctx context.Context, req *llm.Request, e Ended, source string) {
	who := metric.WithAttributes(attribute.String("claude_force.source", source),
		attribute.String("gen_ai.request.model", req.Model), attribute.String("gen_ai.agent.name", req.Agent))
	i.calls.Add(ctx, 1, who)
	if e.CostUSD != nil && *e.CostUSD > 0 {
		i.cost.Add(ctx, *e.CostUSD, who)
	}
	if e.SavedUSD != nil && *e.SavedUSD > 0 {
		i.saved.Add(ctx, *e.SavedUSD, who)
	}
	if e.Source != llm.SourceLive && e.Code == 0 {
		return // nothing was asked of the service
	}
	attrs := []attribute.KeyValue{
		attribute.String("gen_ai.operation.name", "chat"), attribute.String("gen_ai.provider.name", "anthropic"),
		attribute.String("gen_ai.request.model", req.Model),
	}
	if e.Response != nil {
		attrs = append(attrs, attribute.String("gen_ai.response.model", e.Response.Model))
	}
	if e.Code != 0 {
		attrs = append(attrs, attribute.String("error.type", e.Code.String()))
	}
	set := metric.WithAttributes(attrs...)
	i.duration.Record(ctx, e.Duration.Seconds(), set)
	if e.Service > 0 {
		i.service.Record(ctx, e.Service.Seconds(), set)
	}
	if e.Service > 0 || e.Waited > 0 {
		i.waiting.Record(ctx, e.Waited.Seconds(), set)
	}
	if e.FirstToken > 0 {
		i.firstChunk.Record(ctx, e.FirstToken.Seconds(), set)
	}
	if e.Response != nil {
		i.tokens.Record(ctx, float64(e.Usage.PromptTokens()), set, metric.WithAttributes(attribute.String("gen_ai.token.type", "input")))
		i.tokens.Record(ctx, float64(e.Usage.OutputTokens), set, metric.WithAttributes(attribute.String("gen_ai.token.type", "output")))
	}
}

// Counters holds the metrics for Prometheus. A nil *Counters counts nothing.
type Counters struct {
	calls, tokens, cost, saved *counter
	hits, retries              *counter
	waits, waited              *counter
	pauses, paused             *counter
	hedges                     *counter
	runs, steps                *counter
	tools                      *counter
	callSeconds, firstToken    *histogram
	service, waiting           *histogram
	runSeconds                 *histogram
	toolSeconds                *histogram
	keys                       *keyCounters
}

// NewCounters registers the metrics with reg. A second call with the same
// registry returns the same metrics, so that several orchestrators of a program
// can share one. It panics if the registry has other metrics of these names.
func NewCounters(reg prometheus.Registerer) *Counters {
	return &Counters{
		calls:       newCounter(reg, "claude_force_calls_total", "Calls that ended, by what answered them (none: failed, then code says why).", "agent", "model", "source", "code"),
		tokens:      newCounter(reg, "claude_force_tokens_total", "Tokens of calls to the service, by kind.", "model", "kind"),
		cost:        newCounter(reg, "claude_force_cost_usd_total", "What calls cost, as far as prices are known.", "agent", "model"),
		saved:       newCounter(reg, "claude_force_saved_usd_total", "What answers would have cost that were there already.", "agent", "model", "source"),
		hits:        newCounter(reg, "claude_force_cache_hits_total", "Calls that the response cache answered."),
		retries:     newCounter(reg, "claude_force_retries_total", "Attempts after the first, by how the one before failed.", "after"),
		waits:       newCounter(reg, "claude_force_rate_limit_waits_total", "Waits of single calls that a rate limit asked for."),
		waited:      newCounter(reg, "claude_force_rate_limit_wait_seconds_total", "Time that rate limits asked single calls to wait."),
		pauses:      newCounter(reg, "claude_force_pool_pauses_total", "Times that all calls of a pool of models waited, since the service refused one or was down.", "pool"),
		paused:      newCounter(reg, "claude_force_pool_pause_seconds_total", "Time that pools of models were to wait.", "pool"),
		hedges:      newCounter(reg, "claude_force_hedged_calls_total", "Calls that were sent twice since the first was late, by whose answer was taken.", "model", "winner"),
		runs:        newCounter(reg, "claude_force_runs_total", "Runs that ended, by status.", "status"),
		steps:       newCounter(reg, "claude_force_steps_total", "Steps, items and iterations that ended, by status.", "status"),
		tools:       newCounter(reg, "claude_force_tool_calls_total", "Calls of tools that ended, by outcome (ok, failed, denied).", "agent", "tool", "outcome"),
		callSeconds: newHistogram(reg, "claude_force_call_duration_seconds", "How long calls took, waiting included, by what answered them.", secondBounds, "model", "source"),
		firstToken:  newHistogram(reg, "claude_force_first_token_seconds", "How long the service took until an answer began, without waiting.", secondBounds, "model"),
		service:     newHistogram(reg, "claude_force_call_service_seconds", "How long the service took for the attempts that answered, without waiting.", secondBounds, "model"),
		waiting:     newHistogram(reg, "claude_force_call_waiting_seconds", "How long calls waited with no request in flight: for a slot, a limit, a budget, between attempts.", secondBounds, "model"),
		runSeconds:  newHistogram(reg, "claude_force_run_duration_seconds", "How long runs took.", []float64{0.1, 1, 5, 15, 60, 300, 900, 3600, 14400}, "status"),
		toolSeconds: newHistogram(reg, "claude_force_tool_duration_seconds", "How long calls of tools took.", secondBounds, "tool"),
		keys:        register(reg, newKeyCounters()),
	}
}

// counter is a counter that accepts every value: the library panics on a value
// below 0 and on a label that is not UTF-8, and neither may end a run.
type counter struct{ vec *prometheus.CounterVec }

// newCounter registers a counter. Without labels it is exported as 0 from the start.
func newCounter(reg prometheus.Registerer, name, help string, labels ...string) *counter {
	c := &counter{register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels))}
	if len(labels) == 0 {
		c.vec.WithLabelValues()
	}
	return c
}

// Add adds v to the series with these label values. It ignores v below 0.
func (c *counter) Add(v float64, labels ...string) {
	if series := c.vec.WithLabelValues(validLabels(labels)...); v > 0 {
		series.Add(v)
	}
}

// histogram is a histogram that accepts every label.
type histogram struct{ vec *prometheus.HistogramVec }

func newHistogram(reg prometheus.Registerer, name, help string, bounds []float64, labels ...string) *histogram {
	return &histogram{register(reg, prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: bounds}, labels))}
}

// Observe counts v in the series with these label values.
func (h *histogram) Observe(v float64, labels ...string) {
	h.vec.WithLabelValues(validLabels(labels)...).Observe(v)
}

// register registers c, or returns the equal collector that reg has already.
func register[C prometheus.Collector](reg prometheus.Registerer, c C) C {
	err := reg.Register(c)
	if registered, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if same, ok := registered.ExistingCollector.(C); ok {
			return same
		}
	}
	if err != nil {
		panic(err)
	}
	return c
}

// validLabels replaces bytes that are not UTF-8.
func validLabels(labels []string) []string {
	for i, label := range labels {
		labels[i] = strings.ToValidUTF8(label, "\uFFFD")
	}
	return labels
}

func (c *Counters) call(ctx context.Context, req *llm.Request, e Ended, source string) {
	if c == nil {
		return
	}
	code := ""
	if e.Code != 0 {
		code = e.Code.String()
	}
	c.calls.Add(1, req.Agent, req.Model, source, code)
	c.keys.count(llm.TagsOf(ctx), &e)
	c.callSeconds.Observe(e.Duration.Seconds(), req.Model, source)
	if e.Service > 0 {
		c.service.Observe(e.Service.Seconds(), req.Model)
	}
	if e.Service > 0 || e.Waited > 0 {
		c.waiting.Observe(e.Waited.Seconds(), req.Model)
	}
	if e.CostUSD != nil {
		c.cost.Add(*e.CostUSD, req.Agent, req.Model)
	}
	if e.SavedUSD != nil && *e.SavedUSD > 0 {
		c.saved.Add(*e.SavedUSD, req.Agent, req.Model, source)
	}
	switch e.Source {
	case llm.SourceCache:
		c.hits.Add(1)
	case llm.SourceLive:
		model := cmp.Or(e.Response.Model, req.Model)
		c.tokens.Add(float64(e.Usage.InputTokens), model, "input")
		c.tokens.Add(float64(e.Usage.OutputTokens), model, "output")
		c.tokens.Add(float64(e.Usage.CacheReadTokens), model, "cache_read")
		c.tokens.Add(float64(e.Usage.CacheWrite5m+e.Usage.CacheWrite1h), model, "cache_write")
		if e.FirstToken > 0 {
			c.firstToken.Observe(e.FirstToken.Seconds(), req.Model)
		}
	}
}

func (c *Counters) retry(after string) {
	if c != nil {
		c.retries.Add(1, after)
	}
}

// Waiting counts a wait before another attempt, if a rate limit asked for it.
func (t *Telemetry) Waiting(wait time.Duration, err error) {
	if t != nil && t.counters != nil && llm.CodeOf(err) == llm.CodeRateLimit {
		t.counters.waits.Add(1)
		t.counters.waited.Add(wait.Seconds())
	}
}

// Paused counts a time in which a pool of models is not asked.
func (t *Telemetry) Paused(pool string, wait time.Duration) {
	if t != nil && t.counters != nil {
		t.counters.pauses.Add(1, pool)
		t.counters.paused.Add(wait.Seconds(), pool)
	}
}

// Hedged counts and logs a call that was sent a second time after a wait, since
// the first was late. The winner says whose answer was taken.
func (t *Telemetry) Hedged(ctx context.Context, model, winner string, after time.Duration) {
	if t == nil {
		return
	}
	if t.counters != nil {
		t.counters.hedges.Add(1, model, winner)
	}
	t.logAt(ctx, slog.LevelDebug, "call hedged", slog.String("model", model), slog.String("winner", winner), slog.Float64("after_seconds", after.Seconds()))
}

// ends are how steps end. Whatever else is said is counted together, so that
// there are so many series and no more.
var ends = []string{"completed", "partial", "failed", "skipped", "interrupted", "cancelled"}

func (t *Telemetry) stepEnded(ctx context.Context, status string) {
	if !slices.Contains(ends, status) {
		status = "other"
	}
	t.meters.steps.Add(ctx, 1, metric.WithAttributes(attribute.String("claude_force.step.status", status)))
	if t.counters != nil {
		t.counters.steps.Add(1, status)
	}
}

func (c *Counters) run(status string, took time.Duration) {
	if c != nil {
		c.runs.Add(1, status)
		c.runSeconds.Observe(took.Seconds(), status)
	}
}
