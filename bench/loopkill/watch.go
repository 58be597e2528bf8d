//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// watch counts how often the files of a folder are written, whoever writes them.
type watch struct {
	fd   int
	seen map[string]int
}

func newWatch(dir string) (*watch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watching a folder: %w", err)
	}
	w := &watch{fd: fd, seen: map[string]int{}}
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_CLOSE_WRITE|unix.IN_MOVED_TO); err != nil {
		return nil, errors.Join(fmt.Errorf("watching %s: %w", dir, err), w.close())
	}
	return w, nil
}

func (w *watch) close() error { return unix.Close(w.fd) }

// counts returns how often each file was written so far, by its name: by a program
// that had it open, or by a file that took its name.
func (w *watch) counts() (map[string]int, error) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := unix.Read(w.fd, buffer)
		if errors.Is(err, unix.EAGAIN) {
			return maps.Clone(w.seen), nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading what was written: %w", err)
		}
		for rest := buffer[:n]; len(rest) >= unix.SizeofInotifyEvent; {
			mask, length := binary.NativeEndian.Uint32(rest[4:]), int(binary.NativeEndian.Uint32(rest[12:]))
			if mask&unix.IN_Q_OVERFLOW != 0 {
				return nil, errors.New("more was written than the kernel counts")
			}
			name := rest[unix.SizeofInotifyEvent : unix.SizeofInotifyEvent+length]
			w.seen[string(bytes.TrimRight(name, "\x00"))]++
			rest = rest[unix.SizeofInotifyEvent+length:]
		}
	}
}

// awaitEnd waits until no process works in a folder, for ten seconds at most, and
// returns those that do then.
func awaitEnd(ctx context.Context, dir string) (left []string, err error) {
	deadline := time.Now().Add(10 * time.Second)
	for {
		if left, err = processesIn(dir); err != nil || len(left) == 0 || time.Now().After(deadline) {
			return left, err
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// processesIn returns the processes whose working folder is in a folder.
func processesIn(dir string) (found []string, err error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if _, err := strconv.Atoi(entry.Name()); err != nil {
			continue
		}
		folder, err := os.Readlink(filepath.Join("/proc", entry.Name(), "cwd"))
		if err != nil || folder != dir && !strings.HasPrefix(folder, dir+"/") {
			continue // of another user, or ended
		}
		line, _ := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline"))
		found = append(found, entry.Name()+" "+string(bytes.ReplaceAll(line, []byte{0}, []byte(" "))))
	}
	return found, nil
}
