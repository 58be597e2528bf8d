package oslimit_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/claude-force/claude-force/internal/citest"
	"github.com/claude-force/claude-force/internal/oslimit"
)

func TestExplain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "missing", "file")
	inPath := func(err error) error {
		return fmt.Errorf("writing: %w", &fs.PathError{Op: "write", Path: path, Err: err})
	}
	for _, c := range []struct {
		err  error
		want []string // none: no explanation
	}{
		{nil, nil},
		{os.ErrNotExist, nil},
		{inPath(syscall.EACCES), nil},
		{inPath(syscall.ENOSPC), []string{"the disk is full", "free on the file system of " + filepath.Dir(path), "free some space"}},
		{syscall.ENOSPC, []string{"the disk is full", "free some space"}},
		{inPath(syscall.EMFILE), []string{"too many files are open", "ulimit -n", "jobs"}},
		{&os.SyscallError{Syscall: "socket", Err: syscall.EMFILE}, []string{"ulimit -n"}},
	} {
		got := oslimit.Explain(c.err)
		if (got == "") != (c.want == nil) {
			t.Errorf("%v: %q", c.err, got)
		}
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%v: %q lacks %q", c.err, got, want)
			}
		}
	}
}

func TestFreeOfAFolderThatIsMissing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	there, err := oslimit.Free(dir)
	if err != nil {
		citest.Missing(t, "%v", err)
	}
	missing, err := oslimit.Free(filepath.Join(dir, "a", "b"))
	if err != nil || there == 0 || missing == 0 {
		t.Errorf("%d and %d bytes free, %v", there, missing, err)
	}
}
