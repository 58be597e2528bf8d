package hedge

import (
	"context"
	"iter"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/admission"
	"github.com/claude-force/claude-force/llm/llmtest"
)

// Calls of a taught layer begin within usual, and are late from then on.
const (
	usual  = 20 * time.Millisecond
	isLate = usual + usual/margin
)

// taught returns a layer that has timed enough calls, and may hedge at once.
func taught(next llm.Model, opts Options) *model {
	return taughtBehind(next, func(next llm.Model) llm.Model { return next }, opts)
}

// taughtBehind returns a taught layer above a queue.
func taughtBehind(next llm.Model, queue func(llm.Model) llm.Model, opts Options) *model {
	opts.Quantile = 0.95
	m := New(queue(MarkStart(next)), opts).(*model)
	for range enough {
		m.times.add(llmtest.Model, usual)
	}
	m.credit = burst
	return m
}

func TestSuite(t *testing.T) {
	t.Parallel()
	for name, layer := range map[string]func(next llm.Model) llm.Model{
		"off":      func(next llm.Model) llm.Model { return New(next, Options{}) },
		"learning": func(next llm.Model) llm.Model { return New(MarkStart(next), Options{Quantile: 0.95}) },
		"hedging":  func(next llm.Model) llm.Model { return taught(next, Options{}) },
	} {
		t.Run(name, func(t *testing.T) {
			llmtest.Suite(t, func(_ *testing.T, next llm.Model) llm.Model { return layer(next) })
		})
	}
}

// after returns the steps of an answer that begins after d.
func after(d time.Duration, text string) []llmtest.Step {
	return append([]llmtest.Step{llmtest.Wait(d)}, llmtest.Answer(text)...)
}

func TestTheFirstToShowAnEventWins(t *testing.T) {
	t.Parallel()
	fails := []llmtest.Step{llmtest.Wait(3 * time.Second), llmtest.FailCode(llm.CodeOverloaded)}
	refused := []llmtest.Step{llmtest.Wait(3 * time.Second), llmtest.FailCode(llm.CodeInvalid)}
	tests := map[string]struct {
		first, second []llmtest.Step
		text          string
		code          llm.Code
		took          time.Duration
		hedges        []Hedge
	}{
		"in time":                 {after(usual, "first"), after(0, "second"), "first", 0, usual, nil},
		"the second":              {after(time.Hour, "first"), after(time.Second, "second"), "second", 0, isLate + time.Second, []Hedge{{llmtest.Model, isLate, Second}}},
		"the first after all":     {after(2*time.Second, "first"), after(time.Hour, "second"), "first", 0, 2 * time.Second, []Hedge{{llmtest.Model, isLate, First}}},
		"the first fails":         {fails, after(5*time.Second, "second"), "second", 0, isLate + 5*time.Second, []Hedge{{llmtest.Model, isLate, Second}}},
		"the second fails":        {after(5*time.Second, "first"), fails, "first", 0, 5 * time.Second, []Hedge{{llmtest.Model, isLate, First}}},
		"both fail":               {fails, refused, "", llm.CodeOverloaded, isLate + 3*time.Second, []Hedge{{llmtest.Model, isLate, Neither}}},
		"a failure that repeats":  {refused, after(time.Hour, "second"), "", llm.CodeInvalid, 3 * time.Second, []Hedge{{llmtest.Model, isLate, Neither}}},
		"both streams are cut":    {nil, nil, "", llm.CodeIncomplete, 0, nil},
		"the first of two is cut": {[]llmtest.Step{llmtest.Wait(2 * time.Second)}, after(5*time.Second, "second"), "second", 0, isLate + 5*time.Second, []Hedge{{llmtest.Model, isLate, Second}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				next := llmtest.NewScript(test.first, test.second)
				var hedges []Hedge
				m := taught(next, Options{OnHedge: func(_ context.Context, h Hedge) { hedges = append(hedges, h) }})
				begin := time.Now()
				resp, err := llm.Collect(m.Stream(t.Context(), llmtest.Request("x")))
				if llm.CodeOf(err) != test.code || err == nil && resp.Text() != test.text {
					t.Errorf("%v, %v; want %q, code %v", resp, err, test.text, test.code)
				}
				if took := time.Since(begin); took != test.took {
					t.Errorf("took %v, want %v", took, test.took)
				}
				if diff := cmp.Diff(test.hedges, hedges); diff != "" {
					t.Error(diff)
				}
				if next.InFlight() != 0 {
					t.Error("a call is in flight after the stream's end")
				}
			})
		})
	}
}

