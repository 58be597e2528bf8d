package engine_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/workflow"
)

// plan is a random workflow, with all that happens in it: what an attempt or a
// person does is drawn from the seed and the name of the unit.
type plan struct {
	steps   []*planned
	byID    map[string]*planned
	standIn map[string][]string // by the id of a step in reserve, the steps it is for
	files   map[string]string
	seed    int
	slots   int
	joins   bool // then what a step sees depends on time
	plain   bool // what an agent answers does not depend on what it was asked
	source  string
	parsed  *workflow.Workflow // of source
}

// planned is a step of a plan.
type planned struct {
	id, kind    string // agent, run, http, read, write, value, approval, group, file or exit
	form        string // of an approval "", choices, form or text; of a value text, mapping, list or broken; of an exit "", failed or code
	onNo        bool   // a no at an approval ends the run
	deps        []string
	reads       []string // read by its text, and not among deps
	perhaps     []string // read where they may be missing
	outer       []string // within a group: steps beside that, read where they may be missing
	shows       []string // the other names in its text, such as item and loop.index
	join        int      // -1: settled
	when        string   // "", "true", "false", or the step that must have completed
	whenNot     string   // the step, read where it may be missing, that must not have completed
	onFailure   string
	fallback    string
	spare       bool
	items       []string // of a foreach; nil without
	itemName    string   // may be empty
	listOf      string   // the step whose list is the items
	matrix      bool
	samples     int
	minSuccess  int // -1: not said
	maxParallel int
	loop, until int // until 0: none
	state       bool
	retries     int
	once        bool
	saved       bool
	body        []*planned
	bodyMax     int // at once within a file
}

func (s *planned) each() bool { return s.items != nil || s.listOf != "" || s.matrix || s.samples > 0 }

// lists reports whether the step's output is a list.
func (s *planned) lists() bool { return strings.HasPrefix(s.id, "list") }

// asks reports whether the step makes attempts.
func (s *planned) asks() bool {
	return slices.Contains([]string{"agent", "run", "http", "read", "write"}, s.kind)
}

// hurries reports whether the step may begin before all it depends on has ended.
func (s *planned) hurries() bool { return s.join > 0 && s.join < len(s.deps) }

type planner struct {
	*rapid.T
	*plan
	next  int
	extra []string // kinds of steps beside the usual
}

// longestText is how long the texts of a plan may get, in bytes.
const longestText = 4000

// drawPlan draws a plan with at most so many steps at its top. extra are kinds of steps
// that one plan in three has beside the usual.
func drawPlan(t *rapid.T, most int, extra ...string) *plan {
	plans := rapid.Custom(func(t *rapid.T) *plan { return planOf(t, most, extra) })
	return plans.Filter(func(p *plan) bool { // results within results grow beyond what a text may hold
		m := newModel(p)
		return m.run() == "" || m.size <= longestText
	}).Draw(t, "plan")
}

// planOf draws a plan whatever its size.
func planOf(t *rapid.T, most int, extra []string) *plan {
	p := &plan{byID: map[string]*planned{}, files: map[string]string{}, standIn: map[string][]string{}}
	g := planner{T: t, plan: p}
	p.seed, p.slots = g.num(1_000_000), 1+g.num(31)
	if len(extra) > 0 && g.oneIn(3) {
		g.extra = extra
	}
	p.steps = g.level(1+g.num(most-1), scope{names: []string{"vars.made"}})
	p.source = p.file(p.steps, 0, "at the top")
	return p
}

// workflow returns the plan as the engine takes it. Runs share it: none writes to it.
func (p *plan) workflow(tb testing.TB) *workflow.Workflow {
	if p.parsed == nil {
		p.parsed = parseFiles(tb, p.source, p.files)
	}
	return p.parsed
}

func (g *planner) num(most int) int        { return rapid.IntRange(0, most).Draw(g.T, "") }
func (g *planner) oneIn(n int) bool        { return g.num(n-1) == n-1 }
func (g *planner) pick(of []string) string { return of[g.num(len(of)-1)] }

// scope is where steps are drawn.
type scope struct {
	depth int
	names []string // that their texts can show
	outer []string // steps beside the group that they are in
	owner *planned // that group
}

