package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	landlocksys "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// system is which layers a command gets.
type system struct {
	namespaces bool
	userNS     bool // the namespaces are in a user namespace
	landlock   bool
	seccomp    bool
	cgroup     bool
}

// found is what the probe found.
var found system

func startIsolated(ctx context.Context, policy Policy, command Command) (*Process, error) {
	return found.start(ctx, policy, command)
}

// start starts a command with these layers.
func (sys system) start(ctx context.Context, policy Policy, command Command) (*Process, error) {
	if err := sys.check(policy); err != nil {
		return nil, err
	}
	grants, err := policy.grants()
	if err != nil {
		return nil, err
	}
	s := &spec{
		Grants: grants, Etc: etc().readable, Network: policy.Network, Sockets: len(policy.UnixSockets) > 0, Limits: policy.Limits,
		Args: command.Args, Dir: command.Dir, Env: command.Env, Files: len(command.Files),
	}
	h, err := sys.launch(s, command.Files)
	if err != nil {
		return nil, err
	}
	p := newProcess(h.cmd.Process.Pid, h.end)
	copied := make(chan error, 1)
	go func() { copied <- p.copyOutput(command.Output, h.output, policy.Limits.Output) }()
	go p.watchTime(ctx, policy.Limits.Time)
	go p.watchUse(h.group, policy.Limits)
	go func() {
		st, err := h.wait()
		// Nothing is left that could hold the pipe, unless a layer failed.
		_ = h.output.SetReadDeadline(time.Now().Add(5 * time.Second))
		if cerr := <-copied; err == nil {
			err = cerr
		}
		if h.group.outOfMemory() {
			p.mu.Lock()
			if p.cause == "" {
				p.cause = TooMuchMemory
			}
			p.mu.Unlock()
		}
		h.group.remove()
		p.finish(Result{ExitCode: st.Exit, Signal: st.Signal}, err)
	}()
	return p, nil
}

// check returns an error if the layers cannot keep a policy.
func (sys system) check(policy Policy) error {
	if sys.namespaces {
		return nil
	}
	const without = "which needs namespaces, and this system has none"
	switch paths := policy.needsMounts(); {
	case len(paths) > 0:
		return fmt.Errorf("sandbox: the policy protects %s inside a granted folder, %s", strings.Join(paths, ", "), without)
	case len(policy.Binds) > 0:
		return errors.New("sandbox: the policy shows a folder at another path, " + without)
	case policy.Network == LoopbackNetwork:
		return errors.New("sandbox: the policy grants a loopback network, " + without)
	case len(policy.UnixSockets) > 0:
		return errors.New("sandbox: the policy grants single UNIX sockets, " + without)
	}
	return nil
}

// isolated is a helper that was started.
type isolated struct {
	cmd     *exec.Cmd
	control *os.File
	status  *os.File
	output  *os.File
	group   *group
	inNS    bool
}

// launch starts the helper and gives it what it is to do.
func (sys system) launch(s *spec, files []*os.File) (_ *isolated, err error) {
	s.Namespaces, s.Landlock, s.Seccomp = sys.namespaces, sys.landlock, sys.seccomp
	s.LimitUser = sys.namespaces && sys.userNS && os.Geteuid() != 0
	h := &isolated{inNS: sys.namespaces}
	var theirs []*os.File
	defer func() {
		for _, f := range theirs {
			f.Close()
		}
		if err != nil {
			for _, f := range []*os.File{h.control, h.status, h.output} {
				if f != nil {
					f.Close()
				}
			}
			h.group.remove()
		}
	}()
	pipe := func(fromChild bool) (ours, their *os.File, err error) {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, nil, err
		}
		ours, their = w, r
		if fromChild {
			ours, their = r, w
		}
		theirs = append(theirs, their)
		return ours, their, nil
	}
	var control, status, output *os.File
	if h.control, control, err = pipe(false); err != nil {
		return nil, err
	}
	if h.status, status, err = pipe(true); err != nil {
		return nil, err
	}
	if h.output, output, err = pipe(true); err != nil {
		return nil, err
	}
	h.cmd = &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{helperName}, Dir: "/",
		// The helper is small: few threads, and it exits before it collects.
		// A build with the race detector would wait for 1 s as it exits.
		Env:    []string{"GOMAXPROCS=1", "GOGC=off", "GORACE=atexit_sleep_ms=0"},
		Stdout: output, Stderr: output,
		ExtraFiles:  append([]*os.File{control, status}, files...),
		SysProcAttr: sys.attributes(s.Network),
	}
	if sys.cgroup {
		if h.group, err = newGroup(s.Limits); err != nil {
			return nil, err
		}
	}
	if err := h.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the isolated process: %w", err)
	}
	if err := h.group.add(h.cmd.Process.Pid); err != nil {
		_ = h.cmd.Process.Kill()
		_ = h.cmd.Wait()
		return nil, err
	}
	if err := json.NewEncoder(h.control).Encode(s); err != nil {
		_ = h.cmd.Process.Kill()
		_ = h.cmd.Wait()
		return nil, fmt.Errorf("start the isolated process: %w", err)
	}
	return h, nil
}

