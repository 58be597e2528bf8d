package filelock_test

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/claude-force/claude-force/internal/filelock"
)

func TestOneAtATime(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	inside, most, total := 0, 0, 0
	var mu sync.Mutex
	var group sync.WaitGroup
	for range 40 {
		group.Go(func() {
			lock := filelock.New(path)
			for range 5 {
				release, err := lock.Acquire(time.Minute)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				inside++
				most = max(most, inside)
				mu.Unlock()
				mu.Lock()
				inside--
				total++
				mu.Unlock()
				release()
			}
		})
	}
	group.Wait()
	if most != 1 || total != 200 {
		t.Errorf("%d at once, %d in all", most, total)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestBusyAndImpossible(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	release, err := filelock.New(path).Acquire(time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	second := filelock.New(path)
	for range 2 {
		if _, err := second.Acquire(time.Millisecond); !errors.Is(err, filelock.ErrBusy) {
			t.Fatalf("a lock that is held: %v", err)
		}
	}
	release()
	release, err = second.Acquire(time.Minute)
	if err != nil {
		t.Fatalf("after its release: %v", err)
	}
	release()
	if _, err := filelock.New(filepath.Join(path, "below", "lock")).Acquire(time.Minute); err == nil || errors.Is(err, filelock.ErrBusy) {
		t.Errorf("where there can be none: %v", err)
	}
}
