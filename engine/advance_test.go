package engine_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
)

// TestAdvanceAnyWorkflow runs random workflows in parts: each ends as in one process, to
// the last number, with the limits held.
func TestAdvanceAnyWorkflow(t *testing.T) {
	checkRelays(t, 300, 8, false, func(t *testing.T, r *relay, res *engine.Result) {
		m := r.compare(res, nil)
		if len(m.exits) > 0 || r.joins {
			return
		}
		whole := r.goOn(t, nil, nil, false)
		if diff := cmp.Diff(bareResult(whole.res), bareResult(res)); diff != "" {
			r.fault("another result than in one process: %s", diff)
		}
	})
}

// firstMissing is why a step is skipped. Which of several was the first depends on time.
var firstMissing = regexp.MustCompile(`step \w+ did not complete`)

// bareResult returns a result as JSON values, without times and what follows from them.
func bareResult(res *engine.Result) any {
	data, err := json.Marshal(res)
	data = firstMissing.ReplaceAll(data, []byte("a step did not complete"))
	var v map[string]any
	if err == nil {
		err = json.Unmarshal(data, &v)
	}
	if err != nil {
		panic(err)
	}
	delete(v, "execution_order")
	delete(v, "notes") // as firstMissing
	return strip(v)
}

func strip(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range []string{"total_time_seconds", "started_at", "duration_seconds", "waited_seconds", "ran_seconds"} {
			delete(v, name)
		}
		for name, inner := range v {
			if f, ok := inner.(float64); ok {
				v[name] = fmt.Sprintf("%.6f", f)
				continue
			}
			v[name] = strip(inner)
		}
	case []any:
		for i := range v {
			v[i] = strip(v[i])
		}
	}
	return v
}

// TestAdvanceThroughFaults runs random workflows in parts, by processes that die at any
// event, write when they were taken for dead, attempt what has ended and advance what
// others have advanced: each step ends as a model says that knows none of this, nothing
// that has finished is attempted, and the limits hold.
//
//	go test ./engine -run TestAdvanceThroughFaults -rapid.checks 100000 -timeout 3h
func TestAdvanceThroughFaults(t *testing.T) {
	deaths, refused, children := 0, 0, 0
	checkRelays(t, 400, 6, true, func(t *testing.T, r *relay, res *engine.Result) {
		r.compare(res, r.dead)
		events := r.events()
		if i := slices.IndexFunc(events, func(ev journal.Event) bool { return ev.Type == journal.RunFinished }); i != len(events)-1 {
			r.fault("the end of the run is event %d of %d", i+1, len(events))
		}
		for _, replica := range r.replicas {
			state, err := replica.State(t.Context())
			if want := past(t, events); err != nil || !reflect.DeepEqual(state.Units, want.Units) || !reflect.DeepEqual(state.Order, want.Order) || state.LastSeq != want.LastSeq {
				r.fault("a replica says %+v, %v; the events add up to %+v", state, err, want)
			}
		}
		deaths, refused, children = deaths+r.deaths, refused+r.refused, children+r.children
	})
	if t.Logf("%d processes died, %d came too late, %d foreach were advanced apart", deaths, refused, children); deaths == 0 || refused == 0 || children == 0 {
		t.Error("the faults were none")
	}
}
