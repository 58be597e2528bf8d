package journalpg

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/journal"
)

// Signals returns what people sent to a run. See [journal.Store].
func (s *Store) Signals(ctx context.Context, id string, after int64) (events []journal.Event, err error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	if !postgres.Storable(id) {
		return nil, journal.ErrNotFound
	}
	// A run without any gives one row, without an event. The condition on the type is
	// that of the index, word for word.
	rows, err := s.db.Query(ctx, `SELECT coalesce(e.seq, 0), coalesce(e.time, 0), coalesce(e.type, ''), e.step, e.item, coalesce(e.attempt, 0), e.key, e.output, e.detail, o.data
		FROM journal_runs r LEFT JOIN journal_events e ON e.run = r.n AND e.type IN ('approval_given', 'cancel_asked') AND e.seq > $2
		LEFT JOIN journal_outputs o ON o.hash = e.output
		WHERE r.id = $1 ORDER BY e.seq`, id, max(after, 0))
	if err != nil {
		return nil, s.failed("reading", err)
	}
	found := false
	_, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (struct{}, error) {
		found = true
		ev, err := s.readEvent(id, row)
		if err == nil && ev.Seq > 0 {
			events = append(events, ev)
		}
		return struct{}{}, err
	})
	switch {
	case err != nil:
		return nil, s.failed("reading", err)
	case !found:
		return nil, journal.ErrNotFound
	}
	return events, nil
}

// Signaled returns the runs to which people have sent something. See [journal.Joiner].
func (s *Store) Signaled(ctx context.Context, after map[string]int64) (last map[string]int64, err error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	var ids []string
	var seqs []int64
	for id, seq := range after {
		if postgres.Storable(id) {
			ids, seqs = append(ids, id), append(seqs, max(seq, 0))
		}
	}
	last = map[string]int64{}
	if len(ids) == 0 {
		return last, nil
	}
	// Each run is looked up, in the index on the types.
	rows, err := s.db.Query(ctx, `SELECT * FROM (SELECT id, (SELECT e.seq FROM journal_events e
			WHERE e.run = (SELECT n FROM journal_runs WHERE id = u.id) AND e.seq > u.seq AND e.type IN ('approval_given', 'cancel_asked') ORDER BY e.seq DESC LIMIT 1) AS last
		FROM unnest($1::text[], $2::bigint[]) AS u (id, seq)) AS signaled WHERE last IS NOT NULL`, ids, seqs)
	if err != nil {
		return nil, s.failed("reading", err)
	}
	var id string
	var seq int64
	if _, err := pgx.ForEachRow(rows, []any{&id, &seq}, func() error {
		last[id] = seq
		return nil
	}); err != nil {
		return nil, s.failed("reading", err)
	}
	return last, nil
}
