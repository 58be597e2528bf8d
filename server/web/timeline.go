package web

import (
	"fmt"
	"strings"
	"time"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/internal/amount"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/runs"
)

const (
	timelineRows  = 300 // at most so many steps are drawn
	timelineCells = 200 // a bar tells stretches apart that are this part of the run
	timelineRow   = 32  // the height of a row

	idleShare = 0.12             // the least part of a run that is collapsed if nothing worked in it
	idleLeast = 10 * time.Second // the least time
	idleWidth = 3.0              // of 100, that it is drawn with
)

// timeline is a run drawn over time.
type timeline struct {
	Title, Desc string
	Height      int
	Ticks       []chartLabel
	Rows        []timelineStep
	Idle        []idleGap // stretches that are collapsed
	IdleTook    string    // of all stretches in which nothing worked
	Full        bool      // the reader wants none collapsed
	More        int       // steps that are not drawn
	Tools, Open bool      // there are strokes of tools, and of work that has not ended
}

// idleGap is a stretch in which nothing worked.
type idleGap struct {
	X, Width float64 // of 100
	Took     string
}

// timelineStep is a step in a timeline.
type timelineStep struct {
	Path     string
	Name     string
	Status   engine.Status
	Critical bool
	Began    string // after the begin of the run; empty if it has not
	Took     string
	Waited   string
	Attempts int
	Items    *counts // nil if it has none
	NameY    int
	BarY     int
	Pieces   []timelinePiece
}

// timelinePiece is a part of a bar in one stroke.
type timelinePiece struct {
	Class    string
	X, Width float64 // of 100
	Y        int
	Height   int
}

// section is a part of the time of a run with its place in the drawing.
type section struct {
	*runs.Timeline
	idle     bool
	x, width float64 // of 100
}

// sections returns the parts of a timeline: where steps worked, and between them
// stretches in which none did, which are collapsed.
func sections(t *runs.Timeline, full bool) (parts []section) {
	span := t.Span()
	idle := t.Idle(max(time.Duration(idleShare*float64(span)), idleLeast))
	if full {
		idle = nil
	}
	busy := span
	for _, gap := range idle {
		busy -= gap[1].Sub(gap[0])
	}
	room := 100 - idleWidth*float64(len(idle))
	x, from := 0.0, t.Begin
	add := func(to time.Time, idle bool, width float64) {
		parts = append(parts, section{t.Cut(from, to), idle, x, width})
		x, from = x+width, to
	}
	for _, gap := range idle {
		if gap[0].After(from) {
			add(gap[0], false, room*float64(gap[0].Sub(from))/float64(max(busy, 1)))
		}
		add(gap[1], true, idleWidth)
	}
	if t.Begin.Add(span).After(from) {
		add(t.Begin.Add(span), false, 100-x)
	}
	return parts
}

// drawTimeline draws the workflow's own steps over time. What is within a step is part
// of its row. Stretches in which nothing worked are collapsed unless full is set.
func drawTimeline(d *runs.Detail, full bool) *timeline {
	t := d.Timeline(false)
	span := t.Span().Seconds()
	drawn := &timeline{Title: "Steps of the run over time", Full: full}
	if n := len(t.Bars) - timelineRows; n > 0 {
		t.Bars, drawn.More = t.Bars[:timelineRows], n
	}
	parts := sections(t, full)
	drawn.Ticks = timelineTicks(t, parts)
	idle := time.Duration(0)
	for _, gap := range t.Idle(max(time.Duration(idleShare*float64(t.Span())), idleLeast)) {
		idle += gap[1].Sub(gap[0])
	}
	if idle > 0 {
		drawn.IdleTook = seconds(idle.Seconds())
	}
	for _, p := range parts {
		if p.idle {
			drawn.Idle = append(drawn.Idle, idleGap{p.x, p.width, seconds(p.Span().Seconds())})
		}
	}
	started := 0
	for i := range t.Bars {
		b := &t.Bars[i]
		row := timelineStep{
			Path: journal.Unit{}.Inner(b.Name).Step, Name: b.Name, Status: b.Result.Status, Critical: b.Critical, Attempts: b.Result.Attempts,
			NameY: i*timelineRow + 13, BarY: i*timelineRow + 18,
		}
		if len(b.Result.Items) > 0 {
			row.Items = &counts{}
			for _, item := range b.Result.Items {
				row.Items.add(item.Status)
			}
		}
		if !b.Start.IsZero() {
			started++
			row.Began, row.Took = seconds(b.Start.Sub(t.Begin).Seconds()), seconds(b.End.Sub(b.Start).Seconds())
			if b.Result.WaitedSeconds > 0 {
				row.Waited = seconds(b.Result.WaitedSeconds)
			}
			for _, p := range parts {
				row.Pieces = append(row.Pieces, p.pieces(i, &row)...)
			}
			if d.State != nil && d.State.Unit(b.Name, "").Retries() { // the attempts themselves are not known
				row.Status = engine.StatusWaiting
				for i := range row.Pieces {
					row.Pieces[i].Class, row.Pieces[i].Y, row.Pieces[i].Height = "t-waited", row.BarY+4, 2
				}
			}
			for _, p := range row.Pieces {
				drawn.Tools = drawn.Tools || p.Class == "t-tools"
				drawn.Open = drawn.Open || p.Class == openClass
			}
		}
		drawn.Rows = append(drawn.Rows, row)
	}
	drawn.Height = len(drawn.Rows) * timelineRow
	drawn.Desc = fmt.Sprintf("%s of %s steps have started; from the first start to the last end are %s. The table below has the times of each.",
		amount.Thousands(started), amount.Thousands(len(drawn.Rows)), seconds(span))
	return drawn
}

