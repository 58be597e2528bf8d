package llm_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/llm"
)

func TestHoldback(t *testing.T) {
	t.Parallel()
	const start, ping, text, done = llm.EventStart, llm.EventPing, llm.EventText, llm.EventDone
	type event struct {
		after time.Duration
		typ   llm.EventType
	}
	for name, c := range map[string]struct {
		events []event
		stop   int // the consumer breaks off at this event, from 1; 0 for never
		want   []llm.EventType
		shown  bool
	}{
		"start and pings alone":     {events: []event{{0, start}, {0, ping}, {time.Second, ping}}},
		"a piece lets them pass":    {events: []event{{0, ping}, {0, start}, {0, text}, {0, ping}}, want: []llm.EventType{ping, start, text, ping}, shown: true},
		"a whole answer":            {events: []event{{0, start}, {0, done}}, want: []llm.EventType{start, done}, shown: true},
		"an unknown event is shown": {events: []event{{0, start}, {0, "future"}}, want: []llm.EventType{start, "future"}, shown: true},
		"just below the limit":      {events: []event{{0, start}, {10*time.Second - 1, ping}}},
		"at the limit":              {events: []event{{time.Minute, start}, {5 * time.Second, ping}, {5 * time.Second, ping}}, want: []llm.EventType{start, ping, ping}, shown: true},
		"broken off while flushing": {events: []event{{0, start}, {0, ping}, {0, text}}, stop: 1, want: []llm.EventType{start}, shown: true},
		"broken off at a piece":     {events: []event{{0, start}, {0, text}}, stop: 2, want: []llm.EventType{start, text}, shown: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got []llm.EventType
				h := llm.NewHoldback(nil, func(ev llm.Event, err error) bool {
					if err != nil {
						t.Errorf("error %v passed on, want events only", err)
					}
					got = append(got, ev.Type)
					return len(got) != c.stop
				})
				more := true
				for _, ev := range c.events {
					time.Sleep(ev.after)
					more = h.Yield(llm.Event{Type: ev.typ})
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("events passed on: %s", diff)
				}
				if h.Shown() != c.shown || h.Stopped() != (c.stop > 0) || more == h.Stopped() {
					t.Errorf("shown %t, stopped %t, more %t; want %t, %t", h.Shown(), h.Stopped(), more, c.shown, c.stop > 0)
				}
			})
		})
	}
}

func TestHoldbackFlush(t *testing.T) {
	t.Parallel()
	var got []llm.EventType
	h := llm.NewHoldback(nil, func(ev llm.Event, _ error) bool { got = append(got, ev.Type); return true })
	h.Yield(llm.Event{Type: llm.EventStart})
	if len(got) != 0 || h.Shown() {
		t.Fatalf("passed on %v before the flush, shown %t", got, h.Shown())
	}
	for range 2 { // the second has nothing to do
		if !h.Flush() {
			t.Error("Flush reports that the consumer broke off")
		}
	}
	h.Yield(llm.Event{Type: llm.EventPing})
	if diff := cmp.Diff([]llm.EventType{llm.EventStart, llm.EventPing}, got); diff != "" || !h.Shown() {
		t.Errorf("after the flush: %s, shown %t", diff, h.Shown())
	}
}
