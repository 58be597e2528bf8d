package sandbox

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

// Process is a command that was started. Its methods may be called from any
// goroutine.
type Process struct {
	pid     int
	done    chan struct{}
	started time.Time
	end     func() // ends all processes of the command; idempotent

	mu     sync.Mutex
	cause  Cause
	result Result
	err    error
}

func newProcess(pid int, end func()) *Process {
	return &Process{pid: pid, done: make(chan struct{}), started: time.Now(), end: sync.OnceFunc(end)}
}

// PID returns the id of the process, which is also that of its process group.
func (p *Process) PID() int { return p.pid }

// Done returns a channel that is closed when the command and all that it
// started have ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for the end of the command and returns how it ended. The error is
// that of the sandbox, not of the command.
func (p *Process) Wait() (Result, error) {
	<-p.done
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.result, p.err
}

// End ends the command and all that it started. It does not wait.
func (p *Process) End() { p.endFor(Cancelled) }

// endFor ends the command for a cause. The first cause counts.
func (p *Process) endFor(cause Cause) {
	select {
	case <-p.done:
		return
	default:
	}
	p.mu.Lock()
	if p.cause == "" {
		p.cause = cause
	}
	p.mu.Unlock()
	p.end()
}

// finish records how the command ended.
func (p *Process) finish(r Result, err error) {
	p.mu.Lock()
	r.Cause, r.Duration = p.cause, time.Since(p.started)
	p.result, p.err = r, err
	p.mu.Unlock()
	close(p.done)
}

// copyOutput copies a command's output until it ends. A command that writes
// more than limit is ended; what is above the limit is dropped.
func (p *Process) copyOutput(w io.Writer, r *os.File, limit int64) error {
	defer r.Close()
	if w == nil {
		w = io.Discard
	}
	_, err := io.Copy(w, io.LimitReader(r, limit))
	if errors.Is(err, os.ErrClosed) {
		err = nil
	}
	if err != nil {
		// The command must not block on a reader that has gone.
		p.endFor(Cancelled)
	}
	if n, _ := io.CopyN(io.Discard, r, 1); n > 0 {
		p.endFor(TooMuchOutput)
		_, _ = io.Copy(io.Discard, r)
	}
	return err
}
