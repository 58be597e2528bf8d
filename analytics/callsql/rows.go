package callsql

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/llm"
)

type slowestKey struct {
	filter analytics.Filter
	n      int
}

// Slowest returns the n calls that the service took longest to answer, the longest
// first. Waiting does not count, and batches are left out.
func (r *Reader) Slowest(ctx context.Context, f analytics.Filter, n int) ([]analytics.Call, error) {
	return cached(ctx, r, slowestKey{f, n}, func(s *state) ([]analytics.Call, error) {
		since, until, _, err := s.bounds(f)
		if err != nil {
			return nil, err
		}
		list := []analytics.Call{}
		err = s.selectRows(`r.time >= ? AND r.time < ? AND r.code = 0 AND r.batch = 0`, `ORDER BY CASE WHEN r.service > 0 THEN r.service ELSE r.duration - r.waited END DESC, r.id LIMIT ?`, since, until, f.Project, func(row Row) error {
			list = append(list, readRow(row))
			return nil
		}, n)
		return list, err
	})
}

// failuresKey is a query as the cache knows it.
type failuresKey struct{ filter analytics.Filter }

// Failures returns the calls that failed, by agent, model and code, the most
// frequent first.
func (r *Reader) Failures(ctx context.Context, f analytics.Filter) ([]analytics.Failure, error) {
	return cached(ctx, r, failuresKey{f}, func(s *state) ([]analytics.Failure, error) {
		since, until, _, err := s.bounds(f)
		if err != nil {
			return nil, err
		}
		type key struct {
			agent, model string
			code         llm.Code
		}
		found := map[key]*analytics.Failure{}
		err = s.selectRows(`r.time >= ? AND r.time < ? AND r.code != 0`, `ORDER BY r.time`, since, until, f.Project, func(row Row) error {
			c := readRow(row)
			k := key{c.Agent, c.Model, c.Code}
			if found[k] == nil {
				found[k] = &analytics.Failure{Agent: c.Agent, Model: c.Model, Code: c.Code}
			}
			found[k].Count++
			found[k].Last = c
			return nil
		})
		list := []analytics.Failure{}
		for _, failure := range found {
			list = append(list, *failure)
		}
		slices.SortFunc(list, func(a, b analytics.Failure) int {
			return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Agent, b.Agent), cmp.Compare(a.Model, b.Model), cmp.Compare(a.Code, b.Code))
		})
		return list, err
	})
}

// Runs returns the runs that were under way in a period, in the order in which they
// began, which may be before it.
func (r *Reader) Runs(ctx context.Context, f analytics.Filter) (list []analytics.Run, err error) {
	since, until := never, always
	if !f.Since.IsZero() {
		since = f.Since.UnixNano()
	}
	if !f.Until.IsZero() {
		until = f.Until.UnixNano()
	}
	sql, args := `SELECT id, project, workflow, began, ended, calls, cost, alone FROM call_runs WHERE began < ? AND ended >= ?`, []any{until, since}
	if f.Project != "" {
		sql, args = sql+` AND project = ?`, append(args, f.Project)
	}
	err = r.read(ctx, func(s *state) error {
		return s.query(sql+` ORDER BY began, id`, func(row Row) error {
			list = append(list, analytics.Run{
				ID: row.ColumnText(0), Project: row.ColumnText(1), Workflow: row.ColumnText(2),
				Began: time.Unix(0, row.ColumnInt64(3)).UTC(), Ended: time.Unix(0, row.ColumnInt64(4)).UTC(),
				Calls: row.ColumnInt64(5), Cost: llm.Money(row.ColumnInt64(6)), Alone: time.Duration(row.ColumnInt64(7)),
			})
			return nil
		}, args...)
	})
	return list, err
}

// RowsSince returns since when calls are kept one by one. Of what is older there are
// sums only. It is zero if none were dropped.
func (r *Reader) RowsSince(ctx context.Context) (since time.Time, err error) {
	err = r.read(ctx, func(s *state) error {
		return s.query(`SELECT rows_since FROM call_state`, func(row Row) error {
			if at := row.ColumnInt64(0); at > 0 {
				since = time.Unix(at, 0).UTC()
			}
			return nil
		})
	})
	return since, err
}

// callID is the column of callColumns that has the id of a call.
const callID = 36

// pageRows is how many rows are held while calls are read.
const pageRows = 1000

