package main

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/workflow"
)

// Strokes of a timeline.
const (
	workingStroke = "█" // requests are in flight, or what a step does is not known
	waitingStroke = "─" // nothing is in flight
	toolStroke    = "▒" // tools of the agent run
	failedStroke  = "x" // as working, of a step that failed
	openStroke    = "░" // as working, of a step that has not ended
	toolLegend    = "▒ tools of the agent run"
	legend        = "█ the service works · ─ waiting: for a slot, a limit, a budget, another attempt or a person"
)

// bar is a row of a timeline.
type bar struct {
	name       string
	critical   bool
	status     engine.Status
	start, end time.Time // zero if it never started
	work       []stretch // what is known of the time between
	note       string
}

// stretch is a time in which something ran, and when requests of it were in flight.
type stretch struct {
	start, end time.Time
	inFlight   [][2]time.Time
	tools      [][2]time.Time // when tools ran
}

// timeline draws the steps of a run over time. Inner steps and items are summed up
// unless they are asked for.
func timeline(d *runs.Detail, items bool, width int) string {
	rows := bars(d, items)
	var begin, end time.Time
	name, note := 4, 0
	for _, b := range rows {
		name, note = max(name, len([]rune(b.name))), max(note, len([]rune(b.note)))
		if b.start.IsZero() {
			continue
		}
		if begin.IsZero() || b.start.Before(begin) {
			begin = b.start
		}
		if b.end.After(end) {
			end = b.end
		}
	}
	name = min(name, 40)
	space := max(width-name-note-5, 10)
	span := max(end.Sub(begin), time.Millisecond)
	cell := float64(span) / float64(space)
	var sb strings.Builder
	fmt.Fprintf(&sb, "%-*s  0%*s\n", name+2, "", space-1, seconds(span.Seconds()))
	waits, tools := false, false
	for _, b := range rows {
		mark := " "
		if b.critical {
			mark = "*"
		}
		line := strings.Repeat(" ", space)
		if !b.start.IsZero() {
			from := min(int(float64(b.start.Sub(begin))/cell), space-1)
			to := min(max(int(math.Ceil(float64(b.end.Sub(begin))/cell)), from+1), space)
			drawn := b.draw(to-from, begin.Add(time.Duration(float64(from)*cell)), cell)
			waits, tools = waits || strings.Contains(drawn, waitingStroke), tools || strings.Contains(drawn, toolStroke)
			line = strings.Repeat("·", from) + drawn + strings.Repeat(" ", space-to)
		}
		fmt.Fprintf(&sb, "%s %-*s  %s  %s\n", mark, name, firstLine(b.name, name), line, b.note)
	}
	if waits {
		fmt.Fprintf(&sb, "%-*s  %s\n", name+2, "", legend)
	}
	if tools {
		fmt.Fprintf(&sb, "%-*s  %s\n", name+2, "", toolLegend)
	}
	return sb.String()
}

// draw returns the bar's cells, of which the first begins at from. A cell is drawn
// as waiting if what ran in it waited for more than half of the time. If that is
// so of all, the one with the last work is drawn as working.
func (b *bar) draw(cells int, from time.Time, cell float64) string {
	stroke := workingStroke
	switch b.status {
	case engine.StatusCompleted:
	case engine.StatusFailed:
		stroke = failedStroke
	default:
		stroke = openStroke
	}
	if len(b.work) == 0 {
		return strings.Repeat(stroke, cells)
	}
	drawn, working, last := make([]string, cells), false, -1
	for i := range drawn {
		begin := from.Add(time.Duration(float64(i) * cell))
		end := from.Add(time.Duration(float64(i+1) * cell))
		ran, flew, tooled := 0.0, 0.0, 0.0
		for _, w := range b.work {
			ran += overlap(begin, end, w.start, w.end)
			for _, f := range w.inFlight {
				flew += overlap(begin, end, f[0], f[1])
			}
			for _, t := range w.tools {
				tooled += overlap(begin, end, t[0], t[1])
			}
		}
		drawn[i] = waitingStroke
		if tooled > flew && 2*tooled >= ran-flew {
			drawn[i] = toolStroke
			continue
		}
		if flew > 0 && 2*flew >= ran {
			drawn[i], working = stroke, true
		}
		if flew > 0 {
			last = i
		}
	}
	if !working && last >= 0 {
		drawn[last] = stroke
	}
	return strings.Join(drawn, "")
}

// overlap returns how much of one time is in another, in nanoseconds.
func overlap(begin, end, from, to time.Time) float64 {
	if from.Before(begin) {
		from = begin
	}
	if to.After(end) {
		to = end
	}
	return max(float64(to.Sub(from)), 0)
}

// bars returns the rows of a run's timeline: the steps in file order, below each
// what is within it if asked for.
func bars(d *runs.Detail, items bool) []bar {
	critical := map[string]bool{}
	path, _ := d.Workflow.CriticalPath(func(s *workflow.Step) time.Duration {
		return time.Duration(d.Result.Steps[s.ID].DurationSeconds * float64(time.Second))
	})
	for _, id := range path {
		critical[id] = d.Result.Steps[id].StartedAt != nil
	}
	now, tools := time.Now(), toolTimes(d)
	var rows []bar
	for _, s := range d.Workflow.Steps {
		res := d.Result.Steps[s.ID]
		b := barOf(s.ID, res, critical[s.ID], now, tools)
		if w := d.Within[s.ID]; w != nil {
			b.sumUp(w)
		}
		rows = append(rows, b)
		if items {
			rows = append(rows, inner(res, "  ", now, tools)...)
		}
	}
	return rows
}

