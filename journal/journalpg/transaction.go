package journalpg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/journalrow"
)

// batch is a transaction with the headers of the runs it touches, each read and written
// once.
type batch struct {
	ctx   context.Context
	store *Store
	conn  *pgxpool.Conn
	now   time.Time          // by the database's clock
	runs  map[string]*header // nil for one that does not exist
	rows  map[*header][]journalrow.Event
	parts map[part]string       // the tokens of the parts that it is about
	moved map[part]int64        // the numbers of the runs of parts whose tokens were changed
	ended []int64               // runs that have ended: their parts are removed
	last  int64                 // number of this process's last transaction that took effect
	adds  map[string]*additions // to quiet runs, if it does nothing else
	blind bool                  // the headers are those of that transaction: nothing may be read
}

func newBatch(ctx context.Context, s *Store, conn *pgxpool.Conn) *batch {
	return &batch{ctx: ctx, store: s, conn: conn, runs: map[string]*header{}, rows: map[*header][]journalrow.Event{}, parts: map[part]string{}, moved: map[part]int64{}}
}

// part is a part of a run that an engine owns.
type part struct{ run, name string }

// begin begins the transaction and reads the headers of the jobs' runs and the number of
// this process's last transaction. The row of the process stays locked until the end: an
// attempt whose connection was lost has ended by then.
func (b *batch) begin(jobs []*job) (err error) {
	var ids, partRuns []string
	var partNames [][]byte
	for _, j := range jobs {
		if p := (part{j.Run, j.Part}); j.Part != "" {
			if _, known := b.parts[p]; !known {
				b.parts[p] = ""
				partRuns, partNames = append(partRuns, j.Run), append(partNames, []byte(j.Part))
			}
		}
		if _, known := b.runs[j.Run]; j.Run != "" && !known {
			b.runs[j.Run] = nil
			ids = append(ids, j.Run)
		}
	}
	send := &pgx.Batch{}
	send.Queue(`BEGIN`)
	send.Queue(`SELECT batch, clock_timestamp() FROM journal_writers WHERE id = $1 FOR UPDATE`, b.store.writer)
	if len(ids) > 0 {
		send.Queue(`SELECT `+headerColumns+headerTables+`WHERE r.id = ANY($2) ORDER BY r.n FOR UPDATE OF r`, lease, ids)
	}
	if len(partRuns) > 0 {
		send.Queue(`SELECT r.id, p.part, p.token FROM journal_parts p JOIN journal_runs r ON r.n = p.run
			JOIN unnest($1::text[], $2::bytea[]) AS u (id, part) ON u.id = r.id AND u.part = p.part`, partRuns, partNames)
	}
	results := b.conn.SendBatch(b.ctx, send)
	defer func() { err = errors.Join(err, results.Close()) }()
	if _, err := results.Exec(); err != nil {
		return err
	}
	if err := results.QueryRow().Scan(&b.last, &b.now); errors.Is(err, pgx.ErrNoRows) {
		b.store.wrote = false
		return fmt.Errorf("%w: it was removed", errGone)
	} else if err != nil {
		return err
	}
	if len(ids) == 0 {
		return nil
	}
	rows, err := results.Query()
	if err != nil {
		return err
	}
	headers, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*header, error) { return readHeader(row) })
	for _, h := range headers {
		h.stored = h.Seq
		b.runs[h.ID] = h
	}
	if err != nil || len(partRuns) == 0 {
		return err
	}
	return b.readParts(results)
}

// readParts reads who writes the parts that the transaction is about.
func (b *batch) readParts(results pgx.BatchResults) error {
	rows, err := results.Query()
	if err != nil {
		return err
	}
	var id, token string
	var name []byte
	_, err = pgx.ForEachRow(rows, []any{&id, &name, &token}, func() error {
		b.parts[part{id, string(name)}] = token
		return nil
	})
	return err
}

// give gives a part of a run to a log.
func (b *batch) give(h *header, l *log) {
	p := part{l.Run, l.Part}
	b.parts[p], b.moved[p], l.Joined = l.Token, h.N, h.Seq
}

// errGone is that of a process whose row was removed; it is made again.
var errGone = errors.New("the row of this process")

