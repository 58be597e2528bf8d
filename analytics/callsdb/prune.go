package callsdb

import (
	"context"
	"time"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/callsql"
)

// pruneChunk is how many rows one transaction drops, so that it stays short.
const pruneChunk = 2000

// Prune drops what is older than is to be kept, in whole days of UTC. The sums
// of days stay, so that the figures of whole days do.
func (s *Store) Prune(ctx context.Context, keep analytics.Retention, now time.Time) (analytics.Pruned, error) {
	return s.prune(keep, now, func() error { return context.Cause(ctx) })
}

// prune does what Prune does, until stop gives an error.
func (s *Store) prune(keep analytics.Retention, now time.Time, stop func() error) (done analytics.Pruned, err error) {
	if err := keep.Check(); err != nil {
		return done, err
	}
	for _, drop := range [...]struct {
		keep   time.Duration
		unit   int64 // of the times in the table, in nanoseconds
		noted  string
		delete string
		count  *int64
	}{
		{keep.Rows, 1, `UPDATE call_state SET rows_since = max(rows_since, ?)`, `DELETE FROM call_rows WHERE id IN (SELECT id FROM call_rows WHERE time < ? ORDER BY time LIMIT ?)`, &done.Rows},
		{keep.Rows, 1, ``, `DELETE FROM call_tools WHERE id IN (SELECT id FROM call_tools WHERE time < ? ORDER BY time LIMIT ?)`, new(int64)},
		{keep.Rows, 1, ``, `DELETE FROM call_tool_tasks WHERE id IN (SELECT id FROM call_tool_tasks WHERE time < ? ORDER BY time LIMIT ?)`, new(int64)},
		{keep.Rows, 1, ``, `DELETE FROM call_runs WHERE id IN (SELECT id FROM call_runs WHERE began < ? ORDER BY began LIMIT ?)`, new(int64)},
		{keep.Hours, int64(time.Second), `UPDATE call_state SET hours_since = max(hours_since, ?)`, `DELETE FROM call_rollups WHERE (seconds, kind, start, project, value, source) IN
			(SELECT seconds, kind, start, project, value, source FROM call_rollups WHERE seconds = 3600 AND start < ? LIMIT ?)`, &done.Hours},
	} {
		if drop.keep == 0 {
			continue
		}
		before := callsql.Floor(now.Add(-drop.keep).UnixNano(), callsql.Day)
		for more := true; more; {
			if err := stop(); err != nil {
				return done, err
			}
			n, err := s.dropSome(drop.noted, drop.delete, before, before*int64(time.Second)/drop.unit)
			if err != nil {
				return done, err
			}
			*drop.count += n
			more = n == pruneChunk
		}
	}
	return done, nil
}

// dropSome drops some rows of a table and, if there were any, notes until when, in
// seconds.
func (s *Store) dropSome(note, drop string, before, until int64) (n int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.writing(func() error {
		if n, err = s.write.Change(drop, until, pruneChunk); err != nil || n == 0 || note == "" {
			return err
		}
		return s.write.Run(note, before)
	})
	return n, err
}

// prunedEvery is how often a recorder looks for what is too old.
const prunedEvery = 24 * time.Hour

// PruneDue drops what is older than is to be kept, if that was not done for a day.
func (s *Store) PruneDue(keep analytics.Retention, now time.Time) error {
	due, err := s.due(now)
	if err == nil && due {
		_, err = s.prune(keep, now, func() error { return nil })
	}
	return err
}

// due reports whether it is time to look for what is too old, and notes that
// this was done.
func (s *Store) due(now time.Time) (due bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.writing(func() error {
		n, err := s.write.Change(`UPDATE call_state SET pruned = ?1 WHERE pruned < ?1 - ?2`, now.Unix(), int64(prunedEvery.Seconds()))
		due = n > 0
		return err
	})
	return due, err
}
