package journalpg

import (
	"context"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/groupcommit"
	"github.com/claude-force/claude-force/journal/journalrow"
)

// Several processes write the parts of a run that an engine owns, so that none knows its
// header. What most of them write only adds to it, and leaves the run running as long as no
// question is open: one round trip adds that to whatever the header is, and holds the row of
// the run for as long as the database takes, and not for as long as this process does too.

// quietRun is a run that an engine owns, in which no question was open at one of its events.
type quietRun struct{ n, seq int64 }

// maxQuiet is how many quiet runs a store knows, and maxUnseen how many events others may have
// written to one before its header is read again.
const (
	maxQuiet  = 100
	maxUnseen = 1000
)

// noteQuiet notes whether a run is quiet, as a transaction has left it.
func (s *Store) noteQuiet(id string, h *header) {
	switch {
	case h == nil || !h.OwnedRun(nil).Joined() || h.Status != journal.StatusRunning || h.Token != "" || s.lives.Asks(id):
		delete(s.quiet, id)
	case s.lives.Seq(id) == h.Seq:
		if len(s.quiet) >= maxQuiet {
			clear(s.quiet) // what is needed is noted again
		}
		s.quiet[id] = quietRun{h.N, h.Seq}
	}
}

// additions are what a transaction adds to one run.
type additions struct {
	quietRun
	engine string // of those who join parts; empty if none is joined
	counts journalrow.Counts
	rows   []journalrow.Event
	joined []*log
	writes []*log // that own the parts of rows
	last   int64  // number of the last event behind the transaction
}

// additions returns what jobs add to quiet runs, if they join parts of them or append to these
// and do nothing else.
func (s *Store) additions(jobs []*job) (map[string]*additions, bool) {
	runs := map[string]*additions{}
	for _, j := range jobs {
		if j.Run == "" {
			continue
		}
		q, quiet := s.quiet[j.Run]
		if !quiet || j.Part == "" {
			return nil, false
		}
		runs[j.Run] = &additions{quietRun: q}
	}
	return runs, len(runs) > 0
}

// join adds that a log joins its part for an engine.
func (a *additions) join(l *log, engine string) error {
	if engine == "" || a.engine != "" && a.engine != engine {
		return errChanged
	}
	a.engine, a.joined = engine, append(a.joined, l)
	return nil
}

// append adds events of a log.
func (a *additions) append(l *log, rows []journalrow.Event) error {
	for i := range rows {
		c, ok := rows[i].Counts()
		if !ok {
			return errChanged
		}
		a.counts.Steps += c.Steps
		a.counts.Tokens += c.Tokens
		a.counts.USD += c.USD
	}
	a.rows = append(a.rows, rows...)
	if !slices.Contains(a.writes, l) {
		a.writes = append(a.writes, l)
	}
	return nil
}

// commitAdditions writes jobs in a transaction of one round trip. It returns errChanged, and
// has written nothing, if a job does more than to add to a quiet run, a run is not quiet any
// more, a log has lost its part, or the last transaction of this process is not known.
func (s *Store) commitAdditions(ctx context.Context, conn *pgxpool.Conn, jobs []*job, runs map[string]*additions) error {
	b := newBatch(ctx, s, conn)
	b.last, b.adds = s.batch, runs
	if err := groupcommit.Do(b, jobs); err != nil {
		return err
	}
	if err := b.add(); err != nil {
		clear(s.quiet) // a server that took over may lack what they were noted from
		if errors.Is(err, errChanged) {
			rollback(ctx, conn)
		}
		return err
	}
	s.batch++
	for id, a := range runs {
		s.quiet[id] = quietRun{a.n, a.last}
		for _, l := range a.joined {
			l.Joined = a.last
		}
	}
	return nil
}

// add writes what the transaction adds to runs, and commits.
func (b *batch) add() error {
	runs := make([]*additions, 0, len(b.adds))
	for _, a := range b.adds {
		runs = append(runs, a)
	}
	slices.SortFunc(runs, func(x, y *additions) int { return int(x.n - y.n) }) // in the order in which others lock them
	send := &pgx.Batch{}
	send.Queue(`BEGIN`)
	b.sign(send)
	for _, a := range runs {
		send.Queue(`WITH written AS (UPDATE journal_runs SET seq = seq + $2, steps = steps + $3, tokens = tokens + $4, usd = usd + $5
			WHERE n = $1 AND status = 'running' AND token IS NULL AND engine <> '' AND ($6 = '' OR engine = $6) RETURNING seq) SELECT 1 / count(*), max(seq) FROM written`,
			a.n, int64(len(a.rows)), a.counts.Steps, a.counts.Tokens, a.counts.USD, a.engine).
			QueryRow(func(row pgx.Row) error { return row.Scan(nil, &a.last) })
		// In order, and at most so many: only the events that are new are read, whatever the
		// planner takes for likely.
		send.Queue(`SELECT 1 / (count(*) FILTER (WHERE type = 'approval_asked') = 0 AND count(*) <= $3)::int
			FROM (SELECT type FROM journal_events WHERE run = $1 AND seq > $2 ORDER BY seq LIMIT $3 + 1) AS unseen`, a.n, a.seq, int64(maxUnseen))
	}
	var rows []newEvent
	for _, a := range runs {
		b.checkParts(send, a)
		for _, l := range a.joined {
			b.moved[part{l.Run, l.Part}], b.parts[part{l.Run, l.Part}] = a.n, l.Token
		}
		for i := range a.rows {
			rows = append(rows, newEvent{a.n, int64(i + 1 - len(a.rows)), &a.rows[i]})
		}
	}
	b.insert(send, rows)
	b.writeParts(send)
	return b.commit(send)
}

// checkParts queues that the logs which append own their parts.
func (b *batch) checkParts(send *pgx.Batch, a *additions) {
	if len(a.writes) == 0 {
		return
	}
	var names [][]byte
	var tokens []string
	for _, l := range a.writes {
		names, tokens = append(names, []byte(l.Part)), append(tokens, l.Token)
	}
	// Each is looked up, however many parts the run has.
	send.Queue(`SELECT 1 / (count(*) = $4)::int FROM unnest($2::bytea[], $3::text[]) AS u (part, token)
		WHERE (SELECT p.token FROM journal_parts p WHERE p.run = $1 AND p.part = u.part) = u.token`,
		a.n, names, tokens, int64(len(names)))
}