// within returns what is seen within a step that is repeated.
func (s *planned) within(names []string) []string {
	names = slices.Clone(names)
	hide := func(prefix string) {
		names = slices.DeleteFunc(names, func(name string) bool { return strings.HasPrefix(name, prefix) })
	}
	if s.each() {
		hide("item")
		switch {
		case s.matrix:
			hide("matrix.")
			names = append(names, "matrix.m", "matrix.k")
		case s.samples == 0:
			names = append(names, "item")
		}
		if s.samples > 0 {
			names = append(names, "item.sample")
		}
		if s.itemName != "" {
			names = append(names, s.itemName)
		}
	}
	if s.loop > 0 {
		hide("loop.")
		names = append(names, "loop.index", "loop.previous."+s.id+".output")
		if s.state {
			names = append(names, "loop.state.n", "loop.state.last")
		}
	}
	return names
}

func (g *planner) level(n int, at scope) []*planned {
	var steps []*planned
	var names, spares []string
	for range n {
		g.next++
		s := &planned{id: fmt.Sprint("s", g.next), kind: "agent", minSuccess: -1}
		for _, name := range names {
			if len(s.deps) < 3 && g.oneIn(3) {
				s.deps = append(s.deps, name)
			}
		}
		kinds := []string{"agent", "agent", "run", "value", "agent", "http", "read", "write", "approval", "group", "file"}
		if at.depth >= 2 {
			kinds = kinds[:len(kinds)-2]
		}
		kinds = append(kinds, g.extra...)
		switch s.kind = g.pick(kinds); s.kind {
		case "approval":
			s.form = g.pick([]string{"", "choices", "form", "text"})
			s.onNo = len(g.extra) > 0 && g.oneIn(2)
		case "exit":
			s.form = g.pick([]string{"", "failed", "code"})
		case "value":
			s.form = g.pick([]string{"text", "text", "mapping", "list", "broken"})
		}
		if s.kind != "group" && s.form != "list" && s.form != "broken" {
			for _, name := range names {
				switch {
				case slices.Contains(s.deps, name) || !g.oneIn(6):
				case g.oneIn(2):
					s.reads = append(s.reads, name)
				default:
					s.perhaps = append(s.perhaps, name)
				}
			}
			for _, name := range at.outer {
				if g.oneIn(6) {
					s.outer = append(s.outer, name)
					at.owner.perhapsToo(name)
				}
			}
		}
		g.settle(s)
		g.repeat(s)
		if s.kind == "value" && s.form == "list" {
			if s.each() || s.loop > 0 {
				s.form = "text"
			} else {
				s.id = "list" + s.id
			}
		}
		for _, name := range s.within(at.names) {
			if s.kind != "group" && g.oneIn(2) {
				s.shows = append(s.shows, name)
			}
		}
		s.saved = at.depth == 0 && !s.each() && s.kind != "write" && s.kind != "exit" && g.oneIn(5)
		g.inside(s, at, names)
		if s.onFailure == "fallback" {
			if len(spares) == 0 || g.oneIn(2) {
				g.next++
				spare := &planned{id: fmt.Sprint("s", g.next), kind: g.pick(append([]string{"agent", "run"}, g.extra...)), spare: true, minSuccess: -1}
				if len(names) > 0 && g.oneIn(3) {
					spare.deps = []string{g.pick(names)}
				}
				if len(spares) > 0 && spare.kind != "exit" && g.oneIn(3) {
					spare.onFailure, spare.fallback = "fallback", g.pick(spares)
					g.standIn[spare.fallback] = append(g.standIn[spare.fallback], spare.id)
				}
				spares, steps = append(spares, spare.id), append(steps, spare)
				g.byID[spare.id], s.fallback = spare, spare.id
			} else {
				s.fallback = g.pick(spares)
			}
			g.standIn[s.fallback] = append(g.standIn[s.fallback], s.id)
		}
		if steps = append(steps, s); s.kind != "exit" { // nothing runs after that
			names = append(names, s.id)
		}
		g.byID[s.id] = s
	}
	return steps
}

// perhapsToo makes the step wait for another that is read within it.
func (s *planned) perhapsToo(id string) {
	if !slices.Contains(s.deps, id) && !slices.Contains(s.perhaps, id) {
		s.perhaps = append(s.perhaps, id)
	}
}

// inside draws the steps within a step. beside are those before it.
func (g *planner) inside(s *planned, at scope, beside []string) {
	inner := scope{depth: at.depth + 1}
	switch s.kind {
	case "group":
		inner.names, inner.owner = s.within(at.names), s
		for _, name := range beside {
			if !s.hurries() || !slices.Contains(s.deps, name) {
				inner.outer = append(inner.outer, name)
			}
		}
	case "file":
		inner.names = []string{"params.given", "vars.made"}
		if g.oneIn(2) {
			s.bodyMax = 1 + g.num(2)
		}
	default:
		return
	}
	s.body = g.level(1+g.num(2), inner)
}

