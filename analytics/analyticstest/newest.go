package analyticstest

import (
	"slices"
	"testing"
	"time"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/fault"
)

// newest lists calls page by page, many of them at the same time: each once, the
// latest first.
func newest(t *testing.T, s analytics.Store) {
	var all []analytics.Call
	for i := range 25 {
		all = append(all, analytics.Call{Time: Epoch.Add(time.Duration(i/4) * time.Second), Agent: []string{"a", "b"}[i%2], Model: "m", StopReason: string(rune('a' + i))})
	}
	if err := s.Add(t.Context(), all...); err != nil {
		t.Fatal(err)
	}
	for _, only := range []analytics.Only{{}, {Agent: "b"}, {Agent: "none"}} {
		var want, got []string
		for _, c := range slices.Backward(all) {
			if only.Agent == "" || c.Agent == only.Agent {
				want = append(want, c.StopReason)
			}
		}
		for cursor, pages := "", 0; pages == 0 || cursor != ""; pages++ {
			calls, next, err := s.Newest(t.Context(), analytics.Filter{}, only, cursor, 3)
			if err != nil || len(calls) > 3 || pages > 20 {
				t.Fatalf("page %d has %d calls: %v", pages, len(calls), err)
			}
			for _, c := range calls {
				got = append(got, c.StopReason)
			}
			cursor = next
		}
		if !slices.Equal(got, want) {
			t.Errorf("%+v: %v, want %v", only, got, want)
		}
	}
	if _, _, err := s.Newest(t.Context(), analytics.Filter{}, analytics.Only{}, "1-2x", 3); fault.KindOf(err) != fault.KindInput {
		t.Errorf("a wrong cursor: %v", err)
	}
}
