package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
)

// Run is a run under way. A nil *Run does nothing.
type Run struct {
	t     *Telemetry
	id    string
	ctx   context.Context // of the run's span
	span  trace.Span
	start time.Time

	mu    sync.Mutex // guards the field below: attempts look for their step's span
	steps map[journal.Unit]openStep
}

type openStep struct {
	ctx  context.Context
	span trace.Span
}

// Change is a change of one step of a run; see the engine's Event.
type Change struct {
	Path, Item string
	Agent      string
	Status     string
	Attempt    int
	Wait       time.Duration
	Err        error
	Restored   bool          // it was finished before
	Source     string        // of its answer
	Service    time.Duration // of the service, for its answers
	Waited     time.Duration // nothing was in flight
}

// Run begins a run; what happens in it gets the context that is returned.
func (t *Telemetry) Run(ctx context.Context, id, workflow string, resumed bool) (context.Context, *Run) {
	if t == nil {
		return ctx, nil
	}
	name := "invoke_workflow"
	attrs := []attribute.KeyValue{
		attribute.String("gen_ai.operation.name", "invoke_workflow"),
		attribute.String("claude_force.run.id", id),
	}
	if workflow != "" {
		name += " " + workflow
		attrs = append(attrs, attribute.String("gen_ai.workflow.name", workflow))
	}
	if resumed {
		attrs = append(attrs, attribute.Bool("claude_force.run.resumed", true))
	}
	r := &Run{t: t, id: id, start: time.Now(), steps: map[journal.Unit]openStep{}}
	ctx, r.span = t.tracer.Start(ctx, name, trace.WithAttributes(attrs...))
	r.ctx = context.WithValue(ctx, whereKey{}, where{run: r})
	t.logAt(r.ctx, slog.LevelInfo, "run started", slog.String("workflow", workflow), slog.Bool("resumed", resumed))
	return r.ctx, r
}

// Observe takes in a change. Calls must follow one another.
func (r *Run) Observe(c Change) {
	if r == nil {
		return
	}
	id := journal.Unit{Step: c.Path, Item: c.Item}
	r.mu.Lock()
	open, known := r.steps[id]
	if !known {
		open = r.open(c)
		r.steps[id] = open
	}
	r.mu.Unlock()
	switch c.Status {
	case "pending", "running":
		r.t.logAt(open.ctx, slog.LevelDebug, "step "+c.Status, slog.String("agent", c.Agent), slog.Int("attempt", c.Attempt))
	case "waiting":
		r.wait(open, c)
	default:
		r.close(id, open, c)
	}
}

// open begins the span of a step, below what it is within.
func (r *Run) open(c Change) openStep {
	attrs := []attribute.KeyValue{
		attribute.String("claude_force.run.id", r.id),
		attribute.String("claude_force.step.id", c.Path),
	}
	if c.Item != "" {
		attrs = append(attrs, attribute.String("claude_force.step.item", c.Item))
	}
	if c.Agent != "" {
		attrs = append(attrs, attribute.String("gen_ai.agent.name", c.Agent))
	}
	ctx, span := r.t.tracer.Start(r.above(journal.Unit{Step: c.Path, Item: c.Item}), "step "+c.Path, trace.WithAttributes(attrs...))
	return openStep{context.WithValue(ctx, whereKey{}, where{r, c.Path, c.Item}), span}
}

// above returns the context of what a unit is within: of the foreach for an item, of
// the loop for an iteration, of the step for one within it, else of the run.
func (r *Run) above(u journal.Unit) context.Context {
	for outer := range u.Outer() {
		if open, ok := r.steps[outer]; ok {
			return open.ctx
		}
	}
	return r.ctx
}

func (r *Run) wait(open openStep, c Change) {
	if c.Err == nil { // for a person
		open.span.AddEvent("claude_force.waiting")
		r.t.logAt(open.ctx, slog.LevelInfo, "step waits for approval")
		return
	}
	code := llm.CodeOf(c.Err).String()
	open.span.AddEvent("claude_force.step.retry", trace.WithAttributes(
		attribute.Int("claude_force.attempt", c.Attempt), attribute.String("error.type", code),
		attribute.Float64("claude_force.wait_seconds", c.Wait.Seconds())))
	r.t.logAt(open.ctx, slog.LevelWarn, "step will be tried again", slog.Int("attempt", c.Attempt), slog.Duration("wait", c.Wait), slog.String("code", code))
}

