package llmtest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claude-force/claude-force/llm"
)

func TestEchoKeepsTheContract(t *testing.T) {
	t.Parallel()
	SuiteModel(t, func(*testing.T) llm.Model { return Echo{} })
}

func TestNoLayerKeepsTheContract(t *testing.T) {
	t.Parallel()
	Suite(t, func(_ *testing.T, next llm.Model) llm.Model { return next })
}

func TestFollowSeesBrokenStreams(t *testing.T) {
	t.Parallel()
	done := llm.Event{Type: llm.EventDone, Response: Response("x")}
	text := llm.Event{Type: llm.EventText, Text: "x"}
	nameless := Response("x")
	nameless.Source, nameless.StopReason = "", ""
	type pair struct {
		ev  llm.Event
		err error
	}
	cases := []struct {
		name  string
		pairs []pair
		want  string
	}{
		{"two dones", []pair{{ev: text}, {ev: done}, {ev: done}}, "after the stream's end"},
		{"event after done", []pair{{ev: text}, {ev: done}, {ev: text}}, "after the stream's end"},
		{"done after error", []pair{{err: errors.New("no")}, {ev: done}}, "after the stream's end"},
		{"done without response", []pair{{ev: llm.Event{Type: llm.EventDone}}}, "without a response"},
		{"early response", []pair{{ev: llm.Event{Type: llm.EventStart, Response: Response("x")}}}, "only done carries one"},
		{"missing piece", []pair{{ev: done}}, "text pieces join"},
		{"typeless event", []pair{{}}, "without a type"},
		{"no source", []pair{{ev: text}, {ev: llm.Event{Type: llm.EventDone, Response: nameless}}}, "without a source"},
	}
	for _, c := range cases {
		var seq iter.Seq2[llm.Event, error] = func(yield func(llm.Event, error) bool) {
			for _, p := range c.pairs {
				if !yield(p.ev, p.err) {
					return
				}
			}
		}
		if _, problems := follow(seq); !strings.Contains(strings.Join(problems, "\n"), c.want) {
			t.Errorf("%s: problems = %q, want one about %q", c.name, problems, c.want)
		}
	}
}

func TestScriptPlaysItsCallsInOrderAndInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewScript([]Step{Wait(time.Minute), FailCode(llm.CodeOverloaded)}, append([]Step{Wait(time.Second)}, Answer("abc")...))
		begin := time.Now()
		if _, err := llm.Collect(s.Stream(t.Context(), Request("1"))); llm.CodeOf(err) != llm.CodeOverloaded {
			t.Errorf("first call: %v, want overloaded", err)
		}
		for range 2 { // the last list is played again
			if got := MustCollect(t, s, Request("2")).Text(); got != "abc" {
				t.Errorf("answer = %q, want abc", got)
			}
		}
		if d := time.Since(begin); d != 62*time.Second {
			t.Errorf("three calls took %v, want 62s", d)
		}
		if s.Started() != 3 || s.InFlight() != 0 || s.MaxInFlight() != 1 || len(s.Requests()) != 3 {
			t.Errorf("started %d, in flight %d, at most %d, requests %d; want 3, 0, 1, 3", s.Started(), s.InFlight(), s.MaxInFlight(), len(s.Requests()))
		}
	})
}

func TestScriptHangsUntilTheContextEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewScript([]Step{Start(), Hang()})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := llm.Collect(s.Stream(ctx, Request("?"))); llm.CodeOf(err) != llm.CodeTimeout {
			t.Errorf("error = %v, want a timeout", err)
		}
	})
}

func TestRequestFieldsAreAllSet(t *testing.T) {
	t.Parallel()
	req := fullRequest("x")
	req.Policy = llm.PolicyOff
	v := reflect.ValueOf(*req)
	for i := range v.NumField() {
		if v.Field(i).IsZero() && v.Type().Field(i).Name != "Wire" { // such a request no layer changes
			t.Errorf("field %s of the full request is not set; the suite would not see a layer change it", v.Type().Field(i).Name)
		}
	}
}

func ExampleScript() {
	next := NewScript(
		[]Step{FailCode(llm.CodeOverloaded)},
		Answer("second time lucky"),
	)
	for range 2 {
		resp, err := llm.Collect(next.Stream(context.Background(), Request("Hello?")))
		if err != nil {
			fmt.Println("error:", err)
			continue
		}
		fmt.Println("answer:", resp.Text())
	}
	// Output:
	// error: scripted overloaded (overloaded)
	// answer: second time lucky
}
