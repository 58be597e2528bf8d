package workflow

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	boxWidth, boxHeight = 176, 48
	columnGap, rowGap   = 64, 20
	laneHeight          = 14 // the height an edge takes where it passes a level
	margin              = 20
	maxLabel            = 22     // characters that fit a box
	maxLanes            = 20_000 // beyond it, long edges are drawn straight: lanes grow with edges times levels
)

// The class names carry a prefix because a drawing may be placed into a page.
const svgStyle = `
.cfw-box{fill:#f6f8fa;stroke:#57606a}
.cfw-id{fill:#1f2328;font:600 13px ui-sans-serif,system-ui,sans-serif}
.cfw-agent{fill:#59636e;font:12px ui-sans-serif,system-ui,sans-serif}
.cfw-edge{fill:none;stroke:#818b98;stroke-width:1.5}
.cfw-head{fill:#818b98}
@media (prefers-color-scheme:dark){
.cfw-box{fill:#151b23;stroke:#9198a1}
.cfw-id{fill:#f0f6fc}
.cfw-agent{fill:#9198a1}
.cfw-edge{stroke:#656c76}
.cfw-head{fill:#656c76}
}
`

// SVG draws the workflow as a self-contained SVG image: one column per level,
// left to right, with an arrow from each step to those that wait for it. It
// follows the reader's light or dark setting. Each step is a group with the
// attribute data-step set to its id, for pages that want to colour it.
func (w *Workflow) SVG() []byte {
	return w.draw("img", "<style>"+svgStyle+"</style>\n", func(*Step) Mark { return Mark{} })
}

// Mark is what a drawing of a workflow says of a step beside what its file says.
type Mark struct {
	Class   string  // of the step's group, for a style sheet
	Note    string  // in the place of what the step does; may be empty
	Address string  // of what a click on the step opens; empty for nothing
	Done    float64 // the share that is done of a step with many parts; 0 draws none
}

// Drawing draws the workflow as SVG does, for a page whose style sheet has the classes of
// the drawing: it has no style of its own. Each step is drawn with its mark.
func (w *Workflow) Drawing(mark func(*Step) Mark) []byte { return w.draw("group", "", mark) }

