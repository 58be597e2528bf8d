package batch_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/anthropic"
	"github.com/claude-force/claude-force/llm/batch"
	"github.com/claude-force/claude-force/llm/llmtest"
	"github.com/claude-force/claude-force/llm/record"
	"github.com/claude-force/claude-force/sim"
)

// world is a service, and a directory that outlives processes.
type world struct {
	t      *testing.T
	server *sim.Server
	client *anthropic.Client
	dir    string
}

func newWorld(t *testing.T, opts sim.Options) *world {
	t.Helper()
	server := sim.New(opts)
	client, err := anthropic.New(anthropic.Options{
		APIKey: "sk-test", BaseURL: "http://sim.invalid", HTTPClient: &http.Client{Transport: server.RoundTripper()},
	})
	if err != nil {
		t.Fatal(err)
	}
	return &world{t, server, client, t.TempDir()}
}

// process is a lane with its store, until it is closed or crashes.
type process struct {
	*batch.Lane
	t     *testing.T
	store *mortal
	dir   *batch.Dir
	ended bool
}

func (w *world) start(change ...func(*batch.Options)) *process {
	w.t.Helper()
	return w.startWith(&mortal{}, change...)
}

// startWith is start with a store and a client that may be set to die.
func (w *world) startWith(store *mortal, change ...func(*batch.Options)) *process {
	w.t.Helper()
	dir, err := batch.OpenDir(w.dir)
	if err != nil {
		w.t.Fatal(err)
	}
	opts := batch.Options{Keyer: w.client.Keyer()}
	for _, f := range change {
		f(&opts)
	}
	store.Store, store.batches = dir, w.client.Batches()
	p := &process{batch.New((*mortalClient)(store), store, opts), w.t, store, dir, false}
	w.t.Cleanup(p.close)
	return p
}

func (p *process) close() {
	if p.ended {
		return
	}
	p.ended = true
	if err := errors.Join(p.Close(), p.dir.Close()); err != nil {
		p.t.Error(err)
	}
}

// crash ends the process without any of what it does at its end.
func (p *process) crash() {
	p.ended = true
	p.store.dead.Store(true)
	_ = p.Close() // nothing that it says or writes counts
	if err := p.dir.Crash(); err != nil {
		p.t.Error(err)
	}
}

// mortal is a store that nothing is written to once it is dead.
type mortal struct {
	batch.Store
	batches *anthropic.Batches
	dead    atomic.Bool

	steps atomic.Int64 // until it dies; 0 for never
	done  bool         // whether what it does last is done
}

var errDead = llm.NewError(llm.CodeConnection, "the process has ended", nil)

// step does what outlives the process, unless that has ended.
func (m *mortal) step(do func() error) error {
	if m.dead.Load() {
		return errDead
	}
	if m.steps.Add(-1) != 0 {
		return do()
	}
	m.dead.Store(true)
	if m.done {
		_ = do() // nobody hears of it
	}
	return errDead
}

func (m *mortal) Adopt() (records []batch.Record, err error) {
	err = m.step(func() error { records, err = m.Store.Adopt(); return err })
	return records, err
}

func (m *mortal) Intent(calls []batch.Wanted) (rec batch.Record, held map[int]batch.Place, err error) {
	err = m.step(func() error { rec, held, err = m.Store.Intent(calls); return err })
	return rec, held, err
}

func (m *mortal) Submitted(nonce, id string) error {
	return m.step(func() error { return m.Store.Submitted(nonce, id) })
}

func (m *mortal) Ended(nonce string, calls []int) error {
	return m.step(func() error { return m.Store.Ended(nonce, calls) })
}

func (m *mortal) Void(nonce string) error {
	return m.step(func() error { return m.Store.Void(nonce) })
}

// mortalClient is the client of the same process.
type mortalClient mortal

func (c *mortalClient) Params(req *llm.Request) (json.RawMessage, error) {
	return c.batches.Params(req)
}

func (c *mortalClient) Create(ctx context.Context, items []llm.BatchItem, betas []string) (b llm.Batch, err error) {
	err = (*mortal)(c).step(func() error { b, err = c.batches.Create(ctx, items, betas); return err })
	return b, err
}

func (c *mortalClient) Get(ctx context.Context, id string) (b llm.Batch, err error) {
	err = (*mortal)(c).step(func() error { b, err = c.batches.Get(ctx, id); return err })
	return b, err
}

