package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Descriptors of the helper.
const (
	controlFD = 3 // the spec; its end is the end of the helper
	statusFD  = 4 // the status
	filesFD   = 5 // the command's files
)

// spec is what the helper is to do.
type spec struct {
	Probe      bool // restrict, but run nothing
	Namespaces bool // the helper is the first process of namespaces of its own
	Landlock   bool
	Seccomp    bool
	LimitUser  bool // RLIMIT_NPROC counts here

	Grants  []grant
	Etc     []string // readable in /etc
	Network Network
	Sockets bool // UNIX sockets are granted
	Limits  Limits

	Args  []string
	Dir   string
	Env   []string
	Files int
}

// status is what the helper reports.
type status struct {
	Layer  string `json:",omitempty"` // the layer that could not be had
	Error  string `json:",omitempty"`
	Exit   int
	Signal int
}

// helper isolates this process, runs the command in it and exits.
func helper() {
	closeOnExec()
	control, report := os.NewFile(controlFD, "control"), os.NewFile(statusFD, "status")
	var s spec
	if err := json.NewDecoder(control).Decode(&s); err != nil {
		os.Exit(2)
	}
	var st status
	var code int
	onOwnThread(func() { st, code = s.run(control) })
	if json.NewEncoder(report).Encode(st) != nil {
		code = 2
	}
	os.Exit(code)
}

// closeOnExec keeps all descriptors of this process but the standard ones from
// the command, also those that whoever started the program left open.
func closeOnExec() {
	if unix.CloseRange(controlFD, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		os.Exit(2)
	}
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd >= controlFD {
			syscall.CloseOnExec(fd)
		}
	}
}

// onOwnThread calls f on a thread that runs nothing else and is not the first of
// the process.
func onOwnThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == os.Getpid() {
			onOwnThread(f) // this one is taken, so the next is another
			return
		}
		f()
	}()
	<-done
}

func (s *spec) run(control *os.File) (st status, code int) {
	if layer, err := s.restrict(); err != nil {
		return status{Layer: layer, Error: err.Error()}, 2
	}
	if s.Probe {
		return status{}, 0
	}
	pid, err := s.start()
	if err != nil {
		return status{Error: err.Error()}, 2
	}
	go func() {
		// The end of the process that started this one, or its wish.
		_, _ = io.Copy(io.Discard, control)
		if !s.Namespaces {
			// The loop below sees the command's end, and ends the rest.
			for range 1000 {
				killDescendants()
				<-time.After(time.Millisecond)
			}
		}
		os.Exit(2)
	}()
	ws, err := reap(pid)
	if err != nil {
		return status{Error: "wait: " + err.Error()}, 2
	}
	s.endAll()
	if ws.Signaled() {
		return status{Exit: -1, Signal: int(ws.Signal())}, 0
	}
	return status{Exit: ws.ExitStatus()}, 0
}

// reap waits for the processes that have no other parent, until the one with the id
// has ended, and returns how.
func reap(pid int) (syscall.WaitStatus, error) {
	for {
		var ws syscall.WaitStatus
		reaped, err := syscall.Wait4(-1, &ws, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return ws, err
		case reaped == pid && (ws.Exited() || ws.Signaled()):
			return ws, nil
		}
	}
}

// restrict applies the layers, and returns the one that failed.
func (s *spec) restrict() (layer string, err error) {
	if err := s.limit(); err != nil {
		return layerLimits, err
	}
	if s.Namespaces {
		if os.Getpid() != 1 {
			return layerNamespaces, errors.New("the isolated process is not in namespaces of its own")
		}
		if err := newRoot(s.Grants, s.Limits.Memory/4); err != nil {
			return layerNamespaces, err
		}
		if s.Network == LoopbackNetwork {
			if err := raiseLoopback(); err != nil {
				return layerNamespaces, err
			}
		}
	} else if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return layerSubreaper, err
	}
	if s.Landlock {
		if err := restrictFiles(s); err != nil {
			return layerLandlock, err
		}
	}
	if err := dropCapabilities(); err != nil {
		return layerNamespaces, err
	}
	if s.Seccomp {
		inet := s.Namespaces || s.Network == HostNetwork
		if err := restrictCalls(sockets{inet: inet, unix: s.Sockets}); err != nil {
			return layerSeccomp, err
		}
	}
	return "", nil
}

