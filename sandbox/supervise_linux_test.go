package sandbox_test

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/claude-force/claude-force/sandbox"
)

// supervised starts a supervised shell that leaves the process group with a child,
// ignores the end of its input, and prints the ids of both.
func supervised(t *testing.T) (cmd *exec.Cmd, end func(), pids []int) {
	t.Helper()
	cmd = exec.Command("/bin/sh", "-c", `setsid sleep 3600 & echo $$ $!; trap '' TERM; sleep 3600 & wait; wait`)
	end, err := sandbox.Supervise(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(end)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	for field := range strings.FieldsSeq(line) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return cmd, end, pids
}

// requireGone fails if a process is still there after a while.
func requireGone(t *testing.T, pids []int) {
	t.Helper()
	for _, pid := range pids {
		over := false
		for range 30_000 {
			state, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
			if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) || strings.Contains(string(state), ") Z ") {
				over = true
				break
			}
			<-time.After(2 * time.Millisecond)
		}
		if !over {
			t.Errorf("process %d outlives its supervisor", pid)
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

func TestSupervisedEnds(t *testing.T) {
	t.Parallel()
	cmd, end, pids := supervised(t)
	waited := make(chan error, 1)
	go func() { waited <- cmd.Wait() }()
	end()
	<-waited
	requireGone(t, pids)
}

// TestSupervisedEndsWithOwner kills the process that owns a supervised command.
func TestSupervisedEndsWithOwner(t *testing.T) {
	t.Parallel()
	owner := exec.Command("/proc/self/exe", "-test.run", "^TestSuperviseOwner$")
	owner.Env = append(os.Environ(), "SUPERVISE_OWNER=1")
	in, err := owner.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for field := range strings.FieldsSeq(line) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait()
	requireGone(t, pids)
}

// TestSuperviseOwner runs the process that TestSupervisedEndsWithOwner kills.
func TestSuperviseOwner(t *testing.T) {
	if os.Getenv("SUPERVISE_OWNER") == "" {
		return
	}
	_, _, pids := supervised(t)
	os.Stdout.WriteString(strconv.Itoa(pids[0]) + " " + strconv.Itoa(pids[1]) + "\n")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// TestSupervisedStatus passes on standard streams and the exit code.
func TestSupervisedStatus(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("/bin/sh", "-c", "cat; exit 7")
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	cmd.Stdin = strings.NewReader("hello")
	end, err := sandbox.Supervise(cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	out, err := cmd.Output()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != 7 || string(out) != "hello" {
		t.Errorf("got %q, %v", out, err)
	}
}