func (c *mortalClient) List(ctx context.Context, after string) (page []llm.Batch, next string, err error) {
	err = (*mortal)(c).step(func() error { page, next, err = c.batches.List(ctx, after); return err })
	return page, next, err
}

func (c *mortalClient) Cancel(ctx context.Context, id string) error {
	return (*mortal)(c).step(func() error { return c.batches.Cancel(ctx, id) })
}

func (c *mortalClient) Results(ctx context.Context, id string, asked func(string) *llm.Request) iter.Seq2[llm.BatchResult, error] {
	return func(yield func(llm.BatchResult, error) bool) {
		for res, err := range c.batches.Results(ctx, id, asked) {
			if dead := (*mortal)(c).step(func() error { return nil }); dead != nil {
				res, err = llm.BatchResult{}, dead
			}
			if !yield(res, err) || err != nil {
				return
			}
		}
	}
}

// answers are the texts of calls, made at once, or their errors' codes.
type answers struct {
	wg   sync.WaitGroup
	mu   sync.Mutex // guards the field below
	got  map[string]string
	done atomic.Int32
}

func ask(ctx context.Context, m llm.Model, texts ...string) *answers {
	a := &answers{got: map[string]string{}}
	for _, text := range texts {
		a.wg.Go(func() {
			resp, err := llm.Collect(m.Stream(ctx, llmtest.Request(text)))
			a.mu.Lock()
			defer a.mu.Unlock()
			a.done.Add(1)
			if err != nil {
				a.got[text] = llm.CodeOf(err).String()
				return
			}
			a.got[text] = resp.Text()
		})
	}
	return a
}

// wait checks that every call has an answer that quotes what it asked.
func (a *answers) wait(t *testing.T) {
	t.Helper()
	a.wg.Wait()
	for text, got := range a.got {
		if !strings.Contains(got, text) {
			t.Errorf("%q is answered %q", text, got)
		}
	}
}

func numbered(n int) (texts []string) {
	for i := range n {
		texts = append(texts, fmt.Sprintf("Task number %d.", i))
	}
	return texts
}

// wantBatches checks how many batches there were, and calls in them.
func (w *world) wantBatches(batches, calls int) {
	w.t.Helper()
	if s := w.server.Stats(); s.Batches != batches || s.BatchRequests != calls {
		w.t.Errorf("%d batches of %d calls, want %d of %d", s.Batches, s.BatchRequests, batches, calls)
	}
}

func TestModel(t *testing.T) {
	t.Parallel()
	llmtest.SuiteModel(t, func(t *testing.T) llm.Model {
		quick := func(o *batch.Options) { o.Idle, o.PollMin = time.Millisecond, time.Millisecond }
		return newWorld(t, sim.Options{}).start(quick).Model()
	})
}