func (r *Run) close(id journal.Unit, open openStep, c Change) {
	r.mu.Lock()
	delete(r.steps, id)
	r.mu.Unlock()
	attrs := []attribute.KeyValue{attribute.String("claude_force.step.status", c.Status)}
	if c.Attempt > 1 {
		attrs = append(attrs, attribute.Int("claude_force.step.attempts", c.Attempt))
	}
	if c.Source != "" {
		attrs = append(attrs, attribute.String("claude_force.source", c.Source))
	}
	if c.Service > 0 || c.Waited > 0 {
		attrs = append(attrs, attribute.Float64("claude_force.service_seconds", c.Service.Seconds()), attribute.Float64("claude_force.waited_seconds", c.Waited.Seconds()))
	}
	if c.Restored {
		attrs = append(attrs, attribute.Bool("claude_force.step.restored", true))
	}
	open.span.SetAttributes(attrs...)
	level, kind := slog.LevelInfo, ""
	if c.Err != nil {
		fail(open.span, c.Err)
		level, kind = slog.LevelError, llm.CodeOf(c.Err).String()
	}
	open.span.End()
	r.t.stepEnded(open.ctx, c.Status)
	line := []slog.Attr{slog.String("status", c.Status)}
	if c.Source != "" {
		line = append(line, slog.String("source", c.Source))
	}
	if c.Service > 0 || c.Waited > 0 {
		line = append(line, slog.Duration("service", c.Service), slog.Duration("waited", c.Waited))
	}
	if kind != "" {
		line = append(line, slog.String("code", kind))
	}
	r.t.logAt(open.ctx, level, "step ended", line...)
}

// End ends the run with its status.
func (r *Run) End(status string, err error) {
	if r == nil {
		return
	}
	r.mu.Lock()
	for _, open := range r.steps { // of what was stopped
		open.span.SetAttributes(attribute.String("claude_force.step.status", "interrupted"))
		open.span.End()
		r.t.stepEnded(open.ctx, "interrupted")
	}
	clear(r.steps)
	r.mu.Unlock()
	r.span.SetAttributes(attribute.String("claude_force.run.status", status))
	level := slog.LevelInfo
	if err != nil {
		fail(r.span, err)
	}
	if err != nil || status == "failed" {
		level = slog.LevelError
		r.span.SetStatus(codes.Error, status)
	}
	r.span.End()
	r.t.counters.run(status, time.Since(r.start))
	r.t.logAt(r.ctx, level, "run ended", slog.String("status", status), slog.Duration("took", time.Since(r.start)))
}

// RunEnded reports the end of a run that several processes executed, to the one of them that
// wrote it. Took is the time since it was started.
func (t *Telemetry) RunEnded(ctx context.Context, id, status string, took time.Duration) {
	if t == nil {
		return
	}
	t.counters.run(status, took)
	t.logAt(ctx, slog.LevelInfo, "run ended", slog.String("run", id), slog.String("status", status), slog.Duration("took", took))
}

// StepEnded counts the end of a step of such a run, in the process that wrote it.
func (t *Telemetry) StepEnded(ctx context.Context, status string) {
	if t != nil {
		t.stepEnded(ctx, status)
	}
}

// Step returns a context within a step that was observed to start, for what its attempts do.
func Step(ctx context.Context, path, item string) context.Context {
	r := placeOf(ctx).run
	if r == nil {
		return ctx
	}
	r.mu.Lock()
	open, ok := r.steps[journal.Unit{Step: path, Item: item}]
	r.mu.Unlock()
	if !ok {
		return ctx
	}
	ctx = trace.ContextWithSpan(ctx, open.span)
	return context.WithValue(ctx, whereKey{}, where{r, path, item})
}