// pieces returns the part of a bar that is in the section, equal strokes next to each
// other as one piece.
func (s *section) pieces(bar int, row *timelineStep) (pieces []timelinePiece) {
	b := &s.Bars[bar]
	if b.Start.IsZero() {
		return nil
	}
	if s.idle {
		return []timelinePiece{{Class: "t-waited", X: s.x, Width: s.width, Y: row.BarY + 4, Height: 2}}
	}
	cells := max(int(timelineCells*s.width/100), 1)
	cell := s.width / float64(cells)
	from, strokes := s.Draw(b, cells)
	for i := 0; i < len(strokes); {
		end := i + 1
		for end < len(strokes) && strokes[end] == strokes[i] {
			end++
		}
		piece := timelinePiece{X: s.x + float64(from+i)*cell, Width: float64(end-i) * cell, Y: row.BarY, Height: 10}
		switch strokes[i] {
		case runs.Waiting:
			piece.Class, piece.Y, piece.Height = "t-waited", row.BarY+4, 2
		case runs.Tooling:
			piece.Class, piece.Y, piece.Height = "t-tools", row.BarY+2, 6
		default:
			piece.Class = workClass(row.Status)
		}
		pieces = append(pieces, piece)
		i = end
	}
	return pieces
}

// openClass is the class of work of steps that have not ended.
const openClass = "t-open"

// workClass returns the class of the work of a step.
func workClass(status engine.Status) string {
	switch status {
	case engine.StatusFailed:
		return "t-failed"
	case engine.StatusCompleted, engine.StatusSkipped:
		return "t-completed"
	}
	return openClass
}

// tickSteps are the distances of ticks.
var tickSteps = []time.Duration{
	time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour,
}

// tickStep returns a distance of ticks of which at most most are in a span.
func tickStep(span time.Duration, most int) time.Duration {
	for _, step := range tickSteps {
		if span/step < time.Duration(most) {
			return step
		}
	}
	day := tickSteps[len(tickSteps)-1]
	return day * (span/day/time.Duration(most) + 1)
}

// timelineTicks returns round times after the begin of a timeline, and where a
// stretch is collapsed the time after it.
func timelineTicks(t *runs.Timeline, parts []section) (ticks []chartLabel) {
	busy := time.Duration(0)
	for _, p := range parts {
		if !p.idle {
			busy += p.Span()
		}
	}
	step := tickStep(busy, 6)
	const room = 9 // of 100, for a label
	add := func(x float64, at time.Duration) {
		if len(ticks) == 0 || x-ticks[len(ticks)-1].X >= room {
			ticks = append(ticks, chartLabel{X: x, Text: offset(at), Anchor: "middle"})
		}
	}
	for i, p := range parts {
		if p.idle {
			continue
		}
		begin, end := p.Begin.Sub(t.Begin), p.End.Sub(t.Begin)
		if i > 0 {
			add(p.x, begin)
		}
		for at := (begin + step - 1) / step * step; at <= end; at += step {
			add(p.x+p.width*float64(at-begin)/float64(max(end-begin, 1)), at)
		}
	}
	if n := len(parts); n > 0 && parts[n-1].idle {
		add(100, t.Span())
	}
	for i := range ticks {
		if ticks[i].X < 3 {
			ticks[i].Anchor = "start"
		} else if ticks[i].X > 97 {
			ticks[i].Anchor = "end"
		}
	}
	return ticks
}

// offset returns a time after a begin, as short as it goes.
func offset(d time.Duration) string {
	switch {
	case d <= 0:
		return "0"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.3g s", d.Seconds())
	}
	text := d.Round(time.Second).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
