package journaldb

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/journalrow"
)

// pageBytes is how much of a run's events is held while they are read.
const pageBytes = 1 << 20

// Find returns the run with an id. See [journal.Store].
func (s *Store) Find(ctx context.Context, id string) (run journal.Run, err error) {
	err = s.reading(ctx, func() error {
		var fit []journal.Run
		take := func(row *stmt) error {
			r, err := s.readRun(row, true)
			fit = append(fit, r)
			return err
		}
		const columns = `SELECT ` + headerColumns + `, spec, spec_sum FROM runs `
		if id == journal.Latest {
			err = s.read.Query(columns+`ORDER BY n DESC LIMIT 1`, take)
		} else if err = s.read.Query(columns+`WHERE id = ?`, take, id); err == nil && len(fit) == 0 && id != "" {
			// Ids between the shortest and the longest with this beginning.
			err = s.read.Query(columns+`WHERE id >= ?1 AND id < ?1 || char(0x10ffff) ORDER BY id LIMIT 11`, take, id)
		}
		switch {
		case err != nil:
			return err
		case len(fit) == 0:
			return journal.ErrNotFound
		case len(fit) > 1:
			ambiguous := &journal.AmbiguousError{Prefix: id}
			for _, r := range fit[:min(len(fit), 10)] {
				ambiguous.IDs = append(ambiguous.IDs, r.ID)
			}
			return ambiguous
		}
		run = fit[0]
		return nil
	})
	return run, err
}

// readRun reads headerColumns, then spec and its sum if these are wanted.
func (s *Store) readRun(row *stmt, spec bool) (journal.Run, error) {
	h, err := readHeader(row)
	if err != nil {
		return journal.Run{}, fmt.Errorf("run %s: %w", row.ColumnText(1), err)
	}
	run, err := h.Run(s.box, h.owner(s.set.self, time.Now()))
	if err != nil {
		return journal.Run{}, fmt.Errorf("run %s: %w", h.ID, errDamaged)
	}
	if sealed := row.ColumnRawBlob(22); spec && sealed != nil {
		sum := specSum(h.ID, sealed)
		run.Spec, err = journalrow.OpenSpec(s.box, h.ID, append([]byte(nil), sealed...))
		if err != nil || string(sum) != string(row.ColumnRawBlob(23)) {
			return journal.Run{}, fmt.Errorf("run %s: %w", h.ID, errDamaged)
		}
	}
	return run, nil
}

// Runs lists runs, page by page, so that the store may be used meanwhile. See
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
			rows := 0
			var page []journal.Run
			err = s.reading(ctx, func() error {
				sql, args := listing(f, n)
				return s.read.Query(sql, func(row *stmt) error {
					rows++
					run, err := s.readRun(row, false)
					n = row.ColumnInt64(0)
					if err == nil && f.Fits(&run) {
						page = append(page, run)
					}
					return err
				}, args...)
			})
			if err != nil {
				yield(journal.Run{}, err)
				return
			}
			for _, run := range page {
				if !yield(run, nil) {
					return
				}
				if given++; given == f.Limit {
					return
				}
			}
			if rows == 0 {
				return
			}
		}
	}
}

// createdAt returns the number of a run in the order of creation, or the highest there
// is if the id is empty.
func (s *Store) createdAt(ctx context.Context, id string) (n int64, err error) {
	n = math.MaxInt64
	if id == "" {
		return n, nil
	}
	found := false
	err = s.reading(ctx, func() error {
		return s.read.Query(`SELECT n FROM runs WHERE id = ?`, func(row *stmt) error {
			n, found = row.ColumnInt64(0), true
			return nil
		}, id)
	})
	if err == nil && !found {
		err = fmt.Errorf("listing runs older than %s: %w", id, journal.ErrNotFound)
	}
	return n, err
}

// unended are the statuses of the runs in the index runs_open.
var unended = []journal.Status{journal.StatusRunning, journal.StatusWaiting, journal.StatusInterrupted}

