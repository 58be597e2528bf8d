// Package process names processes, so that others can tell whether they still
// run.
package process

import "os"

// ID is a process.
type ID struct {
	Host string
	Boot string // of one start of a machine and one space of pids; empty if that is unknown
	PID  int
	Born int64 // when it started, in a unit of its system; 0 if unknown
}

// This returns the process that asks.
func This() ID {
	p := ID{Boot: bootID(), PID: os.Getpid()}
	var err error
	if p.Host, err = os.Hostname(); err != nil {
		p.Host = "localhost"
	}
	_, p.Born = Running(p.PID)
	return p
}

// Dead reports whether the process is known to have ended, by one that may run
// beside it. Of a process elsewhere nothing is known. A process that started at
// another time has got the same pid by chance.
func (p ID) Dead(self ID) bool {
	if p.Boot == "" || p.Boot != self.Boot || p.Host != self.Host {
		return false
	}
	runs, born := Running(p.PID)
	return !runs || p.Born != 0 && born != 0 && p.Born != born
}
