package budgetpg

import (
	"time"

	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/internal/process"
)

// NewElsewhere returns the ledger of a process on another machine.
func NewElsewhere(db *postgres.DB, host string) *Ledger {
	l := New(db)
	l.self = process.ID{Host: host, Boot: host, PID: l.self.PID, Born: l.self.Born}
	return l
}

// NewDead returns the ledger of a process of this host that has ended: its number is that
// of this process, which was started later.
func NewDead(db *postgres.DB) *Ledger {
	l := New(db)
	l.self.Born--
	return l
}

// SetLease sets the lease before the first use.
func (l *Ledger) SetLease(d time.Duration) { l.lease = d }

// SetPatience sets how long the ledger waits for a database that is away.
func (l *Ledger) SetPatience(d time.Duration) { l.patience = d }

// Beat extends the lease as the ticker does.
func (l *Ledger) Beat() { l.beatOnce() }
