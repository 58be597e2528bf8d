package server

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/runs"
)

// serverTag is the tag of the runs that a server started, which the next process of
// the server resumes.
const serverTag = "claude-force.server"

type opener func(ctx context.Context, dir string, settings runs.Settings) (*claudeforce.Orchestrator, error)

// runner drives runs until they end or the server stops.
type runner struct {
	open   opener
	log    *slog.Logger
	ctx    context.Context // of the calls in flight
	cancel context.CancelFunc
	drain  chan struct{} // closed: start nothing more
	active sync.WaitGroup

	mu     sync.Mutex // guards the fields below
	closed bool
	shared map[string]*orchestrator // by folder and settings
	driven map[string]int           // how often each run is, by id: the end of one may meet a resume
}

// orchestrator is one that several runs use.
type orchestrator struct {
	*claudeforce.Orchestrator
	users int
}

func newRunner(ctx context.Context, open opener, log *slog.Logger) *runner {
	ctx, cancel := context.WithCancel(ctx)
	return &runner{open: open, log: log, ctx: ctx, cancel: cancel, drain: make(chan struct{}), shared: map[string]*orchestrator{}, driven: map[string]int{}}
}

// use calls do with the orchestrator for a folder and settings. Runs at the same time
// share it, with its slots and its identical calls.
func (r *runner) use(ctx context.Context, dir string, settings runs.Settings, do func(*claudeforce.Orchestrator) error) error {
	key, err := json.Marshal(settings)
	if err != nil {
		return err
	}
	id := dir + "\n" + string(key)
	r.mu.Lock()
	o := r.shared[id]
	if o == nil {
		opened, err := r.open(ctx, dir, settings)
		if err != nil {
			r.mu.Unlock()
			return err
		}
		o = &orchestrator{Orchestrator: opened}
		r.shared[id] = o
	}
	o.users++
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if o.users--; o.users > 0 {
			return
		}
		delete(r.shared, id)
		if err := o.Close(); err != nil {
			r.log.Error("closing an orchestrator", "err", err)
		}
	}()
	return do(o.Orchestrator)
}

// start drives a run in a goroutine. It reports whether it does: not if the server is
// stopping. From started the caller can receive nil once the run is owned by this process, or
// the error if it cannot be.
func (r *runner) start(id string, spec *runs.Spec, opts claudeforce.ResumeOptions) (started <-chan error, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, false
	}
	said := make(chan error, 1)
	say := func(err error) {
		select {
		case said <- err:
		default: // it was said before
		}
	}
	opts.OnStart = func(context.Context, string) { say(nil) }
	opts.Drain = r.drain
	opts.AskCalls, opts.AskTimeout = spec.Settings.Approvals == runs.ApprovalsDurable, spec.Settings.AskFor
	r.driven[id]++
	r.active.Go(func() {
		defer func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.driven[id]--; r.driven[id] == 0 {
				delete(r.driven, id)
			}
		}()
		err := r.use(r.ctx, spec.Dir, spec.Settings, func(o *claudeforce.Orchestrator) error {
			_, err := o.ResumeRun(r.ctx, id, opts)
			return err
		})
		switch _, ended := errors.AsType[*claudeforce.RunError](err); {
		case err == nil || ended: // the run says how
			say(nil)
		case fault.Has(err, fault.KindConflict): // another process drives it
			r.log.Info("run not driven", "run", id, "err", err)
			say(nil)
		default:
			r.log.Error("run not driven", "run", id, "err", err)
			say(err)
		}
	})
	return said, true
}

// drives reports whether a run is driven here.
func (r *runner) drives(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.driven[id] > 0
}

// background calls do in a goroutine that ends with the runs, unless the server is
// stopping: when stop is closed or its context ends.
func (r *runner) background(do func(ctx context.Context, stop <-chan struct{})) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.active.Go(func() { do(r.ctx, r.drain) })
	}
}

// repeat calls do until stop is closed or ctx ends. Before the next call it waits for the
// time that do returns, or for a value from wake, which may be nil.
func repeat(ctx context.Context, stop, wake <-chan struct{}, do func() time.Duration) {
	for {
		wait := do()
		select {
		case <-time.After(wait):
		case <-wake:
		case <-stop:
			return
		case <-ctx.Done():
			return
		}
	}
}

// close stops the runs after what is in flight, at the latest when ctx ends.
func (r *runner) close(ctx context.Context) {
	r.mu.Lock()
	if !r.closed {
		r.closed = true
		close(r.drain)
	}
	r.mu.Unlock()
	done := make(chan struct{})
	go func() {
		r.active.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
	r.cancel()
	<-done
}
