package coalesce_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/coalesce"
	"github.com/claude-force/claude-force/llm/llmtest"
)

func TestSuite(t *testing.T) {
	llmtest.Suite(t, func(_ *testing.T, next llm.Model) llm.Model {
		return coalesce.New(next, llm.Keyer{}, coalesce.Options{})
	})
}

// slow answers text after a second, in two pieces.
func slow(text string) []llmtest.Step {
	return []llmtest.Step{
		llmtest.Start(), llmtest.Text("…"), llmtest.Wait(time.Second), llmtest.Text(text), llmtest.Done(llmtest.Response("…" + text)),
	}
}

// outcome is what one reader got.
type outcome struct {
	text   string // of the events
	source llm.Source
	code   llm.Code
}

func read(ctx context.Context, m llm.Model, req *llm.Request) (o outcome) {
	for ev, err := range m.Stream(ctx, req) {
		if err != nil {
			o.code = llm.CodeOf(err)
			return o
		}
		o.text += ev.Text
		if ev.Response != nil {
			o.source = ev.Response.Source
		}
	}
	return o
}

func TestFiftyAtOnceAreOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		script := llmtest.NewScript(slow("one"), slow("two"))
		m := coalesce.New(script, llm.Keyer{}, coalesce.Options{})
		got := map[outcome]int{}
		var mu sync.Mutex
		var readers sync.WaitGroup
		for range 50 {
			readers.Go(func() {
				o := read(t.Context(), m, llmtest.Request("same"))
				mu.Lock()
				defer mu.Unlock()
				got[o]++
			})
		}
		readers.Wait()
		want := map[outcome]int{{"…one", llm.SourceLive, 0}: 1, {"…one", llm.SourceCoalesced, 0}: 49}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(outcome{})); diff != "" || script.Started() != 1 {
			t.Errorf("%d calls; %s", script.Started(), diff)
		}
		if o := read(t.Context(), m, llmtest.Request("same")); o.text != "…two" {
			t.Errorf("a later call was answered %q: a flight is no cache", o.text)
		}
	})
}

func TestWhatIsNotShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		script := llmtest.NewScript(slow("x"))
		a, b := coalesce.New(script, llm.Keyer{Namespace: "a"}, coalesce.Options{}), coalesce.New(script, llm.Keyer{Namespace: "b"}, coalesce.Options{})
		off := llmtest.Request("same")
		off.Policy = llm.PolicyOff
		var readers sync.WaitGroup
		for m, req := range map[llm.Model]*llm.Request{a: llmtest.Request("same"), b: llmtest.Request("same")} {
			readers.Go(func() { read(t.Context(), m, req) })
		}
		readers.Go(func() { read(t.Context(), a, off) })
		readers.Go(func() { read(t.Context(), a, llmtest.Request("other")) })
		readers.Wait()
		if script.Started() != 4 {
			t.Errorf("%d calls; want 4: another credential, another request, one that wants its own", script.Started())
		}
	})
}

func TestALeaderThatLeavesFailsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		script := llmtest.NewScript(slow("x"))
		m := coalesce.New(script, llm.Keyer{}, coalesce.Options{})
		ctx, leave := context.WithCancel(t.Context())
		var readers sync.WaitGroup
		readers.Go(func() {
			if o := read(ctx, m, llmtest.Request("same")); o.code != llm.CodeCanceled {
				t.Errorf("the leader got %+v", o)
			}
		})
		synctest.Wait()
		sources := make(chan llm.Source, 3)
		for range 3 {
			readers.Go(func() {
				o := read(t.Context(), m, llmtest.Request("same"))
				if o.text != "…x" {
					t.Errorf("a follower got %+v", o)
				}
				sources <- o.source
			})
		}
		synctest.Wait()
		leave()
		readers.Wait()
		close(sources)
		count := map[llm.Source]int{}
		for s := range sources {
			count[s]++
		}
		// The answer was paid for once, so one of them must be counted as paid.
		if diff := cmp.Diff(map[llm.Source]int{llm.SourceLive: 1, llm.SourceCoalesced: 2}, count); diff != "" || script.Started() != 1 {
			t.Errorf("%d calls; %s", script.Started(), diff)
		}
	})
}