func TestNothingIsHedgedUnasked(t *testing.T) {
	t.Parallel()
	late := after(time.Minute, "late")
	once := llmtest.Request("x")
	once.Once = true
	other := llmtest.Request("x")
	other.Model = "another"
	for name, test := range map[string]struct {
		model func(next llm.Model) llm.Model
		req   *llm.Request
	}{
		"made once":        {func(next llm.Model) llm.Model { return taught(next, Options{}) }, once},
		"an unknown model": {func(next llm.Model) llm.Model { return taught(next, Options{}) }, other},
		"off":              {func(next llm.Model) llm.Model { return New(next, Options{}) }, llmtest.Request("x")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				next := llmtest.NewScript(late)
				m := test.model(next)
				for range 30 {
					llmtest.MustCollect(t, m, test.req)
					if test.req == other {
						return
					}
				}
				if next.Started() != 30 {
					t.Errorf("%d calls for 30", next.Started())
				}
			})
		})
	}
}

// TestTheShareIsKept: one call in five is slow, which is more than may be
// hedged.
func TestTheShareIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fast, slow := after(time.Second, "fast"), after(time.Minute, "slow")
		var mu sync.Mutex
		n := 0
		next := llm.ModelFunc(func(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
			mu.Lock()
			defer mu.Unlock()
			if n++; n%5 == 0 {
				return llmtest.NewScript(slow).Stream(ctx, req)
			}
			return llmtest.NewScript(fast).Stream(ctx, req)
		})
		hedges := map[Winner]int{}
		m := New(MarkStart(next), Options{Quantile: 0.7, Share: 0.1, OnHedge: func(_ context.Context, h Hedge) { hedges[h.Winner]++ }})
		for range 200 {
			llmtest.MustCollect(t, m, llmtest.Request("x"))
		}
		if sum := hedges[First] + hedges[Second]; sum < 15 || sum > 20 || hedges[Second] < 10 {
			t.Errorf("hedges %v, want nearly a tenth of 200, mostly won by the second", hedges)
		}
	})
}

// TestTheQueueDoesNotCount: calls that wait long for their turn are not late.
func TestTheQueueDoesNotCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		next := llmtest.NewScript(after(usual, "fine"))
		m := taughtBehind(next, func(next llm.Model) llm.Model { return admission.New(next, admission.NewGate(1)) }, Options{
			OnHedge: func(_ context.Context, h Hedge) { t.Errorf("hedged: %+v", h) },
		})
		var wg sync.WaitGroup
		for range 30 {
			wg.Go(func() {
				if _, err := llm.Collect(m.Stream(t.Context(), llmtest.Request("x"))); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if late, ok := m.times.late(llmtest.Model); late != isLate || !ok {
			t.Errorf("late from %v (%v), want %v, from the service's time", late, ok, isLate)
		}
	})
}

func TestLateIsTheQuantileOfRecentTimes(t *testing.T) {
	t.Parallel()
	ts := times{quantile: 0.95, models: map[string]*recent{}}
	for i := range enough - 1 {
		ts.add("m", time.Duration(i))
	}
	if _, ok := ts.late("m"); ok {
		t.Error("19 times are enough")
	}
	var added []time.Duration
	for i := range 1000 {
		added = append(added, time.Duration((i*617)%1000))
		ts.add("m", added[i])
	}
	last := slices.Sorted(slices.Values(added[len(added)-kept:]))
	want := last[kept*95/100-1]
	want += want / margin
	if got, ok := ts.late("m"); !ok || got != want {
		t.Errorf("late from %v (%v), want %v", got, ok, want)
	}
}

func TestAnOutageIsNoReasonForAStorm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		wait := usual
		next := llm.ModelFunc(func(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
			return llmtest.NewScript(after(wait, "x")).Stream(ctx, req)
		})
		hedges := 0
		m := New(MarkStart(next), Options{Quantile: 0.95, OnHedge: func(context.Context, Hedge) { hedges++ }})
		for range 1000 {
			llmtest.MustCollect(t, m, llmtest.Request("x"))
		}
		wait = time.Minute // at which hedging does not help
		for range 10 {
			llmtest.MustCollect(t, m, llmtest.Request("x"))
		}
		if hedges < 1 || hedges > burst {
			t.Errorf("%d of 10 calls hedged after 1,000 that were in time, want at most %d", hedges, burst)
		}
	})
}

// TestTheLosersTimeIsLearned: without it, the times would be those of the quick
// calls only, and ever more calls would be late.
func TestTheLosersTimeIsLearned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := taught(llmtest.NewScript(after(time.Hour, "first"), after(time.Second, "second")), Options{})
		llmtest.MustCollect(t, m, llmtest.Request("x"))
		got := m.times.models[llmtest.Model].ring[enough:]
		if diff := cmp.Diff([]time.Duration{isLate + time.Second, time.Second}, got); diff != "" {
			t.Error(diff)
		}
	})
}
