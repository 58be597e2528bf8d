//go:build unix

package main

import (
	"path/filepath"
	"testing"

	"github.com/claude-force/claude-force/sim"
)

// small returns a program built once, and few rounds.
func small(t *testing.T) options {
	t.Helper()
	opts := options{rounds: 12, steps: 30, items: 300, parallel: 4, faster: 300, seed: 1, binary: filepath.Join(t.TempDir(), "claude-force")}
	if testing.Short() {
		opts.rounds, opts.steps, opts.items = 4, 12, 100
	}
	if err := build(t.Context(), opts.binary); err != nil {
		t.Fatal(err)
	}
	return opts
}

func TestChaos(t *testing.T) {
	t.Parallel()
	opts := small(t)
	t.Run("nothing is paid twice", func(t *testing.T) { nothingIsPaidTwice(t, opts) })
	t.Run("texts in clear are found", func(t *testing.T) { textsInClearAreFound(t, opts) })
}

func nothingIsPaidTwice(t *testing.T, opts options) {
	t.Helper()
	for range 5 { // if the runs without kills were slow, all others have ended before they are killed
		reports, err := torture(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		deaths := 0
		for _, r := range reports {
			deaths += r.Kills + r.Interrupts
			if r.kept() {
				continue
			}
			t.Errorf("%s: %d promises not kept, %d files in clear, %d rounds failed: %+v", r.Scenario, r.broken(), r.InClear, r.Failed, r.counts)
			for _, p := range r.Problems {
				t.Error(p)
			}
		}
		if deaths > 0 || t.Failed() {
			return
		}
		opts.seed++
	}
	t.Error("no process was killed or interrupted, so nothing was tested")
}

// A store without encryption has texts in clear, so the search for them finds
// what it looks for.
func textsInClearAreFound(t *testing.T, opts options) {
	t.Helper()
	opts.rounds = 1
	dir := t.TempDir()
	if _, err := scenarios(opts)[0].run(t.Context(), opts, dir); err != nil {
		t.Fatal(err)
	}
	if n, err := inClear(filepath.Join(dir, "home")); err != nil || n == 0 {
		t.Errorf("inClear of a store without encryption = %d, %v; want some", n, err)
	}
}

func TestBrokenPromisesAreNoticed(t *testing.T) {
	t.Parallel()
	one, again := sim.RequestCount{Started: 1, Answered: 1}, sim.RequestCount{Started: 2, Answered: 2}
	for _, test := range []struct {
		name          string
		before, after map[string]sim.RequestCount
		was, is       map[string]bool // finished
		want          counts
	}{
		{
			name:  "all is well",
			after: map[string]sim.RequestCount{"a": one, "b": one},
			is:    map[string]bool{"a": true, "b": true},
		},
		{
			name:   "a finished call is sent again",
			before: map[string]sim.RequestCount{"a": one}, was: map[string]bool{"a": true},
			after: map[string]sim.RequestCount{"a": again}, is: map[string]bool{"a": true},
			want: counts{Again: 1},
		},
		{
			name:  "one process sends a call twice",
			after: map[string]sim.RequestCount{"a": again}, is: map[string]bool{"a": true},
			want: counts{Twice: 1},
		},
		{
			name:  "a call is sent before what it needs is durable",
			after: map[string]sim.RequestCount{"a": one, "b": {Started: 1}},
			want:  counts{Early: 1, Answered: 1, Cut: 1},
		},
		{
			name:   "a finished call is forgotten",
			before: map[string]sim.RequestCount{"a": one}, was: map[string]bool{"a": true},
			after: map[string]sim.RequestCount{"a": one},
			want:  counts{Lost: 1},
		},
	} {
		r := &round{work: &workload{needs: map[string][]string{"b": {"a"}}}, finished: test.was, seen: test.before}
		r.check(test.after, test.is)
		if r.counts != test.want {
			t.Errorf("%s: counted %+v; want %+v", test.name, r.counts, test.want)
		}
	}
}