func TestCallsShareABatchAtHalfPrice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sim.Options{BatchLatency: sim.Fixed(20 * time.Minute)})
		var mu sync.Mutex
		paid := 0.0
		m := record.New(w.start().Model(), record.Options{}, func(c record.Call) {
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

func TestWhenABatchIsMade(t *testing.T) {
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
	synctest.Test(t, func(t *testing.T) { // half a minute after the first, if others keep coming
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
	synctest.Test(t, func(t *testing.T) { // at once when nothing more is coming
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
	synctest.Test(t, func(t *testing.T) { // betas are those of a whole batch
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

func TestCallFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sim.Options{})
		m := w.start().Model()
		want := func(code llm.Code, text string, change func(*llm.Request)) {
			t.Helper()
			req := llmtest.Request("A long sentence that nobody wants to see in an error.")
			change(req)
			_, err := llm.Collect(m.Stream(t.Context(), req))
			if llm.CodeOf(err) != code || !strings.Contains(fmt.Sprint(err), text) {
				t.Errorf("%v, want code %v and %q", err, code, text)
			}
			if err != nil && strings.Contains(err.Error(), "nobody wants") {
				t.Errorf("the error quotes the prompt: %v", err)
			}
		}
		want(llm.CodeNotFound, "claude-none", func(r *llm.Request) { r.Model = "claude-none" })
		want(llm.CodeInvalid, "maximum allowed", func(r *llm.Request) { r.MaxTokens = 1e9 })
		want(llm.CodeInvalid, "at least 1", func(r *llm.Request) { r.MaxTokens = 0 })
		want(llm.CodeInvalid, `"speed"`, func(r *llm.Request) { r.Extra = map[string]jsonRaw{"speed": jsonRaw(`"fast"`)} })
		w.wantBatches(2, 2)
	})
}

func TestExpiredGoesIntoTheNextBatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sim.Options{BatchLatency: sim.Fixed(time.Hour)})
		w.server.Inject(sim.Fault{Kind: sim.FaultExpireBatch, On: sim.OnBatchCreate, Match: "number 1.", Times: 1})
		ask(t.Context(), w.start().Model(), numbered(3)...).wait(t)
		w.wantBatches(2, 4)
	})
	synctest.Test(t, func(t *testing.T) { // but not for ever
		w := newWorld(t, sim.Options{})
		w.server.Inject(sim.Fault{Kind: sim.FaultExpireBatch, On: sim.OnBatchCreate})
		a := ask(t.Context(), w.start().Model(), "never")
		a.wg.Wait()
		if a.got["never"] != llm.CodeServer.String() {
			t.Errorf("answered %q", a.got["never"])
		}
		w.wantBatches(3, 3)
	})
}

func TestCallThatFailsInPassing(t *testing.T) {
	t.Parallel()
	for _, once := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, sim.Options{})
			w.server.Inject(sim.Fault{Kind: sim.FaultErrorBatch, On: sim.OnBatchCreate, ErrorType: "overloaded_error", Times: 1})
			req := llmtest.Request("x")
			req.Once = once
			resp, err := llm.Collect(w.start().Model().Stream(t.Context(), req))
			if once {
				if llm.CodeOf(err) != llm.CodeOverloaded {
					t.Errorf("a call that may have effects: %v", err)
				}
				w.wantBatches(1, 1)
				return
			}
			if err != nil || resp.Attempts != 2 {
				t.Errorf("answered %+v, %v", resp, err)
			}
			w.wantBatches(2, 2)
		})
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sim.Options{BatchLatency: sim.Fixed(time.Hour)})
		p := w.start()
		a := ask(t.Context(), p.Model(), numbered(4)...)
		time.Sleep(32 * time.Minute)
		waiting := ask(t.Context(), p.Model(), "not yet in a batch")
		synctest.Wait()
		if err := p.Cancel(t.Context()); err != nil {
			t.Fatal(err)
		}
		waiting.wg.Wait()
		a.wg.Wait()
		answered, canceled := 0, 0
		for _, got := range a.got {
			switch {
			case strings.Contains(got, "Task number"):
				answered++
			case got == llm.CodeCanceled.String():
				canceled++
			}
		}
		if answered != 2 || canceled != 2 || waiting.got["not yet in a batch"] != llm.CodeCanceled.String() {
			t.Errorf("%d answered, %d canceled of %v; and %v", answered, canceled, a.got, waiting.got)
		}
		w.wantBatches(1, 4)
		ask(t.Context(), p.Model(), "after that").wait(t)
	})
}

func TestCancelInTrouble(t *testing.T) {
	t.Parallel()
	faults := map[string]sim.Fault{
		"a batch nobody heard of": {Kind: sim.FaultLostAnswer, On: sim.OnBatchCreate, Times: 1},
		"a cancellation fails":    {Kind: sim.FaultStatus, On: sim.OnBatchCancel, Status: 500, Times: 1},
		"no batch":                {Kind: sim.FaultDrop, On: sim.OnBatchCreate, Times: 1},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sim.Options{BatchLatency: sim.Fixed(20 * time.Hour)})
				w.server.Inject(fault)
				p := w.start()
				a := ask(t.Context(), p.Model(), "x")
				time.Sleep(time.Minute)
				if err := p.Cancel(t.Context()); (err != nil) != (fault.On == sim.OnBatchCancel) {
					t.Errorf("Cancel: %v", err)
				}
				a.wg.Wait()
				// Which batch it is shows when it has ended, with its answer.
				found := fault.Kind == sim.FaultLostAnswer
				if got := a.got["x"]; found != strings.Contains(got, "simulated") || found == (got == llm.CodeCanceled.String()) {
					t.Errorf("answered %q", got)
				}
				p.close()
				w.wantEmpty()
			})
		})
	}
}

func TestCanceledElsewhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sim.Options{BatchLatency: sim.Fixed(time.Hour)})
		w.server.Inject(sim.Fault{Kind: sim.FaultCancelBatch, On: sim.OnBatchCreate, Times: 1})
		a := ask(t.Context(), w.start().Model(), "x")
		a.wg.Wait()
		if a.got["x"] != llm.CodeCanceled.String() {
			t.Errorf("answered %q", a.got["x"])
		}
	})
}

func TestTroubleIsWaitedOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sim.Options{BatchLatency: sim.Fixed(5 * time.Minute)})
		w.server.Inject(
			sim.Fault{Kind: sim.FaultStatus, On: sim.OnBatchCreate, Status: 429, RetryAfter: "90", Times: 2},
			sim.Fault{Kind: sim.FaultStatus, On: sim.OnBatchCreate, Status: 529, Times: 2},
			sim.Fault{Kind: sim.FaultStatus, On: sim.OnBatchGet, Status: 500, Times: 2},
			sim.Fault{Kind: sim.FaultDrop, On: sim.OnBatchGet, Times: 2},
			sim.Fault{Kind: sim.FaultStatus, On: sim.OnBatchResults, Status: 500, Times: 1},
			sim.Fault{Kind: sim.FaultCutBody, On: sim.OnBatchResults, Times: 1},
			sim.Fault{Kind: sim.FaultHTML, On: sim.OnBatchResults, Times: 1})
		began := time.Now()
		ask(t.Context(), w.start().Model(), numbered(20)...).wait(t)
		if took := time.Since(began); took < 8*time.Minute {
			t.Errorf("took %v, which does not heed retry-after", took)
		}
		w.wantBatches(1, 20)
	})
}

func TestRefusedBatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sim.Options{})
		w.server.Inject(sim.Fault{Kind: sim.FaultStatus, On: sim.OnBatchCreate, Status: 401, Times: 1})
		p := w.start()
		a := ask(t.Context(), p.Model(), "x", "y")
		a.wg.Wait()
		if a.got["x"] != llm.CodeAuth.String() || a.got["y"] != llm.CodeAuth.String() {
			t.Errorf("answered %v", a.got)
		}
		p.close()
		w.wantEmpty()
	})
}

// What keeps the lane from looking at a batch says nothing of its calls.
func TestBatchThatCannotBeLookedAt(t *testing.T) {
	t.Parallel()
	for _, on := range []sim.FaultTarget{sim.OnBatchGet, sim.OnBatchResults} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, sim.Options{})
			w.server.Inject(sim.Fault{Kind: sim.FaultStatus, On: on, Status: 401, Times: 1})
			p := w.start()
			a := ask(t.Context(), p.Model(), "x")
			a.wg.Wait()
			if a.got["x"] != llm.CodeAuth.String() {
				t.Errorf("answered %q", a.got["x"])
			}
			ask(t.Context(), p.Model(), "x").wait(t)
			w.wantBatches(1, 1)
		})
	}
}

func TestDeletedBatchOfAnEarlierProcess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sim.Options{BatchLatency: sim.Fixed(time.Hour)})
		p := w.start()
		a := ask(t.Context(), p.Model(), "x")
		time.Sleep(time.Minute)
		p.crash()
		a.wg.Wait()
		w.server.Inject(sim.Fault{Kind: sim.FaultStatus, On: sim.OnBatchGet, Status: 404, Times: 1})
		ask(t.Context(), w.start().Model(), "x").wait(t)
		w.wantBatches(2, 2)
	})
}

// A batch that was certainly not created is in nobody's way.
func TestNobodyWaitsForABatchThatWasNotMade(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sim.Options{})
		w.server.Inject(sim.Fault{Kind: sim.FaultStatus, On: sim.OnBatchCreate, Status: 429})
		p := w.start()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		ask(ctx, p.Model(), "left alone").wg.Wait()
		time.Sleep(2 * time.Minute)
		w.wantEmpty()
		a := ask(t.Context(), p.Model(), "waits when the lane is closed")
		time.Sleep(time.Minute)
		p.close()
		a.wg.Wait()
		w.wantEmpty()
	})
}

// wantEmpty checks that nothing is remembered.
func (w *world) wantEmpty() {
	w.t.Helper()
	files, err := filepath.Glob(filepath.Join(w.dir, "*.json"))
	if err != nil || len(files) > 0 {
		w.t.Errorf("remembered: %v, %v", files, err)
	}
}

func TestDamagedRecordStopsTheLane(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sim.Options{})
		if err := os.WriteFile(filepath.Join(w.dir, "AAAAAAAAAAAAAAAA.batch.json"), []byte(`{"non`), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := llm.Collect(w.start().Model().Stream(t.Context(), llmtest.Request("x")))
		if llm.CodeOf(err) != llm.CodeInternal || !strings.Contains(err.Error(), "AAAAAAAAAAAAAAAA.batch.json is damaged") {
			t.Errorf("got %v", err)
		}
		w.wantBatches(0, 0)
	})
}
