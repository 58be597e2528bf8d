package engine

import (
	"time"

	"github.com/claude-force/claude-force/journal"
)

// stretches is how many stretches the time of a step is divided into, to say when what is
// within it waited.
const stretches = 60

// within returns what all that is within a step of the workflow came to, for the event
// of its end; nil for any other unit, and for a step that has nothing within it.
func (r *run) within(u *unit) *journal.Within {
	if r.opts.Log == nil || u.node == nil || u.frame != r.root || u.step.Foreach == nil && u.step.Loop == nil && u.step.Body == nil {
		return nil
	}
	res := u.res
	w := &journal.Within{
		Items: len(res.Items), Usage: res.Usage, CostUSD: res.CostUSD, Calls: res.Calls, Turns: res.Turns, ToolCalls: res.ToolCalls, Timing: res.Timing,
	}
	for _, item := range res.Items {
		if item.Status == StatusCompleted {
			w.Completed++
		}
	}
	c := counter{within: w}
	if took := seconds(res.DurationSeconds) / stretches; took > 0 && res.StartedAt != nil && res.Measured() {
		c.start, c.stretch, c.busy = *res.StartedAt, took, make([]journal.Busy, stretches)
		w.Busy = c.busy
	}
	c.count(res, false)
	return w
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// counter counts what is within a step.
type counter struct {
	within  *journal.Within
	start   time.Time // of the step
	stretch time.Duration
	busy    []journal.Busy // nil if nothing was measured
}

// count counts a result and all within it. inItem reports whether it is that of an item, or
// within one: the events of others are in the outline of the run.
func (c *counter) count(res *StepResult, inItem bool) {
	if inItem && res.ModelReason != "" {
		if c.within.Chosen == nil {
			c.within.Chosen = map[string]int{}
		}
		c.within.Chosen[res.Model]++
	}
	if inItem && res.Changes != nil {
		c.within.Changed++
	}
	for _, item := range res.Items {
		c.count(item.StepResult, true)
	}
	for _, step := range res.Steps {
		c.count(step, inItem)
	}
	if c.busy == nil || len(res.Items)+len(res.Steps) > 0 || res.StartedAt == nil || !res.Measured() {
		return
	}
	begin := res.StartedAt.Sub(c.start)
	c.spread(begin, begin+seconds(res.DurationSeconds), func(b *journal.Busy, s float64) { b.RanSeconds += s })
	for _, f := range res.InFlight {
		at := begin + seconds(f.AtSeconds)
		c.spread(at, at+seconds(f.Seconds), func(b *journal.Busy, s float64) { b.InFlightSeconds += s })
	}
}

// spread calls add for each stretch that a time is in, with the seconds that are in it.
func (c *counter) spread(from, to time.Duration, add func(*journal.Busy, float64)) {
	for i := max(int(from/c.stretch), 0); i < len(c.busy); i++ {
		begin := time.Duration(i) * c.stretch
		if begin >= to {
			return
		}
		add(&c.busy[i], max(min(to, begin+c.stretch)-max(from, begin), 0).Seconds())
	}
}
