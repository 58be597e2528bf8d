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

// TestAFileThatIsReplaced removes the file of a lock that a Lock has open: whoever comes
// later must not hold another lock at the same time.
func TestAFileThatIsReplaced(t *testing.T) {
	t.Parallel()
	for name, replace := range map[string]func(path string) error{
		"removed": os.Remove,
		"replaced": func(path string) error {
			return errors.Join(os.WriteFile(path+"2", nil, 0o600), os.Rename(path+"2", path))
		},
		"left": func(string) error { return nil },
	} {
		path := filepath.Join(t.TempDir(), "lock")
		first := filelock.New(path)
		for range 2 {
			release, err := first.Acquire(time.Minute)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			release()
			if err := replace(path); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			release, err = first.Acquire(time.Minute)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if _, err := filelock.New(path).Acquire(0); !errors.Is(err, filelock.ErrBusy) {
				t.Errorf("%s: a second lock: %v", name, err)
			}
			release()
			if err := first.Close(); err != nil {
				t.Errorf("%s: closing: %v", name, err)
			}
		}
	}
	folder := filepath.Join(t.TempDir(), "folder")
	lock := filelock.New(filepath.Join(folder, "lock"))
	for range 2 {
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		release, err := lock.Acquire(time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		release()
		if err := os.RemoveAll(folder); err != nil {
			t.Fatal(err)
		}
		if _, err := lock.Acquire(time.Minute); err == nil {
			t.Error("a lock in a folder that is not there")
		}
	}
}

// BenchmarkAcquire measures a lock that is free beside one whose file is opened for
// each time, in turn in one loop.
func BenchmarkAcquire(b *testing.B) {
	path := filepath.Join(b.TempDir(), "lock")
	kept := filelock.New(path)
	acquire := func(l *filelock.Lock) time.Duration {
		start := time.Now()
		release, err := l.Acquire(time.Minute)
		if err != nil {
			b.Fatal(err)
		}
		release()
		return time.Since(start)
	}
	var open, opened time.Duration
	for b.Loop() {
		open += acquire(kept)
		other := filelock.New(path)
		opened += acquire(other)
		if err := other.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(open.Nanoseconds())/float64(b.N), "ns/acquire")
	b.ReportMetric(float64(opened)/float64(open), "x-opening")
}
