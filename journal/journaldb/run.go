package journaldb

import (
	"context"
	"fmt"
	"time"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/journalrow"
)

var _ journal.Joiner = (*Store)(nil)

// Create adds a run. See [journal.Store].
func (s *Store) Create(ctx context.Context, run journal.Run) (journal.Log, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := run.CheckNew(); err != nil {
		return nil, fmt.Errorf("creating a run: %w", err)
	}
	l := s.queue.NewLog(run.ID)
	if run.Engine != "" {
		l = s.queue.NewPart(run.ID, journal.Unit{})
	}
	made, spec := journalrow.New(s.box, &run)
	err := s.queue.Write(&job{Live: &l.Live, Do: func(b *batch) (verdict, err error) {
		old, verdict, err := b.run(run.ID)
		if verdict != nil || err != nil {
			return verdict, err
		}
		if old != nil {
			return fmt.Errorf("creating run %s: %w", run.ID, journal.ErrExists), nil
		}
		h := &header{Header: made}
		h.Started = b.now.UnixNano()
		if l.Part == "" {
			h.own(l.Token, s.set.self, b.now)
		}
		err = h.insert(b.conn, spec)
		if err == nil && l.Part != "" {
			err = b.give(h, l)
		}
		if err != nil {
			return nil, err
		}
		b.runs[run.ID] = h
		rows, _, err := s.seal(run.ID, []journal.Event{{Type: journal.RunStarted, Time: b.now}})
		if err != nil {
			return nil, err
		}
		return b.append(h, rows, &l.Live)
	}})
	if err != nil {
		return nil, err
	}
	l.Begin()
	return l, nil
}

// Acquire makes the caller the owner of a run. See [journal.Store].
func (s *Store) Acquire(ctx context.Context, id string) (journal.Log, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	l := s.queue.NewLog(id)
	err := s.write(func(b *batch) (verdict, err error) {
		h, verdict, err := b.existing(id)
		if h == nil {
			return verdict, err
		}
		if err := h.OwnedRun(h.owner(s.set.self, b.now)).CheckAcquire(); err != nil {
			return err, nil
		}
		h.own(l.Token, s.set.self, b.now)
		return nil, nil
	})
	if err != nil {
		return nil, err
	}
	l.Begin()
	return l, nil
}

// Join returns the log of a part of a run. See [journal.Joiner].
func (s *Store) Join(ctx context.Context, id, engine string, part journal.Unit) (log journal.Log, last int64, err error) {
	if ctx.Err() != nil {
		return nil, 0, context.Cause(ctx)
	}
	l := s.queue.NewPart(id, part)
	err = s.write(func(b *batch) (verdict, err error) {
		h, verdict, err := b.existing(id)
		if h == nil {
			return verdict, err
		}
		if err := h.OwnedRun(h.owner(s.set.self, b.now)).CheckJoin(engine); err != nil {
			return err, nil
		}
		return nil, b.give(h, l)
	})
	if err != nil {
		return nil, 0, err
	}
	l.Begin()
	return l, l.Joined, nil
}

// Signal appends an event. See [journal.Store].
func (s *Store) Signal(ctx context.Context, ev journal.Event) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if ev.Time.IsZero() {
		ev.Time = time.Now()
	}
	rows, _, err := s.seal(ev.Run, []journal.Event{ev})
	if err != nil {
		return err
	}
	return s.write(func(b *batch) (verdict, err error) {
		h, verdict, err := b.existing(ev.Run)
		if h == nil {
			return verdict, err
		}
		var known *journalrow.Live // who works on the run adds up all but an answer
		if ev.Type == journal.ApprovalGiven {
			known = &journalrow.Live{}
			if verdict, err := b.catchUp(h, known); verdict != nil || err != nil {
				return verdict, err
			}
			if verdict := b.checkDecision(h, ev); verdict != nil {
				return verdict, nil
			}
		}
		return b.append(h, rows, known)
	})
}

// checkDecision returns why a unit takes no decision; nil if it takes one.
func (b *batch) checkDecision(h *header, given journal.Event) (verdict error) {
	id := journal.Unit{Step: given.Step, Item: given.Item}
	var d journal.Decision
	if err := given.Decode(&d); err != nil {
		return err
	}
	state, err := journal.Fold(func(yield func(journal.Event, error) bool) {
		failed := b.conn.Query(`SELECT `+eventColumns+` FROM events e LEFT JOIN outputs o ON o.n = e.output
			WHERE e.id > ? AND e.id <= ? AND (e.step = '' OR e.step = ? AND e.item = ?) ORDER BY e.id`, func(row *stmt) error {
			ev, err := b.store.readEvent(h.ID, row)
			if err == nil {
				yield(ev, nil) // Fold takes all
			}
			return err
		}, h.event(0), h.event(h.Seq), id.Step, id.Item)
		if failed != nil {
			yield(journal.Event{}, failed)
		}
	})
	if err != nil {
		return fmt.Errorf("reading run %s in history %s: %w", h.ID, b.store.path, explain(b.store.path, err))
	}
	return state.CheckDecision(id, b.now, &d)
}

// Remove forgets runs, each in a transaction of its own. One that is damaged can
// be removed. See [journal.Store].
func (s *Store) Remove(ctx context.Context, ids ...string) (n int, err error) {
	for _, id := range ids {
		if ctx.Err() != nil {
			return n, context.Cause(ctx)
		}
		removed := false
		err := s.write(func(b *batch) (verdict, err error) {
			h, damaged, err := b.run(id)
			if err != nil {
				return nil, err
			}
			if h != nil && h.OwnedRun(h.owner(s.set.self, b.now)).Owned() {
				return nil, nil
			}
			removed = h != nil || damaged != nil
			if !removed {
				return nil, nil
			}
			return nil, b.remove(id)
		})
		if err != nil {
			return n, err
		}
		if removed {
			n++
		}
	}
	return n, nil
}

// remove removes a run with its events, and outputs that no other has, and gives
// some of their space back.
func (b *batch) remove(id string) error {
	b.runs[id] = nil
	_, n, err := b.conn.Sum(`SELECT n FROM runs WHERE id = ?`, id)
	if err != nil {
		return err
	}
	first, last := n<<32, n<<32|0xffffffff
	if err := b.conn.Run(`DELETE FROM outputs WHERE n IN (SELECT output FROM events WHERE id BETWEEN ?1 AND ?2 AND output IS NOT NULL)
		AND NOT EXISTS (SELECT 1 FROM events WHERE output = outputs.n AND id NOT BETWEEN ?1 AND ?2)`, first, last); err != nil {
		return err
	}
	for _, sql := range []string{`DELETE FROM notices WHERE event BETWEEN ? AND ?`, `DELETE FROM events WHERE id BETWEEN ? AND ?`} {
		if err := b.conn.Run(sql, first, last); err != nil {
			return err
		}
	}
	if err := b.conn.Run(`DELETE FROM parts WHERE run = ?`, n); err != nil {
		return err
	}
	if err := b.conn.Run(`DELETE FROM runs WHERE n = ?`, n); err != nil {
		return err
	}
	return b.conn.Exec(`PRAGMA incremental_vacuum(1000)`)
}
