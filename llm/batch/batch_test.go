package batch_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/batch"
	"github.com/claude-force/claude-force/llm/llmtest"
	"github.com/claude-force/claude-force/llm/record"
	"github.com/claude-force/claude-force/sim"
)

func TestModel(t *testing.T) {
	t.Parallel()
	llmtest.SuiteModel(t, func(t *testing.T) llm.Model {
		quick := func(o *batch.Options) { o.Idle, o.PollMin = time.Millisecond, time.Millisecond }
		return newWorld(t, sim.Options{}).start(quick).Model()
	})
}

func TestCallsShareBatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sim.Options{BatchLatency: sim.Fixed(20 * time.Minute)})
		var mu sync.Mutex
		paid := 0.0
		m := record.New(w.start().Model(), record.Options{}, func(_ context.Context, c record.Call) {
			mu.Lock()
			defer mu.Unlock()
			paid += *c.CostUSD
		})
		ask(t.Context(), m, numbered(50)...).wait(t)
		w.wantBatches(1, 50)
		s := w.server.Stats()
		full, _ := llm.Prices().Cost(llmtest.Model, llm.Usage{OutputTokens: s.OutputTokens, InputTokens: s.InputTokens})
		if math.Abs(paid-full/2) > 1e-9 {
			t.Errorf("paid $%v, want half of $%v", paid, full)
		}
	})
}

func TestPingsWhileWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sim.Options{BatchLatency: sim.Fixed(10 * time.Minute)})
		pings := 0
		for ev, err := range w.start().Model().Stream(t.Context(), llmtest.Request("Hello?")) {
			if err != nil {
				t.Fatal(err)
			}
			if ev.Type == llm.EventPing {
				pings++
			}
			if ev.Type == llm.EventDone && (!ev.Response.Usage.Batch || ev.Response.Source != llm.SourceLive || ev.Response.Attempts != 1) {
				t.Errorf("answered %+v", ev.Response)
			}
		}
		if pings < 10*60/15 {
			t.Errorf("%d pings in ten minutes", pings)
		}
	})
}

func TestSubmitTime(t *testing.T) {
	t.Parallel()
	submitted := func(t *testing.T, began time.Time) (func(*batch.Options), *[]time.Duration) {
		var at []time.Duration
		return func(o *batch.Options) {
			o.OnBatch = func(ev batch.Event) {
				if ev.Type == batch.BatchSubmitted {
					at = append(at, time.Since(began))
				}
			}
		}, &at
	}
	synctest.Test(t, func(t *testing.T) { // two seconds after the last call
		w := newWorld(t, sim.Options{})
		option, at := submitted(t, time.Now())
		p := w.start(option)
		a := ask(t.Context(), p.Model(), "one")
		time.Sleep(time.Second)
		b := ask(t.Context(), p.Model(), "two")
		a.wait(t)
		b.wait(t)
		if len(*at) != 1 || (*at)[0] != 3*time.Second {
			t.Errorf("submitted after %v, want 3s", *at)
		}
	})
	synctest.Test(t, func(t *testing.T) { // half a minute after the first, if others keep arriving
		w := newWorld(t, sim.Options{})
		option, at := submitted(t, time.Now())
		p := w.start(option)
		var all []*answers
		for i := range 40 {
			all = append(all, ask(t.Context(), p.Model(), fmt.Sprint("q", i)))
			time.Sleep(time.Second)
		}
		for _, a := range all {
			a.wait(t)
		}
		if len(*at) != 2 || (*at)[0] != 30*time.Second {
			t.Errorf("submitted after %v, want 30s and once more", *at)
		}
	})
	synctest.Test(t, func(t *testing.T) { // immediately after Flush
		w := newWorld(t, sim.Options{})
		option, at := submitted(t, time.Now())
		p := w.start(option)
		a := ask(t.Context(), p.Model(), "one", "two")
		synctest.Wait()
		p.Flush()
		a.wait(t)
		if len(*at) != 1 || (*at)[0] != 0 {
			t.Errorf("submitted after %v, want at once", *at)
		}
	})
}

func TestSplit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sim.Options{})
		ask(t.Context(), w.start(func(o *batch.Options) { o.MaxCalls = 4 }).Model(), numbered(10)...).wait(t)
		w.wantBatches(3, 10)
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sim.Options{})
		long := strings.Repeat("x", 1000)
		ask(t.Context(), w.start(func(o *batch.Options) { o.MaxBytes = 3000 }).Model(), long+"1", long+"2", long+"3").wg.Wait()
		w.wantBatches(2, 3)
	})
	synctest.Test(t, func(t *testing.T) { // a batch has one set of betas
		w := newWorld(t, sim.Options{})
		m := w.start().Model()
		var wg sync.WaitGroup
		for i, betas := range [][]string{nil, {"a", "b"}, {"b", "a"}, {"c"}} {
			wg.Go(func() {
				req := llmtest.Request(fmt.Sprint("beta ", i))
				req.Betas = betas
				llmtest.MustCollect(t, m, req)
			})
		}
		wg.Wait()
		w.wantBatches(3, 4)
	})
}
