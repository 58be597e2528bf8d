package sandbox

import (
	"os"
	"os/exec"
	"sync"
)

// supervisorName is the name by which the program executes itself to supervise a
// command.
const supervisorName = "claude-force-supervisor"

// Supervise prepares a command that runs beside this program, without isolation,
// such as a server that was trusted. It gets a process group of its own, so that a
// signal of the terminal does not reach it. On Linux the command and all that it
// starts also end when this process ends, for whatever reason; that needs a program
// that calls [Main].
//
// The caller starts the command, and calls end when it is over or to end it; end may
// be called more than once. If the command is not started, end only frees what was
// prepared.
func Supervise(cmd *exec.Cmd) (end func(), err error) {
	release, err := supervise(cmd)
	if err != nil {
		return nil, err
	}
	return sync.OnceFunc(func() {
		release()
		if cmd.Process != nil {
			endGroup(cmd.Process.Pid)
		}
	}), nil
}

// superviseAlone does what Supervise does where nothing ends the command with this process.
func superviseAlone(cmd *exec.Cmd) (release func(), err error) {
	ownGroup(cmd)
	return func() {}, nil
}

// isSupervisor reports whether this process was started to supervise a command.
func isSupervisor() bool { return len(os.Args) > 1 && os.Args[0] == supervisorName }
