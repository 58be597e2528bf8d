package web

import (
	"fmt"
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
)

// timeline is a run drawn over time.
type timeline struct {
	Title, Desc string
	Height      int
	Ticks       []chartLabel
	Rows        []timelineStep
	More        int  // steps that are not drawn
	Tools, Open bool // there are strokes of tools, and of work that has not ended
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

// drawTimeline draws the workflow's own steps over time. What is within a step is part
// of its row.
func drawTimeline(d *runs.Detail) *timeline {
	t := d.Timeline(false)
	span := t.Span().Seconds()
	drawn := &timeline{Title: "The steps over time", Ticks: timelineTicks(span)}
	if n := len(t.Bars) - timelineRows; n > 0 {
		t.Bars, drawn.More = t.Bars[:timelineRows], n
	}
	started := 0
	for i := range t.Bars {
		b := &t.Bars[i]
		row := timelineStep{
			Path: journal.Unit{}.Inner(b.Name).Step, Name: b.Name, Status: b.Result.Status, Critical: b.Critical,
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
			from, strokes := t.Draw(b, timelineCells)
			row.Pieces = timelinePieces(from, strokes, row.Status, row.BarY)
			for _, s := range strokes {
				drawn.Tools = drawn.Tools || s == runs.Tooling
				drawn.Open = drawn.Open || s == runs.Working && (row.Status == engine.StatusRunning || row.Status == engine.StatusWaiting || row.Status == engine.StatusInterrupted)
			}
		}
		drawn.Rows = append(drawn.Rows, row)
	}
	drawn.Height = len(drawn.Rows) * timelineRow
	drawn.Desc = fmt.Sprintf("%s of %s steps have started; from the first start to the last end are %s. The table below has the times of each.",
		amount.Thousands(started), amount.Thousands(len(drawn.Rows)), seconds(span))
	return drawn
}

// timelinePieces returns strokes as pieces of a bar, equal ones next to each other as one.
func timelinePieces(from int, strokes []runs.Stroke, status engine.Status, y int) []timelinePiece {
	const cell = 100.0 / timelineCells
	var pieces []timelinePiece
	for i := 0; i < len(strokes); {
		end := i + 1
		for end < len(strokes) && strokes[end] == strokes[i] {
			end++
		}
		piece := timelinePiece{X: float64(from+i) * cell, Width: float64(end-i) * cell, Y: y, Height: 10}
		switch strokes[i] {
		case runs.Waiting:
			piece.Class, piece.Y, piece.Height = "t-waited", y+4, 2
		case runs.Tooling:
			piece.Class, piece.Y, piece.Height = "t-tools", y+2, 6
		default:
			piece.Class = "t-" + states[string(status)].icon
		}
		pieces = append(pieces, piece)
		i = end
	}
	return pieces
}

// timelineTicks returns the times from 0 to a number of seconds.
func timelineTicks(span float64) []chartLabel {
	if span <= time.Millisecond.Seconds() {
		return []chartLabel{{X: 0, Text: seconds(0), Anchor: "start"}, {X: 100, Text: seconds(span), Anchor: "end"}}
	}
	var ticks []chartLabel
	for i, anchor := range []string{"start", "middle", "middle", "middle", "end"} {
		part := float64(i) / 4
		ticks = append(ticks, chartLabel{X: 100 * part, Text: seconds(span * part), Anchor: anchor})
	}
	return ticks
}