// listing returns the statement for runs that were created before one. Their order is
// that of creation: the clock may have been set back since.
func listing(f journal.Filter, n int64) (sql string, args []any) {
	from, where := `runs`, ""
	args = []any{n}
	if len(f.Statuses) > 0 && !slices.ContainsFunc(f.Statuses, func(s journal.Status) bool { return !slices.Contains(unended, s) }) {
		from += ` INDEXED BY runs_open`
		where += ` AND status IN ('running', 'waiting', 'interrupted')` // as the index has it
	}
	if !f.Before.IsZero() {
		where += ` AND started < ?`
		args = append(args, f.Before.UnixNano())
	}
	if !f.After.IsZero() {
		where += ` AND started >= ?`
		args = append(args, f.After.UnixNano())
	}
	if f.StartedBy != "" {
		where += ` AND started_by = ?`
		args = append(args, f.StartedBy)
	}
	if len(f.Statuses) > 0 {
		where += ` AND status IN (?` + strings.Repeat(`, ?`, len(f.Statuses)-1) + `)`
		for _, status := range f.Statuses {
			args = append(args, string(status))
		}
	}
	return `SELECT ` + headerColumns + ` FROM ` + from + ` WHERE n < ?` + where + ` ORDER BY n DESC LIMIT 100`, args
}

// Events gives the events of a run, page by page. See [journal.Store].
func (s *Store) Events(ctx context.Context, id string, after int64) iter.Seq2[journal.Event, error] {
	return s.paged(ctx, id, after, false)
}

// Outline gives the events of a run that are of no item, page by page. See
// [journal.Store].
func (s *Store) Outline(ctx context.Context, id string) iter.Seq2[journal.Event, error] {
	return s.paged(ctx, id, 0, true)
}

// paged yields the events of a run above a number: all of them, or the outline.
func (s *Store) paged(ctx context.Context, id string, after int64, outline bool) iter.Seq2[journal.Event, error] {
	return func(yield func(journal.Event, error) bool) {
		for more := true; more; {
			var page []journal.Event
			var err error
			page, more, err = s.page(ctx, id, after, outline)
			if err != nil {
				yield(journal.Event{}, err)
				return
			}
			for _, ev := range page {
				if !yield(ev, nil) {
					return
				}
			}
			if len(page) == 0 {
				return
			}
			// A run that is under way may have more events by now.
			after, more = page[len(page)-1].Seq, more || !outline
		}
	}
}

// page returns the next events of a run, none if there are no more, and reports whether
// there were more when it read them. An outline has gaps where the events of items are.
func (s *Store) page(ctx context.Context, id string, after int64, outline bool) (page []journal.Event, more bool, err error) {
	only := ""
	if outline {
		only = ` AND e.item = ''`
	}
	after = max(after, 0)
	err = s.reading(ctx, func() error {
		return s.read.Read(func() error {
			var h *header
			if err := s.read.Query(`SELECT `+headerColumns+` FROM runs WHERE id = ?`, func(row *stmt) (err error) {
				h, err = readHeader(row)
				return err
			}, id); err != nil {
				return fmt.Errorf("run %s: %w", id, err)
			}
			if h == nil {
				return journal.ErrNotFound
			}
			if after >= h.Seq {
				return nil
			}
			size := 0
			err := s.read.Query(`SELECT `+eventColumns+` FROM events e LEFT JOIN outputs o ON o.n = e.output WHERE e.id > ? AND e.id <= ?`+only+` ORDER BY e.id`, func(row *stmt) error {
				ev, err := s.readEvent(id, row)
				if want := after + int64(len(page)) + 1; err != nil || ev.Seq != want && !outline {
					return fmt.Errorf("event %d of run %s: %w", want, id, errDamaged)
				}
				page = append(page, ev)
				if size += len(ev.Output) + len(ev.Detail) + 200; size >= pageBytes {
					return errFull
				}
				return nil
			}, h.event(after), h.event(h.Seq))
			if err == nil && after+int64(len(page)) != h.Seq && !outline {
				err = fmt.Errorf("event %d of run %s: %w", after+int64(len(page))+1, id, errDamaged)
			}
			if errors.Is(err, errFull) {
				more, err = true, nil
			}
			return err
		})
	})
	return page, more, err
}