// attributes returns how the helper is started.
func (sys system) attributes(network Network) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setsid: true}
	if !sys.namespaces {
		return a
	}
	a.Cloneflags = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC
	if network != HostNetwork {
		a.Cloneflags |= unix.CLONE_NEWNET
	}
	if sys.userNS {
		uid, gid := os.Geteuid(), os.Getegid()
		a.Cloneflags |= unix.CLONE_NEWUSER
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
		// Kept across the helper's execve; dropped before the command's.
		a.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN, unix.CAP_SETPCAP, unix.CAP_DAC_OVERRIDE}
	}
	return a
}

// end ends the helper and all below it.
func (h *isolated) end() {
	if h.inNS {
		_ = h.cmd.Process.Kill() // the kernel ends the others with it
		return
	}
	h.control.Close() // the helper ends the others, and itself
	time.AfterFunc(time.Second, h.killTree)
}

// killTree ends the helper's group and all below the helper, which may be gone.
func (h *isolated) killTree() {
	h.group.kill()
	for _, pid := range descendants(h.cmd.Process.Pid) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	_ = h.cmd.Process.Kill()
}

// wait waits for the end of the helper and returns what it reported.
func (h *isolated) wait() (status, error) {
	var st status
	decodeErr := json.NewDecoder(h.status).Decode(&st)
	if !h.inNS && decodeErr != nil {
		h.killTree()
	}
	waitErr := h.cmd.Wait()
	h.group.kill()
	h.control.Close()
	h.status.Close()
	switch {
	case decodeErr != nil && h.cmd.ProcessState.ExitCode() <= 0 || decodeErr != nil && !h.inNS:
		// Ended from outside: by End, a limit, or the system.
		return status{Exit: -1, Signal: int(syscall.SIGKILL)}, nil
	case decodeErr != nil:
		return status{}, fmt.Errorf("the isolated process failed: %w", waitErr)
	case st.Error != "":
		if st.Layer != "" {
			return st, fmt.Errorf("sandbox: %s: %s", st.Layer, st.Error)
		}
		return st, fmt.Errorf("sandbox: %s", st.Error)
	}
	return st, nil
}

// probe finds the layers of this system by starting helpers that run nothing.
func probe() Report {
	report := Report{}
	add := func(name string, err error, holds string) bool {
		l := Layer{Name: name, Holds: err == nil, Reason: holds}
		if err != nil {
			l.Reason = err.Error()
		}
		report.Layers = append(report.Layers, l)
		return err == nil
	}
	try := func(sys system) error {
		if !called.Load() {
			return errors.New("the program must call sandbox.Main first in its main function")
		}
		grants, err := Policy{}.grants()
		if err != nil {
			return err
		}
		h, err := sys.launch(&spec{Probe: true, Grants: grants, Etc: etc().readable, Limits: DefaultLimits}, nil)
		if err != nil {
			return err
		}
		h.output.Close()
		_, err = h.wait()
		h.group.remove()
		return err
	}
	var sys system
	nsErr := error(nil)
	root := "without a user namespace"
	if os.Geteuid() == 0 {
		nsErr = try(system{namespaces: true})
		sys.namespaces = nsErr == nil
	}
	if !sys.namespaces {
		if err := try(system{namespaces: true, userNS: true}); err == nil {
			nsErr, sys.namespaces, sys.userNS, root = nil, true, true, "in a user namespace"
		} else {
			nsErr = errors.Join(nsErr, err)
		}
	}
	add(layerNamespaces, flatten(nsErr), "mounts, processes, network and IPC, "+root)

	abi, err := landlocksys.LandlockGetABIVersion()
	switch {
	case err != nil:
		err = errors.New("the kernel has no Landlock, or it is not enabled")
	case abi < landlockABI:
		err = fmt.Errorf("ABI %d, and %d is needed", abi, landlockABI)
	default:
		err = try(system{landlock: true})
	}
	sys.landlock = add(layerLandlock, err, "ABI "+strconv.Itoa(abi))
	err = nil
	switch {
	case !sys.landlock:
		err = errors.New("it needs Landlock")
	case abi < scopeABI:
		err = fmt.Errorf("ABI %d, and %d is needed", abi, scopeABI)
	}
	add(layerScope, err, "no signals to processes outside")
	sys.seccomp = add(layerSeccomp, try(system{seccomp: true}), "filter of system calls and sockets")

	where, err := probeGroup()
	if err == nil {
		err = try(system{cgroup: true})
	}
	sys.cgroup = add(layerCgroup, err, where)
	switch {
	case !sys.userNS:
		err = errors.New("RLIMIT_NPROC counts only in a user namespace")
	case os.Geteuid() == 0:
		err = errors.New("root is exempt from RLIMIT_NPROC")
	default:
		err = nil
	}
	add(layerLimits, err, "RLIMIT_NPROC in the user namespace")
	add(layerWatchdog, nil, "counts processes and their memory every "+watchEvery.String())
	add(layerSubreaper, nil, "ends what the command left, if there are no namespaces")
	found = sys
	report.Guards = guards(report.Layers)
	if !sys.cgroup || !groupMemory() {
		i := slices.IndexFunc(report.Guards, func(g Guard) bool { return g.Name == "memory" })
		report.Guards[i].By = slices.DeleteFunc(report.Guards[i].By, func(s string) bool { return s == layerCgroup })
	}
	return report
}

// flatten makes an error one line.
func flatten(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))
}

// base returns the folder of the control group that a line of /proc/self/cgroup
// names, below where its hierarchy is mounted.
func base(mount, path string) string { return filepath.Join(mount, filepath.Clean("/"+path)) }
