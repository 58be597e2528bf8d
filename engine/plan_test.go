package engine_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/workflow"
)

// plan is a random workflow, with all that happens in it: what an attempt or a
// person does is drawn from the seed and the name of the unit.
type plan struct {
	steps  []*planned
	byID   map[string]*planned
	files  map[string]string
	seed   int
	slots  int
	joins  bool // then what a step sees depends on time
	source string
	parsed *workflow.Workflow // of source
}

// planned is a step of a plan.
type planned struct {
	id, kind    string // agent, approval, group or file
	deps        []string
	reads       []string // read by its text, and not among deps
	perhaps     []string // read where they may be missing
	join        int      // -1: settled
	when        string   // "", "true", "false", or the step that must have completed
	onFailure   string
	fallback    string
	spare       bool
	items       []string // of a foreach; nil without
	listOf      string   // the step whose list is the items
	maxParallel int
	loop, until int // until 0: none
	retries     int
	once        bool
	body        []*planned
	bodyMax     int // at once within a file
}

func (s *planned) each() bool { return s.items != nil || s.listOf != "" }

// lists reports whether the step's output is a list.
func (s *planned) lists() bool { return strings.HasPrefix(s.id, "list") }

type planner struct {
	*rapid.T
	*plan
	next int
}

func drawPlan(t *rapid.T, most int) *plan {
	p := &plan{byID: map[string]*planned{}, files: map[string]string{}}
	g := planner{T: t, plan: p}
	p.seed, p.slots = g.num(1_000_000), 1+g.num(31)
	p.steps = g.level(0, 1+g.num(most-1))
	data, err := json.MarshalIndent(map[string]any{"steps": yamlOf(p, p.steps)}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	p.source = string(data)
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

func (g *planner) level(depth, n int) []*planned {
	var steps []*planned
	var names, spares []string
	for range n {
		g.next++
		s := &planned{id: fmt.Sprint("s", g.next), kind: "agent"}
		for _, name := range names {
			if len(s.deps) < 3 && g.oneIn(3) {
				s.deps = append(s.deps, name)
			}
		}
		if depth < 2 {
			s.kind = g.pick([]string{"agent", "agent", "agent", "agent", "approval", "group", "file"})
		}
		if s.kind == "agent" || s.kind == "approval" {
			for _, name := range names {
				switch {
				case slices.Contains(s.deps, name) || !g.oneIn(6):
				case g.oneIn(2):
					s.reads = append(s.reads, name)
				default:
					s.perhaps = append(s.perhaps, name)
				}
			}
		}
		g.settle(s)
		g.repeat(s)
		if s.kind == "group" || s.kind == "file" {
			if g.oneIn(2) && s.kind == "file" {
				s.bodyMax = 1 + g.num(2)
			}
			s.body = g.level(depth+1, 1+g.num(2))
		}
		if s.onFailure == "fallback" {
			if len(spares) == 0 || g.oneIn(2) {
				g.next++
				spare := &planned{id: fmt.Sprint("s", g.next), kind: "agent", spare: true}
				if len(names) > 0 && g.oneIn(3) {
					spare.deps = []string{g.pick(names)}
				}
				if len(spares) > 0 && g.oneIn(3) {
					spare.onFailure, spare.fallback = "fallback", g.pick(spares)
				}
				spares, steps = append(spares, spare.id), append(steps, spare)
				g.byID[spare.id], s.fallback = spare, spare.id
			} else {
				s.fallback = g.pick(spares)
			}
		}
		names, steps = append(names, s.id), append(steps, s)
		g.byID[s.id] = s
	}
	return steps
}

// complete draws when a step runs and what its failure means.
func (g *planner) settle(s *planned) {
	s.onFailure = g.pick([]string{"", "", "", "continue", "skip_dependents", "fallback"})
	if s.kind == "agent" && g.oneIn(8) {
		s.once = true
	} else if s.kind == "agent" {
		s.retries = g.num(2)
	}
	switch {
	case len(s.deps) > 1 && g.oneIn(4):
		s.join, g.joins = 1+g.num(len(s.deps)-1), true
	case len(s.deps) > 0 && g.oneIn(6):
		s.join = -1
	case len(s.deps) > 0 && g.oneIn(5):
		s.when = s.deps[0]
	case g.oneIn(8):
		s.when = g.pick([]string{"true", "false"})
	}
}

// repeat draws whether a step runs once, once per item, or again and again.
func (g *planner) repeat(s *planned) {
	if s.kind == "approval" {
		return
	}
	switch g.num(6) {
	case 6:
		if g.oneIn(2) {
			s.maxParallel = 1 + g.num(2)
		}
		if i := slices.IndexFunc(s.deps, func(id string) bool { return g.byID[id].lists() }); i >= 0 && s.join == 0 {
			s.listOf = s.deps[i]
			return
		}
		s.items = [][]string{{"a"}, {"a", "b"}, {"b", "a", "b"}, {"c", "a", "b", "d", "a"}}[g.num(3)]
	case 5:
		s.loop = 1 + g.num(2)
		s.until = g.num(3)
	case 4:
		if s.kind == "agent" {
			s.id = "list" + s.id
		}
	}
}

// readings are the expressions that read results, as text.
func (s *planned) readings() string {
	var b strings.Builder
	for _, id := range s.reads {
		fmt.Fprintf(&b, " ${{ steps.%s.output }}", id)
	}
	for _, id := range s.perhaps {
		fmt.Fprintf(&b, " ${{ steps.%s?.output ?? 'none' }} ${{ steps.%[1]s.error }}", id)
	}
	return b.String()
}

// yamlOf is the steps as they stand in a file.
func yamlOf(p *plan, steps []*planned) []map[string]any {
	var out []map[string]any
	for _, s := range steps {
		m := map[string]any{"id": s.id}
		set := func(key string, v any, if_ bool) {
			if if_ {
				m[key] = v
			}
		}
		switch s.kind {
		case "agent":
			m["agent"], m["task"] = "x", "do "+s.id
			if s.each() {
				m["task"] = "do ${{ item }}"
			} else if len(s.deps) > 0 && s.join == 0 {
				m["task"] = "do ${{ steps." + s.deps[len(s.deps)-1] + ".output }}"
			}
			m["task"] = m["task"].(string) + s.readings()
		case "approval":
			m["approval"] = map[string]any{"message": "may " + s.id + " be?" + s.readings(), "timeout": "1h"}
		case "group":
			m["steps"] = yamlOf(p, s.body)
		case "file":
			file := map[string]any{"steps": yamlOf(p, s.body)}
			if s.bodyMax > 0 {
				file["max_parallel"] = s.bodyMax
			}
			data, _ := json.Marshal(file) // nothing in it can fail
			m["workflow"], p.files[s.id+".yaml"] = s.id+".yaml", string(data)
		}
		set("dependencies", s.deps, len(s.deps) > 0)
		set("join", s.join, s.join > 0)
		set("join", "settled", s.join < 0)
		switch s.when {
		case "":
		case "true", "false":
			m["when"] = s.when == "true"
		default:
			m["when"] = "${{ steps." + s.when + ".status == 'completed' }}"
		}
		set("on_failure", s.onFailure, s.onFailure != "" && s.fallback == "")
		set("on_failure", map[string]string{"fallback": s.fallback}, s.fallback != "")
		set("foreach", s.items, s.items != nil)
		set("foreach", "${{ steps."+s.listOf+".json }}", s.listOf != "")
		set("max_parallel", s.maxParallel, s.maxParallel > 0)
		if s.loop > 0 {
			loop := map[string]any{"max": s.loop}
			if s.until > 0 {
				loop["until"] = fmt.Sprintf("${{ loop.index >= %d }}", s.until)
			}
			m["loop"] = loop
		}
		set("retries", map[string]any{"max": s.retries, "backoff": "1ns", "max_backoff": "1ns"}, s.retries > 0)
		set("effects", "once", s.once)
		out = append(out, m)
	}
	return out
}

// chance is a number below n that belongs to the seed and the words.
func (p *plan) chance(n uint64, words ...any) uint64 {
	h := fnv.New64a()
	fmt.Fprintln(h, append([]any{p.seed}, words...)...)
	sum := sha256.Sum256(h.Sum(nil))
	var v uint64
	for _, b := range sum[:8] {
		v = v<<8 | uint64(b)
	}
	return v % n
}

// fails is how an attempt fails; nil if it does not.
func (p *plan) fails(path, item string, number int) error {
	switch c := p.chance(100, "fate", path, item); {
	case c < 8:
		return errBad
	case c < 20 && number == 1, c < 26 && number <= 3:
		return errBusy
	}
	return nil
}

func (p *plan) takes(a engine.Attempt) time.Duration {
	return time.Millisecond + time.Duration(p.chance(1e9, "time", a.Path, a.Item, a.Number))
}

// answer is what an attempt gives. It depends on what was asked, unless that
// depends on time. whose tells the steps' agents apart.
func (p *plan) answer(whose map[string]string) func(engine.Attempt) (string, error) {
	return func(a engine.Attempt) (string, error) {
		if err := p.fails(a.Path, a.Item, a.Number); err != nil {
			return "", err
		}
		s := p.byID[a.Step.ID]
		switch {
		case s.lists():
			data, _ := json.Marshal(p.listed(s.id)) // strings
			return string(data), nil
		case p.joins:
			return "out " + a.Path, nil
		}
		sum := sha256.Sum256([]byte(a.Prompt() + "\x00" + whose[a.Step.ID]))
		return "out " + hex.EncodeToString(sum[:8]), nil
	}
}

func (p *plan) listed(id string) []string {
	return [][]string{{}, {"x"}, {"x", "y"}, {"y", "y", "x"}}[p.chance(4, "list", id)]
}

// decide is what a person says to a question, and when.
func (p *plan) decide(path, item string) (time.Duration, journal.Decision, bool) {
	c := p.chance(100, "person", path, item)
	after := time.Duration(p.chance(1e12, "thinks", path, item))
	return after, journal.Decision{Approved: c < 70}, c < 85
}

// keysOf are the keys of items, as the journal knows them.
func keysOf(items []string) []string {
	keys, seen := make([]string, len(items)), map[string]int{}
	for i, item := range items {
		data, _ := json.Marshal(item) // a string
		sum := sha256.Sum256(data)
		keys[i] = hex.EncodeToString(sum[:8])
		if seen[item]++; seen[item] > 1 {
			keys[i] += fmt.Sprint("~", seen[item])
		}
	}
	return keys
}

func under(item, key string) string {
	if item == "" {
		return key
	}
	return item + "/" + key
}
