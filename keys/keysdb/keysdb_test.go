package keysdb_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
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

// TestShared has two stores in one file, as two processes do.
func TestShared(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	one, other := keysdb.New(path), keysdb.New(path)
	defer one.Close()
	defer other.Close()
	keystest.Shared(t, one, other)
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