// limit sets the limits that the kernel keeps for each process.
func (s *spec) limit() error {
	set := func(resource int, value uint64) error {
		var old unix.Rlimit
		if err := unix.Getrlimit(resource, &old); err != nil {
			return err
		}
		value = min(value, old.Max)
		return unix.Setrlimit(resource, &unix.Rlimit{Cur: value, Max: value})
	}
	if err := set(unix.RLIMIT_CORE, 0); err != nil {
		return err
	}
	if err := set(unix.RLIMIT_FSIZE, uint64(s.Limits.FileSize)); err != nil {
		return err
	}
	if s.LimitUser {
		if err := set(unix.RLIMIT_NPROC, uint64(s.Limits.Processes+helperThreads)); err != nil {
			return err
		}
	}
	return nil
}

// helperThreads are what the helper itself takes of a limit on processes.
const helperThreads = 10

func raiseLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req); err != nil {
		return fmt.Errorf("raise the loopback interface: %w", err)
	}
	return nil
}

// start starts the command.
func (s *spec) start() (pid int, err error) {
	path := lookPath(Command{Args: s.Args, Dir: s.Dir, Env: s.Env})
	files := []uintptr{0, 1, 2}
	for i := range s.Files {
		files = append(files, uintptr(filesFD+i))
	}
	// The command must not look into this process, whose descriptors it could
	// use. The command itself is not affected: execve resets it.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return 0, err
	}
	// Go raises this limit for itself, and restores for a command what it was.
	limit := syscall.Rlimit{Cur: uint64(s.Limits.OpenFiles), Max: uint64(s.Limits.OpenFiles)}
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		return 0, err
	}
	limit.Cur, limit.Max = min(limit.Cur, old.Max), min(limit.Max, old.Max)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	pid, err = syscall.ForkExec(path, s.Args, &syscall.ProcAttr{
		Dir: s.Dir, Env: s.Env, Files: files,
		Sys: &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		return 0, fmt.Errorf("run %s in %s: %w", s.Args[0], s.Dir, err)
	}
	for i := range s.Files {
		_ = syscall.Close(filesFD + i)
	}
	// The end of the output is that of the command.
	_ = syscall.Close(1)
	_ = syscall.Close(2)
	return pid, nil
}

// endAll ends all processes below this one. In namespaces of its own, the
// kernel does that when this process exits.
func (s *spec) endAll() {
	if s.Namespaces {
		return
	}
	for round := range 500 {
		if !killDescendants() {
			return
		}
		for {
			pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
			if pid <= 0 || err != nil {
				break
			}
		}
		if round > 0 {
			<-time.After(time.Millisecond)
		}
	}
}

// killDescendants kills the processes below this one, and reports whether there
// were any.
func killDescendants() bool {
	pids := descendants(os.Getpid())
	for _, pid := range pids {
		// Stopped first, so that none starts another in the meantime.
		_ = syscall.Kill(pid, syscall.SIGSTOP)
	}
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	return len(pids) > 0
}

// descendants returns the processes below one, without it.
func descendants(pid int) []int {
	var all []int
	tasks, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
	if err != nil {
		return nil
	}
	for _, task := range tasks {
		text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/task/" + task.Name() + "/children")
		if err != nil {
			continue
		}
		for field := range strings.FieldsSeq(string(text)) {
			child, err := strconv.Atoi(field)
			if err != nil {
				continue
			}
			all = append(all, child)
			all = append(all, descendants(child)...)
		}
	}
	return all
}
