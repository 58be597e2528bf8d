package record_test

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/llmtest"
	"github.com/claude-force/claude-force/llm/record"
)

func TestSuite(t *testing.T) {
	t.Parallel()
	llmtest.Suite(t, func(_ *testing.T, next llm.Model) llm.Model {
		return record.New(next, record.Options{}, func(context.Context, record.Call) {})
	})
}

// calls runs f with a recorded model in a bubble and returns what was
// recorded.
func calls(t *testing.T, next llm.Model, f func(t *testing.T, m llm.Model)) []record.Call {
	t.Helper()
	var got []record.Call
	synctest.Test(t, func(t *testing.T) {
		f(t, record.New(next, record.Options{}, func(_ context.Context, c record.Call) { got = append(got, c) }))
	})
	for i := range got {
		got[i].Start = time.Time{}
	}
	return got
}

func collect(t *testing.T, m llm.Model) {
	t.Helper()
	req := llmtest.Request("Hi.")
	req.Agent = "greeter"
	llm.Collect(m.Stream(t.Context(), req)) // the record is what is looked at
}

// price returns what the canned answer "hello" costs.
func price(t *testing.T) *float64 {
	t.Helper()
	usd, ok := llm.Prices().Cost(llmtest.Model, llmtest.Response("hello").Usage)
	if !ok || usd == 0 {
		t.Fatal("the test model has no price")
	}
	return &usd
}

