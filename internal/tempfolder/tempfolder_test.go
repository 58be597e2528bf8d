//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package tempfolder_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/claude-force/claude-force/internal/processtest"
	"github.com/claude-force/claude-force/internal/tempfolder"
)

func TestMain(m *testing.M) {
	os.Exit(processtest.Main(m, map[string]processtest.Job{"keep": keep}))
}

// keep makes folders in one of temporary files until its input ends.
func keep(args []string) error {
	if err := os.Setenv("TMPDIR", args[0]); err != nil {
		return err
	}
	for _, name := range args[1:] {
		f, err := tempfolder.New(name)
		if err != nil {
			return err
		}
		inner := filepath.Join(f.Path(), "a", "b")
		err = errors.Join(os.MkdirAll(inner, 0o700), os.WriteFile(filepath.Join(inner, "file"), []byte("x"), 0o600),
			os.Symlink(args[0]+"-kept", filepath.Join(f.Path(), "link")), os.Chmod(inner, 0o500), os.Chmod(filepath.Dir(inner), 0))
		if err != nil {
			return err
		}
		fmt.Println(f.Path())
	}
	bufio.NewScanner(os.Stdin).Scan()
	return nil
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// TestKilled: the folders of a process that was killed are removed by the next, and no others:
// not those of a process that runs, of an earlier version, links, nor what links lead to.
func TestKilled(t *testing.T) { //nolint:paralleltest // it sets a variable
	parent := t.TempDir()
	kept := parent + "-kept"
	if err := errors.Join(os.MkdirAll(filepath.Join(kept, "sub"), 0o700), os.MkdirAll(filepath.Join(parent, "claude-force-shell-1"), 0o700),
		os.Symlink(kept, filepath.Join(parent, "claude-force-locked-shell-2")), os.WriteFile(filepath.Join(parent, "claude-force-locked-shell-3"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(kept) })
	before := names(t, parent)
	var folders []string
	processes := []*processtest.Process{processtest.Start(t.Context(), "keep", parent, "shell", "other"), processtest.Start(t.Context(), "keep", parent, "shell")}
	for i, p := range processes {
		for line := range p.Lines() {
			if folders = append(folders, line); len(folders) == 2+i {
				break
			}
		}
	}
	if len(folders) != 3 {
		t.Fatalf("the processes made %q", folders)
	}
	processes[0].Kill()
	_ = processes[0].Wait() // it was killed
	t.Setenv("TMPDIR", parent)
	f, err := tempfolder.New("shell")
	if err != nil {
		t.Fatal(err)
	}
	for i, folder := range folders {
		if _, err := os.Lstat(folder); (err == nil) != (i == 2) {
			t.Errorf("%s: %v", folder, err)
		}
	}
	tempfolder.Sweep(parent)
	for _, folder := range []string{folders[2], f.Path()} {
		if _, err := os.Stat(folder); err != nil {
			t.Errorf("a folder of a process that runs: %v", err)
		}
	}
	processes[1].Kill()
	_ = processes[1].Wait() // it was killed
	tempfolder.Sweep(parent)
	if err := f.Remove(); err != nil {
		t.Error(err)
	}
	if err := f.Remove(); err != nil {
		t.Errorf("removed twice: %v", err)
	}
	if after := names(t, parent); after != before {
		t.Errorf("there are %s, and were %s", after, before)
	}
	if names(t, kept) != "sub" {
		t.Error("what a link led to was removed")
	}
}

// TestOfAnotherUser: a folder of another user stays. Only root can make one.
func TestOfAnotherUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		return
	}
	parent := t.TempDir()
	other := filepath.Join(parent, "claude-force-locked-shell-1")
	if err := errors.Join(os.Mkdir(other, 0o700), os.Chown(other, 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	tempfolder.Sweep(parent)
	if _, err := os.Lstat(other); err != nil {
		t.Error(err)
	}
}

// TestMadeWhileOthersSweep: no folder is taken from who has just made it.
func TestMadeWhileOthersSweep(t *testing.T) { //nolint:paralleltest // it sets a variable
	parent := t.TempDir()
	t.Setenv("TMPDIR", parent)
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			for range 100 {
				tempfolder.Sweep(parent)
			}
		})
		all.Go(func() {
			for range 100 {
				f, err := tempfolder.New("shell")
				if err != nil {
					t.Error(err)
					return
				}
				if err := errors.Join(os.Mkdir(filepath.Join(f.Path(), "a"), 0o700), f.Remove()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if left := names(t, parent); left != "" {
		t.Errorf("left: %s", left)
	}
}
