// Package filelock is a lock between processes. Who waits for it sleeps until the
// system gives it on, in the order of asking, and does not poll.
package filelock

import (
	"errors"
	"sync"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"github.com/claude-force/claude-force/internal/openfile"
)

// Lock is the lock of a file, which it makes, readable by this user only, if there
// is none. The system frees the lock of a process that ends. It is safe for
// concurrent use; two Locks of one path exclude each other within a process too.
type Lock struct {
	path string

	mu   sync.Mutex // guards the field below, and is held with the lock
	file *flock.Flock
}

// New returns the lock of a path. It touches no disk.
func New(path string) *Lock { return &Lock{path: path} }

// ErrBusy is the error of a wait for a lock whose time is up.
var ErrBusy = errors.New("another process holds the lock")

// Acquire waits for the lock, at most for the given time, and returns what
// releases it. It returns ErrBusy if the time is up, and another error if there
// can be no lock there, as in a folder that cannot be written.
func (l *Lock) Acquire(wait time.Duration) (release func(), err error) {
	if err := openfile.CheckRegular(l.path); err != nil {
		return nil, err
	}
	l.mu.Lock()
	if l.file == nil {
		l.file = flock.New(l.path, flock.SetPermissions(0o600))
	}
	got, err := l.file.TryLock()
	if err == nil && !got {
		err = l.wait(wait)
	}
	if err != nil {
		l.mu.Unlock()
		return nil, err
	}
	return func() {
		_ = l.file.Unlock() // which closes the file, and so unlocks it all the same
		l.mu.Unlock()
	}, nil
}

// wait blocks until the lock is free. If the time is up before, it leaves the
// wait, which cannot be canceled, to a goroutine, and the next Acquire uses
// another one. The caller holds mu.
func (l *Lock) wait(limit time.Duration) error {
	file := l.file
	done := make(chan error, 1)
	go func() { // ends when the owner releases the lock
		err := file.Lock()
		for errors.Is(err, syscall.EINTR) {
			err = file.Lock()
		}
		done <- err
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		l.file = nil
		go func() { // as above
			<-done //nolint:errcheck // the lock goes with the file
			_ = file.Close()
		}()
		return ErrBusy
	}
}
