package runs

import (
	"maps"
	"math"
	"slices"
	"time"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/workflow"
)

// Timeline is when the steps of a run worked and waited.
type Timeline struct {
	Begin, End time.Time // of all that has started; zero if nothing has
	Bars       []Bar     // the steps in file order, each with what is within it if asked for
}

// Bar is a row of a timeline: a step or an item.
type Bar struct {
	Name       string // its id; of an item its label in brackets
	Depth      int    // 0 for a step of the workflow, 1 for what is within it, and so on
	Critical   bool   // no other chain of steps took longer than the one that it is in
	Result     *engine.StepResult
	Within     *journal.Within // of items that were not read; nil if all are in Result
	Start, End time.Time       // zero if it never started

	work   []stretch // what is known of the time between
	person bool      // it waits for a person all the time
}

// Stroke is what a piece of a bar was mostly spent with.
type Stroke int

// Strokes of a bar.
const (
	Working Stroke = iota // requests were in flight, or what the step did is not known
	Waiting               // nothing was in flight, or the step waits for a person
	Tooling               // tools of the agent ran
)

// stretch is a time in which something ran, and when requests of it were in flight.
type stretch struct {
	start, end time.Time
	inFlight   [][2]time.Time
	tools      [][2]time.Time // when tools ran
}

// Timeline returns the steps of the run over time. Inner steps and items are summed up
// unless they are asked for.
func (d *Detail) Timeline(items bool) *Timeline {
	critical := map[string]bool{}
	path, _ := d.Workflow.CriticalPath(func(s *workflow.Step) time.Duration {
		return duration(d.Result.Steps[s.ID].DurationSeconds)
	})
	for _, id := range path {
		critical[id] = d.Result.Steps[id].StartedAt != nil
	}
	t, now, tools := &Timeline{}, time.Now(), d.toolTimes()
	for _, s := range d.Workflow.Steps {
		res := d.Result.Steps[s.ID]
		b := barOf(s.ID, 0, res, now, tools)
		b.Critical, b.person = critical[s.ID], s.Approval != nil
		if b.Within = d.Within[s.ID]; b.Within != nil {
			b.work = b.sumUp()
		}
		t.Bars = append(t.Bars, b)
		if items {
			t.Bars = append(t.Bars, inner(res, 1, now, tools)...)
		}
	}
	for _, b := range t.Bars {
		if b.Start.IsZero() {
			continue
		}
		if t.Begin.IsZero() || b.Start.Before(t.Begin) {
			t.Begin = b.Start
		}
		if b.End.After(t.End) {
			t.End = b.End
		}
	}
	return t
}

// Span returns how long all of the timeline is, at least a millisecond.
func (t *Timeline) Span() time.Duration { return max(t.End.Sub(t.Begin), time.Millisecond) }

// Draw returns the strokes of a bar on a timeline of so many cells, of which the first is
// in cell from. There are none if it never started. A cell is drawn as waiting if what
// ran in it waited for more than half of the time. If that is so of all, the one with the
// last work is drawn as working.
func (t *Timeline) Draw(b *Bar, cells int) (from int, strokes []Stroke) {
	if b.Start.IsZero() {
		return 0, nil
	}
	cell := float64(t.Span()) / float64(cells)
	from = min(int(float64(b.Start.Sub(t.Begin))/cell), cells-1)
	to := min(max(int(math.Ceil(float64(b.End.Sub(t.Begin))/cell)), from+1), cells)
	strokes = make([]Stroke, to-from)
	if len(b.work) == 0 {
		if b.waits() {
			for i := range strokes {
				strokes[i] = Waiting
			}
		}
		return from, strokes
	}
	begin := t.Begin.Add(time.Duration(float64(from) * cell))
	ran, flew, tooled := make([]float64, to-from), make([]float64, to-from), make([]float64, to-from)
	for _, w := range b.work {
		spread(ran, w.start.Sub(begin), w.end.Sub(begin), cell)
		for _, f := range w.inFlight {
			spread(flew, f[0].Sub(begin), f[1].Sub(begin), cell)
		}
		for _, f := range w.tools {
			spread(tooled, f[0].Sub(begin), f[1].Sub(begin), cell)
		}
	}
	working, last := false, -1
	for i := range strokes {
		strokes[i] = Waiting
		if tooled[i] > flew[i] && 2*tooled[i] >= ran[i]-flew[i] {
			strokes[i] = Tooling
			continue
		}
		if flew[i] > 0 {
			last = i
		}
		if flew[i] > 0 && 2*flew[i] >= ran[i] {
			strokes[i], working = Working, true
		}
	}
	if !working && last >= 0 {
		strokes[last] = Working
	}
	return from, strokes
}

// waits reports whether nothing is known of the bar but that it waits.
func (b *Bar) waits() bool {
	return len(b.work) == 0 && (b.person || b.Result.Status == engine.StatusWaiting)
}

// Idle returns the stretches of the timeline of at least a length in which no step
// worked and no tool ran, in order: all waited, or no process drove the run.
func (t *Timeline) Idle(least time.Duration) (idle [][2]time.Time) {
	var busy [][2]time.Time
	for i := range t.Bars {
		b := &t.Bars[i]
		switch {
		case b.Start.IsZero() || b.waits():
		case len(b.work) == 0:
			busy = append(busy, [2]time.Time{b.Start, b.End})
		}
		for _, w := range b.work {
			busy = append(append(busy, w.inFlight...), w.tools...)
		}
	}
	slices.SortFunc(busy, func(a, b [2]time.Time) int { return a[0].Compare(b[0]) })
	last := t.Begin
	for _, w := range append(busy, [2]time.Time{t.End, t.End}) {
		if w[0].Sub(last) >= least {
			idle = append(idle, [2]time.Time{last, w[0]})
		}
		if w[1].After(last) {
			last = w[1]
		}
	}
	return idle
}

