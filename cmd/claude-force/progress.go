package main

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/internal/amount"
	"github.com/claude-force/claude-force/internal/terminal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/pipeline"
	"github.com/claude-force/claude-force/task"
	"github.com/claude-force/claude-force/workflow"
)

// progress shows the progress of a run.
type progress interface {
	observe(engine.Event)
	close()
}

// newProgress returns live progress on a terminal and plain lines elsewhere.
// totals returns the tokens and the cost so far.
func (a *app) newProgress(wf *workflow.Workflow, totals func() pipeline.Totals) progress {
	if a.quiet {
		return silent{}
	}
	if a.terminal {
		l := newLive(a.draw(), len(wf.Steps), totals)
		a.tooling.to(l.tool)
		return l
	}
	return plain{a}
}

// silent shows no progress.
type silent struct{}

func (silent) observe(engine.Event) {}
func (silent) close()               {}

// draw returns where progress is drawn: the standard error as it is, since drawing
// moves the cursor. Text from elsewhere must be cleaned for it.
func (a *app) draw() io.Writer {
	if a.drawing != nil {
		return a.drawing
	}
	return a.stderr
}

// plain writes one line per change.
type plain struct{ *app }

func (p plain) observe(ev engine.Event) {
	switch {
	case ev.Status == engine.StatusRunning && ev.Items > 0:
		p.say("%s: %s", ev.Name(), plural(ev.Items, "item"))
	case ev.Status == engine.StatusRunning && ev.Attempt > 1:
		p.say("%s: attempt %d (%s)", ev.Name(), ev.Attempt, ev.Agent())
	case ev.Status == engine.StatusRunning:
		p.say("%s: started%s", ev.Name(), by(ev.Agent()))
	case ev.Asked != nil:
		p.say("%s: waits for approval: %s", ev.Name(), terminal.Clean(ev.Asked.Message))
	case ev.Status == engine.StatusWaiting:
		p.say("%s: attempt %d failed: %v; next in %s", ev.Name(), ev.Attempt, ev.Err, ev.Wait.Round(time.Second))
	default:
		p.say("%s", ended(ev))
	}
}

func (plain) close() {}

// by names the agent of a step that has one.
func by(agent string) string {
	if agent == "" {
		return ""
	}
	return " (" + agent + ")"
}

// ended returns one line on a step that has ended.
func ended(ev engine.Event) string {
	r := ev.Result
	switch ev.Status {
	case engine.StatusCompleted:
		from := string(r.Source)
		if ev.Restored {
			from = "finished before"
		}
		if from != "" {
			from = " · " + from
		}
		return fmt.Sprintf("%s: completed in %s%s · %s · %s", ev.Name(), tookOf(r),
			from, plural(r.Usage.TotalTokens(), "token"), dollars(r.CostUSD))
	case engine.StatusFailed:
		return fmt.Sprintf("%s: failed after %s: %s", ev.Name(), tookOf(r), withHint(ev.Err))
	case engine.StatusSkipped:
		return fmt.Sprintf("%s: skipped: %s", ev.Name(), *r.Error)
	}
	return fmt.Sprintf("%s: %s", ev.Name(), ev.Status)
}

// tooling passes calls of tools to what shows progress at the moment, if anything
// does. It is safe for concurrent use.
type tooling struct {
	mu   sync.Mutex
	show func(tags llm.Tags, line string)
}

