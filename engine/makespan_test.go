package engine_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/workflow"
)

// dag is a random graph with the durations of its steps.
type dag struct {
	wf    *workflow.Workflow
	takes map[string]time.Duration
	slots int
}

// drawDAG draws a graph of 10 to 1,000 steps whose durations are lognormal, as
// those of model calls are.
func drawDAG(tb testing.TB, rng *rand.Rand) *dag {
	n := int(10 * math.Pow(100, rng.Float64()))
	g := &dag{takes: make(map[string]time.Duration, n), slots: 1 + rng.IntN(32)}
	var source strings.Builder
	source.WriteString("steps:\n")
	reach := 1 + rng.IntN(n) // how far back a step depends: short makes chains, long makes it wide
	for i := range n {
		fmt.Fprintf(&source, "- {id: s%d, agent: x, task: t, dependencies: [", i)
		seen := map[int]bool{}
		for range rng.IntN(4) {
			if j := i - 1 - rng.IntN(reach); j >= 0 && !seen[j] {
				seen[j] = true
				fmt.Fprintf(&source, "s%d, ", j)
			}
		}
		source.WriteString("]}\n")
		g.takes[fmt.Sprint("s", i)] = time.Duration(math.Exp(rng.NormFloat64()*0.8+2) * float64(time.Second))
	}
	g.wf = parse(tb, source.String())
	return g
}

func (g *dag) duration(s *workflow.Step) time.Duration { return g.takes[s.ID] }

// bound returns what no schedule can beat.
func (g *dag) bound() float64 {
	_, path := g.wf.CriticalPath(g.duration)
	var work time.Duration
	for _, d := range g.takes {
		work += d
	}
	return max(path.Seconds(), work.Seconds()/float64(g.slots))
}

// makespan returns how long the engine takes, in the time of a bubble.
func (g *dag) makespan(t *testing.T, known bool) (seconds float64) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{takes: func(a engine.Attempt) time.Duration { return g.takes[a.Step.ID] }}
		opts := engine.Options{Execute: w.execute, MaxParallel: g.slots}
		if known {
			opts.Duration = g.duration
		}
		res := run(t.Context(), g.wf, opts)
		if res.Status != engine.StatusCompleted || w.most > g.slots {
			t.Fatalf("%s with %d at once, %d slots", res.Status, w.most, g.slots)
		}
		seconds = res.TotalTimeSeconds
	})
	return seconds
}

// levels returns how long it takes level by level, each beginning when the one
// before has ended; within one a step starts when there is a slot.
func (g *dag) levels() float64 {
	at, levels := map[string]int{}, [][]*workflow.Step{}
	for _, s := range g.wf.Steps { // dependencies stand before
		for _, id := range s.Dependencies {
			at[s.ID] = max(at[s.ID], at[id]+1)
		}
		if at[s.ID] == len(levels) {
			levels = append(levels, nil)
		}
		levels[at[s.ID]] = append(levels[at[s.ID]], s)
	}
	var total time.Duration
	for _, level := range levels {
		free := make([]time.Duration, g.slots) // when each slot is
		for _, s := range level {
			i := slices.Index(free, slices.Min(free))
			free[i] += g.takes[s.ID]
		}
		total += slices.Max(free)
	}
	return total.Seconds()
}

// TestMakespan compares makespans with what no schedule can beat. MAKESPAN_GRAPHS
// sets how many graphs are drawn.
func TestMakespan(t *testing.T) {
	graphs := 100
	if s := os.Getenv("MAKESPAN_GRAPHS"); s != "" {
		var err error
		if graphs, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	var known, unknown, barriers []float64
	for range graphs {
		g := drawDAG(t, rng)
		bound := g.bound()
		known = append(known, g.makespan(t, true)/bound)
		unknown = append(unknown, g.makespan(t, false)/bound)
		barriers = append(barriers, g.levels()/bound)
	}
	t.Logf("%-20s %8s %8s %8s", "makespan / bound", "median", "p90", "max")
	for _, row := range []struct {
		name   string
		ratios []float64
	}{{"durations known", known}, {"durations unknown", unknown}, {"level by level", barriers}} {
		slices.Sort(row.ratios)
		t.Logf("%-20s %8.3f %8.3f %8.3f", row.name, row.ratios[graphs/2], row.ratios[graphs*9/10], row.ratios[graphs-1])
	}
	if median := known[graphs/2]; median > 1.05 {
		t.Errorf("median of makespan / bound is %.3f; want at most 1.05", median)
	}
	if known[0] < 1-1e-6 {
		t.Errorf("a makespan of %.6f of the bound: one of them is wrong", known[0])
	}
}
