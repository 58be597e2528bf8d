package budgetdb

import (
	"errors"

	"github.com/claude-force/claude-force/internal/process"
	"github.com/claude-force/claude-force/internal/sqlitefile"
)

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

// NewVersion1 makes a file as version 1 left it when a process was killed that had
// reserved money for an account.
func NewVersion1(path, account string, money int64) error {
	conn, err := sqlitefile.Open(path, sqlitefile.Options{})
	if err != nil {
		return err
	}
	self := process.This()
	return errors.Join(
		conn.Migrate(&sqlitefile.Schema{Version: 1, Migrations: migrations}),
		conn.Run(`INSERT INTO owners VALUES (1, ?, ?, ?, ?)`, self.Host, self.Boot, self.PID, self.Born-1),
		conn.Run(`INSERT INTO accounts VALUES (?, 0, 0, 0, ?, 0, 0, 0, 0, 0, unixepoch())`, account, money),
		conn.Run(`INSERT INTO holds VALUES (1, 1, json_array(?), ?, 0, 0, unixepoch())`, account, money),
		conn.Close(),
	)
}
