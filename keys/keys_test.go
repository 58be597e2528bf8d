package keys_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/keys"
)

// TestKeys makes keys, and finds every change of one character.
func TestKeys(t *testing.T) {
	seen := map[string]bool{}
	for range 200 {
		key := keys.New()
		if !keys.Valid(key) || seen[key] || len(key) != 52 {
			t.Fatalf("key %q", key)
		}
		seen[key] = true
		for i := range key {
			other := key[:i] + "~" + key[i+1:]
			if key[i] != 'a' {
				other = key[:i] + "a" + key[i+1:]
			}
			if keys.Valid(other) {
				t.Fatalf("%s is taken for %s", other, key)
			}
			if keys.HashOf(key).Matches(other) {
				t.Fatalf("%s matches %s", other, key)
			}
		}
		if !keys.HashOf(key).Matches(key) {
			t.Fatal("a key does not match itself")
		}
	}
	for _, text := range []string{"", "cf_", "cf_" + strings.Repeat("0", 49) + "0"} {
		if keys.Valid(text) {
			t.Errorf("%q is a key", text)
		}
	}
}

// TestLocal has many callers at once: all get one key, whose file is the user's own.
func TestLocal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "server-key")
	got := make([]string, 20)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() {
			key, err := keys.Local(path)
			if err != nil {
				t.Error(err)
			}
			got[i] = key
		})
	}
	wg.Wait()
	for _, key := range got {
		if key != got[0] || !keys.Valid(key) {
			t.Fatalf("keys %q and %q", key, got[0])
		}
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("%d files, %v", len(entries), err)
	}
	if err := os.WriteFile(path, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Local(path); fault.KindOf(err) != fault.KindInput {
		t.Errorf("a file without a key: %v", err)
	}
}
