//go:build linux

package main

import "testing"

func TestKilledStepsGoOn(t *testing.T) {
	t.Parallel()
	opts := options{rounds: 4, parallel: 4, seed: 2}
	if testing.Short() {
		opts.rounds = 2
	}
	for range 5 { // if the run without kills was slow, all others have ended before they are killed
		rep, err := measure(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		if rep.broken() > 0 || rep.rounds != opts.rounds {
			t.Errorf("%d promises not kept in %d rounds: %+v", rep.broken(), rep.rounds, rep.counts)
			for _, p := range rep.problems {
				t.Error(p)
			}
		}
		if rep.kills > 0 || t.Failed() {
			return
		}
		opts.seed++
	}
	t.Error("no process was killed, so nothing was tested")
}

func TestBrokenPromisesAreNoticed(t *testing.T) {
	t.Parallel()
	type units = map[string]int
	type ends = map[string]bool
	for _, test := range []struct {
		name     string
		was, is  units
		had, has ends // finished
		want     counts
	}{
		{name: "all is well", is: units{"a": 1, "b": 1}, has: ends{"a": true}},
		{name: "what was cut off is done again", was: units{"a": 1}, is: units{"a": 2}, has: ends{"a": true}, want: counts{cut: 1}},
		{name: "what has finished is done again", was: units{"a": 1}, is: units{"a": 2}, had: ends{"a": true}, has: ends{"a": true}, want: counts{again: 1}},
		{name: "one process does it twice", is: units{"a": 2}, has: ends{"a": true}, want: counts{twice: 1}},
		{name: "effects that must not come twice do", was: units{"/post": 1}, is: units{"/post": 2}, want: counts{cut: 1, repeated: 1}},
		{name: "the journal has what was not done", has: ends{"a": true}, want: counts{missing: 1}},
		{name: "the journal forgets", was: units{"a": 1}, is: units{"a": 1}, had: ends{"a": true}, want: counts{lost: 1}},
	} {
		r := &round{done: test.was, finished: test.had}
		if r.compare(test.is, test.has); r.counts != test.want {
			t.Errorf("%s: counted %+v; want %+v", test.name, r.counts, test.want)
		}
	}
}