func (t *tooling) observe(ctx context.Context, ev task.ToolEvent) {
	if ev.Done && !ev.IsError {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.show != nil {
		t.show(llm.TagsOf(ctx), toolLine(ev))
	}
}

// to makes show receive a line for each call that starts or fails, one at a time.
func (t *tooling) to(show func(tags llm.Tags, line string)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.show = show
}

// live draws a line per running step, and below them a bar over all. Its
// methods are called from one goroutine; what the drawing reads from another
// is atomic, since a lock held while a bar is changed could wait for the
// drawing, and the drawing for the lock.
type live struct {
	bars  *mpb.Progress
	total *mpb.Bar
	lines sync.Map // of string to *line; calls of tools come from other goroutines
}

// tool shows the call of a tool behind the step that makes it.
func (l *live) tool(tags llm.Tags, text string) {
	if ln := l.line(tags.Step + " " + tags.Item); ln != nil {
		ln.note.Store(" · " + firstLine(text, 60))
	}
}

// line returns the line of a running step, or nil.
func (l *live) line(key string) *line {
	ln, _ := l.lines.Load(key)
	found, _ := ln.(*line)
	return found
}

// line is one running step.
type line struct {
	bar  *mpb.Bar
	note atomic.Value // string: what to say behind the time
}

func newLive(w io.Writer, steps int, totals func() pipeline.Totals) *live {
	bars := mpb.New(mpb.WithOutput(w), mpb.WithWidth(40))
	return &live{bars: bars, total: newBar(bars, steps, "steps", totals)}
}

// newBar returns a bar over n things, with the time, tokens and cost so far.
func newBar(bars *mpb.Progress, n int, things string, totals func() pipeline.Totals) *mpb.Bar {
	start := time.Now()
	return bars.New(int64(n), mpb.BarStyle().Lbound("[").Filler("=").Tip(">").Padding(" ").Rbound("]"),
		mpb.BarPriority(1<<30),
		mpb.PrependDecorators(decor.CountersNoUnit("%d/%d "+things+" ")),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string {
			t := totals()
			return fmt.Sprintf(" %s · %s · %s", amount.Seconds(time.Since(start).Seconds()), plural(t.Usage.TotalTokens(), "token"), dollars(&t.CostUSD))
		})))
}

func (l *live) observe(ev engine.Event) {
	key := ev.Path + " " + ev.Item
	ln := l.line(key)
	switch ev.Status {
	case engine.StatusRunning:
		switch {
		case ev.Items > 0:
			ln.note.Store(" (" + plural(ev.Items, "item") + ")")
		case ln == nil:
			l.start(key, ev)
		default:
			ln.note.Store(fmt.Sprintf(" (attempt %d)", ev.Attempt))
		}
	case engine.StatusWaiting:
		if ln == nil {
			l.start(key, ev)
			ln = l.line(key)
		}
		if ev.Asked != nil {
			ln.note.Store(" (waits for approval: " + firstLine(terminal.Clean(ev.Asked.Message), 60) + ")")
		} else {
			ln.note.Store(fmt.Sprintf(" (next attempt in %s: %s)", ev.Wait.Round(time.Second), firstLine(terminal.Clean(ev.Err.Error()), 60)))
		}
	default:
		if ln != nil {
			ln.bar.Abort(true)
			l.lines.Delete(key)
		}
		// A write between two drawings; it fails only if the drawing has ended.
		fmt.Fprintln(l.bars, terminal.Clean(ended(ev)))
		if !ev.Inner {
			l.total.Increment()
		}
	}
}

func (l *live) start(key string, ev engine.Event) {
	ln, started := &line{}, time.Now()
	ln.note.Store("")
	l.lines.Store(key, ln)
	name, agent := terminal.Line(ev.Name()), terminal.Line(ev.Agent())
	if agent != "" {
		agent = " · " + agent
	}
	spinner := []rune(`|/-\`)
	ln.bar = l.bars.New(0, mpb.NopStyle(), mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Any(func(decor.Statistics) string {
			elapsed := time.Since(started)
			return fmt.Sprintf("  %c %s%s · %s%s", spinner[int(elapsed/(120*time.Millisecond))%len(spinner)],
				name, agent, amount.Seconds(elapsed.Seconds()), ln.note.Load())
		})))
}

func (l *live) close() {
	for _, ln := range l.lines.Range {
		ln.(*line).bar.Abort(true)
	}
	finish(l.bars, l.total)
}

func finish(bars *mpb.Progress, bar *mpb.Bar) {
	if !bar.Completed() {
		bar.Abort(false)
	}
	bars.Wait()
}

// counter shows how many of a list of tasks are done, if the standard error is
// a terminal that answers are not written to. The returned functions are to be
// called after each task and at the end.
func (a *app) counter(tasks int, totals func() pipeline.Totals) (done, end func()) {
	if !a.terminal || a.answersOnTerminal || tasks < 2 {
		return func() {}, func() {}
	}
	bars := mpb.New(mpb.WithOutput(a.draw()), mpb.WithWidth(40))
	bar := newBar(bars, tasks, "tasks", totals)
	return bar.Increment, func() { finish(bars, bar) }
}
