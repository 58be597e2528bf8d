//go:build linux

package main

import "testing"

func TestKilledLoopsGoOn(t *testing.T) {
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
		if rep.broken() > 0 || rep.Rounds != opts.rounds {
			t.Errorf("%d promises not kept in %d rounds: %+v", rep.broken(), rep.Rounds, rep.counts)
			for _, p := range rep.Problems {
				t.Error(p)
			}
		}
		if rep.Kills > 0 || t.Failed() {
			return
		}
		opts.seed++
	}
	t.Error("no process was killed, so nothing was tested")
}

func TestBrokenPromisesAreNoticed(t *testing.T) {
	t.Parallel()
	first, again := received{Turn: 1, Attempt: 1}, received{Turn: 1, Attempt: 2}
	done := map[string]callState{"toolu_2_2_1": {tool: "Write", started: true, finished: true}}
	one := mark{place{2, 2}, 1}
	effects := map[place][]mark{one.place: {one}}
	for _, test := range []struct {
		name    string
		was, is state
		want    counts
	}{
		{
			name: "all is well",
			was:  state{log: []received{first}, turns: map[int]string{1: "1"}},
			is: state{
				log: []received{first, {Turn: 2, Attempt: 1}}, turns: map[int]string{1: "1", 2: "1"}, calls: done,
				effects: effects, written: map[string]int{"w2.txt": 1, "wf.yaml~": 1},
			},
			want: counts{Sent: 2},
		},
		{
			name: "a turn that was cut off is sent again",
			was:  state{log: []received{first}},
			is:   state{log: []received{first, again}},
			want: counts{Sent: 2, Cut: 1},
		},
		{
			name: "a finished turn is sent again",
			was:  state{log: []received{first}, turns: map[int]string{1: "1"}},
			is:   state{log: []received{first, again}, turns: map[int]string{1: "1"}},
			want: counts{Sent: 2, Cut: 1, Again: 1},
		},
		{
			name: "a process sends a turn twice",
			is:   state{log: []received{first, again}},
			want: counts{Sent: 2, Cut: 1, Twice: 1},
		},
		{
			name: "a turn is sent before the last is durable",
			is:   state{log: []received{first, {Turn: 2, Attempt: 1}}},
			want: counts{Sent: 2, Early: 1},
		},
		{
			name: "a finished turn is forgotten",
			was:  state{turns: map[int]string{1: "1"}},
			want: counts{Lost: 1},
		},
		{
			name: "a finished call is forgotten",
			was:  state{calls: done},
			want: counts{Lost: 1},
		},
		{
			name: "a call has its effect twice",
			is:   state{calls: done, effects: map[place][]mark{one.place: {one, one}}},
			want: counts{Repeated: 1},
		},
		{
			name: "a file is written twice",
			is:   state{calls: done, effects: effects, written: map[string]int{"w2.txt": 2}},
			want: counts{Repeated: 1},
		},
		{
			name: "a call starts twice",
			is:   state{calls: done, effects: effects, doubled: []string{"toolu_2_2_1"}},
			want: counts{Repeated: 1},
		},
		{
			name: "an effect is there before its call is durable",
			is:   state{effects: effects},
			want: counts{Strange: 1},
		},
	} {
		r := &round{was: test.was}
		r.compare(&test.is)
		if r.counts != test.want {
			t.Errorf("%s: counted %+v; want %+v", test.name, r.counts, test.want)
		}
		if promised := r.broken() > 0; promised != (len(r.problems) > 0) {
			t.Errorf("%s: %d promises not kept, and problems %q", test.name, r.broken(), r.problems)
		}
	}
}
