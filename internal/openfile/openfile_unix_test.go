//go:build unix

package openfile_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/claude-force/claude-force/internal/openfile"
)

// TestPipesAndDevices opens what would wait or never end. The test hangs if one
// does.
func TestPipesAndDevices(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "zero")
	if err := os.Symlink("/dev/zero", link); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, path := range []string{pipe, link, "/dev/zero", "/dev/tty", "/dev/random"} {
		if _, err := os.Stat(path); err != nil {
			continue
		}
		if _, err := openfile.Read(path, 10); !errors.Is(err, openfile.ErrNotRegular) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := openfile.ReadIn(root, "pipe", 10); !errors.Is(err, openfile.ErrNotRegular) {
		t.Errorf("a pipe in a root: %v", err)
	}
	if _, err := openfile.ReadFS(os.DirFS(dir), "pipe", 10); !errors.Is(err, openfile.ErrNotRegular) {
		t.Errorf("a pipe in a file system: %v", err)
	}
	if _, err := openfile.ReadTyped("/dev/zero", 10); !errors.Is(err, openfile.ErrNotRegular) {
		t.Errorf("a device that was typed: %v", err)
	}
}
