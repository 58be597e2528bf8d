//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"

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
