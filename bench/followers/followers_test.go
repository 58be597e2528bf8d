//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"time"
)

func TestFollowers(t *testing.T) {
	t.Parallel()
	ok, err := measure(t.Context(), options{duration: 6 * time.Second, warmUp: 2 * time.Second, clients: 40, rate: 10, items: 8, brief: true})
	if err != nil || !ok {
		t.Errorf("%t, %v", ok, err)
	}
}

// TestWrongEventsAreNoticed gives a client what a server must not send.
func TestWrongEventsAreNoticed(t *testing.T) {
	t.Parallel()
	event := func(seq int, item string) *message {
		return &message{id: int64(seq), data: fmt.Appendf(nil, `{"run_id":"run_1","seq":%d,"type":"step_finished","item":%q}`, seq, item)}
	}
	for name, test := range map[string]struct {
		messages []*message
		want     counts
	}{
		"all is well":    {[]*message{event(1, ""), event(2, "a"), event(3, "b")}, counts{}},
		"missing":        {[]*message{event(1, ""), event(4, "a")}, counts{missing: 2}},
		"first missing":  {[]*message{event(2, "a"), event(3, "b")}, counts{missing: 1}},
		"doubled":        {[]*message{event(1, ""), event(2, "a"), event(2, "a")}, counts{doubled: 1}},
		"out of order":   {[]*message{event(1, ""), event(3, "a"), event(2, "b")}, counts{missing: 1, doubled: 1}},
		"item twice":     {[]*message{event(1, "a"), event(2, "a")}, counts{problems: 1}},
		"another's":      {[]*message{{id: 1, data: []byte(`{"run_id":"run_2","seq":1}`)}}, counts{problems: 1}},
		"another number": {[]*message{{id: 1, data: []byte(`{"run_id":"run_1","seq":2}`)}}, counts{problems: 1}},
	} {
		c := &client{b: &bench{record: newRecord(time.Minute)}}
		s := &seen{run: "run_1", finished: map[string]bool{}}
		for _, m := range append(test.messages, &message{event: "end"}) {
			if err := c.take(s, m); err != nil && !errors.Is(err, io.EOF) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got := c.b.record.counts; got != test.want || !s.ended {
			t.Errorf("%s: %+v, ended %t", name, got, s.ended)
		}
	}
}

// TestVerdicts has figures that grow, and ends of runs on which clients do not agree.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	opts := options{duration: time.Minute, warmUp: 15 * time.Second, timed: true}
	for name, test := range map[string]struct {
		memory  float64       // of the last third
		took    time.Duration // of its requests
		sees    int64         // last event that the second client sees
		listed  int64         // by the API
		untimed bool
		ok      bool
	}{
		"flat":             {100, time.Millisecond, 9, 9, false, true},
		"memory grows":     {106, time.Millisecond, 9, 9, false, false},
		"requests slower":  {100, 3 * time.Millisecond, 9, 9, false, false},
		"slower in CI":     {100, 3 * time.Millisecond, 9, 9, true, true},
		"memory in CI":     {130, time.Millisecond, 9, 9, true, false},
		"another end":      {100, time.Millisecond, 8, 9, false, false},
		"all miss the end": {100, time.Millisecond, 9, 11, false, false},
	} {
		r := newRecord(opts.duration)
		r.counts = counts{followed: 2, pages: 1}
		r.sawEnd("run_1", 9)
		r.sawEnd("run_1", test.sees)
		r.ended("run_1", test.listed)
		for i := range r.parts {
			memory, took := 100.0, time.Millisecond
			if i >= 2*windows/3 {
				memory, took = test.memory, test.took
			}
			h := &histogram{}
			h.add(took)
			r.parts[i] = part{requests: map[string]*histogram{"hit": h}, events: *h, memory: memory, samples: 1}
		}
		o := opts
		o.timed = !test.untimed
		if ok := r.report(o); ok != test.ok {
			t.Errorf("%s: %t", name, ok)
		}
	}
}

func TestQuantiles(t *testing.T) {
	t.Parallel()
	h := &histogram{}
	for i := range 1000 {
		h.add(time.Duration(i+1) * time.Millisecond)
	}
	for q, want := range map[float64]float64{0.5: 500, 0.99: 990, 1: 1000} {
		if got := ms(h.quantile(q)); got < want*0.98 || got > want*1.02 {
			t.Errorf("%v: %v ms, want %v", q, got, want)
		}
	}
}
