package callsdb

import (
	"context"
	"sync"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/spool"
	"github.com/claude-force/claude-force/internal/process"
)

// thisProcess is this process, looked up once.
var thisProcess = sync.OnceValue(process.This)

// insertSent adds a row for an attempt that was sent.
func (b *batch) insertSent(s *spool.Sent) error {
	if len(s.Call.Tries) == 0 {
		return nil
	}
	return b.write.Run(`INSERT OR IGNORE INTO call_sent (id, host, boot, pid, born, call) VALUES (?, ?, ?, ?, ?, ?)`,
		s.Call.Tries[0].ID, s.By.Host, s.By.Boot, s.By.PID, s.By.Born, spool.AppendCall(nil, &s.Call))
}

// AddLost adds the calls of attempts that crashed processes have sent and not recorded.
func (s *Store) AddLost(ctx context.Context) error {
	dead, err := s.crashed(ctx)
	if err != nil || len(dead) == 0 {
		return err
	}
	if err := s.Take(ctx); err != nil { // what they have recorded, all of it
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writing(func() error {
		b := s.batch()
		for _, p := range dead {
			var lost []analytics.Call
			if err := b.write.Query(`SELECT call FROM call_sent WHERE host = ? AND boot = ? AND pid = ? AND born = ? AND substr(call, 1, 1) <= ?`, func(row *stmt) error {
				if c, ok := spool.ReadCall(row.ColumnRawBlob(0)); ok {
					lost = append(lost, c)
				}
				return nil
			}, p.Host, p.Boot, p.PID, p.Born, []byte{spool.CallForm}); err != nil {
				return err
			}
			for _, c := range lost {
				if err := b.insert(c); err != nil {
					return err
				}
			}
			// Those of newer programs are left to these.
			if err := b.write.Run(`DELETE FROM call_sent WHERE host = ? AND boot = ? AND pid = ? AND born = ? AND substr(call, 1, 1) <= ?`,
				p.Host, p.Boot, p.PID, p.Born, []byte{spool.CallForm}); err != nil {
				return err
			}
		}
		return b.commit(nil)
	})
}

// crashed returns the processes that have ended and left attempts.
func (s *Store) crashed(ctx context.Context) (dead []process.ID, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.reading(ctx, func() error {
		return s.read.Query(`SELECT DISTINCT host, boot, pid, born FROM call_sent`, func(row *stmt) error {
			p := process.ID{Host: row.ColumnText(0), Boot: row.ColumnText(1), PID: row.ColumnInt(2), Born: row.ColumnInt64(3)}
			if p.Dead(thisProcess()) {
				dead = append(dead, p)
			}
			return nil
		})
	})
	return dead, err
}

// AddOnce adds calls whose first attempt is not known by its id, after those that wait
// in the spool file.
func (s *Store) AddOnce(ctx context.Context, calls ...analytics.Call) error {
	if err := s.Take(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writing(func() error {
		b := s.batch()
		for _, c := range calls {
			known := len(c.Tries) == 0
			if !known {
				if err := b.write.Query(`SELECT 1 FROM call_attempts WHERE id = ? AND id != 0`, func(*stmt) error {
					known = true
					return nil
				}, c.Tries[0].ID); err != nil {
					return err
				}
			}
			if known {
				continue
			}
			if err := b.insert(c); err != nil {
				return err
			}
		}
		return b.commit(nil)
	})
}
