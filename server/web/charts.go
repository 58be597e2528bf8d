package web

import (
	"fmt"
	"math"
	"slices"
)

// Charts are SVG without a view box: what lies across is given in percent, what lies
// upwards in pixels, so that text keeps its size on every screen.

// columnChart is amounts in the order of time, each a column of one or two parts.
type columnChart struct {
	ID     string // of its title and description
	Title  string
	Desc   string // what it shows, in a sentence
	Height int    // of the plot, in pixels
	Parts  []string
	Grid   []gridLine
	Cols   []chartColumn
	Labels []chartLabel
}

// gridLine is a line at an amount.
type gridLine struct {
	Y    float64
	Text string
}

// chartColumn is a column.
type chartColumn struct {
	Title       string // what it says when it is pointed at
	X, Width    float64
	HitX, HitW  float64
	Y, H        float64 // of the lower part
	UpperY, UpH float64 // of the upper part
}

// chartLabel is the name of a column, below it.
type chartLabel struct {
	X      float64
	Anchor string
	Text   string
}

// bar is what a column stands for.
type bar struct {
	Name         string
	Lower, Upper float64
	Title        string
}

const (
	columnHeight = 180
	maxColumns   = 120 // that are drawn; more would be lines
	columnLabels = 6
)

// newColumnChart draws amounts. Of many, it draws the last. write writes an amount beside
// a line, given how far the lines are apart.
func newColumnChart(id, title, desc string, parts []string, write func(v, step float64) string, list []bar) *columnChart {
	if n := len(list) - maxColumns; n > 0 {
		list = list[n:]
		desc += fmt.Sprintf(" The last %d are drawn.", maxColumns)
	}
	c := &columnChart{ID: id, Title: title, Desc: desc, Height: columnHeight, Parts: parts}
	most := 0.0
	for _, a := range list {
		most = max(most, max(a.Lower, 0)+max(a.Upper, 0))
	}
	top, step := scale(most)
	y := func(v float64) float64 { return columnHeight * (1 - v/top) }
	for v := 0.0; v <= top*1.0001; v += step {
		c.Grid = append(c.Grid, gridLine{y(v), write(v, step)})
	}
	slot := 100 / float64(max(len(list), 1))
	width := min(slot*0.72, 6)
	for i, a := range list {
		lower, upper := max(a.Lower, 0), max(a.Upper, 0)
		x := slot * float64(i)
		col := chartColumn{Title: a.Title, X: x + (slot-width)/2, Width: width, HitX: x, HitW: slot, Y: y(lower), H: columnHeight - y(lower)}
		col.UpperY, col.UpH = y(lower+upper), y(lower)-y(lower+upper)
		c.Cols = append(c.Cols, col)
	}
	every := max(1, int(math.Ceil(float64(len(list))/columnLabels)))
	for i := len(list) - 1; i >= 0; i -= every {
		l := chartLabel{X: slot * (float64(i) + 0.5), Anchor: "middle", Text: list[i].Name}
		if i == len(list)-1 && len(list) > columnLabels {
			l.X, l.Anchor = 100, "end"
		}
		if i == 0 && len(list) > columnLabels {
			l.X, l.Anchor = 0, "start"
		}
		c.Labels = append(c.Labels, l)
	}
	slices.Reverse(c.Labels)
	return c
}

// scale returns the end of an axis that has room for an amount, and the step between
// its lines: 1, 2 or 5 times a power of ten.
func scale(most float64) (top, step float64) {
	if most <= 0 {
		return 1, 1
	}
	step = math.Pow(10, math.Floor(math.Log10(most/3)))
	for _, factor := range []float64{2, 2.5, 2} { // 1, 2, 5, 10
		if most/step <= 4 {
			break
		}
		step *= factor
	}
	return step * math.Ceil(most/step-1e-9), step
}

// barChart is amounts of things that have names, the largest first, each a bar.
type barChart struct {
	ID     string
	Title  string
	Desc   string
	Height int
	Bars   []chartBar
}

// chartBar is a bar with its texts above it.
type chartBar struct {
	Name, Text    string
	Title         string
	TextY         int
	BarY          int
	Width         float64 // of the first part
	Upper, UpperX float64
	Class         string
}

const (
	barRow  = 42 // pixels
	maxBars = 12
)

// newBarChart draws amounts, of many the first.
func newBarChart(id, title, desc string, write func(bar) string, list []bar) *barChart {
	c := &barChart{ID: id, Title: title, Desc: desc}
	if len(list) > maxBars {
		list = list[:maxBars]
		c.Desc += fmt.Sprintf(" The first %d are drawn.", maxBars)
	}
	most := 0.0
	for _, a := range list {
		most = max(most, math.Abs(a.Lower)+max(a.Upper, 0))
	}
	for i, a := range list {
		b := chartBar{Name: short(34, a.Name), Text: write(a), Title: a.Title, TextY: i*barRow + 16, BarY: i*barRow + 24}
		if most > 0 {
			b.Width, b.Upper = 100*math.Abs(a.Lower)/most, 100*max(a.Upper, 0)/most
			b.UpperX = b.Width
		}
		if a.Lower < 0 {
			b.Class = "loss"
		}
		c.Bars = append(c.Bars, b)
	}
	c.Height = len(list) * barRow
	return c
}

// meter is how much of something is used, as one bar.
type meter struct {
	Label string
	Used  float64 // share, from 0 to 1
	Held  float64 // share that is reserved beside it
}

// newMeter returns the meter of a part of a whole.
func newMeter(label string, used, held, whole float64) meter {
	m := meter{Label: label}
	if whole > 0 {
		m.Used = min(max(used/whole, 0), 1)
		m.Held = min(max(held/whole, 0), 1-m.Used)
	}
	return m
}

// Class returns how urgent it is.
func (m meter) Class() string {
	switch full := m.Used + m.Held; {
	case full >= 0.9:
		return "full"
	case full >= 0.7:
		return "high"
	}
	return "fine"
}
