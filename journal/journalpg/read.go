package journalpg

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"

	"github.com/jackc/pgx/v5"

	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/journalrow"
)

const (
	// pageBytes is how much of a run's events is held while they are read, about: the
	// size of the next page follows from that of the last.
	pageBytes = 1 << 20
	firstPage = 16
	maxPage   = 2000
	runsPage  = 100
)

// Find returns the run with an id. See [journal.Store].
func (s *Store) Find(ctx context.Context, id string) (run journal.Run, err error) {
	if err := s.ready(ctx); err != nil {
		return run, err
	}
	if id == "" || !postgres.Storable(id) {
		return run, journal.ErrNotFound
	}
	fit, err := s.find(ctx, id)
	switch {
	case errors.Is(err, errDamaged), err != nil:
		return run, s.failed("reading", err)
	case len(fit) == 0:
		return run, journal.ErrNotFound
	case len(fit) > 1:
		ambiguous := &journal.AmbiguousError{Prefix: id}
		for _, r := range fit[:min(len(fit), 10)] {
			ambiguous.IDs = append(ambiguous.IDs, r.ID)
		}
		return run, ambiguous
	}
	return fit[0], nil
}

// find returns the run with an id, or the first that begin with it.
func (s *Store) find(ctx context.Context, id string) ([]journal.Run, error) {
	query := func(where string, args ...any) ([]journal.Run, error) {
		rows, err := s.db.Query(ctx, `SELECT `+headerColumns+`, r.spec`+headerTables+where, append([]any{lease}, args...)...)
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, func(row pgx.CollectableRow) (journal.Run, error) {
			var spec []byte
			h, err := readHeader(row, &spec)
			if err != nil {
				return journal.Run{}, err
			}
			run, err := s.run(h)
			if err == nil && spec != nil {
				if run.Spec, err = journalrow.OpenSpec(s.box, h.ID, spec); err != nil {
					err = fmt.Errorf("run %s: %w", h.ID, errDamaged)
				}
			}
			return run, err
		})
	}
	if id == journal.Latest {
		return query(`ORDER BY r.n DESC LIMIT 1`)
	}
	fit, err := query(`WHERE r.id = $2`, id)
	if err != nil || len(fit) > 0 {
		return fit, err
	}
	// Ids between the shortest and the longest with this beginning.
	return query(`WHERE r.id >= $2 AND r.id < $3 ORDER BY r.id LIMIT 11`, id, id+"\U0010ffff")
}

// Runs lists runs, page by page, so that no connection is held meanwhile. See
// [journal.Store].
func (s *Store) Runs(ctx context.Context, f journal.Filter) iter.Seq2[journal.Run, error] {
	return func(yield func(journal.Run, error) bool) {
		given := 0
		n, err := s.createdAt(ctx, f.Older)
		if err != nil {
			yield(journal.Run{}, err)
			return
		}
		for {
			page, err := s.runsBefore(ctx, f, n)
			if err != nil {
				yield(journal.Run{}, err)
				return
			}
			for _, h := range page {
				n = h.N
				run, err := s.run(h)
				if err != nil {
					yield(journal.Run{}, s.failed("reading", err))
					return
				}
				if !f.Fits(&run) {
					continue
				}
				if !yield(run, nil) {
					return
				}
				if given++; given == f.Limit {
					return
				}
			}
			if len(page) == 0 {
				return
			}
		}
	}
}

// createdAt returns the number of a run in the order of creation, or the highest there
// is if the id is empty.
func (s *Store) createdAt(ctx context.Context, id string) (n int64, err error) {
	if err := s.ready(ctx); err != nil {
		return 0, err
	}
	if id == "" {
		return math.MaxInt64, nil
	}
	err = pgx.ErrNoRows
	if postgres.Storable(id) {
		err = s.db.QueryRow(ctx, `SELECT n FROM journal_runs WHERE id = $1`, id).Scan(&n)
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, fmt.Errorf("listing runs older than %s: %w", id, journal.ErrNotFound)
	}
	if err != nil {
		return 0, s.failed("reading", err)
	}
	return n, nil
}

