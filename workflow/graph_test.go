package workflow_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/workflow"
)

// randomGraph returns the dependencies of n steps. Without back they only point
// to steps before, in a shuffled order of the file.
func randomGraph(r *rand.Rand, n int, density float64, back bool) [][]int {
	place := r.Perm(n)
	deps := make([][]int, n)
	for i := range n {
		for j := range n {
			if i != j && (back || place[j] < place[i]) && r.Float64() < density {
				deps[i] = append(deps[i], j)
			}
		}
	}
	return deps
}

func sourceOf(deps [][]int) string {
	var b strings.Builder
	b.WriteString("steps:\n")
	for i, needs := range deps {
		fmt.Fprintf(&b, "- {id: s%d, agent: x, task: t, dependencies: [", i)
		for _, d := range needs {
			fmt.Fprintf(&b, "s%d, ", d)
		}
		b.WriteString("]}\n")
	}
	return b.String()
}

// longest returns the longest path from i to the end, by looking at every path.
func longest(users [][]int, cost []int, i int) int {
	best := 0
	for _, u := range users[i] {
		best = max(best, longest(users, cost, u))
	}
	return cost[i] + best
}

func TestPathsAgainstBruteForce(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 300 {
		n := 1 + r.IntN(9)
		deps := randomGraph(r, n, r.Float64(), false)
		users, cost := make([][]int, n), make([]int, n)
		for i, needs := range deps {
			cost[i] = r.IntN(5)
			for _, d := range needs {
				users[d] = append(users[d], i)
			}
		}
		w := mustParse(t, sourceOf(deps))
		costOf := func(s *workflow.Step) time.Duration {
			return time.Duration(cost[slices.Index(w.Steps, s)])
		}
		rest := w.RemainingPath(costOf)
		most := 0
		for i := range n {
			want := longest(users, cost, i)
			most = max(most, want)
			if got := int(rest[fmt.Sprintf("s%d", i)]); got != want {
				t.Fatalf("round %d: step %d: got %d, want %d\n%s", round, i, got, want, sourceOf(deps))
			}
		}
		path, total := w.CriticalPath(costOf)
		sum := time.Duration(0)
		for k, id := range path {
			s := w.Step(id)
			sum += costOf(s)
			if k > 0 && !slices.Contains(s.Dependencies, path[k-1]) {
				t.Fatalf("%v is not a path", path)
			}
		}
		if int(total) != most || sum != total {
			t.Fatalf("round %d: critical path %v takes %d of %d, want %d", round, path, sum, total, most)
		}
		if again, _ := w.CriticalPath(costOf); !slices.Equal(path, again) {
			t.Fatal("the critical path is not the same twice")
		}
	}
}

// reachable says which steps wait for which, by closure.
func reachable(deps [][]int) [][]bool {
	n := len(deps)
	reach := make([][]bool, n)
	for i := range n {
		reach[i] = make([]bool, n)
		for _, d := range deps[i] {
			reach[i][d] = true
		}
	}
	for k := range n {
		for i := range n {
			for j := range n {
				reach[i][j] = reach[i][j] || reach[i][k] && reach[k][j]
			}
		}
	}
	return reach
}

func TestCyclesAgainstBruteForce(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 400 {
		n := 2 + r.IntN(8)
		deps := randomGraph(r, n, 0.3*r.Float64(), true)
		reach := reachable(deps)
		// Steps that wait for one another form a group; each group is one error.
		var firsts []int
		for i := range n {
			if reach[i][i] && !slices.ContainsFunc(firsts, func(f int) bool { return reach[i][f] && reach[f][i] }) {
				firsts = append(firsts, i)
			}
		}
		_, err := workflow.Parse("w.yaml", []byte(sourceOf(deps)), workflow.Options{})
		all, _ := errors.AsType[workflow.Errors](err)
		if len(all) != len(firsts) {
			t.Fatalf("got %v, want cycles at %v\n%s", err, firsts, sourceOf(deps))
		}
		for k, e := range all {
			ids := strings.Split(strings.TrimPrefix(e.Message, "dependency cycle: "), " -> ")
			if !errors.Is(e, workflow.ErrCycle) || e.Line != firsts[k]+2 || e.Column != 3 ||
				ids[0] != fmt.Sprintf("s%d", firsts[k]) || ids[0] != ids[len(ids)-1] {
				t.Fatalf("got %v, want a cycle from %d", e, firsts[k])
			}
			for i := 1; i < len(ids); i++ {
				var from, to int
				fmt.Sscanf(ids[i-1]+" "+ids[i], "s%d s%d", &from, &to)
				if !slices.Contains(deps[from], to) || i < len(ids)-1 && slices.Index(ids, ids[i]) != i {
					t.Fatalf("%v is not a cycle of\n%s", ids, sourceOf(deps))
				}
			}
		}
	}
}

