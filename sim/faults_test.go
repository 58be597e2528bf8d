package sim_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/llmtest"
	"github.com/claude-force/claude-force/sim"
)

func TestFaultsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := sim.New(sim.Options{})
		body := `{"model":"claude-haiku-5-5","max_tokens":100,"messages":[{"role":"user","content":"hi"}]}`
		if res, text := postTo(t, server, "/_sim/faults", `{"kind":"status","status":529,"for":"60s"}`); res.StatusCode != 200 {
			t.Fatal(text)
		}
		server.Inject(sim.Fault{Kind: sim.FaultStatus, Status: 429, ErrorCode: "ramp_limit_exceeded", Times: 1})
		for _, want := range []int{529, 529} {
			if res, _ := post(t, server, body); res.StatusCode != want {
				t.Errorf("status %d, want %d", res.StatusCode, want)
			}
		}
		<-time.After(time.Minute)
		for _, want := range []int{429, 200} {
			if res, _ := post(t, server, body); res.StatusCode != want {
				t.Errorf("status %d after a minute, want %d", res.StatusCode, want)
			}
		}
		want := map[string]int{"overloaded_error": 2, "ramp_limit_exceeded": 1}
		if diff := cmp.Diff(want, server.Stats().Kinds); diff != "" {
			t.Errorf("kinds (-want +got):\n%s", diff)
		}
	})
}

func TestProviderErrors(t *testing.T) {
	tests := map[string]struct {
		fault sim.Fault
		code  llm.Code
		shown bool // text arrives before the error
	}{
		"429":          {sim.Fault{Kind: sim.FaultStatus, Status: 429, RetryAfter: "3600"}, llm.CodeRateLimit, false},
		"spend limit":  {sim.Fault{Kind: sim.FaultStatus, Status: 429, ErrorCode: "enforced_spend_limit_reached"}, llm.CodeSpendLimit, false},
		"529":          {sim.Fault{Kind: sim.FaultStatus, Status: 529}, llm.CodeOverloaded, false},
		"500":          {sim.Fault{Kind: sim.FaultStatus, Status: 500}, llm.CodeServer, false},
		"proxy":        {sim.Fault{Kind: sim.FaultHTML}, llm.CodeServer, false},
		"drop":         {sim.Fault{Kind: sim.FaultDrop}, llm.CodeConnection, false},
		"cut early":    {sim.Fault{Kind: sim.FaultCutStream, After: 1}, llm.CodeConnection, false},
		"cut late":     {sim.Fault{Kind: sim.FaultCutStream, After: 9}, llm.CodeConnection, true},
		"ends early":   {sim.Fault{Kind: sim.FaultEndStream, After: 9}, llm.CodeIncomplete, true},
		"stream error": {sim.Fault{Kind: sim.FaultStreamError, After: 9}, llm.CodeOverloaded, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := sim.New(sim.Options{})
				server.Inject(tt.fault)
				shown := ""
				var failure error
				for ev, err := range client(t, server).Stream(t.Context(), llmtest.Request("Explain lists")) {
					if err != nil {
						failure = err
						break
					}
					if ev.Type == llm.EventDone {
						t.Error("a broken call has an answer")
					}
					shown += ev.Text
				}
				if got := llm.CodeOf(failure); got != tt.code || (shown != "") != tt.shown {
					t.Errorf("error %v (%s; want %s), shown %q", failure, got, tt.code, shown)
				}
				if server.Stats().InFlight != 0 {
					t.Error("the call is still in flight")
				}
			})
		})
	}
}

func TestSilenceEndsOnDisconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := sim.New(sim.Options{})
		server.Inject(sim.Fault{Kind: sim.FaultSilence, After: 3})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		time.AfterFunc(time.Minute-1, func() {
			if s := server.Stats(); s.InFlight != 1 || s.Silent != 1 {
				t.Errorf("%d in flight, %d silent just before the client gives up; want 1 and 1", s.InFlight, s.Silent)
			}
		})
		_, err := llm.Collect(client(t, server).Stream(ctx, llmtest.Request("hi")))
		if llm.CodeOf(err) != llm.CodeTimeout || time.Since(start) != time.Minute {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		synctest.Wait()
		if s := server.Stats(); s.InFlight != 0 || s.Silent != 0 {
			t.Errorf("%d in flight, %d silent after it; want none", s.InFlight, s.Silent)
		}
	})
}

func TestInjectFaultsOverHTTP(t *testing.T) {
	server := sim.New(sim.Options{})
	res, body := postTo(t, server, "/_sim/faults", `[{"kind":"delay","delay":"1ms","times":1},{"kind":"status","status":529,"match":"special"}]`)
	if res.StatusCode != 200 || body != `{"faults":2}` {
		t.Fatalf("%d %s", res.StatusCode, body)
	}
	special := `{"model":"claude-haiku-5-5","max_tokens":9,"messages":[{"role":"user","content":"special"}]}`
	if res, body := post(t, server, special); res.StatusCode != 200 {
		t.Errorf("the delay was not first: %d %s", res.StatusCode, body)
	}
	for range 2 {
		if res, _ := post(t, server, special); res.StatusCode != 529 {
			t.Errorf("got %d; want 529", res.StatusCode)
		}
	}
	if res, _ := post(t, server, strings.Replace(special, "special", "plain", 1)); res.StatusCode != 200 {
		t.Errorf("got %d for a call that does not match", res.StatusCode)
	}
	for _, bad := range []string{`[{"kind":"nonsense"}]`, `{"kind":"status"}`, `[{"kind":"delay","delay":"soon"}]`, `{"kind":"drop","unknown":1}`, `x`} {
		if res, body := postTo(t, server, "/_sim/faults", bad); res.StatusCode != 400 {
			t.Errorf("%s: %d %s", bad, res.StatusCode, body)
		}
	}
	if res, _ := postTo(t, server, "/_sim/faults", `{"reset":true}`); res.StatusCode != 200 || server.Stats().Requests != 0 {
		t.Error("not reset")
	}
}
