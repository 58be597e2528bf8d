package batch_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/batch"
	"github.com/claude-force/claude-force/llm/llmtest"
	"github.com/claude-force/claude-force/sim"
)

type jsonRaw = json.RawMessage

func TestCrashWhileBatchRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sim.Options{BatchLatency: sim.Fixed(time.Hour)})
		p := w.start()
		a := ask(t.Context(), p.Model(), numbered(30)...)
		time.Sleep(10 * time.Minute)
		p.crash()
		a.wg.Wait()
		w.wantBatches(1, 30)
		time.Sleep(2 * time.Hour)
		q := w.start()
		ask(t.Context(), q.Model(), numbered(30)...).wait(t)
		w.wantBatches(1, 30)
		q.close()
		w.wantEmpty()
	})
}

// Callers may not have stored answers that were delivered just before a crash.
func TestCrashAfterDelivery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sim.Options{})
		p := w.start()
		ask(t.Context(), p.Model(), numbered(5)...).wait(t)
		time.Sleep(30 * time.Second)
		p.crash()
		p = w.start()
		ask(t.Context(), p.Model(), numbered(5)...).wait(t)
		w.wantBatches(1, 5)
		time.Sleep(2 * time.Minute)
		p.crash()
		ask(t.Context(), w.start().Model(), numbered(5)...).wait(t)
		w.wantBatches(2, 10)
	})
}

// A process that crashes before or after any durable step causes no second
// submission. The faults lengthen the path.
func TestCrashAtEveryStep(t *testing.T) {
	t.Parallel()
	steps := int64(0)
	for _, done := range []bool{false, true} {
		for n, died := int64(1), true; died; n++ {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sim.Options{BatchLatency: sim.Fixed(2 * time.Second)})
				w.server.Inject(
					sim.Fault{Kind: sim.FaultLostAnswer, On: sim.OnBatchCreate, Times: 1},
					sim.Fault{Kind: sim.FaultExpireBatch, On: sim.OnBatchCreate, Match: "number 3.", Times: 1})
				doomed := &crashingStore{done: done}
				doomed.steps.Store(n)
				p := w.startWith(doomed, func(o *batch.Options) { o.MaxCalls, o.MaxBytes = 3, 0 })
				a := ask(t.Context(), p.Model(), numbered(5)...)
				time.Sleep(10 * time.Minute)
				died = p.store.dead.Load()
				p.crash()
				a.wg.Wait()
				q := w.start()
				var texts []string
				for text, got := range a.got {
					if len(got) < 40 { // an error code
						texts = append(texts, text)
					}
				}
				ask(t.Context(), q.Model(), texts...).wait(t)
				for body, count := range w.server.Requests() {
					if count.Started != 1 && count.Answered != 1 || count.Started > 2 {
						t.Errorf("step %d, done %v: request %s: %+v", n, done, body[:8], count)
					}
				}
				if s := w.server.Stats(); s.BatchRequests > 6 {
					t.Errorf("step %d, done %v: %d requests in batches, want 5 and the one that expired", n, done, s.BatchRequests)
				}
				steps = n
			})
		}
	}
	if steps < 15 {
		t.Errorf("there were only %d steps to die at", steps)
	}
}

func TestRepeatedCallIsNew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sim.Options{})
		p := w.start()
		for range 2 {
			ask(t.Context(), p.Model(), "x").wait(t)
		}
		w.wantBatches(2, 2)
		p.close()
		w.wantEmpty()
	})
}

func TestLostCreateResponse(t *testing.T) {
	t.Parallel()
	for _, crash := range []bool{false, true} {
		t.Run(fmt.Sprint("crash=", crash), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sim.Options{BatchLatency: sim.Fixed(time.Hour)})
				// Another client's batch of the same size.
				if _, err := w.client.Batches().Create(t.Context(), foreignItems(t, w, 3), nil); err != nil {
					t.Fatal(err)
				}
				w.server.Inject(sim.Fault{Kind: sim.FaultLostAnswer, On: sim.OnBatchCreate, Times: 1})
				p := w.start()
				a := ask(t.Context(), p.Model(), numbered(3)...)
				if crash {
					time.Sleep(time.Minute)
					p.crash()
					a.wg.Wait()
					p = w.start()
					a = ask(t.Context(), p.Model(), numbered(3)...)
				}
				time.Sleep(3 * time.Second)
				if _, err := w.client.Batches().Create(t.Context(), foreignItems(t, w, 3), nil); err != nil {
					t.Fatal(err)
				}
				a.wait(t)
				w.wantBatches(3, 9)
				p.close()
				w.wantEmpty()
			})
		})
	}
}

func foreignItems(t *testing.T, w *world, n int) (items []llm.BatchItem) {
	t.Helper()
	for i := range n {
		params, err := w.client.Batches().Params(llmtest.Request(fmt.Sprint("Not ours ", i)))
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, llm.BatchItem{ID: fmt.Sprint("foreign-", i), Params: params})
	}
	return items
}

// A batch whose creation failed is created again, but not before that is
// certain.
func TestFailedCreate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sim.Options{})
		w.server.Inject(sim.Fault{Kind: sim.FaultDrop, On: sim.OnBatchCreate, Times: 1})
		p := w.start()
		began := time.Now()
		a := ask(t.Context(), p.Model(), numbered(3)...)
		time.Sleep(4 * time.Minute)
		w.wantBatches(0, 0)
		p.crash()
		a.wg.Wait()
		ask(t.Context(), w.start().Model(), numbered(3)...).wait(t)
		w.wantBatches(1, 3)
		if took := time.Since(began); took < 9*time.Minute {
			t.Errorf("submitted again after %v, within the grace period of the second process", took)
		}
	})
}

