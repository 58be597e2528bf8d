// Package sandbox runs commands isolated from the machine that they run on.
//
// A command reads and writes the folders that its [Policy] grants and nothing
// else, reaches no network and no UNIX socket unless granted, and stays within
// limits on processes, memory, output, file size and time. When it ends, every
// process that it started has ended too.
//
// Several layers hold at once, so that a hole in one is not a way out:
// namespaces (mounts, processes, network), Landlock, a seccomp filter, a
// control group and a watchdog. What a system offers differs. [Probe] reports
// what holds on this one, and [Start] refuses to run a command without a layer
// for each of the guards, unless the policy is [Policy.Off].
//
// The isolated process is this program, executed again. A program that uses the
// package calls [Main] first in its main function, and first in TestMain.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// Network is what a command can reach.
type Network int

const (
	// NoNetwork reaches nothing; the loopback interface is down. The default.
	NoNetwork Network = iota
	// LoopbackNetwork has a loopback interface of its own, which reaches the
	// command's own processes and nothing else.
	LoopbackNetwork
	// HostNetwork is the machine's network, unrestricted.
	HostNetwork
)

// String returns the name of the network.
func (n Network) String() string {
	switch n {
	case NoNetwork:
		return "none"
	case LoopbackNetwork:
		return "loopback"
	case HostNetwork:
		return "host"
	}
	return fmt.Sprintf("Network(%d)", int(n))
}

// Policy is what a command may do. The zero value grants the system's files to
// read and nothing else.
type Policy struct {
	// Off runs the command without isolation. It still has the environment it
	// was given, its deadline and its bound on output, and its process group is
	// ended with it.
	Off bool

	// Read and Write are absolute paths of files and folders that the command
	// may read and execute, or also write. A path that does not exist is
	// ignored. System folders (/usr, /etc without its secrets, ...) are always
	// readable.
	Read, Write []string
	// ReadOnly are paths inside Write that stay read-only, such as the hooks of
	// a repository. Hide are paths that are not readable even inside a granted
	// folder. A path that does not exist is ignored.
	ReadOnly, Hide []string
	// Temp is a folder that the command may write and that it also sees as
	// /tmp. Without it, /tmp is empty and gone with the command.
	Temp string
	// Binds are folders that the command may write and that it sees at another
	// path, such as a home folder of its own. They need namespaces.
	Binds []Bind

	Network Network
	// UnixSockets are sockets that the command may connect to. With any of
	// them, the command may also use sockets of its own.
	UnixSockets []string

	Limits Limits
}

// Bind is a folder and the path at which a command sees it.
type Bind struct{ From, At string }

// Limits bound what a command uses. A zero field means the default.
type Limits struct {
	Time      time.Duration // until the command is ended; zero means no limit
	Processes int           // at one time, threads included where the kernel counts them
	Memory    int64         // bytes, of all processes together
	Output    int64         // bytes on standard output and standard error
	FileSize  int64         // bytes in any one file
	OpenFiles int           // per process
}

// DefaultLimits are the limits of a policy that sets none.
var DefaultLimits = Limits{
	Processes: 1024,
	Memory:    8 << 30,
	Output:    64 << 20,
	FileSize:  4 << 30,
	OpenFiles: 8192,
}

func (l Limits) withDefaults() Limits {
	d := DefaultLimits
	if l.Processes <= 0 {
		l.Processes = d.Processes
	}
	if l.Memory <= 0 {
		l.Memory = d.Memory
	}
	if l.Output <= 0 {
		l.Output = d.Output
	}
	if l.FileSize <= 0 {
		l.FileSize = d.FileSize
	}
	if l.OpenFiles <= 0 {
		l.OpenFiles = d.OpenFiles
	}
	return l
}

// Command is a program to run.
type Command struct {
	Args []string // the program and its arguments; looked up in the PATH of Env
	Dir  string   // absolute
	Env  []string // all of its environment; see Environ
	// Output receives standard output and standard error in the order in which
	// they were written, from one goroutine. Standard input is empty.
	Output io.Writer
	// Files are inherited as descriptors 3, 4, ... of the command.
	Files []*os.File
}

// Cause is why a command was ended.
type Cause string

// The causes. A command that ended by itself has none.
const (
	Deadline         Cause = "deadline"
	Cancelled        Cause = "cancelled"
	TooManyProcesses Cause = "too many processes"
	TooMuchMemory    Cause = "too much memory"
	TooMuchOutput    Cause = "too much output"
)

// Result is how a command ended.
type Result struct {
	ExitCode int           // -1 if a signal ended it
	Signal   int           // the signal that ended it, or 0
	Cause    Cause         // why the sandbox ended it, or ""
	Duration time.Duration // from start to end
}

// UnavailableError says that this system cannot isolate a command.
type UnavailableError struct {
	Missing []Guard // the guards that no layer provides here
}

func (e *UnavailableError) Error() string {
	reasons := make([]string, len(e.Missing))
	for i, g := range e.Missing {
		reasons[i] = g.Name + ": " + g.Reason
	}
	return "this system cannot isolate commands (" + strings.Join(reasons, "; ") + "); to run them without isolation, turn the sandbox off"
}

// called is whether the program has called Main.
var called atomic.Bool

// Main makes this process the isolated one, or the supervisor of a command, if it was
// started to be that, in which case it does not return. It must be called first in
// main and TestMain.
func Main() {
	called.Store(true)
	if isSupervisor() {
		supervisor()
	}
	if len(os.Args) == 1 && os.Args[0] == helperName {
		helper()
	}
}

// helperName is the name by which the program executes itself.
const helperName = "claude-force-sandbox"

// Start starts a command. The command ends with ctx. If this system lacks a
// layer for one of the guards, the error is an UnavailableError.
func Start(ctx context.Context, policy Policy, command Command) (*Process, error) {
	if len(command.Args) == 0 {
		return nil, errors.New("sandbox: no command")
	}
	policy.Limits = policy.Limits.withDefaults()
	if policy.Off {
		return startOff(ctx, policy, command)
	}
	if !called.Load() {
		return nil, errors.New("sandbox: the program must call sandbox.Main first in its main function")
	}
	if missing := Probe().Missing(); len(missing) > 0 {
		return nil, &UnavailableError{missing}
	}
	return startIsolated(ctx, policy, command)
}

// Run starts a command and waits for its end.
func Run(ctx context.Context, policy Policy, command Command) (Result, error) {
	p, err := Start(ctx, policy, command)
	if err != nil {
		return Result{}, err
	}
	return p.Wait()
}
