package callspg

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/callsql"
	"github.com/claude-force/claude-force/analytics/spool"
	"github.com/claude-force/claude-force/internal/process"
)

// thisProcess is this process, looked up once.
var thisProcess = sync.OnceValue(process.This)

// Add implements [analytics.Writer].
func (s *Store) Add(ctx context.Context, calls ...analytics.Call) error {
	return s.add(ctx, spool.Calls(calls))
}

// AddTools implements [analytics.Writer].
func (s *Store) AddTools(ctx context.Context, calls ...analytics.ToolCall) error {
	return s.add(ctx, spool.Tools(calls))
}

// AddTasks implements [analytics.Writer].
func (s *Store) AddTasks(ctx context.Context, tasks ...analytics.ToolTask) error {
	return s.add(ctx, spool.Tasks(tasks))
}

// AddEntries implements [spool.Store].
func (s *Store) AddEntries(list []spool.Entry) error {
	return s.add(context.Background(), list) //nolint:forbidigo // what was recorded is added whatever has ended; the store bounds the time
}

func (s *Store) add(ctx context.Context, list []spool.Entry) error {
	if err := s.Take(ctx); err != nil {
		return err
	}
	for part := range slices.Chunk(list, spool.MaxBatch) {
		entries := make([]*spool.Entry, len(part))
		for i := range part {
			entries[i] = &part[i]
		}
		if err := s.addAll(ctx, entries, func(ctx context.Context, b *batch) error { return b.add(ctx, entries) }); err != nil {
			return err
		}
	}
	return nil
}

// addAll runs a transaction that adds entries, once their days have partitions.
func (s *Store) addAll(ctx context.Context, entries []*spool.Entry, do func(context.Context, *batch) error) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	if err := s.partition(ctx, days(entries)); err != nil {
		return s.explain(ctx, "writing", err)
	}
	return s.writing(ctx, do)
}

// takeBytes is how much of a spool one transaction adds.
const takeBytes = 1 << 20

// errOther is the error of a spool that was emptied and started again meanwhile.
var errOther = errors.New("the spool is another one now")

// Take implements [analytics.Collector]. The row of the spool keeps other processes of this
// machine away, and is changed in the transaction that adds what was read.
func (s *Store) Take(ctx context.Context) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	for s.spool.Size() > 0 {
		id, err := s.spool.ID()
		if err != nil || id == nil {
			return err
		}
		waiting, err := s.peek(ctx, id)
		if err != nil {
			return err
		}
		var held *spool.Contents
		var taken int64
		err = s.addAll(ctx, waiting, func(ctx context.Context, b *batch) error {
			if _, err := b.tx.Exec(ctx, `INSERT INTO call_spools (id, taken) VALUES ($1, $2) ON CONFLICT DO NOTHING`, id, spool.Start); err != nil {
				return err
			}
			if err := b.tx.QueryRow(ctx, `SELECT taken FROM call_spools WHERE id = $1 FOR UPDATE`, id).Scan(&taken); err != nil {
				return err
			}
			held, err = s.spool.Read(func(now []byte) (int64, error) {
				if !bytes.Equal(now, id) {
					return 0, errOther
				}
				return taken, nil
			}, takeBytes)
			if err != nil {
				return err
			}
			if held == nil {
				return errOther
			}
			if err := b.add(ctx, slices.Collect(held.Entries())); err != nil {
				return err
			}
			_, err = b.tx.Exec(ctx, `UPDATE call_spools SET taken = $2, at = now() WHERE id = $1`, id, held.Size)
			return err
		})
		switch {
		case errors.Is(err, errOther):
			continue
		case err != nil:
			return err
		}
		// What was taken is noted, so that it stays costs room only.
		_ = s.spool.Empty(held)
		if held.Size == taken {
			return nil
		}
	}
	return nil
}

// peek returns what the spool with an id holds that was not added yet.
func (s *Store) peek(ctx context.Context, id []byte) ([]*spool.Entry, error) {
	taken := int64(spool.Start)
	if err := s.db.QueryRow(ctx, `SELECT taken FROM call_spools WHERE id = $1`, id).Scan(&taken); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return nil, s.explain(ctx, "reading", err)
	}
	held, err := s.spool.Read(func([]byte) (int64, error) { return taken, nil }, takeBytes)
	if err != nil || held == nil {
		return nil, err
	}
	return slices.Collect(held.Entries()), nil
}

