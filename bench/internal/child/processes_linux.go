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
	for quiet := time.Now(); ; {
		if left, err = processesIn(dir); err != nil || time.Now().After(deadline) {
			return left, err
		}
		if len(left) > 0 {
			quiet = time.Now()
		} else if time.Since(quiet) > unseen {
			return nil, nil
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// unseen is how long a process that begins may be elsewhere before it changes to its
// folder: a command whose parent was killed while it entered its sandbox.
const unseen = 200 * time.Millisecond

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
