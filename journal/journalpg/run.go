package journalpg

import (
	"context"
	"fmt"
	"time"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/internal/postgres"
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
	if !postgres.Storable(run.ID) {
		return nil, fmt.Errorf("creating a run: %w", fault.Input(fmt.Errorf("the id %q is not valid UTF-8, or has a zero byte", run.ID)))
	}
	l := s.queue.NewLog(run.ID)
	if run.Engine != "" {
		l = s.queue.NewPart(run.ID, journal.Unit{})
	}
	h, spec := journalrow.New(s.box, &run)
	err := s.queue.Write(&job{Run: run.ID, Part: l.Part, Live: &l.Live, Do: func(b *batch) (verdict, err error) {
		if b.runs[run.ID] != nil {
			return fmt.Errorf("creating run %s: %w", run.ID, journal.ErrExists), nil
		}
		made := &header{Header: h}
		made.Started = b.now.UnixNano()
		if l.Part == "" {
			made.own(s, l.Token, b.now)
		}
		if err := b.conn.QueryRow(b.ctx, `INSERT INTO journal_runs (id, workflow, file, spec, status, started, finished, steps, usd, tokens, seq, since, engine, started_by)
			VALUES ($1, $2, $3, $4, $5, $6, 0, 0, 0, 0, 0, 0, $7, $8) RETURNING n, xmin::text`,
			made.ID, made.Workflow, made.File, spec, string(made.Status), made.Started, made.Engine, orNull(made.StartedBy)).Scan(&made.N, &made.version); err != nil {
			return nil, err
		}
		if b.runs[run.ID] = made; l.Part != "" {
			b.give(made, l)
		}
		rows, _, err := s.seal(run.ID, []journal.Event{{Type: journal.RunStarted, Time: b.now}})
		if err != nil {
			return nil, err
		}
		return b.append(made, rows, &l.Live)
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
	if !postgres.Storable(id) {
		return nil, journal.ErrNotFound
	}
	l := s.queue.NewLog(id)
	err := s.write(id, func(b *batch) (verdict, err error) {
		h := b.runs[id]
		if h == nil {
			return journal.ErrNotFound, nil
		}
		if err := h.OwnedRun(h.owner(s.self)).CheckAcquire(); err != nil {
			return err, nil
		}
		h.own(s, l.Token, b.now)
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
	if !postgres.Storable(id) {
		return nil, 0, journal.ErrNotFound
	}
	l := s.queue.NewPart(id, part)
	err = s.queue.Write(&job{Run: id, Part: l.Part, Do: func(b *batch) (verdict, err error) {
		if b.adds != nil {
			return nil, b.adds[id].join(l, engine)
		}
		h := b.runs[id]
		if h == nil {
			return journal.ErrNotFound, nil
		}
		if err := h.OwnedRun(h.owner(s.self)).CheckJoin(engine); err != nil {
			return err, nil
		}
		b.give(h, l)
		return nil, nil
	}})
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
	if !postgres.Storable(ev.Run) {
		return journal.ErrNotFound
	}
	return s.write(ev.Run, func(b *batch) (verdict, err error) {
		h := b.runs[ev.Run]
		if h == nil {
			return journal.ErrNotFound, nil
		}
		var known *journalrow.Live // who works on the run adds up all but an answer
		if ev.Type == journal.ApprovalGiven {
			known = &journalrow.Live{}
			if verdict, err := b.catchUp(h, known); verdict != nil || err != nil {
				return verdict, err
			}
			if verdict, err := b.checkDecision(h, ev); verdict != nil || err != nil {
				return verdict, err
			}
		}
		return b.append(h, rows, known)
	})
}

// checkDecision returns why a unit takes no decision as the verdict; nil if it takes one.
func (b *batch) checkDecision(h *header, given journal.Event) (verdict, err error) {
	var d journal.Decision
	if err := given.Decode(&d); err != nil {
		return err, nil
	}
	all, err := b.events(h, 0)
	if err != nil {
		return nil, err
	}
	state, err := journal.Fold(func(yield func(journal.Event, error) bool) {
		for _, ev := range all {
			if (ev.Step == "" || ev.Step == given.Step && ev.Item == given.Item) && !yield(ev, nil) {
				return
			}
		}
	})
	if err != nil {
		return err, nil
	}
	return state.CheckDecision(journal.Unit{Step: given.Step, Item: given.Item}, b.now, &d), nil
}

// Remove forgets runs, each in a transaction of its own. See [journal.Store].
func (s *Store) Remove(ctx context.Context, ids ...string) (n int, err error) {
	for _, id := range ids {
		if ctx.Err() != nil {
			return n, context.Cause(ctx)
		}
		if !postgres.Storable(id) {
			continue
		}
		removed := false
		err := s.write(id, func(b *batch) (verdict, err error) {
			h := b.runs[id]
			if h == nil || h.OwnedRun(h.owner(s.self)).Owned() {
				return nil, nil
			}
			removed = true
			return nil, b.remove(h)
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

// remove removes a run with its events, and outputs that no other has.
func (b *batch) remove(h *header) error {
	b.runs[h.ID] = nil
	const theirs = ` FROM (SELECT output, count(*) AS refs FROM journal_events WHERE run = $1 AND output IS NOT NULL GROUP BY output) e `
	for _, sql := range []string{
		// In the order in which others lock them.
		`SELECT o.hash FROM journal_outputs o WHERE o.hash IN (SELECT e.output` + theirs + `) ORDER BY o.hash FOR UPDATE`,
		`DELETE FROM journal_outputs o USING (SELECT *` + theirs + `) e WHERE o.hash = e.output AND o.refs <= e.refs`,
		`UPDATE journal_outputs o SET refs = o.refs - e.refs` + theirs + `WHERE o.hash = e.output`,
		`DELETE FROM journal_notices WHERE run = $1`,
		`DELETE FROM journal_parts WHERE run = $1`,
		`DELETE FROM journal_events WHERE run = $1`,
		`DELETE FROM journal_runs WHERE n = $1`,
	} {
		if _, err := b.conn.Exec(b.ctx, sql, h.N); err != nil {
			return err
		}
	}
	return nil
}