func (w *Workflow) draw(role, style string, mark func(*Step) Mark) []byte {
	g := newDrawing(w.Steps)
	l := newLayout(g)
	title := cmp.Or(clean(w.Name), "Workflow")
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="%s" aria-labelledby="cfw-title cfw-desc">`,
		l.width, l.height, l.width, l.height, role)
	fmt.Fprintf(&b, "\n<title id=\"cfw-title\">%s</title>\n<desc id=\"cfw-desc\">%s</desc>\n", xmlEscape(title), xmlEscape(w.inWords(g)))
	b.WriteString(style)
	b.WriteString(`<defs><marker id="cfw-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse" orient="auto"><path class="cfw-head" d="M0 0 8 4 0 8z"/></marker></defs>` + "\n")
	for _, e := range l.edges {
		dashes := ""
		if g.instead[[2]int{e[0], e[len(e)-1]}] {
			dashes = ` stroke-dasharray="4 4"`
		}
		fmt.Fprintf(&b, `<path class="cfw-edge"%s marker-end="url(#cfw-arrow)" d="%s"/>`+"\n", dashes, l.path(e))
	}
	for i, s := range w.Steps {
		n := l.nodes[i]
		full, does, mark := s.label(), s.does(), mark(s)
		if does != "" {
			full += " (" + does + ")"
		}
		if notes := s.notes(); notes != "" {
			full += ": " + notes
		}
		if mark.Note != "" {
			full, does = full+", "+mark.Note, mark.Note
		}
		if mark.Address != "" {
			fmt.Fprintf(&b, `<a href="%s">`, xmlEscape(mark.Address))
		}
		class := ""
		if mark.Class != "" {
			class = ` class="` + xmlEscape(mark.Class) + `"`
		}
		fmt.Fprintf(&b, `<g%s data-step="%s"><title>%s</title><rect class="cfw-box" x="%d" y="%d" width="%d" height="%d" rx="8"/>`,
			class, xmlEscape(s.ID), xmlEscape(full), n.x, n.y, boxWidth, boxHeight)
		idLine := n.y + 20
		if does == "" {
			idLine += 8
		}
		fmt.Fprintf(&b, `<text class="cfw-id" x="%d" y="%d" text-anchor="middle">%s</text>`, n.x+boxWidth/2, idLine, xmlEscape(shorten(s.label())))
		if does != "" {
			fmt.Fprintf(&b, `<text class="cfw-agent" x="%d" y="%d" text-anchor="middle">%s</text>`, n.x+boxWidth/2, n.y+37, xmlEscape(shorten(does)))
		}
		if mark.Done > 0 {
			fmt.Fprintf(&b, `<rect class="cfw-done" x="%d" y="%d" width="%.1f" height="3"/>`, n.x+8, n.y+boxHeight-4, mark.Done*(boxWidth-16))
		}
		b.WriteString("</g>")
		if mark.Address != "" {
			b.WriteString("</a>")
		}
		b.WriteString("\n")
	}
	b.WriteString("</svg>\n")
	return []byte(b.String())
}

// inWords returns a description of the drawing for screen readers.
func (w *Workflow) inWords(g *graph) string {
	if len(w.Steps) > 50 {
		return plural(len(w.Steps), "step") + " in " + plural(len(g.levels()), "level")
	}
	parts := make([]string, len(w.Steps))
	for i, s := range w.Steps {
		parts[i] = s.ID
		if len(s.Dependencies) > 0 {
			parts[i] += " after " + strings.Join(s.Dependencies, " and ")
		}
		if s.Fallback != "" {
			parts[i] += ", else " + s.Fallback
		}
	}
	return strings.Join(parts, "; ")
}

func shorten(s string) string {
	if utf8.RuneCountInString(s) <= maxLabel {
		return s
	}
	return string([]rune(s)[:maxLabel-1]) + "…"
}

var xmlReplacer = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#39;")

func xmlEscape(s string) string { return xmlReplacer.Replace(clean(s)) }

// layout places the steps. Its nodes are the steps, in their order, then the
// lanes: places where an edge passes a level without stopping.
type layout struct {
	nodes         []place2D
	columns       [][]int // nodes per level, top to bottom
	edges         [][]int // the nodes an edge goes through
	width, height int
}

type place2D struct {
	x, y  int
	lane  bool
	left  []int // neighbours in the column before
	right []int
}

func newLayout(g *graph) *layout {
	l := &layout{nodes: make([]place2D, len(g.needs)), columns: g.levels()}
	lanes := 0
	for i, needs := range g.needs {
		for _, d := range needs {
			edge := []int{d}
			if span := g.level[i] - g.level[d] - 1; span > 0 && lanes+span <= maxLanes {
				lanes += span
				for level := g.level[d] + 1; level < g.level[i]; level++ {
					edge = append(edge, len(l.nodes))
					l.columns[level] = append(l.columns[level], len(l.nodes))
					l.nodes = append(l.nodes, place2D{lane: true})
				}
			}
			edge = append(edge, i)
			for k := 1; k < len(edge); k++ {
				from, to := edge[k-1], edge[k]
				l.nodes[from].right = append(l.nodes[from].right, to)
				l.nodes[to].left = append(l.nodes[to].left, from)
			}
			l.edges = append(l.edges, edge)
		}
	}
	l.untangle()
	l.place()
	return l
}

// untangle orders each column by the average place of its neighbours, once from
// the left and once from the right, which removes most crossings.
func (l *layout) untangle() {
	rank := make([]float64, len(l.nodes))
	number := func(column []int) {
		for i, n := range column {
			rank[n] = (float64(i) + 0.5) / float64(len(column))
		}
	}
	for _, column := range l.columns {
		number(column)
	}
	arrange := func(column []int, neighbours func(int) []int) {
		mean := make(map[int]float64, len(column))
		for _, n := range column {
			mean[n] = rank[n]
			if near := neighbours(n); len(near) > 0 {
				sum := 0.0
				for _, m := range near {
					sum += rank[m]
				}
				mean[n] = sum / float64(len(near))
			}
		}
		slices.SortStableFunc(column, func(a, b int) int { return cmp.Compare(mean[a], mean[b]) })
		number(column)
	}
	for range 2 {
		for _, column := range l.columns {
			arrange(column, func(n int) []int { return l.nodes[n].left })
		}
		for _, column := range slices.Backward(l.columns) {
			arrange(column, func(n int) []int { return l.nodes[n].right })
		}
	}
}

func (l *layout) place() {
	heights := make([]int, len(l.columns))
	tallest := 0
	for c, column := range l.columns {
		for _, n := range column {
			heights[c] += l.nodeHeight(n) + rowGap
		}
		heights[c] = max(0, heights[c]-rowGap)
		tallest = max(tallest, heights[c])
	}
	for c, column := range l.columns {
		y := margin + (tallest-heights[c])/2
		for _, n := range column {
			l.nodes[n].x, l.nodes[n].y = margin+c*(boxWidth+columnGap), y
			y += l.nodeHeight(n) + rowGap
		}
	}
	l.width = 2*margin + max(1, len(l.columns))*(boxWidth+columnGap) - columnGap
	l.height = 2*margin + max(boxHeight, tallest)
}

func (l *layout) nodeHeight(n int) int {
	if l.nodes[n].lane {
		return laneHeight
	}
	return boxHeight
}

// path returns the d attribute of an edge: a curve between columns, a straight
// line along a lane.
func (l *layout) path(edge []int) string {
	var b strings.Builder
	point := func(n, dx int) (x, y int) { return l.nodes[n].x + dx, l.nodes[n].y + l.nodeHeight(n)/2 }
	x, y := point(edge[0], boxWidth)
	b.WriteString("M" + strconv.Itoa(x) + " " + strconv.Itoa(y))
	for _, n := range edge[1:] {
		tx, ty := point(n, 0)
		half := (tx - x) / 2
		fmt.Fprintf(&b, "C%d %d %d %d %d %d", x+half, y, tx-half, ty, tx, ty)
		x, y = tx, ty
		if l.nodes[n].lane {
			x += boxWidth
			b.WriteString("H" + strconv.Itoa(x))
		}
	}
	return b.String()
}