// Cut returns the part of the timeline from one time to another. Bars that are not in it
// have not started.
func (t *Timeline) Cut(begin, end time.Time) *Timeline {
	part := &Timeline{Begin: begin, End: end}
	for _, b := range t.Bars {
		before := b.Start.Before(begin) && !b.End.After(begin)
		after := b.End.After(end) && !b.Start.Before(end)
		if before || after || b.Start.IsZero() {
			b.Start, b.End = time.Time{}, time.Time{}
		} else if b.Start.Before(begin) {
			b.Start = begin
		}
		if b.End.After(end) {
			b.End = end
		}
		part.Bars = append(part.Bars, b)
	}
	return part
}

// spread adds to each cell how much of it is between two times from the begin of the first.
func spread(cells []float64, start, end time.Duration, cell float64) {
	from, to := max(float64(start)/cell, 0), min(float64(end)/cell, float64(len(cells)))
	for i := int(from); float64(i) < to; i++ {
		cells[i] += min(to, float64(i+1)) - max(from, float64(i))
	}
}

// inner returns the rows of what is within a step.
func inner(res *engine.StepResult, depth int, now time.Time, tools whenTools) []Bar {
	var rows []Bar
	for _, item := range res.Items {
		rows = append(rows, barOf("["+item.Item+"]", depth, item.StepResult, now, tools))
		rows = append(rows, inner(item.StepResult, depth+1, now, tools)...)
	}
	for _, id := range slices.Sorted(maps.Keys(res.Steps)) {
		rows = append(rows, barOf(id, depth, res.Steps[id], now, tools))
		rows = append(rows, inner(res.Steps[id], depth+1, now, tools)...)
	}
	return rows
}

func barOf(name string, depth int, res *engine.StepResult, now time.Time, tools whenTools) Bar {
	b := Bar{Name: name, Depth: depth, Result: res, work: work(res, now, tools)}
	if res.StartedAt != nil {
		b.Start = *res.StartedAt
		b.End = b.Start.Add(duration(res.DurationSeconds))
		if res.DurationSeconds == 0 && (res.Status == engine.StatusInterrupted || res.Status == engine.StatusRunning || res.Status == engine.StatusWaiting) && now.After(b.Start) {
			b.End = now
		}
	}
	return b
}

// sumUp returns what is known of the time of the items of a step without them.
func (b *Bar) sumUp() (known []stretch) {
	length := b.End.Sub(b.Start) / time.Duration(max(len(b.Within.Busy), 1))
	for i, busy := range b.Within.Busy {
		if busy.RanSeconds <= 0 {
			continue
		}
		// Of all that ran in the stretch, as much waited as of this one.
		s := stretch{start: b.Start.Add(time.Duration(i) * length)}
		s.end = s.start.Add(length)
		s.inFlight = [][2]time.Time{{s.start, s.start.Add(time.Duration(float64(length) * min(busy.InFlightSeconds/busy.RanSeconds, 1)))}}
		known = append(known, s)
	}
	return known
}

// work returns what is known of the time of a step's calls and of those within it. Those
// that run are taken to have requests in flight until now.
func work(res *engine.StepResult, now time.Time, tools whenTools) []stretch {
	var known []stretch
	for _, item := range res.Items {
		known = append(known, work(item.StepResult, now, tools)...)
	}
	for _, step := range res.Steps {
		known = append(known, work(step, now, tools)...)
	}
	if len(known) > 0 || res.StartedAt == nil || len(res.Items)+len(res.Steps) > 0 {
		return known
	}
	start := *res.StartedAt
	if res.Status == engine.StatusRunning && !res.Measured() && now.After(start) {
		return []stretch{{start: start, end: now, inFlight: [][2]time.Time{{start, now}}, tools: tools[res]}}
	}
	if !res.Measured() {
		return nil
	}
	s := stretch{start: start, end: start.Add(duration(res.DurationSeconds)), tools: tools[res]}
	for _, f := range res.InFlight {
		at := start.Add(duration(f.AtSeconds))
		s.inFlight = append(s.inFlight, [2]time.Time{at, at.Add(duration(f.Seconds))})
	}
	return []stretch{s}
}

// whenTools is when tools ran, by the result of the step or item whose agent called them.
type whenTools = map[*engine.StepResult][][2]time.Time

// toolTimes returns when tools ran.
func (d *Detail) toolTimes() whenTools {
	times := whenTools{}
	add := func(unit journal.Unit, res *engine.StepResult) {
		for _, c := range d.Loop(unit).Calls() {
			times[res] = append(times[res], [2]time.Time{c.At, c.At.Add(duration(c.Seconds))})
		}
	}
	var walk func(outer journal.Unit, steps map[string]*engine.StepResult)
	walk = func(outer journal.Unit, steps map[string]*engine.StepResult) {
		for id, res := range steps {
			step := outer.Inner(id)
			add(step, res)
			walk(step, res.Steps)
			for _, item := range res.Items {
				add(step.WithItem(item.Key), item.StepResult)
				walk(step.WithItem(item.Key), item.Steps)
			}
		}
	}
	if len(d.Loops) > 0 {
		walk(journal.Unit{}, d.Result.Steps)
	}
	return times
}

func duration(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }
