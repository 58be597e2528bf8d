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
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/journalrow"
)

// What one transaction may hold, so that it stays short.
const (
	maxJobs  = 1000
	maxBytes = 8 << 20
)

// maxGather bounds the time of a transaction by which the next one is delayed.
const maxGather = 20 * time.Millisecond

const (
	// attemptTimeout bounds one attempt at a transaction.
	attemptTimeout = 20 * time.Second
	// patience is how long what a log has appended waits for a database that is away:
	// it is paid for, and a restart or a failover takes minutes at most.
	patience = 5 * time.Minute
	// shortPatience is the same for what a caller can try again, and for all once the
	// store is being closed.
	shortPatience = 10 * time.Second
	// forgotten is when the row of a process that has not said anything, and owns no
	// run, is removed.
	forgotten = 24 * time.Hour
)

// job is something to be written.
type job struct {
	// do writes it. A verdict says why it was not done, before anything was written; an
	// error fails the whole transaction.
	do   func(*batch) (verdict, err error)
	run  string           // its run; empty for none
	log  *log             // whose job it is; nil if it is no log's
	live *journalrow.Live // what do adds to beside log's; nil for none
	size int              // bytes, roughly

	queued time.Time
	done   chan struct{} // closed when err is set
	err    error
}

func (j *job) wait() error {
	<-j.done
	return j.err
}

// put queues a job. The first starts the committer.
func (s *Store) put(j *job) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return s.errClosed()
	}
	j.done, j.queued = make(chan struct{}), time.Now()
	s.queue = append(s.queue, j)
	if s.ended == nil {
		s.ended = make(chan struct{})
		go s.commit(s.ended) // Close waits for it
	}
	s.poke()
	return nil
}

// write queues what belongs to no log and waits until it is durable.
func (s *Store) write(run string, do func(*batch) (verdict, err error)) error {
	j := &job{run: run, do: do}
	if err := s.put(j); err != nil {
		return err
	}
	return j.wait()
}

func (s *Store) poke() {
	select {
	case s.wake <- struct{}{}:
	default: // it knows already
	}
}

// commit writes what is queued, and signs of life, until the store is closed.
func (s *Store) commit(ended chan<- struct{}) {
	defer close(ended)
	beat := time.NewTicker(journal.LeaseTTL / 3)
	defer beat.Stop()
	for {
		select {
		case <-s.wake:
		case <-beat.C:
			s.beat()
		}
		for {
			s.gather()
			jobs, closed := s.take()
			if len(jobs) == 0 && closed {
				s.leave()
				return
			}
			if len(jobs) == 0 {
				break
			}
			start := time.Now()
			s.commitAll(jobs)
			s.size, s.took = len(jobs), min(time.Since(start), maxGather)
		}
	}
}

// gather waits until as many jobs are queued as the last transaction had, for at most a
// quarter of the time that it took: those whose steps it wrote queue what they have next,
// and one transaction is for all of them. A single writer never waits.
func (s *Store) gather() {
	timeout := time.NewTimer(s.took / 4)
	defer timeout.Stop()
	for {
		s.mu.Lock()
		queued, closed := len(s.queue), s.closed
		s.mu.Unlock()
		if queued == 0 || queued >= s.size || closed {
			return
		}
		select {
		case <-s.wake:
		case <-timeout.C:
			return
		}
	}
}

// take returns the next jobs, as many as fit into a transaction.
func (s *Store) take() (jobs []*job, closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, size := 0, 0
	for n < len(s.queue) && n < maxJobs && size < maxBytes {
		size += s.queue[n].size
		n++
	}
	jobs = s.queue[:n:n]
	if s.queue = s.queue[n:]; len(s.queue) == 0 {
		s.queue = nil
	}
	return jobs, s.closed
}

// commitAll writes jobs in one transaction, and tries again while the database is away.
// If one cannot be written, each is written by itself.
func (s *Store) commitAll(jobs []*job) {
	delay := 50 * time.Millisecond
	for len(jobs) > 0 {
		err := s.attempt(jobs)
		if err == nil {
			finish(jobs, nil)
			return
		}
		for _, j := range jobs { // what was added up may not be there
			if j.log != nil {
				j.log.live = journalrow.Live{}
			}
			if j.live != nil {
				*j.live = journalrow.Live{}
			}
		}
		switch {
		case postgres.Transient(err):
			jobs = s.patient(jobs, err)
			<-time.After(delay)
			delay = min(2*delay, time.Second)
		case len(jobs) == 1:
			finish(jobs, s.failed("writing", err))
			return
		default:
			for _, j := range jobs {
				s.commitAll([]*job{j})
			}
			return
		}
	}
}

// patient fails the jobs whose time is up, and returns the others.
func (s *Store) patient(jobs []*job, err error) (rest []*job) {
	s.mu.Lock()
	closed, closedAt := s.closed, s.closedAt
	s.mu.Unlock()
	now := time.Now()
	var late []*job
	for _, j := range jobs {
		limit := j.queued.Add(shortPatience)
		if j.log != nil {
			limit = j.queued.Add(patience)
		}
		if end := closedAt.Add(shortPatience); closed && end.Before(limit) {
			limit = end
		}
		if now.After(limit) {
			late = append(late, j)
		} else {
			rest = append(rest, j)
		}
	}
	finish(late, s.failed("writing", err))
	return rest
}

// finish tells who waits how it went.
func finish(jobs []*job, err error) {
	for _, j := range jobs {
		if err != nil {
			j.err = err
			if j.log != nil {
				j.log.fail(err)
			}
		}
		close(j.done)
	}
}

// beat queues a sign of life if a run has an owner here: each transaction is one. No
// caller waits for it: if it cannot be written, neither can events.
func (s *Store) beat() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.logs) == 0 {
		return
	}
	s.queue = append(s.queue, &job{done: make(chan struct{}), queued: time.Now(), do: func(*batch) (verdict, err error) {
		return nil, nil
	}})
}

// batch is a transaction with the headers of the runs it touches, each read and written
// once.
type batch struct {
	ctx   context.Context
	store *Store
	conn  *pgxpool.Conn
	now   time.Time          // by the database's clock
	runs  map[string]*header // nil for one that does not exist
	rows  map[*header][]journalrow.Event
}

// attempt writes jobs in one transaction. After an error of the connection, it may have
// taken effect: the next attempt finds out.
func (s *Store) attempt(jobs []*job) error {
	ctx, cancel := context.WithTimeout(context.Background(), attemptTimeout) //nolint:forbidigo // of many callers, some of which have ended
	defer cancel()
	if !s.wrote {
		if err := s.enter(ctx); err != nil {
			return err
		}
	}
	conn, err := s.db.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release() // which closes it unless the transaction has ended
	b := &batch{ctx: ctx, store: s, conn: conn, runs: map[string]*header{}, rows: map[*header][]journalrow.Event{}}
	done, err := b.begin(jobs)
	if err != nil {
		return err
	}
	if done == s.batch+1 { // the attempt before
		s.batch = done
		_, err := conn.Exec(ctx, `ROLLBACK`)
		if err != nil {
			conn.Conn().Close(ctx) //nolint:errcheck // nothing depends on it
		}
		return nil
	}
	for _, j := range jobs {
		j.err = nil
		if j.log != nil {
			if j.err = j.log.failure(); j.err != nil {
				continue
			}
		}
		verdict, err := j.do(b)
		if err != nil {
			return err
		}
		j.err = verdict
		// What comes behind it in the batch must fail as well.
		if j.log != nil && verdict != nil {
			j.log.fail(verdict)
		}
	}
	if err := b.flush(s.batch + 1); err != nil {
		return err
	}
	s.batch++
	return nil
}

// enter makes the row of this process, and removes those of others that have gone.
func (s *Store) enter(ctx context.Context) error {
	_, err := s.db.Exec(ctx, `INSERT INTO journal_writers (id, host, boot, pid, born, batch, seen)
		VALUES ($1, $2, $3, $4, $5, $6, clock_timestamp()) ON CONFLICT DO NOTHING`,
		s.writer, s.self.Host, s.self.Boot, s.self.PID, s.self.Born, s.batch)
	if err != nil {
		return err
	}
	s.wrote = true
	_, err = s.db.Exec(ctx, `DELETE FROM journal_writers WHERE id IN (SELECT id FROM journal_writers w WHERE seen < clock_timestamp() - $1::interval
		AND NOT EXISTS (SELECT FROM journal_runs WHERE writer = w.id) FOR UPDATE SKIP LOCKED)`, forgotten)
	return err
}

// leave removes the row of this process, which owns no run. If it stays, a later one
// removes it.
func (s *Store) leave() {
	if !s.wrote {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second) //nolint:forbidigo // Close takes none
	defer cancel()
	_, _ = s.db.Exec(ctx, `DELETE FROM journal_writers WHERE id = $1 AND NOT EXISTS (SELECT FROM journal_runs WHERE writer = $1)`, s.writer)
}

// begin begins the transaction and reads the headers of the jobs' runs. It returns the
// number of this process's last transaction that took effect. The row of the process
// stays locked until the end: an attempt whose connection was lost has ended by then.
func (b *batch) begin(jobs []*job) (done int64, err error) {
	var ids []string
	for _, j := range jobs {
		if _, known := b.runs[j.run]; j.run != "" && !known {
			b.runs[j.run] = nil
			ids = append(ids, j.run)
		}
	}
	send := &pgx.Batch{}
	send.Queue(`BEGIN`)
	send.Queue(`SELECT batch, clock_timestamp() FROM journal_writers WHERE id = $1 FOR UPDATE`, b.store.writer)
	if len(ids) > 0 {
		send.Queue(`SELECT `+headerColumns+headerTables+`WHERE r.id = ANY($2) ORDER BY r.n FOR UPDATE OF r`, lease, ids)
	}
	results := b.conn.SendBatch(b.ctx, send)
	defer func() { err = errors.Join(err, results.Close()) }()
	if _, err := results.Exec(); err != nil {
		return 0, err
	}
	if err := results.QueryRow().Scan(&done, &b.now); errors.Is(err, pgx.ErrNoRows) {
		b.store.wrote = false
		return 0, fmt.Errorf("%w: it was removed", errGone)
	} else if err != nil {
		return 0, err
	}
	if len(ids) == 0 {
		return done, nil
	}
	rows, err := results.Query()
	if err != nil {
		return 0, err
	}
	headers, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*header, error) { return readHeader(row) })
	for _, h := range headers {
		h.stored = h.Seq
		b.runs[h.ID] = h
	}
	return done, err
}

// errGone is that of a process whose row was removed; it is made again.
var errGone = errors.New("the row of this process")

// owned returns the header of a log's run, if the log still owns it; else nil.
func (b *batch) owned(l *log) *header {
	h := b.runs[l.id]
	if h == nil || h.Token != l.token {
		return nil
	}
	return h
}

// append adds events behind the last of a run, and to what is known to be under way in
// it; nil if the run's status does not depend on them.
func (b *batch) append(h *header, rows []journalrow.Event, known *journalrow.Live) (verdict, err error) {
	if known != nil {
		if verdict, err := b.move(h, rows, known); verdict != nil || err != nil {
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

// events returns the events of a run above a number, without their outputs: those that
// are stored, then those of this transaction.
func (b *batch) events(h *header, after int64) (events []journal.Event, err error) {
	if after < h.stored {
		rows, err := b.conn.Query(b.ctx, `SELECT e.seq, e.time, e.type, e.step, e.item, e.attempt, e.key, NULL::bytea, e.detail, NULL::bytea
			FROM journal_events e WHERE e.run = $1 AND e.seq > $2 ORDER BY e.seq`, h.N, after)
		if err != nil {
			return nil, err
		}
		if events, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (journal.Event, error) { return b.store.readEvent(h.ID, row) }); err != nil {
			return nil, err
		}
	}
	for i := range b.rows[h] {
		ev := *b.rows[h][i].Event
		if ev.Seq = h.stored + int64(i) + 1; ev.Seq > after {
			events = append(events, ev)
		}
	}
	return events, nil
}

// flush writes the events and the headers that were changed, and commits.
func (b *batch) flush(number int64) error {
	send := &pgx.Batch{}
	headers := make([]*header, 0, len(b.runs))
	for _, h := range b.runs {
		if h != nil && h.Dirty {
			headers = append(headers, h)
		}
	}
	slices.SortFunc(headers, func(x, y *header) int { return int(x.N - y.N) })
	b.insert(send, headers)
	for _, h := range headers {
		send.Queue(`UPDATE journal_runs SET status = $2, finished = $3, steps = $4, tokens = $5, usd = $6, exit = $7, seq = $8, token = $9, writer = $10, since = $11 WHERE n = $1`,
			h.N, string(h.Status), h.Finished, h.Steps, h.Tokens, h.USD, h.Exit, h.Seq, orNull(h.Token), orNull(h.writer), h.Since)
	}
	send.Queue(`UPDATE journal_writers SET batch = $2, seen = clock_timestamp() WHERE id = $1`, b.store.writer, number)
	b.notices(send, headers)
	send.Queue(`COMMIT`)
	return b.conn.SendBatch(b.ctx, send).Close()
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

// insert queues the events of the transaction, with their outputs in the order of the
// hashes, so that no two transactions wait for each other.
func (b *batch) insert(send *pgx.Batch, headers []*header) {
	type output struct {
		hash, data []byte
		refs       int64
	}
	outputs := map[string]*output{}
	var runs, seqs, times []int64
	var types []string
	var steps, items, keys, hashes, details [][]byte
	var attempts []int32
	for _, h := range headers {
		for i := range b.rows[h] {
			r := &b.rows[h][i]
			runs, seqs, times = append(runs, h.N), append(seqs, h.stored+int64(i)+1), append(times, r.Time)
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
		send.Queue(`INSERT INTO journal_events (run, seq, time, type, step, item, attempt, key, output, detail)
			SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::bytea[], $6::bytea[], $7::integer[], $8::bytea[], $9::bytea[], $10::bytea[])`,
			runs, seqs, times, types, steps, items, attempts, keys, hashes, details)
	}
}