func TestLiveAnswer(t *testing.T) {
	t.Parallel()
	next := llmtest.NewScript([]llmtest.Step{
		llmtest.Wait(time.Second), llmtest.Start(), llmtest.Ping(),
		llmtest.Wait(2 * time.Second), llmtest.Text("hello"),
		llmtest.Wait(4 * time.Second), llmtest.Done(llmtest.Response("hello")),
	})
	want := []record.Call{{
		Agent: "greeter", Model: llmtest.Model, ResponseModel: llmtest.Model, Source: llm.SourceLive,
		Usage: llmtest.Response("hello").Usage, CostUSD: price(t), SavedUSD: new(0.0),
		Duration: 7 * time.Second, FirstToken: 3 * time.Second, Attempts: 1, StopReason: llm.StopEndTurn,
	}}
	if diff := cmp.Diff(want, calls(t, next, collect)); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestFreeAnswerSavesItsPrice(t *testing.T) {
	t.Parallel()
	for _, source := range []llm.Source{llm.SourceCache, llm.SourceCoalesced, llm.SourceReplay} {
		resp := llmtest.Response("hello")
		resp.Source, resp.Attempts = source, 0
		got := calls(t, llmtest.NewScript([]llmtest.Step{llmtest.Text("hello"), llmtest.Done(resp)}), collect)
		if len(got) != 1 || got[0].Source != source || !cmp.Equal(got[0].CostUSD, new(0.0)) || !cmp.Equal(got[0].SavedUSD, price(t)) {
			t.Errorf("calls = %+v, want one from %s that cost 0 and saved %v", got, source, *price(t))
		}
	}
}

// TestUnknownPriceIsNil has an answer of a model without a price: what it cost is known if
// the model that was asked for has one, as gateways change the names of models.
func TestUnknownPriceIsNil(t *testing.T) {
	t.Parallel()
	for _, asked := range []string{llmtest.Model, "claude-next"} {
		for _, source := range []llm.Source{llm.SourceLive, llm.SourceCache} {
			resp := llmtest.Response("hello")
			resp.Model, resp.Source = "claude-next", source
			got := calls(t, llmtest.NewScript([]llmtest.Step{llmtest.Text("hello"), llmtest.Done(resp)}), func(t *testing.T, m llm.Model) {
				t.Helper()
				req := llmtest.Request("Hi.")
				req.Model = asked
				llm.Collect(m.Stream(t.Context(), req)) // the record is what is looked at
			})
			cost, saved := price(t), new(0.0)
			if source == llm.SourceCache {
				cost, saved = new(0.0), price(t)
			}
			if asked == "claude-next" && source == llm.SourceCache {
				saved = nil
			} else if asked == "claude-next" {
				cost, saved = nil, nil
			}
			if len(got) != 1 || !cmp.Equal(got[0].CostUSD, cost) || !cmp.Equal(got[0].SavedUSD, saved) || got[0].ResponseModel != "claude-next" {
				t.Errorf("%s asked, %s: calls = %+v", asked, source, got)
			}
		}
	}
}

// TestSavingsAreAtTheRateOfTheCall has an answer of the cache to a call in fast mode.
func TestSavingsAreAtTheRateOfTheCall(t *testing.T) {
	t.Parallel()
	resp := llmtest.Response("hello")
	resp.Model, resp.Source = "claude-opus-5", llm.SourceCache
	got := calls(t, llmtest.NewScript([]llmtest.Step{llmtest.Text("hello"), llmtest.Done(resp)}), func(t *testing.T, m llm.Model) {
		t.Helper()
		req := llmtest.Request("Hi.")
		req.Model, req.Extra = resp.Model, map[string]json.RawMessage{"speed": json.RawMessage(`"fast"`)}
		llm.Collect(m.Stream(t.Context(), req)) // the record is what is looked at
	})
	want, ok := llm.Prices().CostOf(resp.Model, resp.Usage, llm.Rate{Fast: true})
	if standard, _ := llm.Prices().Cost(resp.Model, resp.Usage); !ok || want.USD() == standard {
		t.Fatal("fast mode has no price of its own")
	}
	if len(got) != 1 || !cmp.Equal(got[0].SavedUSD, new(want.USD())) {
		t.Errorf("calls = %+v, want one that saved %s", got, want)
	}
}

// attempted is an error that knows how often the call was tried.
type attempted struct{ error }

func (attempted) Attempts() int   { return 3 }
func (a attempted) Unwrap() error { return a.error }

func TestFailures(t *testing.T) {
	t.Parallel()
	overloaded := llm.NewError(llm.CodeOverloaded, "busy", nil)
	cases := []struct {
		name  string
		steps []llmtest.Step
		want  record.Call
	}{
		{"refused", []llmtest.Step{llmtest.Fail(overloaded)}, record.Call{Code: llm.CodeOverloaded, CostUSD: new(0.0)}},
		{"attempts", []llmtest.Step{llmtest.Fail(attempted{overloaded})}, record.Call{Code: llm.CodeOverloaded, CostUSD: new(0.0), Attempts: 3}},
		{"begun", []llmtest.Step{llmtest.Start(), llmtest.Fail(overloaded)}, record.Call{Code: llm.CodeOverloaded}},
		{"500", []llmtest.Step{llmtest.Fail(&llm.Error{Code: llm.CodeServer, Status: 500})}, record.Call{Code: llm.CodeServer}},
		{"after another attempt", []llmtest.Step{llmtest.Fail(llm.MayBeBilled(overloaded))}, record.Call{Code: llm.CodeOverloaded}},
		{"connection", []llmtest.Step{llmtest.FailCode(llm.CodeConnection)}, record.Call{Code: llm.CodeConnection}},
		{"cut", nil, record.Call{Code: llm.CodeIncomplete}},
		{"unknown", []llmtest.Step{llmtest.Fail(errors.New("?"))}, record.Call{Code: llm.CodeInternal}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.want.Agent, c.want.Model, c.want.SavedUSD = "greeter", llmtest.Model, new(0.0)
			if diff := cmp.Diff([]record.Call{c.want}, calls(t, llmtest.NewScript(c.steps), collect)); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConsumersThatLeave(t *testing.T) {
	t.Parallel()
	steps := []llmtest.Step{llmtest.Start(), llmtest.Text("hel"), llmtest.Hang()}
	leave := map[string]func(){"break": func() {}, "panic": func() { panic("mine") }}
	for name, how := range leave {
		next := llmtest.NewScript(steps)
		inFlight := -1
		var code llm.Code
		m := record.New(next, record.Options{}, func(_ context.Context, c record.Call) { code, inFlight = c.Code, next.InFlight() })
		func() {
			defer func() { recover() }()
			for ev := range m.Stream(t.Context(), llmtest.Request("Hi.")) {
				if ev.Type == llm.EventText {
					how()
					break
				}
			}
		}()
		if code != llm.CodeCanceled || inFlight != 0 {
			t.Errorf("%s: code %v with %d calls in flight, want canceled and 0", name, code, inFlight)
		}
	}
}

func TestBreakAtTheEndIsAnAnswer(t *testing.T) {
	t.Parallel()
	got := calls(t, llmtest.NewScript(llmtest.Answer("hello")), func(t *testing.T, m llm.Model) {
		for ev := range m.Stream(t.Context(), llmtest.Request("Hi.")) {
			if ev.Type == llm.EventDone {
				break
			}
		}
	})
	if len(got) != 1 || got[0].Code != 0 || got[0].CostUSD == nil {
		t.Errorf("calls = %+v, want one with code 0 and a cost", got)
	}
}

func TestPanicBelowIsRecorded(t *testing.T) {
	t.Parallel()
	next := llm.ModelFunc(func(context.Context, *llm.Request) iter.Seq2[llm.Event, error] {
		return func(yield func(llm.Event, error) bool) {
			yield(llm.Event{Type: llm.EventStart}, nil)
			panic("theirs")
		}
	})
	var code llm.Code
	m := record.New(next, record.Options{}, func(_ context.Context, c record.Call) { code = c.Code })
	func() {
		defer func() { recover() }()
		llm.Collect(m.Stream(t.Context(), llmtest.Request("Hi.")))
	}()
	if code != llm.CodeInternal {
		t.Errorf("code = %v, want internal", code)
	}
}

func TestNoSinkIsNoLayer(t *testing.T) {
	t.Parallel()
	if m := record.New(llmtest.Echo{}, record.Options{}, nil); m != (llmtest.Echo{}) {
		t.Errorf("New without a sink = %T, want next itself", m)
	}
}

func BenchmarkRecord(b *testing.B) {
	llmtest.Bench(b, func(next llm.Model) llm.Model {
		return record.New(next, record.Options{}, func(context.Context, record.Call) {})
	})
}