// runsBefore returns the headers of the latest runs that were created before one. Their
// order is that of creation: clocks differ, and may have been set back since.
func (s *Store) runsBefore(ctx context.Context, f journal.Filter, n int64) ([]*header, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	before, after := int64(math.MaxInt64), int64(math.MinInt64)
	if !f.Before.IsZero() {
		before = f.Before.UnixNano()
	}
	if !f.After.IsZero() {
		after = f.After.UnixNano()
	}
	var statuses []string // nil for all
	for _, status := range f.Statuses {
		statuses = append(statuses, string(status))
	}
	// Planned for these values, and not for any: only so are the indexes of open runs, of times
	// and of keys known to be of use.
	rows, err := s.db.Query(ctx, `SELECT `+headerColumns+headerTables+`WHERE r.n < $2 AND r.started < $3 AND r.started >= $4
		AND ($5::text[] IS NULL OR r.status = ANY($5)) AND ($7::text IS NULL OR r.started_by = $7) ORDER BY r.n DESC LIMIT $6`,
		pgx.QueryExecModeExec, lease, n, before, after, statuses, runsPage, orNull(f.StartedBy))
	if err != nil {
		return nil, s.failed("reading", err)
	}
	page, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*header, error) { return readHeader(row) })
	if err != nil {
		return nil, s.failed("reading", err)
	}
	return page, nil
}

// Events gives the events of a run, page by page. See [journal.Store].
func (s *Store) Events(ctx context.Context, id string, after int64) iter.Seq2[journal.Event, error] {
	return s.paged(ctx, id, max(after, 0), false)
}

// Outline gives the events of a run that are of no item, page by page. See
// [journal.Store].
func (s *Store) Outline(ctx context.Context, id string) iter.Seq2[journal.Event, error] {
	return s.paged(ctx, id, 0, true)
}

// paged yields the events of a run above a number: all of them, or the outline.
func (s *Store) paged(ctx context.Context, id string, after int64, outline bool) iter.Seq2[journal.Event, error] {
	return func(yield func(journal.Event, error) bool) {
		limit := firstPage
		for {
			page, err := s.page(ctx, id, after, outline, limit)
			if err != nil {
				yield(journal.Event{}, err)
				return
			}
			size := 1
			for _, ev := range page {
				if size += len(ev.Output) + len(ev.Detail) + 200; !yield(ev, nil) {
					return
				}
			}
			if len(page) == 0 {
				return
			}
			after = page[len(page)-1].Seq // a run that is under way may have more by now
			limit = min(max(pageBytes*len(page)/size, 1), maxPage)
		}
	}
}

// page returns the next events of a run, none if there are no more. An outline has gaps
// where the events of items are.
func (s *Store) page(ctx context.Context, id string, after int64, outline bool, limit int) (page []journal.Event, err error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	if !postgres.Storable(id) {
		return nil, journal.ErrNotFound
	}
	var n, last int64
	err = s.db.QueryRow(ctx, `SELECT n, seq FROM journal_runs WHERE id = $1`, id).Scan(&n, &last)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, journal.ErrNotFound
	}
	if err != nil {
		return nil, s.failed("reading", err)
	}
	if after >= last {
		return nil, nil
	}
	only := ""
	if outline {
		only = ` AND e.item = ''`
	}
	rows, err := s.db.Query(ctx, `SELECT `+eventColumns+eventTables+`WHERE e.run = $1 AND e.seq > $2 AND e.seq <= $3`+only+` ORDER BY e.seq LIMIT $4`, n, after, last, limit)
	if err != nil {
		return nil, s.failed("reading", err)
	}
	page, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (journal.Event, error) { return s.readEvent(id, row) })
	if err != nil {
		return nil, s.failed("reading", err)
	}
	for i, ev := range page {
		if want := after + int64(i) + 1; ev.Seq != want && !outline {
			return nil, s.failed("reading", fmt.Errorf("event %d of run %s: %w", want, id, errDamaged))
		}
	}
	if !outline && len(page) < limit && after+int64(len(page)) < last {
		return nil, s.failed("reading", fmt.Errorf("event %d of run %s: %w", after+int64(len(page))+1, id, errDamaged))
	}
	return page, nil
}
