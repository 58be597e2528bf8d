package child

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// AwaitEnd waits until no process works in a folder, for ten seconds at most, and
// returns those that do then.
func AwaitEnd(ctx context.Context, dir string) (left []string, err error) {
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
