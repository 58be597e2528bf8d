package batch_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/anthropic"
	"github.com/claude-force/claude-force/llm/batch"
	"github.com/claude-force/claude-force/llm/llmtest"
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

// wantEmpty checks that nothing is remembered.
func (w *world) wantEmpty() {
	w.t.Helper()
	files, err := filepath.Glob(filepath.Join(w.dir, "*.json"))
	if err != nil || len(files) > 0 {
		w.t.Errorf("remembered: %v, %v", files, err)
	}
}