// settle draws when a step runs and what its failure means.
func (g *planner) settle(s *planned) {
	if s.kind != "exit" {
		s.onFailure = g.pick([]string{"", "", "", "continue", "skip_dependents", "fallback"})
	}
	if s.asks() && s.kind != "read" && g.oneIn(8) {
		s.once = true
	} else if s.asks() {
		s.retries = g.num(2)
	}
	switch {
	case len(s.deps) > 1 && g.oneIn(4):
		s.join = 1 + g.num(len(s.deps)-1)
		g.joins = g.joins || s.hurries()
	case len(s.deps) > 0 && g.oneIn(6):
		s.join = -1
	case len(s.deps) > 0 && g.oneIn(5):
		s.when = s.deps[0]
	case len(s.perhaps) > 0 && g.oneIn(4):
		s.whenNot = s.perhaps[0]
	case g.oneIn(8):
		s.when = g.pick([]string{"true", "false"})
	}
}

// repeat draws whether a step runs once, once per item, or again and again.
func (g *planner) repeat(s *planned) {
	if s.kind == "approval" || s.kind == "exit" {
		return
	}
	switch g.num(7) {
	case 7:
		if s.kind == "agent" || s.kind == "group" || s.kind == "file" {
			s.samples = g.num(3)
		}
		s.matrix = s.samples == 0 || g.oneIn(2)
		g.bounds(s)
	case 6:
		g.bounds(s)
		if g.oneIn(2) {
			s.itemName = "of_" + s.id
		}
		if i := slices.IndexFunc(s.deps, func(id string) bool { return g.byID[id].lists() }); i >= 0 && s.join == 0 {
			s.listOf = s.deps[i]
			return
		}
		s.items = [][]string{{"a"}, {"a", "b"}, {"b", "a", "b"}, {"c", "a", "b", "d", "a"}}[g.num(3)]
	case 5:
		s.loop = 1 + g.num(2)
		s.until = g.num(3)
		s.state = g.oneIn(2)
	case 4:
		if s.kind == "agent" {
			s.id = "list" + s.id
		}
	}
}

// bounds draws how many items run at once, and how many must succeed.
func (g *planner) bounds(s *planned) {
	if g.oneIn(2) {
		s.maxParallel = 1 + g.num(2)
	}
	if g.oneIn(3) {
		s.minSuccess = g.num(2)
	}
}

// member is an item of a foreach.
type member struct {
	json string            // by which it is known
	name string            // of a matrix: its key among the results
	sees map[string]string // the names that have a value for it
}

// members returns the items of a step. listed is the list that another step gave.
func (s *planned) members(listed []string) []member {
	var all []member
	if !s.matrix && s.samples == 0 {
		if s.listOf == "" {
			listed = s.items
		}
		for _, item := range listed {
			m := member{json: quoted(item), sees: map[string]string{"item": item}}
			if s.itemName != "" {
				m.sees[s.itemName] = item
			}
			all = append(all, m)
		}
		return all
	}
	combinations := []member{{sees: map[string]string{}}}
	if s.matrix {
		combinations = nil
		for _, pair := range matrixPairs {
			combinations = append(combinations, member{name: pair[1] + "/" + pair[0], json: fmt.Sprintf(`"k":%s,"m":"%s"`, pair[1], pair[0]),
				sees: map[string]string{"matrix.m": pair[0], "matrix.k": pair[1]}})
		}
	}
	for _, c := range combinations {
		if s.samples == 0 {
			all = append(all, member{"{" + c.json + "}", c.name, c.sees})
		}
		for i := 1; i <= s.samples; i++ {
			m := member{json: fmt.Sprintf(`"sample":%d`, i), name: fmt.Sprint(i), sees: map[string]string{"item.sample": fmt.Sprint(i)}}
			if s.matrix {
				m.json, m.name = c.json+","+m.json, c.name+"/"+m.name
			}
			maps.Copy(m.sees, c.sees)
			m.json = "{" + m.json + "}"
			all = append(all, m)
		}
	}
	return all
}

// matrixPairs are the values of m and k of each matrix of a plan, in the order of its
// results: k is the outer list, and 2/x is excluded.
var matrixPairs = [][2]string{{"x", "1"}, {"y", "1"}, {"y", "2"}}
