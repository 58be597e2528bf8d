package seal_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/internal/seal"
)

func TestLoadKey(t *testing.T) {
	key := strings.Repeat("0f", 32)
	t.Setenv("TEST_KEY", key)
	t.Setenv("TEST_SHORT", "secret")
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte("Dw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8=\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, source := range []string{"env:TEST_KEY", "file:" + path, "command:echo " + key} {
		got, err := seal.LoadKey(t.Context(), source)
		if err != nil || !bytes.Equal(got, bytes.Repeat([]byte{15}, 32)) {
			t.Errorf("LoadKey(%q) = %x, %v", source, got, err)
		}
	}
	for _, source := range []string{"", "env:", "env:NO_SUCH_VARIABLE", "env:TEST_SHORT", "file:/no/such", "command:exit 1", "secret"} {
		if _, err := seal.LoadKey(t.Context(), source); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("LoadKey(%q): %v", source, err)
		}
	}
}
