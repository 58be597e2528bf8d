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

// world is a server and a directory that outlive processes.
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

// process is a Batcher with its store, until it is closed or crashes.
type process struct {
	*batch.Batcher
	t     *testing.T
	store *crashingStore
	dir   *batch.Dir
	ended bool
}

func (w *world) start(change ...func(*batch.Options)) *process {
	w.t.Helper()
	return w.startWith(&crashingStore{}, change...)
}

// startWith does what start does, with a store and a client that may crash.
func (w *world) startWith(store *crashingStore, change ...func(*batch.Options)) *process {
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
	p := &process{batch.New((*crashingClient)(store), store, opts), w.t, store, dir, false}
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

// crash ends the process without a clean shutdown.
func (p *process) crash() {
	p.ended = true
	p.store.dead.Store(true)
	_ = p.Close() // its error and its writes are ignored
	if err := p.dir.Crash(); err != nil {
		p.t.Error(err)
	}
}

// crashingStore is a store that performs no step after its process has crashed.
type crashingStore struct {
	batch.Store
	batches *anthropic.Batches
	dead    atomic.Bool

	steps atomic.Int64 // steps until the crash; 0 for never
	done  bool         // whether the last step takes effect
}

var errDead = llm.NewError(llm.CodeConnection, "the process has ended", nil)

// step performs a durable step unless the process has crashed.
func (c *crashingStore) step(do func() error) error {
	if c.dead.Load() {
		return errDead
	}
	if c.steps.Add(-1) != 0 {
		return do()
	}
	c.dead.Store(true)
	if c.done {
		_ = do() // its result is lost
	}
	return errDead
}

func (c *crashingStore) Adopt() (records []batch.Record, err error) {
	err = c.step(func() error { records, err = c.Store.Adopt(); return err })
	return records, err
}

func (c *crashingStore) Intent(calls []batch.Wanted) (rec batch.Record, held map[int]batch.Place, err error) {
	err = c.step(func() error { rec, held, err = c.Store.Intent(calls); return err })
	return rec, held, err
}

func (c *crashingStore) Submitted(nonce, id string) error {
	return c.step(func() error { return c.Store.Submitted(nonce, id) })
}

func (c *crashingStore) Ended(nonce string, calls []int) error {
	return c.step(func() error { return c.Store.Ended(nonce, calls) })
}

func (c *crashingStore) Void(nonce string) error {
	return c.step(func() error { return c.Store.Void(nonce) })
}

// crashingClient is the client of the same process.
type crashingClient crashingStore

func (c *crashingClient) Params(req *llm.Request) (json.RawMessage, error) {
	return c.batches.Params(req)
}

func (c *crashingClient) Create(ctx context.Context, items []llm.BatchItem, betas []string) (b llm.Batch, err error) {
	err = (*crashingStore)(c).step(func() error { b, err = c.batches.Create(ctx, items, betas); return err })
	return b, err
}

func (c *crashingClient) Get(ctx context.Context, id string) (b llm.Batch, err error) {
	err = (*crashingStore)(c).step(func() error { b, err = c.batches.Get(ctx, id); return err })
	return b, err
}

func (c *crashingClient) List(ctx context.Context, after string) (page []llm.Batch, next string, err error) {
	err = (*crashingStore)(c).step(func() error { page, next, err = c.batches.List(ctx, after); return err })
	return page, next, err
}

func (c *crashingClient) Cancel(ctx context.Context, id string) error {
	return (*crashingStore)(c).step(func() error { return c.batches.Cancel(ctx, id) })
}

func (c *crashingClient) Results(ctx context.Context, id string, request func(string) *llm.Request) iter.Seq2[llm.BatchResult, error] {
	return func(yield func(llm.BatchResult, error) bool) {
		for res, err := range c.batches.Results(ctx, id, request) {
			if dead := (*crashingStore)(c).step(func() error { return nil }); dead != nil {
				res, err = llm.BatchResult{}, dead
			}
			if !yield(res, err) || err != nil {
				return
			}
		}
	}
}

// answers collects the texts of concurrent calls, or their errors' codes.
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

// wait waits for all calls and checks that each answer quotes its task.
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

// wantBatches checks the number of batches and of the calls in them.
func (w *world) wantBatches(batches, calls int) {
	w.t.Helper()
	if s := w.server.Stats(); s.Batches != batches || s.BatchRequests != calls {
		w.t.Errorf("%d batches of %d calls, want %d of %d", s.Batches, s.BatchRequests, batches, calls)
	}
}

// wantEmpty checks that the store holds no records.
func (w *world) wantEmpty() {
	w.t.Helper()
	files, err := filepath.Glob(filepath.Join(w.dir, "*.json"))
	if err != nil || len(files) > 0 {
		w.t.Errorf("records: %v, %v", files, err)
	}
}
