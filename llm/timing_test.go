package llm_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/llm"
)

func TestTimingAddsUp(t *testing.T) {
	first := llm.Timing{WaitedSeconds: 2, FirstTokenSeconds: 0.25, ServiceSeconds: 1, InFlight: []llm.Span{{AtSeconds: 2, Seconds: 1}}}
	second := llm.Timing{WaitedSeconds: 0.5, FirstTokenSeconds: 0.125, ServiceSeconds: 4, InFlight: []llm.Span{{AtSeconds: 0.5, Seconds: 4}}}
	for _, test := range []struct {
		name      string
		got, want llm.Timing
	}{
		{"later", first.AddLater(second.Shift(3 * time.Second)), llm.Timing{WaitedSeconds: 2.5, FirstTokenSeconds: 0.25, ServiceSeconds: 5,
			InFlight: []llm.Span{{AtSeconds: 2, Seconds: 1}, {AtSeconds: 3.5, Seconds: 4}}}},
		{"overlapping", first.AddLater(second.Shift(2 * time.Second)), llm.Timing{WaitedSeconds: 2.5, FirstTokenSeconds: 0.25, ServiceSeconds: 5,
			InFlight: []llm.Span{{AtSeconds: 2, Seconds: 4.5}}}},
		{"at the same time", first.AddApart(second), llm.Timing{WaitedSeconds: 2.5, ServiceSeconds: 5}},
		{"nothing", llm.Timing{}.AddLater(llm.Timing{}), llm.Timing{}},
	} {
		if diff := cmp.Diff(test.want, test.got); diff != "" {
			t.Errorf("%s: (-want +got):\n%s", test.name, diff)
		}
	}
	if second.InFlight[0].AtSeconds != 0.5 {
		t.Error("Shift changed the timing that it was called on")
	}
}

// A journal of an earlier version has no times: the duration is all that is known.
func TestTimingOfEarlierVersions(t *testing.T) {
	var o llm.Outcome
	if err := json.Unmarshal([]byte(`{"output":"","model":"m","source":"live","stop_reason":"end_turn","usage":{"input_tokens":1},"cost_usd":0.5}`), &o); err != nil {
		t.Fatal(err)
	}
	if o.Measured() || o.LatencySeconds(3) != 3 {
		t.Errorf("got times %+v", o.Timing)
	}
	o.ServiceSeconds, o.WaitedSeconds = 1, 2
	if !o.Measured() || o.LatencySeconds(3) != 1 {
		t.Errorf("got times %+v", o.Timing)
	}
}
