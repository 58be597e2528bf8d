package keysdb_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/claude-force/claude-force/keys"
	"github.com/claude-force/claude-force/keys/keysdb"
	"github.com/claude-force/claude-force/keys/keystest"
)

func TestSuite(t *testing.T) {
	keystest.Suite(t, func(t *testing.T) keys.Store { return keysdb.New(filepath.Join(t.TempDir(), "data", "keys.db")) })
}

// TestNoFile checks that what only reads makes no file.
func TestNoFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	s := keysdb.New(path)
	list, err := s.Keys(t.Context())
	_, identifyErr := keys.Identify(t.Context(), s, keys.New(), time.Now())
	if err != nil || len(list) > 0 || !errors.Is(identifyErr, keys.ErrNotFound) {
		t.Errorf("%v, %v, %v", list, err, identifyErr)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is there: %v", err)
	}
}

// TestShared has two stores in one file, as two processes do: what one does, the other
// sees at once, and requests are counted together.
func TestShared(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	one, two := keysdb.New(path), keysdb.New(path)
	defer one.Close()
	defer two.Close()
	secret, k, err := keys.Create(t.Context(), one, &keys.Spec{Name: "ci", Budget: "1/day"}, "owner")
	if err != nil {
		t.Fatal(err)
	}
	id, err := keys.Identify(t.Context(), two, secret, time.Now())
	if err != nil || id.ID != k.ID || len(id.Budgets) != 1 {
		t.Fatalf("%+v, %v", id, err)
	}
	const rpm = 30
	now := time.Now()
	var allowed sync.Map
	var wg sync.WaitGroup
	for i := range 2 * rpm {
		wg.Go(func() {
			wait, err := []keys.Store{one, two}[i%2].Take(context.Background(), k.ID, rpm, now)
			if err != nil {
				t.Error(err)
			}
			if wait == 0 {
				allowed.Store(i, true)
			}
		})
	}
	wg.Wait()
	n := 0
	for range allowed.Range {
		n++
	}
	if n != rpm {
		t.Errorf("%d requests, want %d", n, rpm)
	}
	if err := keys.Revoke(t.Context(), one, "ci", "owner"); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Identify(t.Context(), two, secret, time.Now()); !errors.Is(err, keys.ErrRevoked) {
		t.Errorf("a key that another process revoked: %v", err)
	}
}

// BenchmarkIdentify measures what a request with a key of the store costs beyond one with
// that of the owner.
func BenchmarkIdentify(b *testing.B) {
	s := keysdb.New(filepath.Join(b.TempDir(), "keys.db"))
	defer s.Close()
	secret, _, err := keys.Create(b.Context(), s, &keys.Spec{Name: "ci", Budget: "1/day", RPM: 60}, "owner")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := keys.Identify(b.Context(), s, secret, time.Now()); err != nil {
			b.Fatal(err)
		}
	}
}
