package budgetdb

import "github.com/claude-force/claude-force/internal/process"

// NewAs returns the ledger of another process, on some host.
func NewAs(path, host string, pid int) *Ledger {
	self := process.This()
	self.Host, self.PID = host, pid
	return newAs(path, self)
}

// NewDead returns the ledger of a process of this host that has ended: its number is that
// of this process, which was started later.
func NewDead(path string) *Ledger {
	self := process.This()
	self.Born--
	return newAs(path, self)
}

// Exec runs statements on the ledger's file.
func (l *Ledger) Exec(sql string) error {
	return l.write(func() error { return l.conn.Exec(sql) })
}
