package main

import (
	"context"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/claude-force/claude-force/engine"
)

// How long the program may take to end after the interrupt that ends it: one
// that only asks, and one that repeats it. What was stored by then is kept; the
// rest is as after a crash.
const (
	endSoon = 3 * time.Second
	endNow  = 900 * time.Millisecond
)

// interrupts counts the interrupts of the program. The first asks the command to
// end: one that has work under way, see [app.waitFor], starts no more and waits
// for it, any other is canceled. The second ends the program within a second,
// whatever it does.
type interrupts struct {
	say    func(format string, args ...any)
	ask    func() // closes app.stopping
	cancel func() // ends the command's context
	exit   func(after time.Duration)

	mu    sync.Mutex // guards the fields below
	count int
	quiet bool          // nothing was interrupted but the printing
	what  func() string // what the command waits for; nil if it does not wait
}

// interrupt takes in one interrupt, by a signal or a closed output.
func (i *interrupts) interrupt(why string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.count++
	i.ask()
	switch {
	case i.count == 1 && i.what == nil:
		i.quiet = why == outputClosed
		i.cancel()
		i.exit(endSoon)
	case i.count == 1:
		i.say("claude-force: %s: starting nothing more, waiting for %s; interrupt again to stop at once", why, i.what())
	case i.count == 2:
		i.cancel()
		i.exit(endNow)
	}
}

// waitFor sets what the command waits for after the first interrupt, until the
// returned function is called.
func (i *interrupts) waitFor(what func() string) (done func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.what = what
	return func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.what = nil
	}
}

// outputClosed is the reason of an interrupt by the reader of our output.
const outputClosed = "the standard output was closed"

// wasQuiet reports whether the interrupt ended only the printing.
func (i *interrupts) wasQuiet() bool {
	if i == nil {
		return false
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.quiet
}

// listen calls interrupt for each signal that asks the program to end, until stop
// is called. A closed pipe, and a file that may not grow,
// is an error of the write and kills nothing.
func (i *interrupts) listen() (stop func()) {
	signals := make(chan os.Signal, 2)
	list := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as by nohup
		list = append(list, syscall.SIGHUP)
	}
	signal.Notify(signals, list...)
	unused := make(chan os.Signal, 1)
	signal.Notify(unused, writeSignals...) // not Ignore, which children would inherit
	go func() {                            // ends with the process
		for s := range signals {
			why := "interrupted"
			if s == syscall.SIGHUP {
				why = "the terminal was closed"
			}
			i.interrupt(why)
		}
	}()
	return func() {
		signal.Stop(signals)
		signal.Stop(unused)
	}
}

// waitFor makes the first interrupt wait for the work under way instead of
// canceling it, until the returned function is called. what says what is waited
// for. The command must start no work after a.stopping is closed.
func (a *app) waitFor(what func() string) (done func()) {
	if a.interrupts == nil {
		return func() {}
	}
	return a.interrupts.waitFor(what)
}

// underway keeps the names of the steps that run now.
type underway struct {
	mu    sync.Mutex // guards the field below
	steps map[string]bool
}

// observe takes in an event of a run.
func (u *underway) observe(ev engine.Event) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.steps == nil {
		u.steps = map[string]bool{}
	}
	if ev.Status == engine.StatusRunning && ev.Items == 0 && ev.Step.Agent != "" {
		u.steps[ev.Name()] = true
	} else {
		delete(u.steps, ev.Name())
	}
}

// String returns how many steps run, and some of their names.
func (u *underway) String() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.steps) == 0 {
		return "the run to end"
	}
	const most = 5
	names := sortedKeys(u.steps)
	if len(names) > most {
		names = append(names[:most], "...")
	}
	return plural(len(u.steps), "step") + " (" + strings.Join(names, ", ") + ")"
}

// soft returns a context that is canceled by the first interrupt. The caller
// must call the function that is returned with it.
func (a *app) soft(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() { // ends with cancel, which every caller defers
		select {
		case <-a.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// interrupted reports whether there was an interrupt.
func (a *app) interrupted() bool {
	select {
	case <-a.stopping:
		return true
	default:
		return false
	}
}
