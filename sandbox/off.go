package sandbox

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"time"
)

// startOff starts a command without isolation, in a process group of its own.
func startOff(ctx context.Context, policy Policy, command Command) (*Process, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	// The command's own PATH decides, not that of this process.
	cmd := &exec.Cmd{Path: lookPath(command), Args: command.Args, Dir: command.Dir, Env: command.Env, ExtraFiles: command.Files}
	cmd.Stdout, cmd.Stderr = w, w
	if cmd.Env == nil {
		cmd.Env = []string{}
	}
	ownGroup(cmd)
	if err := cmd.Start(); err != nil {
		r.Close()
		return nil, err
	}
	p := newProcess(cmd.Process.Pid, func() { endGroup(cmd.Process.Pid) })
	copied := make(chan error, 1)
	go func() { copied <- p.copyOutput(command.Output, r, policy.Limits.Output) }()
	go p.watchTime(ctx, policy.Limits.Time)
	go func() {
		err := cmd.Wait()
		if _, ok := errors.AsType[*exec.ExitError](err); ok {
			err = nil
		}
		endGroup(cmd.Process.Pid) // what the command left running
		// A process that left the group may hold the pipe for ever.
		_ = r.SetReadDeadline(time.Now().Add(time.Second))
		if cerr := <-copied; err == nil && !errors.Is(cerr, os.ErrDeadlineExceeded) {
			err = cerr
		}
		p.finish(exitOf(cmd.ProcessState), err)
	}()
	return p, nil
}

// watchTime ends the command at the end of ctx or of its time.
func (p *Process) watchTime(ctx context.Context, limit time.Duration) {
	var over <-chan time.Time
	if limit > 0 {
		t := time.NewTimer(limit)
		defer t.Stop()
		over = t.C
	}
	select {
	case <-p.done:
	case <-over:
		p.endFor(Deadline)
	case <-ctx.Done():
		cause := Cancelled
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			cause = Deadline
		}
		p.endFor(cause)
	}
}