// whenTools is when tools ran, by the result of the step or item.
type whenTools = map[*engine.StepResult][][2]time.Time

// inner returns the rows of what is within a step.
func inner(res *engine.StepResult, indent string, now time.Time, tools whenTools) []bar {
	var rows []bar
	for _, item := range res.Items {
		rows = append(rows, barOf(indent+"["+item.Item+"]", item.StepResult, false, now, tools))
		rows = append(rows, inner(item.StepResult, indent+"  ", now, tools)...)
	}
	for _, id := range sortedKeys(res.Steps) {
		rows = append(rows, barOf(indent+id, res.Steps[id], false, now, tools))
		rows = append(rows, inner(res.Steps[id], indent+"  ", now, tools)...)
	}
	return rows
}

func barOf(name string, res *engine.StepResult, critical bool, now time.Time, tools whenTools) bar {
	b := bar{name: name, critical: critical, status: res.Status, note: string(res.Status), work: work(res, tools)}
	if res.StartedAt != nil {
		b.start = *res.StartedAt
		b.end = b.start.Add(duration(res.DurationSeconds))
		if res.DurationSeconds == 0 && (res.Status == engine.StatusInterrupted || res.Status == engine.StatusRunning || res.Status == engine.StatusWaiting) && now.After(b.start) {
			b.end = now
		}
	}
	if res.Status == engine.StatusCompleted {
		b.note = tookOf(res) + " · "
		if res.Source != "" {
			b.note += string(res.Source) + " · "
		}
		b.note += dollars(res.CostUSD)
	}
	if n := len(res.Items); n > 0 {
		done := 0
		for _, item := range res.Items {
			if item.Status == engine.StatusCompleted {
				done++
			}
		}
		b.note += fmt.Sprintf(" · %d/%s", done, plural(n, "item"))
	}
	return b
}

// sumUp adds what is known of the items of a step without them.
func (b *bar) sumUp(w *journal.Within) {
	if w.Items > 0 {
		b.note += fmt.Sprintf(" · %d/%s", w.Completed, plural(w.Items, "item"))
	}
	b.work = nil
	stretchLen := b.end.Sub(b.start) / time.Duration(max(len(w.Busy), 1))
	for i, busy := range w.Busy {
		if busy.RanSeconds <= 0 {
			continue
		}
		// Of all that ran in the stretch, as much waited as of this one.
		s := stretch{start: b.start.Add(time.Duration(i) * stretchLen)}
		s.end = s.start.Add(stretchLen)
		s.inFlight = [][2]time.Time{{s.start, s.start.Add(time.Duration(float64(stretchLen) * min(busy.InFlightSeconds/busy.RanSeconds, 1)))}}
		b.work = append(b.work, s)
	}
}

// work returns what is known of the time of a step's calls and of those within it.
func work(res *engine.StepResult, tools whenTools) []stretch {
	var known []stretch
	for _, item := range res.Items {
		known = append(known, work(item.StepResult, tools)...)
	}
	for _, step := range res.Steps {
		known = append(known, work(step, tools)...)
	}
	if len(known) > 0 || res.StartedAt == nil || !res.Measured() || len(res.Items)+len(res.Steps) > 0 {
		return known
	}
	start := *res.StartedAt
	s := stretch{start: start, end: start.Add(duration(res.DurationSeconds)), tools: tools[res]}
	for _, f := range res.InFlight {
		at := start.Add(duration(f.AtSeconds))
		s.inFlight = append(s.inFlight, [2]time.Time{at, at.Add(duration(f.Seconds))})
	}
	return []stretch{s}
}

func duration(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }

// noticeable is the waiting that is worth a word.
const noticeable = 0.05 // seconds

// took returns how long something took and what of it was waiting. Of several
// calls at once that is the sum of their waiting.
func took(t *llm.Timing, duration float64, several bool) string {
	switch {
	case t.WaitedSeconds < noticeable:
		return seconds(duration)
	case several:
		return seconds(duration) + ", its calls waited " + seconds(t.WaitedSeconds)
	}
	return seconds(duration) + ", " + seconds(t.WaitedSeconds) + " of it waiting"
}

// tookOf returns how long a step took and what of it was waiting.
func tookOf(r *engine.StepResult) string {
	return took(&r.Timing, r.DurationSeconds, len(r.Items)+len(r.Steps)+r.Iterations > 0 || r.Calls > 1)
}

// times returns rows on the times of a run's calls.
func times(d *runs.Detail) [][]string {
	t := d.Result.Timing
	if t.ServiceSeconds == 0 {
		return nil
	}
	rows := [][]string{{"service", seconds(t.ServiceSeconds) + " for its answers, one after the other"}}
	if speedup := d.Speedup(); speedup >= 1 {
		rows[0][1] += fmt.Sprintf("; %.2fx as fast", speedup)
	}
	return append(rows, []string{"waited", seconds(t.WaitedSeconds) + " in all calls: for a slot, a limit, a budget or another attempt"})
}
