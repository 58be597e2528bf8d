package journalpg

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/groupcommit"
)

// What the store's logs append is committed in groups.
type (
	job = groupcommit.Job[*batch]
	log = groupcommit.Log[*batch]
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

// write queues what belongs to no log and waits until it is durable.
func (s *Store) write(run string, do func(*batch) (verdict, err error)) error {
	return s.queue.Write(&job{Run: run, Do: do})
}

// commit writes what is queued, and signs of life, until the store is closed.
func (s *Store) commit() {
	beat := time.NewTicker(journal.LeaseTTL / 3)
	defer beat.Stop()
	for {
		select {
		case <-s.queue.Wake():
		case <-beat.C:
			s.beat()
		}
		for {
			s.gather()
			jobs, closed := s.queue.Take()
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
		queued := s.queue.Len()
		if queued == 0 || queued >= s.size || !s.queue.ClosedAt().IsZero() {
			return
		}
		select {
		case <-s.queue.Wake():
		case <-timeout.C:
			return
		}
	}
}

// commitAll writes jobs in one transaction, and tries again while the database is away.
// If one cannot be written, each is written by itself.
func (s *Store) commitAll(jobs []*job) {
	delay := 50 * time.Millisecond
	for len(jobs) > 0 {
		err := s.attempt(jobs)
		if err == nil {
			groupcommit.Finish(jobs, nil)
			return
		}
		s.forget(jobs)
		switch {
		case postgres.Transient(err):
			jobs = s.patient(jobs, err)
			<-time.After(delay)
			delay = min(2*delay, time.Second)
		case len(jobs) == 1:
			groupcommit.Finish(jobs, s.failed("writing", err))
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
	closedAt := s.queue.ClosedAt()
	now := time.Now()
	var late []*job
	for _, j := range jobs {
		limit := j.Queued.Add(shortPatience)
		if j.Log != nil {
			limit = j.Queued.Add(patience)
		}
		if end := closedAt.Add(shortPatience); !closedAt.IsZero() && end.Before(limit) {
			limit = end
		}
		if now.After(limit) {
			late = append(late, j)
		} else {
			rest = append(rest, j)
		}
	}
	groupcommit.Finish(late, s.failed("writing", err))
	return rest
}

// beat queues a sign of life if a run has an owner here: each transaction is one. No
// caller waits for it: if it cannot be written, neither can events.
func (s *Store) beat() {
	if len(s.queue.Logs()) > 0 {
		_ = s.queue.Put(&job{Do: func(*batch) (verdict, err error) { return nil, nil }}) // unless the store is closed
	}
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
	if headers, ok := s.known(jobs); ok {
		switch err := s.commitKnown(ctx, conn, jobs, headers); {
		case err == nil:
			return nil
		case !errors.Is(err, errChanged):
			return err
		}
		s.forget(jobs)
	}
	if runs, ok := s.additions(jobs); ok {
		if err := s.commitAdditions(ctx, conn, jobs, runs); !errors.Is(err, errChanged) {
			return err
		}
	}
	return s.commitRead(ctx, conn, jobs)
}

// commitRead writes jobs in a transaction that first reads the headers of their runs.
func (s *Store) commitRead(ctx context.Context, conn *pgxpool.Conn, jobs []*job) error {
	b := newBatch(ctx, s, conn)
	if err := b.begin(jobs); err != nil {
		return err
	}
	if b.last == s.batch+1 { // the attempt before
		s.batch = b.last
		rollback(ctx, conn)
		return nil
	}
	if err := groupcommit.Do(b, jobs); err != nil {
		return err
	}
	return s.end(b)
}

// end writes and commits a transaction, and remembers how it left the runs.
func (s *Store) end(b *batch) error {
	if err := b.flush(); err != nil {
		return err
	}
	s.batch++
	for id, h := range b.runs {
		s.remember(id, h)
		s.noteQuiet(id, h)
	}
	return nil
}

// rollback ends a transaction without effect. If it cannot, the connection is closed.
func rollback(ctx context.Context, conn *pgxpool.Conn) {
	if _, err := conn.Exec(ctx, `ROLLBACK`); err != nil {
		conn.Conn().Close(ctx) //nolint:errcheck // nothing depends on it
	}
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