// TestWhoSharesAnAnswerIsToldOfItsCall: of the one that gave the answer, not of one
// that failed before.
func TestWhoSharesAnAnswerIsToldOfItsCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type nameKey struct{}
		name := func(ctx context.Context) int { return ctx.Value(nameKey{}).(int) }
		overloaded := []llmtest.Step{llmtest.Wait(time.Second), llmtest.Fail(llm.NewError(llm.CodeOverloaded, "busy", nil))}
		var mu sync.Mutex
		got, want, lead := map[int]int{}, map[int]int{}, -1
		m := coalesce.New(llmtest.NewScript(overloaded, slow("x")), llm.Keyer{}, coalesce.Options{OnShared: func(ctx, leader context.Context) {
			mu.Lock()
			defer mu.Unlock()
			got[name(ctx)] = name(leader)
		}})
		var readers sync.WaitGroup
		for i := range 10 {
			readers.Go(func() {
				o := read(context.WithValue(t.Context(), nameKey{}, i), m, llmtest.Request("same"))
				mu.Lock()
				defer mu.Unlock()
				switch o.source {
				case llm.SourceLive:
					lead = i
				case llm.SourceCoalesced:
					want[i] = 0
				}
			})
		}
		readers.Wait()
		for i := range want {
			want[i] = lead
		}
		if diff := cmp.Diff(want, got); diff != "" || len(got) != 8 {
			t.Error(diff)
		}
	})
}

func TestTheLastToLeaveCancels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		script := llmtest.NewScript([]llmtest.Step{llmtest.Start(), llmtest.Hang()}, slow("again"))
		m := coalesce.New(script, llm.Keyer{}, coalesce.Options{})
		ctx, leave := context.WithCancel(t.Context())
		var readers sync.WaitGroup
		for range 5 {
			readers.Go(func() { read(ctx, m, llmtest.Request("same")) })
		}
		synctest.Wait()
		if script.InFlight() != 1 {
			t.Fatalf("%d in flight", script.InFlight())
		}
		leave()
		readers.Wait()
		if script.InFlight() != 0 {
			t.Error("the call goes on although nobody reads it")
		}
		if o := read(t.Context(), m, llmtest.Request("same")); o.text != "…again" {
			t.Errorf("who comes next got %+v", o)
		}
	})
}

func TestLateAndSlowReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		script := llmtest.NewScript(slow("x"))
		m := coalesce.New(script, llm.Keyer{}, coalesce.Options{})
		start := time.Now()
		var readers sync.WaitGroup
		readers.Go(func() { // takes an hour over the first piece
			for ev, err := range m.Stream(t.Context(), llmtest.Request("same")) {
				if err != nil {
					t.Error(err)
				}
				if ev.Type == llm.EventText {
					<-time.After(time.Hour)
				}
			}
		})
		<-time.After(500 * time.Millisecond)
		if o := read(t.Context(), m, llmtest.Request("same")); o.text != "…x" {
			t.Errorf("who came late got %+v", o)
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("the slow reader made the other wait until %v", took)
		}
		readers.Wait()
		if script.Started() != 1 {
			t.Errorf("%d calls", script.Started())
		}
	})
}

func TestErrors(t *testing.T) {
	after := func(err error) []llmtest.Step { return []llmtest.Step{llmtest.Wait(time.Second), llmtest.Fail(err)} }
	overloaded, invalid := llm.NewError(llm.CodeOverloaded, "busy", nil), llm.NewError(llm.CodeInvalid, "bad", nil)
	tests := map[string]struct {
		calls [][]llmtest.Step
		want  map[outcome]int
		made  int
	}{
		"one that would repeat is shared": {
			[][]llmtest.Step{after(invalid), slow("x")}, map[outcome]int{{code: llm.CodeInvalid}: 10}, 1,
		},
		"a transient one promotes one reader": {
			[][]llmtest.Step{after(overloaded), slow("x")},
			map[outcome]int{{code: llm.CodeOverloaded}: 1, {"…x", llm.SourceLive, 0}: 1, {"…x", llm.SourceCoalesced, 0}: 8}, 2,
		},
		"but only once": {
			[][]llmtest.Step{after(overloaded), after(overloaded), slow("x")}, map[outcome]int{{code: llm.CodeOverloaded}: 10}, 2,
		},
		"nobody is promoted who was shown something": {
			[][]llmtest.Step{{llmtest.Start(), llmtest.Text("half"), llmtest.Wait(time.Second), llmtest.Fail(overloaded)}, slow("x")},
			map[outcome]int{{"half", "", llm.CodeOverloaded}: 10}, 1,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				script := llmtest.NewScript(tt.calls...)
				m := coalesce.New(script, llm.Keyer{}, coalesce.Options{})
				got := map[outcome]int{}
				var mu sync.Mutex
				var readers sync.WaitGroup
				for range 10 {
					readers.Go(func() {
						o := read(t.Context(), m, llmtest.Request("same"))
						mu.Lock()
						defer mu.Unlock()
						got[o]++
					})
				}
				readers.Wait()
				if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(outcome{})); diff != "" || script.Started() != tt.made {
					t.Errorf("%d calls, want %d; %s", script.Started(), tt.made, diff)
				}
			})
		})
	}
}