// owned returns the header of a log's run, if the log still owns it; else nil.
func (b *batch) owned(l *log) *header {
	h := b.runs[l.Run]
	switch {
	case h == nil:
	case l.Part != "" && h.OwnedRun(nil).Joined() && b.parts[part{l.Run, l.Part}] == l.Token:
		return h
	case l.Part == "" && h.Token == l.Token:
		return h
	}
	return nil
}

// appendTo appends rows to a log's run, if the log still owns it.
func appendTo(b *batch, l *log, rows []journalrow.Event) (verdict, err error) {
	if b.adds != nil {
		return nil, b.adds[l.Run].append(l, rows)
	}
	h := b.owned(l)
	if h == nil {
		return journal.ErrLost, nil
	}
	if l.Part == "" {
		return b.append(h, rows, &l.Live)
	}
	verdict, err = b.append(h, rows, b.store.lives.Of(l.Run))
	if h.Status.Ended() {
		b.ended = append(b.ended, h.N)
		b.store.lives.Forget(l.Run)
	}
	return verdict, err
}

// release gives the run of a log back, if the log still owns it.
func release(b *batch, l *log) (verdict, err error) {
	h := b.owned(l)
	if h == nil {
		return journal.ErrLost, nil
	}
	h.release(b.now)
	return nil, nil
}

// append adds events behind the last of a run, and to what is known to be under way in
// it; nil if the run's status does not depend on them.
func (b *batch) append(h *header, rows []journalrow.Event, known *journalrow.Live) (verdict, err error) {
	if known != nil {
		verdict, err := known.Move(&h.Header, rows, func(l *journalrow.Live) (verdict, err error) { return b.catchUp(h, l) })
		if verdict != nil || err != nil {
			return verdict, err
		}
	}
	for i := range rows {
		h.Add(&rows[i])
	}
	b.rows[h] = append(b.rows[h], rows...)
	h.Seq, h.Dirty = h.Seq+int64(len(rows)), true
	return nil, nil
}

// flush writes the headers that were changed and the events, and commits. A transaction
// that has read nothing begins with it. It returns errChanged, and has written nothing, unless the headers are
// stored as they were when they were changed, and the last transaction of this process is
// what it was.
func (b *batch) flush() error {
	send := &pgx.Batch{}
	if b.blind {
		send.Queue(`BEGIN`)
	}
	headers := make([]*header, 0, len(b.runs))
	for _, h := range b.runs {
		if h != nil && h.Dirty {
			headers = append(headers, h)
		}
	}
	slices.SortFunc(headers, func(x, y *header) int { return int(x.N - y.N) })
	b.sign(send)
	for _, h := range headers {
		send.Queue(`WITH written AS (UPDATE journal_runs SET status = $3, finished = $4, steps = $5, tokens = $6, usd = $7, exit = $8, seq = $9, token = $10, writer = $11, since = $12, engine = $13
			WHERE n = $1 AND xmin::text = $2 RETURNING xmin) SELECT 1 / count(*), max(xmin::text) FROM written`,
			h.N, h.version, string(h.Status), h.Finished, h.Steps, h.Tokens, h.USD, h.Exit, h.Seq, orNull(h.Token), orNull(h.writer), h.Since, h.Engine).
			QueryRow(func(row pgx.Row) error { return row.Scan(nil, &h.version) })
	}
	var rows []newEvent
	for _, h := range headers {
		for i := range b.rows[h] {
			rows = append(rows, newEvent{h.N, h.stored + int64(i) + 1, &b.rows[h][i]})
		}
	}
	b.insert(send, rows)
	b.writeParts(send)
	b.notices(send, headers)
	return b.commit(send)
}

// sign queues the number of the transaction, which is that of the last one of this process
// that took effect and one.
func (b *batch) sign(send *pgx.Batch) {
	send.Queue(`WITH written AS (UPDATE journal_writers SET batch = $3, seen = clock_timestamp() WHERE id = $1 AND batch = $2 RETURNING 1) SELECT 1 / count(*) FROM written`,
		b.store.writer, b.last, b.store.batch+1)
}

// commit sends what is queued, and commits. It returns errChanged, and has written nothing, if
// one of the statements has not found what it changes.
func (b *batch) commit(send *pgx.Batch) error {
	send.Queue(`COMMIT`)
	err := b.conn.SendBatch(b.ctx, send).Close()
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == divisionByZero {
		return errChanged
	}
	return err
}

