package callspg

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/callsql"
	"github.com/claude-force/claude-force/analytics/spool"
)

// partitioned are the tables with a partition for each day.
var partitioned = [...]string{"call_rows", "call_attempts", "call_tools", "call_tool_tasks"}

const (
	// daysAhead is how many days after today have partitions.
	daysAhead = 2
	// daysBack is how old a day may be that gets partitions. What is older, such as an
	// import, is in the default partition.
	daysBack = 60
	// lockTimeout is how long a change of the partitions waits for others. Whoever comes
	// after it waits for that long, too.
	lockTimeout = `2s`
	ddlAttempts = 5
)

// days returns the days of entries, in seconds.
func days(entries []*spool.Entry) map[int64]bool {
	found := map[int64]bool{}
	for _, e := range entries {
		at := e.Call.Time
		switch {
		case e.Tool != nil:
			at = e.Tool.Time
		case e.Task != nil:
			at = e.Task.Time
		case e.Sent != nil:
			continue
		}
		found[callsql.Floor(at.UnixNano(), callsql.Day)] = true
	}
	return found
}

// partition makes the partitions of days, and those of the next ones, unless they are
// there. A day whose partition cannot be made, since others have the tables for too long
// or rows of it are in the default partition already, is in that. The caller has no
// transaction: one that waits here for a connection would keep it from others.
func (s *Store) partition(ctx context.Context, of map[int64]bool) error {
	today := callsql.Floor(time.Now().UnixNano(), callsql.Day)
	if len(of) > 0 {
		for n := range int64(daysAhead + 1) {
			of[today+n*callsql.Day] = true
		}
	}
	var missing []int64
	s.mu.Lock()
	for _, day := range slices.Sorted(maps.Keys(of)) {
		if !s.days[day] && day >= today-daysBack*callsql.Day && day <= today+daysAhead*callsql.Day {
			missing = append(missing, day)
		}
	}
	s.mu.Unlock()
	if len(missing) == 0 {
		return nil
	}
	err := s.makePartitions(ctx, missing...)
	if refused(err) && len(missing) > 1 {
		err = nil
		for _, day := range missing { // one of them cannot be made
			if one := s.makePartitions(ctx, day); !refused(one) {
				err = errors.Join(err, one)
			}
		}
	}
	if err != nil && !refused(err) {
		return fmt.Errorf("making the partitions of %s: %w", dayName(missing[0]), err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, day := range missing {
		s.days[day] = true
	}
	return nil
}

// refused reports whether a partition could not be made since rows of its day are in the
// default partition, or since its locks were not had.
func refused(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pg.Code == "23514" || pg.Code == "55P03" || pg.Code == "40P01")
}

func dayName(day int64) string { return time.Unix(day, 0).UTC().Format("20060102") }

// makePartitions makes the partitions of days. A table is made first and attached then,
// which does not keep readers and writers of other days away.
func (s *Store) makePartitions(ctx context.Context, days ...int64) error {
	return s.ddl(ctx, func(tx pgx.Tx) error {
		for _, day := range days {
			for _, table := range partitioned {
				part := table + "_" + dayName(day)
				var there bool
				if err := tx.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, part).Scan(&there); err != nil {
					return err
				}
				if there {
					continue
				}
				sql := fmt.Sprintf(`CREATE TABLE %[1]s (LIKE %[2]s INCLUDING DEFAULTS) WITH (autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_vacuum_cost_limit = 1000);
					ALTER TABLE %[2]s ATTACH PARTITION %[1]s FOR VALUES FROM (%[3]d) TO (%[4]d)`, part, table, day*int64(time.Second), (day+callsql.Day)*int64(time.Second))
				if _, err := tx.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// ddl runs a transaction that changes tables, again if it did not get its locks.
func (s *Store) ddl(ctx context.Context, do func(pgx.Tx) error) (err error) {
	for range ddlAttempts {
		err = pgx.BeginFunc(ctx, s.db, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `SET LOCAL lock_timeout = '`+lockTimeout+`'`); err != nil {
				return err
			}
			// Others that change partitions are waited for here, with nothing locked.
			if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('claude-force partitions ' || current_schema(), 0))`); err != nil {
				return err
			}
			return do(tx)
		})
		pg, ok := errors.AsType[*pgconn.PgError](err)
		if !ok || pg.Code != "55P03" && pg.Code != "40P01" {
			return err
		}
	}
	return err
}

// pruneChunk is how many rows one transaction drops where no whole partition goes.
const pruneChunk = 5000

// Prune implements [analytics.Pruner]. Days go with their partitions.
func (s *Store) Prune(ctx context.Context, keep analytics.Retention, now time.Time) (done analytics.Pruned, err error) {
	if err := keep.Check(); err != nil {
		return done, err
	}
	if err := s.ready(ctx); err != nil {
		return done, err
	}
	if keep.Rows > 0 {
		before := callsql.Floor(now.Add(-keep.Rows).UnixNano(), callsql.Day)
		if done.Rows, err = s.pruneRows(ctx, before); err != nil {
			return done, s.explain(ctx, "pruning", err)
		}
	}
	if keep.Hours > 0 {
		before := callsql.Floor(now.Add(-keep.Hours).UnixNano(), callsql.Day)
		done.Hours, err = s.delete(ctx, `call_rollups`, `seconds = 3600 AND start < $1`, before)
		if err == nil && done.Hours > 0 {
			_, err = s.db.Exec(ctx, `UPDATE call_state SET hours_since = greatest(hours_since, $1)`, before)
		}
	}
	return done, s.explain(ctx, "pruning", err)
}

// pruneRows drops what began before a day, and returns how many calls that were.
func (s *Store) pruneRows(ctx context.Context, before int64) (n int64, err error) {
	rows, err := s.db.Query(ctx, `SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'call_rows'::regclass ORDER BY c.relname`)
	if err != nil {
		return 0, err
	}
	parts, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return 0, err
	}
	for _, part := range parts {
		day, err := time.Parse("20060102", strings.TrimPrefix(part, "call_rows_"))
		if err != nil || day.Unix() >= before {
			continue // the default partition, or a later day
		}
		var rows int64
		err = s.ddl(ctx, func(tx pgx.Tx) error {
			if err := tx.QueryRow(ctx, `SELECT count(*) FROM `+part).Scan(&rows); err != nil {
				return err
			}
			// Noted in the same transaction: no reader sees the one without the other.
			if rows > 0 {
				if _, err := tx.Exec(ctx, `UPDATE call_state SET rows_since = greatest(rows_since, $1)`, before); err != nil {
					return err
				}
			}
			for _, table := range partitioned {
				if _, err := tx.Exec(ctx, `DROP TABLE `+table+`_`+dayName(day.Unix())); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return n, err
		}
		n += rows
		s.mu.Lock()
		delete(s.days, day.Unix())
		s.mu.Unlock()
	}
	nanos := before * int64(time.Second)
	for _, old := range []struct{ table, where string }{
		{"call_rows_other", "time < $1"}, {"call_attempts_other", "call_time < $1"}, {"call_tools_other", "time < $1"}, {"call_tool_tasks_other", "time < $1"},
		{"call_attempt_ids", "time < $1"}, {"call_runs", "began < $1"},
	} {
		dropped, err := s.delete(ctx, old.table, old.where, nanos)
		if err != nil {
			return n, err
		}
		if old.table == "call_rows_other" && dropped > 0 {
			n += dropped
			if _, err := s.db.Exec(ctx, `UPDATE call_state SET rows_since = greatest(rows_since, $1)`, before); err != nil {
				return n, err
			}
		}
	}
	if _, err := s.delete(ctx, `call_tool_sums`, `start < $1`, before); err != nil {
		return n, err
	}
	// A spool that nothing was read from for so long is gone, or empty.
	_, err = s.db.Exec(ctx, `DELETE FROM call_spools WHERE at < now() - interval '90 days'`)
	return n, err
}

// delete deletes rows, some in each transaction.
func (s *Store) delete(ctx context.Context, table, where string, before int64) (n int64, err error) {
	for {
		tag, err := s.db.Exec(ctx, `DELETE FROM `+table+` WHERE ctid = ANY(ARRAY(SELECT ctid FROM `+table+` WHERE `+where+` LIMIT $2))`, before, pruneChunk)
		n += tag.RowsAffected()
		if err != nil || tag.RowsAffected() < pruneChunk {
			return n, err
		}
	}
}