// Calls gives the calls of a period in the order of time, page by page, so that
// the store may be used meanwhile.
func (r *Reader) Calls(ctx context.Context, f analytics.Filter) iter.Seq2[analytics.Call, error] {
	return func(yield func(analytics.Call, error) bool) {
		since, until := never, always
		if !f.Since.IsZero() {
			since = f.Since.UnixNano()
		}
		if !f.Until.IsZero() {
			until = f.Until.UnixNano()
		}
		last := int64(-1)
		for {
			page, err := r.callsPage(ctx, since, until, last)
			if err != nil {
				yield(analytics.Call{}, err)
				return
			}
			for _, row := range page {
				since, last = row.call.Time.UnixNano(), row.id
				if f.Project != "" && row.call.Project != f.Project {
					continue
				}
				if !yield(row.call, nil) {
					return
				}
			}
			if len(page) < pageRows {
				return
			}
		}
	}
}

type numbered struct {
	call analytics.Call
	id   int64
}

// callsPage returns the calls from a time on, of those at it the ones with higher
// ids.
func (r *Reader) callsPage(ctx context.Context, since, until, after int64) (page []numbered, err error) {
	err = r.read(ctx, func(s *state) error {
		return s.selectRows(`r.time >= ? AND r.time < ? AND (r.time, r.id) > (?, ?)`, `ORDER BY r.time, r.id LIMIT ?`, since, until, "", func(row Row) error {
			page = append(page, numbered{readRow(row), row.ColumnInt64(callID)})
			return nil
		}, since, after, pageRows)
	})
	return page, err
}

// recentRows is how many of the newest calls [Reader.Longest] looks at.
const recentRows = 5000

// Longest returns the most output tokens that a recent answer of an agent's model
// has had; 0 if there was none.
func (r *Reader) Longest(ctx context.Context, agent, model string) (tokens int, err error) {
	err = r.read(ctx, func(s *state) error {
		return s.query(`SELECT coalesce(max(r.output), 0) FROM (SELECT name, output FROM call_rows WHERE code = 0 ORDER BY time DESC LIMIT ?) r
			JOIN call_names n ON n.id = r.name WHERE n.agent = ? AND n.source = 'live' AND (n.model = ? OR n.asked = ?)`, func(row Row) error {
			tokens = row.ColumnInt(0)
			return nil
		}, recentRows, agent, model, model)
	})
	return tokens, err
}

// Newest returns at most limit calls of a period, the latest first, that began before the
// one that cursor names; empty for the latest. The cursor of the next page is empty on
// the last one. The error of a cursor that is none is a [fault.InputError].
func (r *Reader) Newest(ctx context.Context, f analytics.Filter, only analytics.Only, cursor string, limit int) (calls []analytics.Call, next string, err error) {
	since, until, before := never, always, int64(math.MaxInt64)
	if !f.Since.IsZero() {
		since = f.Since.UnixNano()
	}
	if !f.Until.IsZero() {
		until = f.Until.UnixNano()
	}
	where := `r.time >= ? AND r.time < ?`
	args := []any{}
	for _, c := range []struct{ column, value string }{
		{"r.run", only.Run}, {"r.step", only.Step}, {"n.agent", only.Agent}, {"n.model", only.Model}, {"n.workflow", only.Workflow}, {"n.source", string(only.Source)}, {"n.key", only.Key}, {"n.team", only.Team},
	} {
		if c.value != "" {
			where, args = where+` AND `+c.column+` = ?`, append(args, c.value)
		}
	}
	if only.Failed {
		where += ` AND r.code != 0`
	}
	if f.Project != "" {
		where, args = where+` AND n.project = ?`, append(args, f.Project)
	}
	if cursor != "" {
		var at int64
		if _, err := fmt.Sscanf(cursor, "%d-%d", &at, &before); err != nil || cursor != fmt.Sprintf("%d-%d", at, before) {
			return nil, "", fault.Input(errors.New("the cursor is not that of a page of calls"))
		}
		where, args = where+` AND (r.time, r.id) < (?, ?)`, append(args, at, before)
	}
	err = r.read(ctx, func(s *state) error {
		var last numbered
		return s.selectRows(where, `ORDER BY r.time DESC, r.id DESC LIMIT ?`, since, until, "", func(row Row) error {
			if len(calls) == limit {
				next = fmt.Sprintf("%d-%d", last.call.Time.UnixNano(), last.id)
				return nil
			}
			last = numbered{readRow(row), row.ColumnInt64(callID)}
			calls = append(calls, last.call)
			return nil
		}, append(args, limit+1)...)
	})
	return calls, next, err
}
