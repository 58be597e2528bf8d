//go:build linux

// Command followers puts a steady load on a server and looks whether it stays as it was:
//
//	go run ./bench/followers              # 1,000 clients and 200 requests a second for 10 minutes
//	go run ./bench/followers -minutes 2
//	go run ./bench/followers -gate        # 20 seconds with fewer of both, for CI
//
// The server is the command, on the simulator, with runs in progress all the time. Most
// clients follow the events of runs; some of these come late, and some drop their
// connection again and again and continue with Last-Event-ID. The others have the first
// page or the page of a run open. Requests are sent at fixed moments, whether or not
// the ones before are answered, and their time counts from these moments: lists and runs
// of the API, pages, and calls of the proxy that the response cache answers.
//
// Each client must get each event of its runs once and in order: the sequence numbers of
// a run have no gap, each item of it finishes once, and all clients see the same end.
// Memory and times are printed for each minute. After the warm-up, those of the last third
// must be those of the first, within a bound. With -gate the times decide nothing. The exit
// code is 1 if anything else is wrong.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/claude-force/claude-force/bench/internal/child"
)

const (
	slots = 4 // runs at once

	// patience is how long a client waits for a byte: longer than the server's heartbeat.
	patience = 2 * time.Minute

	// settling is how long runs and clients may take to end after the time is over.
	settling = 5 * time.Minute

	// lastDrawing is how long first pages may take to show that all runs have ended.
	lastDrawing = 2 * time.Minute

	spareFiles = 300 // open files beside those of the clients, in each process
)

type options struct {
	duration time.Duration
	clients  int
	rate     int // requests a second
	items    int // of a run, each a call of a second, four at once
	warmUp   time.Duration
	timed    bool // times decide too
	brief    bool // not even memory decides: a server does not come to rest in a few seconds
}

func main() {
	opts := options{items: 120, timed: true}
	minutes := flag.Float64("minutes", 10, "how long")
	flag.IntVar(&opts.clients, "clients", 1000, "clients that follow runs or pages")
	flag.IntVar(&opts.rate, "rate", 200, "requests a second")
	gate := flag.Bool("gate", false, "20 seconds with 200 clients and 50 requests a second, whose times decide nothing")
	flag.Parse()
	opts.duration = time.Duration(*minutes * float64(time.Minute))
	opts.warmUp = min(2*time.Minute, opts.duration/4) // until the server keeps as many runs in memory as it ever does
	if *gate {
		opts = options{duration: 20 * time.Second, warmUp: 8 * time.Second, clients: 200, rate: 50, items: 20}
	}
	if opts.duration < 10*time.Second || opts.clients < 10 || opts.rate < 1 {
		fmt.Fprintln(os.Stderr, "followers: at least 0.2 minutes, 10 clients and a request a second")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	ok, err := measure(ctx, opts)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "followers:", err)
		os.Exit(1)
	}
	if !ok {
		os.Exit(1)
	}
}

// measure puts the load on a server, prints what it sees, and reports whether all is as it
// must be.
func measure(ctx context.Context, opts options) (ok bool, err error) {
	if err := checkFiles(opts.clients + spareFiles); err != nil {
		return false, err
	}
	dir, err := os.MkdirTemp("", "followers-")
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := child.Build(ctx, dir, map[string]string{"claude-force": "cmd/claude-force"}); err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, opts.duration+2*settling)
	defer cancel()
	s, err := startServer(ctx, dir, opts.items)
	if err != nil {
		return false, err
	}
	defer s.stop()
	b := &bench{opts: opts, server: s, over: make(chan struct{}), streams: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}
	for i := range b.slots {
		b.slots[i] = newSlot()
	}
	if err := b.warmCache(ctx); err != nil {
		return false, err
	}
	b.record = newRecord(opts.duration)
	if err := b.load(ctx); err != nil {
		return false, err
	}
	return b.record.report(opts), nil
}

// checkFiles reports an error if a process may not have so many files open.
func checkFiles(n int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("reading the limit of open files: %w", err)
	}
	if limit.Cur < uint64(n) { // Go has raised it to the hard limit
		return fmt.Errorf("a process may have %d files open, and this needs %d: raise `ulimit -n`, or use fewer -clients", limit.Cur, n)
	}
	return nil
}

