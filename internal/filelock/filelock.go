// Package filelock is a lock between processes. Who waits for it sleeps until the
// system gives it on, in the order of asking, and does not poll.
package filelock

import (
	"errors"
	"sync"
	"syscall"
	"time"

	"github.com/claude-force/claude-force/internal/openfile"
	"github.com/claude-force/claude-force/internal/oslimit"
)

// Lock is the lock of a file, which it makes, readable by this user only, if there
// is none. The system frees the lock of a process that ends. It is safe for
// concurrent use; two Locks of one path exclude each other within a process too.
//
// Where the system can free a lock without closing its file, the file stays open, unless
// the process may have few files open: to open and close it costs several times as much as
// the lock.
type Lock struct {
	path string

	mu   sync.Mutex // guards the field below, and is held with the lock
	file *file      // nil if none is open
}

// New returns the lock of a path. It touches no disk.
func New(path string) *Lock { return &Lock{path: path} }

// ErrBusy is the error of a wait for a lock whose time is up.
var ErrBusy = errors.New("another process holds the lock")

// Acquire waits for the lock, at most for the given time, and returns what
// releases it. It returns ErrBusy if the time is up, and another error if there
// can be no lock there, as in a folder that cannot be written.
func (l *Lock) Acquire(wait time.Duration) (release func(), err error) {
	l.mu.Lock()
	for end := time.Now().Add(wait); ; {
		if err := l.acquire(end); err != nil {
			l.mu.Unlock()
			return nil, err
		}
		if l.file.isAt(l.path) {
			return l.release, nil
		}
		// The file was removed or replaced, and others lock the one that is there now.
		l.file.unlock()
		l.close()
	}
}

// acquire locks the file, which it opens if it is not open, and waits for that until a
// time. The caller holds mu.
func (l *Lock) acquire(end time.Time) error {
	if l.file == nil {
		if err := openfile.CheckRegular(l.path); err != nil {
			return err
		}
		opened, err := open(l.path)
		if err != nil {
			return err
		}
		l.file = opened
	}
	got, err := l.file.tryLock()
	if err == nil && !got {
		return l.wait(time.Until(end))
	}
	if err != nil {
		l.close()
	}
	return err
}

func (l *Lock) release() {
	l.file.unlock()
	if oslimit.FewFiles() {
		l.close()
	}
	l.mu.Unlock()
}

// Close closes the file of a lock that is not held. The lock may be used again.
func (l *Lock) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.close()
	return nil
}

// close closes the file. The caller holds mu.
func (l *Lock) close() {
	if l.file != nil {
		_ = l.file.Close() // nothing was written
		l.file = nil
	}
}

// wait blocks until the lock is free. If the time is up before, it leaves the
// wait, which cannot be canceled, to a goroutine, and the next Acquire uses
// another file. The caller holds mu.
func (l *Lock) wait(limit time.Duration) error {
	file := l.file
	done := make(chan error, 1)
	go func() { // ends when the owner releases the lock
		err := file.lock()
		for errors.Is(err, syscall.EINTR) {
			err = file.lock()
		}
		done <- err
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-done:
		if err != nil {
			l.close()
		}
		return err
	case <-timer.C:
		l.file = nil
		go func() { // as above
			<-done           //nolint:errcheck // the lock goes with the file
			_ = file.Close() // nothing was written
		}()
		return ErrBusy
	}
}