// A workflow put together by hand may be anything; nothing may hang or panic.
func TestByHand(t *testing.T) {
	for _, w := range []*workflow.Workflow{
		{},
		{Steps: []*workflow.Step{{ID: "a", Fallback: "b"}, {ID: "b", Fallback: "a"}, {ID: "c", Fallback: "c"}, {ID: "d", Fallback: "x", Body: &workflow.Workflow{}}, {ID: "e", Body: &workflow.Workflow{Steps: []*workflow.Step{{ID: "f"}}}}}},
		{Steps: []*workflow.Step{{ID: "a", Dependencies: []string{"b", "c"}}, {ID: "b", Dependencies: []string{"a"}}, {ID: "d", Dependencies: []string{"a"}}, {ID: "e"}, {ID: "e"}}},
	} {
		w.RemainingPath(nil)
		w.CriticalPath(nil)
		w.Text()
		w.Mermaid()
		w.SVG()
		w.Step("a")
		w.EnvNames()
		for _, sub := range w.All() {
			for _, s := range sub.Steps {
				s.Unmentioned()
			}
		}
	}
}

func TestNilAndNegativeCost(t *testing.T) {
	w := mustParse(t, seedJSON)
	path, total := w.CriticalPath(nil)
	if d := cmp.Diff([]string{"linter", "review"}, path); d != "" || total != 2*time.Second {
		t.Error(d, total)
	}
	if _, total := w.CriticalPath(func(*workflow.Step) time.Duration { return -1 }); total != 0 {
		t.Errorf("got %v", total)
	}
	if _, total := w.CriticalPath(func(*workflow.Step) time.Duration { return 1<<63 - 1 }); total != 1<<63-1 {
		t.Errorf("got %v", total)
	}
}

func TestDrawings(t *testing.T) {
	sources, err := filepath.Glob("testdata/draw/*.yaml")
	if err != nil || len(sources) == 0 {
		t.Fatal("no sources", err)
	}
	for _, path := range sources {
		base := strings.TrimSuffix(path, ".yaml")
		t.Run(filepath.Base(base), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			w := mustParse(t, string(data))
			for ext, got := range map[string]string{".txt": w.Text(), ".mmd": w.Mermaid(), ".svg": string(w.SVG())} {
				if os.Getenv("UPDATE_GOLDEN") != "" {
					if err := os.WriteFile(base+ext, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
					continue
				}
				want, err := os.ReadFile(base + ext)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(string(want), got); d != "" {
					t.Errorf("%s (-want +got):\n%s", ext, d)
				}
			}
			checkXML(t, w.SVG())
		})
	}
}

// A fallback may never run: it makes no path longer, and what follows it is
// what follows the steps it is for.
func TestPathsWithFallbacks(t *testing.T) {
	w := mustParse(t, `
steps:
  - {id: a, agent: x, task: t, on_failure: {fallback: b}}
  - {id: b, agent: x, task: t, dependencies: [root], on_failure: {fallback: c}}
  - {id: c, agent: x, task: t}
  - {id: d, agent: x, task: t, dependencies: [a]}
  - {id: e, agent: x, task: t, dependencies: [d]}
  - {id: root, agent: x, task: t}
`)
	cost := map[string]time.Duration{"a": 1, "b": 100, "c": 50, "d": 10, "e": 20, "root": 5}
	costOf := func(s *workflow.Step) time.Duration { return cost[s.ID] }
	want := map[string]time.Duration{"a": 31, "b": 130, "c": 80, "d": 30, "e": 20, "root": 5}
	if d := cmp.Diff(want, w.RemainingPath(costOf)); d != "" {
		t.Error(d)
	}
	path, total := w.CriticalPath(costOf)
	if d := cmp.Diff([]string{"a", "d", "e"}, path); d != "" || total != 31 {
		t.Error(d, total)
	}
}
