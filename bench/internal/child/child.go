//go:build unix

// Package child starts the processes of benchmarks: programs of this module, each
// bounded in time and in a process group of its own.
package child

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// patience is the longest a process may take.
const patience = 10 * time.Minute

// Build builds programs into a folder, by the names that they get there, with flags of go
// build. Packages are named from the root of the module, where the benchmarks are run.
func Build(ctx context.Context, dir string, programs map[string]string, flags ...string) error {
	for name, pkg := range programs {
		args := slices.Concat([]string{"build", "-trimpath"}, flags, []string{"-o", filepath.Join(dir, name), "github.com/claude-force/claude-force/" + pkg})
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("building %s: %w\n%s", name, err, out)
		}
	}
	return nil
}

// Command returns a run of a program in a folder, with these variables beside those
// of this process. It is ended after ten minutes, also if this process dies.
func Command(ctx context.Context, dir string, env []string, binary string, args ...string) *exec.Cmd {
	seconds := strconv.Itoa(int(patience.Seconds()))
	cmd := exec.CommandContext(ctx, "timeout", append([]string{"-k", "5", seconds, binary}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), "TZ="+noon()), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return Kill(cmd) }
	return cmd
}

// noon returns the name of a time zone in which it was noon when this process began, or up to
// an hour later: no budget of a day begins again in a measurement.
var noon = sync.OnceValue(func() string {
	return fmt.Sprintf("Etc/GMT%+d", time.Now().UTC().Hour()-12) // the sign is that of what is west
})

// Kill ends what [Command] started, and its process group, without a warning. The
// error says that it has ended.
func Kill(cmd *exec.Cmd) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

// Killed reports whether a process that has ended was killed.
func Killed(cmd *exec.Cmd) bool {
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled()
}

// Service is a service that runs in a process of its own.
type Service struct {
	URL  string
	PID  int
	Stop func() // ends it
}

// Serve starts a program that prints its address and ends with its input, with arguments. Its
// input ends with ctx and with this process.
func Serve(ctx context.Context, binary string, args ...string) (*Service, error) {
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt would end it without what it has started
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Cancel, cmd.WaitDelay = in.Close, 10*time.Second
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	stop := func() { _ = in.Close(); _ = cmd.Wait() } // it reports nothing by its exit code
	if err != nil {
		stop()
		return nil, fmt.Errorf("starting %s: %w", filepath.Base(binary), err)
	}
	return &Service{strings.TrimSpace(line), cmd.Process.Pid, stop}, nil
}

// Get decodes what the service answers.
func (s *Service) Get(ctx context.Context, path string, v any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+path, nil)
	if err != nil {
		return err
	}
	req.Close = true
	resp, err := (&http.Client{Timeout: patience}).Do(req)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(resp.Body)
	return errors.Join(err, resp.Body.Close(), json.Unmarshal(body, v))
}

// Settle waits until no connection of the service but its own is open, for ten minutes
// at most: what a process sent before it was killed can arrive after its end.
func (s *Service) Settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		var open int
		if err := s.Get(ctx, "/connections", &open); err != nil {
			return err
		}
		if open == 1 {
			return nil
		}
		select {
		case <-time.After(2 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("the service has %d connections: %w", open, ctx.Err())
		}
	}
}
