package sqlite

import "os"

// process is who works on a run, so that others can tell whether it still does.
type process struct {
	host string
	boot string // of one start of a machine and one space of pids; empty if that cannot be told
	pid  int
	born int64 // when it started, in a unit of its system; 0 if unknown
}

func thisProcess() process {
	p := process{boot: bootID(), pid: os.Getpid()}
	var err error
	if p.host, err = os.Hostname(); err != nil {
		p.host = "localhost"
	}
	_, p.born = running(p.pid)
	return p
}

// dead reports whether the process is known to have ended, by one that may run
// beside it. Of a process elsewhere nothing is known. A process that started at
// another time has got the same pid by chance.
func (p process) dead(self process) bool {
	if p.boot == "" || p.boot != self.boot || p.host != self.host {
		return false
	}
	runs, born := running(p.pid)
	return !runs || p.born != 0 && born != 0 && p.born != born
}