// bench is one load.
type bench struct {
	opts   options
	server *server
	record *record
	slots  [slots]*slot
	over   chan struct{} // closed: all runs have ended, and pages show it or had the time to
	open   atomic.Int64  // first pages that are open
	idle   atomic.Int64  // of these, those that show that nothing runs

	streams http.RoundTripper // of clients: each has a connection of its own
}

// load starts runs, clients and requests, and waits until all have ended.
func (b *bench) load(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	enough, stop := context.WithTimeout(ctx, b.opts.duration)
	defer stop()
	var working, running sync.WaitGroup
	for i := range b.slots {
		running.Go(func() {
			if err := b.keepRunning(ctx, enough, i); err != nil {
				cancel(err)
			}
		})
	}
	for i := range b.opts.clients {
		working.Go(func() { b.newClient(i).follow(ctx) })
	}
	working.Go(func() {
		defer close(b.over)
		running.Wait()
		ticker := time.NewTicker(50 * time.Millisecond)
		defer ticker.Stop()
		for until := time.Now().Add(lastDrawing); b.idle.Load() < b.open.Load() && time.Now().Before(until); {
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
	})
	working.Go(func() { b.sendRequests(ctx, enough) })
	working.Go(func() {
		if err := b.sample(enough); err != nil {
			cancel(err)
		}
	})
	ended := make(chan struct{})
	go func() { // ends with what it waits for
		working.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	case <-time.After(b.opts.duration + settling):
		cancel(fmt.Errorf("clients or runs have not ended %s after the last run was started", settling))
	}
	<-ended
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return nil
}

// slot is a place where one run follows the other.
type slot struct {
	mu      sync.Mutex // guards the fields below
	runs    []string
	over    bool          // there are no more
	changed chan struct{} // closed when anything above changes
}

func newSlot() *slot { return &slot{changed: make(chan struct{})} }

// set adds a run, or without one says that there are no more.
func (s *slot) set(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id == "" {
		s.over = true
	} else {
		s.runs = append(s.runs, id)
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// run returns the run with a number, and waits for it. It returns an empty text if there is
// none.
func (s *slot) run(ctx context.Context, n int) string {
	for {
		s.mu.Lock()
		runs, over, changed := s.runs, s.over, s.changed
		s.mu.Unlock()
		if n < len(runs) {
			return runs[n]
		}
		if over {
			return ""
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ""
		}
	}
}

// all returns the runs.
func (s *slot) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.runs)
}

// last returns the run that was started last, empty if there is none.
func (s *slot) last() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.runs) == 0 {
		return ""
	}
	return s.runs[len(s.runs)-1]
}

// ended are the statuses of runs that have ended for good.
var ended = map[string]bool{"completed": true, "failed": true, "cancelled": true}

// keepRunning starts a run whenever the one before has ended, until it is enough.
func (b *bench) keepRunning(ctx, enough context.Context, i int) error {
	s := b.slots[i]
	defer s.set("")
	for enough.Err() == nil {
		var run struct {
			ID     string `json:"run_id"`
			Status string `json:"status"`
		}
		if err := b.server.post(ctx, "/api/v1/runs", map[string]any{"workflow": "wf.yaml"}, &run); err != nil {
			return fmt.Errorf("starting a run: %w", err)
		}
		s.set(run.ID)
		for run.Status = ""; !ended[run.Status]; { // it is interrupted at first, until the server drives it
			select {
			case <-time.After(250 * time.Millisecond):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			if err := b.server.get(ctx, "/api/v1/runs/"+run.ID+"/record", &run); err != nil {
				return fmt.Errorf("looking at a run: %w", err)
			}
		}
		if run.Status != "completed" {
			b.record.problem("run %s is %s", run.ID, run.Status)
		}
		var rest struct {
			Events []struct {
				Seq int64 `json:"seq"`
			} `json:"events"`
		}
		if err := b.server.get(ctx, fmt.Sprintf("/api/v1/runs/%s/events?after=%d", run.ID, 2*b.opts.items), &rest); err != nil {
			return fmt.Errorf("looking at a run: %w", err)
		}
		if n := len(rest.Events); n > 0 {
			b.record.ended(run.ID, rest.Events[n-1].Seq)
		}
	}
	return nil
}

// sample notes the memory and the processor time of the server each second.
func (b *bench) sample(ctx context.Context) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
		memory, cpu, err := b.server.usage()
		if err != nil {
			return err
		}
		b.record.usage(memory, cpu)
	}
}
