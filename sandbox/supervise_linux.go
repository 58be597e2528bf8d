package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// supervise makes cmd a supervisor of the command: this program, executed again. It
// ends the command when the pipe at [controlFD] is closed.
func supervise(cmd *exec.Cmd) (release func(), err error) {
	if !called.Load() {
		return superviseAlone(cmd)
	}
	if cmd.Err != nil {
		return nil, cmd.Err
	}
	lifeline, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	args := append([]string{supervisorName, cmd.Path}, cmd.Args...)
	cmd.Path, cmd.Args = "/proc/self/exe", args
	cmd.ExtraFiles = []*os.File{lifeline}
	ownGroup(cmd)
	return func() {
		if cmd.Process != nil {
			// The supervisor ends what left the process group too.
			w.Close()
			waitGone(cmd, 5*time.Second)
		}
		w.Close()
		lifeline.Close()
	}, nil
}

// waitGone waits until the caller has seen the end of a command's process, or for
// at most the given time.
func waitGone(cmd *exec.Cmd, limit time.Duration) {
	for range limit / (2 * time.Millisecond) {
		if errors.Is(cmd.Process.Signal(syscall.Signal(0)), os.ErrProcessDone) {
			return
		}
		<-time.After(2 * time.Millisecond)
	}
}

// supervisor runs the command of the arguments and exits as it does. Its end, and
// that of the process that started this one, is the end of all that it started.
func supervisor() {
	closeOnExec()
	code := 2
	onOwnThread(func() { code = superviseCommand(os.NewFile(controlFD, "lifeline"), os.Args[1], os.Args[2:]) })
	os.Exit(code)
}

func superviseCommand(lifeline *os.File, path string, args []string) int {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fmt.Fprintf(os.Stderr, "supervising %s: %v\n", path, err)
		return 2
	}
	// A signal to the group is for the command. It is caught and not ignored,
	// since the command would inherit that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	pid, err := syscall.ForkExec(path, args, &syscall.ProcAttr{
		Env: os.Environ(), Files: []uintptr{0, 1, 2},
		Sys: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", path, err)
		return 127
	}
	go func() {
		_, _ = io.Copy(io.Discard, lifeline)
		(&spec{}).endAll()
		os.Exit(2)
	}()
	ws, err := reap(pid)
	if err != nil {
		return 2
	}
	(&spec{}).endAll()
	if ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return ws.ExitStatus()
}
