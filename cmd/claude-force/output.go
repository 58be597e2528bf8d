package main

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"

	"github.com/claude-force/claude-force/internal/terminal"
)

// output is a standard stream. On a terminal it shows text that others wrote
// without letting it steer the terminal; elsewhere it passes text on as it is.
type output struct {
	w       io.Writer
	flush   func() error
	onClose func() // called once, when the reader of a pipe has closed it; may be nil

	mu  sync.Mutex // guards the field below
	err error      // of the first write that failed
}

func newOutput(f io.Writer, isTerminal bool, onClose func()) *output {
	o := &output{w: f, flush: func() error { return nil }, onClose: onClose}
	if isTerminal {
		clean := terminal.NewWriter(f)
		o.w, o.flush = clean, clean.Flush
	}
	return o
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	o.note(err)
	return n, err
}

// end writes what is still to be written and returns the error of the first
// write that failed.
func (o *output) end() error {
	o.note(o.flush())
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

func (o *output) note(err error) {
	if err == nil {
		return
	}
	o.mu.Lock()
	first := o.err == nil
	if first {
		o.err = err
	}
	o.mu.Unlock()
	if first && isClosed(err) && o.onClose != nil {
		o.onClose()
	}
}

// isClosed reports whether a write failed because its reader has closed it.
func isClosed(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, os.ErrClosed)
}

// messages is the standard error. A message that cannot be written is dropped:
// losing it must not end the work that it is about.
type messages struct{ *output }

func (m messages) Write(p []byte) (int, error) {
	_, _ = m.output.Write(p)
	return len(p), nil
}