// AddOnce implements [analytics.Writer].
func (s *Store) AddOnce(ctx context.Context, calls ...analytics.Call) error {
	if err := s.Take(ctx); err != nil {
		return err
	}
	if len(calls) == 0 {
		return nil
	}
	list := spool.Calls(calls)
	entries := make([]*spool.Entry, len(list))
	for i := range list {
		entries[i] = &list[i]
	}
	return s.addAll(ctx, entries, func(ctx context.Context, b *batch) error { return b.addOnce(ctx, calls) })
}

// AddLost implements [analytics.Collector].
func (s *Store) AddLost(ctx context.Context) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	rows, err := s.db.Query(ctx, `SELECT DISTINCT host, boot, pid, born FROM call_sent`)
	if err != nil {
		return s.explain(ctx, "reading", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p process.ID, err error) {
		return p, row.Scan(&p.Host, &p.Boot, &p.PID, &p.Born)
	})
	if err != nil {
		return s.explain(ctx, "reading", err)
	}
	dead := slices.DeleteFunc(list, func(p process.ID) bool { return !p.Dead(thisProcess()) })
	if len(dead) == 0 {
		return nil
	}
	if err := s.Take(ctx); err != nil { // what they have recorded, all of it
		return err
	}
	return s.writing(ctx, func(ctx context.Context, b *batch) error {
		var lost []analytics.Call
		for _, p := range dead {
			// Those of newer programs are left to these.
			rows, err := b.tx.Query(ctx, `DELETE FROM call_sent WHERE host = $1 AND boot = $2 AND pid = $3 AND born = $4 AND get_byte(call, 0) <= $5 RETURNING call`,
				p.Host, p.Boot, p.PID, p.Born, spool.CallForm)
			if err != nil {
				return err
			}
			calls, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
			if err != nil {
				return err
			}
			for _, data := range calls {
				if c, ok := spool.ReadCall(data); ok {
					lost = append(lost, c)
				}
			}
		}
		return b.addOnce(ctx, lost)
	})
}

// Import implements [analytics.Writer].
func (s *Store) Import(ctx context.Context, calls iter.Seq2[analytics.Imported, error], skipped func(error) error) (added, known int, err error) {
	return callsql.Import(calls, spool.MaxBatch, skipped, func(batch []analytics.Imported) (int, error) { return s.importSome(ctx, batch) })
}

func (s *Store) importSome(ctx context.Context, calls []analytics.Imported) (added int, err error) {
	if len(calls) == 0 {
		return 0, s.ready(ctx)
	}
	hashes := make([][]byte, len(calls))
	for i := range calls {
		hashes[i] = calls[i].Hash[:]
	}
	all := make([]*spool.Entry, len(calls))
	for i := range calls {
		all[i] = &spool.Entry{Call: calls[i].Call}
	}
	err = s.addAll(ctx, all, func(ctx context.Context, b *batch) error {
		rows, err := b.tx.Query(ctx, `INSERT INTO call_imports SELECT DISTINCT h FROM unnest($1::bytea[]) h ORDER BY h ON CONFLICT DO NOTHING RETURNING hash`, hashes)
		if err != nil {
			return err
		}
		list, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
		if err != nil {
			return err
		}
		fresh := map[string]bool{}
		for _, h := range list {
			fresh[string(h)] = true
		}
		var entries []*spool.Entry
		for i := range calls {
			if h := string(hashes[i]); fresh[h] {
				delete(fresh, h)
				entries = append(entries, all[i])
			}
		}
		added = len(entries)
		return b.add(ctx, entries)
	})
	if err != nil {
		added = 0
	}
	return added, err
}

// prunedEvery is how often what is too old is looked for.
const prunedEvery = 24 * time.Hour

// PruneDue implements [spool.Store]. Of several processes one does it.
func (s *Store) PruneDue(keep analytics.Retention, now time.Time) error {
	ctx := context.Background() //nolint:forbidigo // as AddEntries; the store bounds the time
	due := false
	err := s.writing(ctx, func(ctx context.Context, b *batch) error {
		tag, err := b.tx.Exec(ctx, `UPDATE call_state SET pruned = $1 WHERE pruned < $1::bigint - $2`, now.Unix(), int64(prunedEvery.Seconds()))
		due = tag.RowsAffected() > 0
		return err
	})
	if err == nil && due {
		_, err = s.Prune(ctx, keep, now)
	}
	return err
}