// A search waits for a running batch of the same size.
func TestSearchWaitsForCandidates(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sim.Options{BatchLatency: sim.Fixed(time.Hour)})
		if _, err := w.client.Batches().Create(t.Context(), foreignItems(t, w, 2), nil); err != nil {
			t.Fatal(err)
		}
		w.server.Inject(sim.Fault{Kind: sim.FaultDrop, On: sim.OnBatchCreate, Times: 1})
		a := ask(t.Context(), w.start().Model(), numbered(2)...)
		time.Sleep(59 * time.Minute)
		w.wantBatches(1, 2)
		a.wait(t)
		w.wantBatches(2, 4)
	})
}

func TestCanceledCallerFindsAnswerLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sim.Options{BatchLatency: sim.Fixed(time.Hour)})
		p := w.start()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		a := ask(ctx, p.Model(), numbered(3)...)
		a.wg.Wait()
		if got := a.got["Task number 0."]; got != llm.CodeTimeout.String() {
			t.Errorf("answered %q", got)
		}
		polls := w.server.Stats().Errors
		ask(t.Context(), p.Model(), numbered(3)...).wait(t)
		w.wantBatches(1, 3)
		if n := w.server.Stats().Errors; n != polls {
			t.Errorf("%d errors", n-polls)
		}
	})
}

func TestCloseLeavesBatchRunning(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sim.Options{BatchLatency: sim.Fixed(time.Hour)})
		p := w.start()
		a := ask(t.Context(), p.Model(), "in a batch")
		time.Sleep(time.Minute)
		b := ask(t.Context(), p.Model(), "not in one yet")
		synctest.Wait()
		p.close()
		a.wg.Wait()
		b.wg.Wait()
		if a.got["in a batch"] != llm.CodeCanceled.String() || b.got["not in one yet"] != llm.CodeCanceled.String() {
			t.Errorf("answered %v, %v", a.got, b.got)
		}
		if _, err := llm.Collect(p.Model().Stream(t.Context(), llmtest.Request("too late"))); llm.CodeOf(err) != llm.CodeCanceled {
			t.Errorf("a closed batcher answers %v", err)
		}
		ask(t.Context(), w.start().Model(), "in a batch").wait(t)
		w.wantBatches(1, 1)
	})
}

func TestProcessesShareBatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sim.Options{BatchLatency: sim.Fixed(time.Hour)})
		p, q := w.start(), w.start()
		a := ask(t.Context(), p.Model(), numbered(10)...)
		time.Sleep(time.Minute)
		b := ask(t.Context(), q.Model(), numbered(12)...)
		a.wait(t)
		b.wait(t)
		w.wantBatches(2, 12)
	})
	synctest.Test(t, func(t *testing.T) { // also if the submitting process crashes
		w := newWorld(t, sim.Options{BatchLatency: sim.Fixed(time.Hour)})
		w.server.Inject(sim.Fault{Kind: sim.FaultLostAnswer, On: sim.OnBatchCreate, Times: 1})
		p, q := w.start(), w.start()
		a := ask(t.Context(), p.Model(), numbered(10)...)
		time.Sleep(time.Minute)
		b := ask(t.Context(), q.Model(), numbered(10)...)
		time.Sleep(time.Minute)
		p.crash()
		a.wg.Wait()
		b.wait(t)
		w.wantBatches(1, 10)
		q.close()
		w.wantEmpty()
	})
}

func TestUnsharedAnswers(t *testing.T) {
	t.Parallel()
	own := func(t *testing.T, m llm.Model, n int) (wait func()) {
		return func() {
			t.Helper()
			done := make(chan error, n)
			for range n {
				go func() {
					req := llmtest.Request("Write a poem.")
					req.Policy = llm.PolicyOff
					_, err := llm.Collect(m.Stream(t.Context(), req))
					done <- err
				}()
			}
			for range n {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
		}
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sim.Options{BatchLatency: sim.Fixed(time.Hour)})
		often := func(o *batch.Options) { o.PollMax = 5 * time.Second }
		p, q := w.start(often), w.start(often)
		fin := make(chan struct{})
		go func() { own(t, p.Model(), 3)(); close(fin) }()
		time.Sleep(30 * time.Second)
		own(t, q.Model(), 2)()
		<-fin
		w.wantBatches(2, 5)
		p.crash()
		q.crash()
		// Five answers are pending: the sixth call is new.
		own(t, w.start().Model(), 6)()
		w.wantBatches(3, 6)
	})
}

func TestConcurrentIntents(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const stores, calls = 8, 50
	var wanted []batch.Wanted
	for i := range calls {
		wanted = append(wanted, batch.Wanted{Key: llm.Key{byte(i)}})
	}
	claimed := make(chan int, stores)
	for range stores {
		d, err := batch.OpenDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
		go func() {
			rec, held, err := d.Intent(wanted)
			if err != nil || len(rec.Calls)+len(held) != calls {
				t.Errorf("%d claimed, %d held: %v", len(rec.Calls), len(held), err)
			}
			claimed <- len(rec.Calls)
		}()
	}
	sum := 0
	for range stores {
		sum += <-claimed
	}
	if sum != calls {
		t.Errorf("%d calls claimed by %d stores together, want each once: %d", sum, stores, calls)
	}
}
