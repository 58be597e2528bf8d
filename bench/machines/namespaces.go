//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Addresses of the network. It exists in a namespace alone, so they collide with no others.
const (
	hub     = "10.77.0.1" // the end of the bridge that is ours
	bits    = "/24"
	bridge  = "cf-bridge"
	scratch = "/dev/shm" // where the tmpfs is, which only this namespace sees
	trusted = scratch + "/service.pem"
)

// addressOf returns the address of a machine.
func addressOf(machine int) string { return "10.77.0." + strconv.Itoa(11+machine) }

// portOf returns the name of the bridge's end of a machine's cable.
func portOf(machine int) string { return "cf-port-" + strconv.Itoa(machine) }

// process is a process of this program in namespaces of its own. It ends when its input
// does, and all processes that it has started end with it, since it is the first of its
// namespace of processes.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out io.Reader // nil if it writes to the output of this process
}

// startIsolated starts this program in namespaces of its own.
func startIsolated(ctx context.Context, args ...string) (*process, error) {
	cmd, in, err := isolated(ctx, args)
	if err != nil {
		return nil, err
	}
	cmd.Stdout = os.Stdout
	return &process{cmd: cmd, in: in}, cmd.Start()
}

// startMachine does what startIsolated does, gives the process files, and reads what it
// writes.
func startMachine(ctx context.Context, files []*os.File, args ...string) (*process, error) {
	cmd, in, err := isolated(ctx, args)
	if err != nil {
		return nil, err
	}
	cmd.ExtraFiles = files
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &process{cmd, in, out}, cmd.Start()
}

func isolated(ctx context.Context, args []string) (*exec.Cmd, io.WriteCloser, error) {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", args...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setpgid:    true, // signals of the terminal are for the first process alone
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
	}
	in, err := cmd.StdinPipe()
	return cmd, in, err
}

// wait waits until the process ends by itself.
func (p *process) wait() error {
	err := p.cmd.Wait()
	_ = p.in.Close() // it was closed by Wait
	return err
}

// stop ends the process and all that it has started.
func (p *process) stop() {
	_ = p.in.Close()
	_ = p.cmd.Wait() // it ends with its input
}

// ownFiles gives the process, which is the first of its namespaces, its own /proc, and a
// tmpfs in which all files are made if it has none.
func ownFiles(files bool) error {
	err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	if err == nil {
		err = unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	}
	if err == nil && files {
		err = errors.Join(unix.Mount("tmpfs", scratch, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777,size=75%"), os.Setenv("TMPDIR", scratch))
	}
	if err != nil {
		return fmt.Errorf("mounting: %w", err)
	}
	return nil
}

// ip changes the network of this process's namespace.
func ip(ctx context.Context, args ...string) error {
	if out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %v: %w: %s", args, err, out)
	}
	return nil
}

// script runs several commands of ip.
func script(ctx context.Context, commands ...[]string) error {
	for _, args := range commands {
		if err := ip(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// makeBridge makes the bridge, with an address at which machines reach this process.
func makeBridge(ctx context.Context) error {
	return script(ctx,
		[]string{"link", "set", "lo", "up"},
		[]string{"link", "add", bridge, "type", "bridge"},
		[]string{"addr", "add", hub + bits, "dev", bridge},
		[]string{"link", "set", bridge, "up"})
}

// plug joins the namespace of a process to the bridge, as a machine.
func plug(ctx context.Context, machine, pid int) error {
	return script(ctx,
		[]string{"link", "add", portOf(machine), "type", "veth", "peer", "name", "eth0", "netns", strconv.Itoa(pid)},
		[]string{"link", "set", portOf(machine), "master", bridge, "up"})
}

// cutOff has the bridge drop what comes from a machine and goes to it. Connections stay.
func cutOff(ctx context.Context, machine int) error {
	return ip(ctx, "link", "set", portOf(machine), "down")
}

// heal ends cutOff.
func heal(ctx context.Context, machine int) error {
	return ip(ctx, "link", "set", portOf(machine), "up")
}