// TestALandedFlightIsJoinedUntilItsOwnReaderLeaves: between the end of the call
// and the cache above knowing its answer nobody is sent to the service again.
func TestALandedFlightIsJoinedUntilItsOwnReaderLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		script := llmtest.NewScript(llmtest.Answer("one"), llmtest.Answer("two"))
		m := coalesce.New(script, llm.Keyer{}, coalesce.Options{})
		var leader sync.WaitGroup
		leader.Go(func() {
			for ev, err := range m.Stream(t.Context(), llmtest.Request("same")) {
				if err != nil {
					t.Error(err)
				}
				if ev.Type == llm.EventDone {
					<-time.After(time.Second)
				}
			}
		})
		synctest.Wait()
		if o := read(t.Context(), m, llmtest.Request("same")); o.text != "one" || o.source != llm.SourceCoalesced {
			t.Errorf("while the leader reads: %+v", o)
		}
		leader.Wait()
		if o := read(t.Context(), m, llmtest.Request("same")); o.text != "two" || script.Started() != 2 {
			t.Errorf("afterwards: %+v, %d calls", o, script.Started())
		}
	})
}

func TestRecheckedAnswerIsTaken(t *testing.T) {
	script := llmtest.NewScript(llmtest.Answer("new"))
	m := coalesce.New(script, llm.Keyer{}, coalesce.Options{})
	there := llmtest.Response("there")
	there.Source = llm.SourceCache
	ctx := llm.WithCacheRecheck(t.Context(), func() *llm.Response { return there })
	if o := read(ctx, m, llmtest.Request("same")); o.text != "there" || o.source != llm.SourceCache || script.Started() != 0 {
		t.Errorf("got %+v, %d calls", o, script.Started())
	}
}

func TestTheFlightKnowsTheLatestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []time.Duration
		look := llmtest.Do(func(ctx context.Context, _ *llm.Request) {
			left := time.Duration(-1)
			if deadline, ok := ctx.Deadline(); ok {
				left = time.Until(deadline)
			}
			seen = append(seen, left)
		})
		m := coalesce.New(llmtest.NewScript([]llmtest.Step{
			look, llmtest.Wait(time.Second), look, llmtest.Wait(time.Second), look, llmtest.Done(llmtest.Response("x")),
		}), llm.Keyer{}, coalesce.Options{})
		var readers sync.WaitGroup
		join := func(ctx context.Context) {
			readers.Go(func() { read(ctx, m, llmtest.Request("same")) })
			synctest.Wait()
		}
		short, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		long, cancel := context.WithTimeout(t.Context(), 9*time.Second)
		defer cancel()
		join(short)
		join(long)
		<-time.After(1500 * time.Millisecond)
		join(t.Context()) // has none
		readers.Wait()
		if diff := cmp.Diff([]time.Duration{5 * time.Second, 8 * time.Second, -1}, seen); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAPanicReachesTheReaders(t *testing.T) {
	m := coalesce.New(llmtest.NewScript([]llmtest.Step{llmtest.Do(func(context.Context, *llm.Request) { panic("boom") })}), llm.Keyer{}, coalesce.Options{})
	defer func() {
		if recover() == nil {
			t.Error("the panic was lost")
		}
	}()
	read(t.Context(), m, llmtest.Request("x"))
}

func BenchmarkCoalesce(b *testing.B) {
	llmtest.Bench(b, func(next llm.Model) llm.Model { return coalesce.New(next, llm.Keyer{}, coalesce.Options{}) })
}

func ExampleNew() {
	model := coalesce.New(llmtest.Echo{}, llm.Keyer{}, coalesce.Options{})
	resp, err := llm.Collect(model.Stream(context.Background(), llmtest.Request("hello")))
	if errors.Is(err, llm.ErrIncomplete) {
		fmt.Println("cut")
	}
	fmt.Println(resp.Text(), resp.Source)
	// Output: echo: hello live
}

// TestOneCopyIsOfAnotherProcess: of the readers in one process, one has the answer that another
// process has paid for as such, so that it is stored once.
func TestOneCopyIsOfAnotherProcess(t *testing.T) {
	resp := llmtest.Response("x")
	resp.Source, resp.Elsewhere = llm.SourceCoalesced, true
	synctest.Test(t, func(t *testing.T) {
		m := coalesce.New(llmtest.NewScript([]llmtest.Step{llmtest.Wait(time.Second), llmtest.Done(resp)}), llm.Keyer{}, coalesce.Options{})
		var wg sync.WaitGroup
		var elsewhere atomic.Int64
		for range 5 {
			wg.Go(func() {
				if got := llmtest.MustCollect(t, m, llmtest.Request("same")); got.Elsewhere {
					elsewhere.Add(1)
				}
			})
		}
		wg.Wait()
		if n := elsewhere.Load(); n != 1 {
			t.Errorf("%d readers have the answer of another process", n)
		}
	})
}