// divisionByZero is the code of the error by which a statement that has changed no row
// keeps those behind it from being done. Source: PostgreSQL's appendix of error codes.
const divisionByZero = "22012"

// writeParts queues who writes the parts of runs, as far as the transaction has changed it.
func (b *batch) writeParts(send *pgx.Batch) {
	var runs []int64
	var names [][]byte
	var tokens []string
	for p, n := range b.moved {
		runs, names, tokens = append(runs, n), append(names, []byte(p.name)), append(tokens, b.parts[p])
	}
	if len(runs) > 0 {
		send.Queue(`INSERT INTO journal_parts (run, part, token) SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::text[])
			ON CONFLICT (run, part) DO UPDATE SET token = excluded.token`, runs, names, tokens)
	}
	if len(b.ended) > 0 {
		send.Queue(`DELETE FROM journal_parts WHERE run = ANY($1)`, b.ended)
	}
}

// notices queues the notices of the transaction, the last of all that it writes: until
// its end no other one writes any.
func (b *batch) notices(send *pgx.Batch, headers []*header) {
	var runs, seqs []int64
	for _, h := range headers {
		for i := range b.rows[h] {
			if journal.IsNotice(b.rows[h][i].Event.Type) {
				runs, seqs = append(runs, h.N), append(seqs, h.stored+int64(i)+1)
			}
		}
	}
	if len(runs) > 0 {
		send.Queue(`WITH last AS (UPDATE journal_last_notice SET n = n + $3 RETURNING n)
			INSERT INTO journal_notices (n, run, seq) SELECT last.n - $3 + i, run, seq FROM last, unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS u (run, seq, i)`,
			runs, seqs, int64(len(runs)))
	}
}

// newEvent is an event that is to be stored.
type newEvent struct {
	run int64 // the number of its run
	seq int64 // its own, or, of a transaction that adds to quiet runs, counted back from the last that it stores, which has 0
	*journalrow.Event
}

// insert queues events, with their outputs in the order of the hashes, so that no two
// transactions wait for each other.
// insert queues the events of the transaction, with their outputs in the order of the
// hashes, so that no two transactions wait for each other.
func (b *batch) insert(send *pgx.Batch, rows []newEvent) {
	type output struct {
		hash, data []byte
		refs       int64
	}
	outputs := map[string]*output{}
	var runs, seqs, times []int64
	var types []string
	var steps, items, keys, hashes, details [][]byte
	var attempts []int32
	for _, n := range rows {
		r := n.Event
		runs, seqs, times = append(runs, n.run), append(seqs, n.seq), append(times, r.Time)
		types, steps, items = append(types, string(r.Event.Type)), append(steps, []byte(r.Event.Step)), append(items, []byte(r.Event.Item))
		attempts, keys = append(attempts, int32(r.Event.Attempt)), append(keys, r.Key)
		hashes, details = append(hashes, r.Hash), append(details, r.Detail)
		if r.Hash == nil {
			continue
		}
		if o := outputs[string(r.Hash)]; o != nil {
			o.refs++
		} else {
			outputs[string(r.Hash)] = &output{r.Hash, r.Output, 1}
		}
	}
	if len(outputs) > 0 {
		var sums, data [][]byte
		var refs []int64
		for _, o := range slices.SortedFunc(maps.Values(outputs), func(x, y *output) int { return bytes.Compare(x.hash, y.hash) }) {
			sums, data, refs = append(sums, o.hash), append(data, o.data), append(refs, o.refs)
		}
		send.Queue(`INSERT INTO journal_outputs (hash, data, refs) SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bigint[])
			ON CONFLICT (hash) DO UPDATE SET refs = journal_outputs.refs + excluded.refs`, sums, data, refs)
	}
	if len(runs) > 0 {
		seq := `seq`
		if b.adds != nil {
			seq = `seq + (SELECT r.seq FROM journal_runs r WHERE r.n = u.run)`
		}
		send.Queue(`INSERT INTO journal_events (run, seq, time, type, step, item, attempt, key, output, detail)
			SELECT run, `+seq+`, time, type, step, item, attempt, key, output, detail
			FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::bytea[], $6::bytea[], $7::integer[], $8::bytea[], $9::bytea[], $10::bytea[])
				AS u (run, seq, time, type, step, item, attempt, key, output, detail)`,
			runs, seqs, times, types, steps, items, attempts, keys, hashes, details)
	}
}
