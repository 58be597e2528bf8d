package journaldb

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/internal/sqlitefile"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/groupcommit"
	"github.com/claude-force/claude-force/journal/journalrow"
)

// What the store's logs append is committed in groups.
type (
	job = groupcommit.Job[*batch]
	log = groupcommit.Log[*batch]
)

// busyTries is how often an event of a run is tried to be written while other
// processes keep the file locked, each time for twice [sqlitefile.BusyTimeout].
const busyTries = 10

// write queues what belongs to no log and waits until it is durable.
func (s *Store) write(do func(*batch) (verdict, err error)) error {
	return s.queue.Write(&job{Do: do})
}

// commit writes what is queued, and signs of life, until the store is closed.
func (s *Store) commit() {
	beat := time.NewTicker(journal.LeaseTTL / 3)
	defer beat.Stop()
	var conn *sqlitefile.Conn
	for {
		select {
		case <-s.queue.Wake():
			// Those who were woken by the last commit queue what they have
			// next before this one begins, so that it is for all of them.
			runtime.Gosched()
		case <-beat.C:
			s.beat()
		}
		for {
			jobs, closed := s.queue.Take()
			if len(jobs) == 0 && closed {
				if conn != nil {
					_ = conn.Close() // all is durable
				}
				return
			}
			if len(jobs) == 0 {
				break
			}
			var err error
			if conn == nil {
				conn, err = s.connect()
			}
			if err == nil {
				err = s.commitBatch(conn, jobs)
			}
			// What logs write is paid for: it is worth waiting longer for.
			for try := 1; try < busyTries && errors.Is(err, sqlite3.BUSY) && anyLog(jobs); try++ {
				err = s.commitBatch(conn, jobs)
			}
			s.finish(jobs, err)
		}
	}
}

func anyLog(jobs []*job) bool {
	return slices.ContainsFunc(jobs, func(j *job) bool { return j.Log != nil })
}

// batch is a transaction with the headers of the runs it touches, each read and
// written once.
type batch struct {
	store *Store
	conn  *sqlitefile.Conn
	now   time.Time
	runs  map[string]*header // nil for one that does not exist
}

func (s *Store) commitBatch(conn *sqlitefile.Conn, jobs []*job) error {
	err := conn.Write(func() error {
		b := &batch{store: s, conn: conn, now: time.Now(), runs: map[string]*header{}}
		if err := groupcommit.Do(b, jobs); err != nil {
			return err
		}
		return b.flush()
	})
	if err != nil {
		groupcommit.Reset(jobs)
		s.lives.Clear()
	}
	return err
}

// finish ends jobs: with their verdicts if err is nil.
func (s *Store) finish(jobs []*job, err error) {
	if err != nil {
		err = fmt.Errorf("writing history %s: %w", s.path, explain(s.path, err))
	}
	groupcommit.Finish(jobs, err)
}

// beat queues a sign of life for every run with an owner. No caller waits for
// it: if it cannot be written, neither can events.
func (s *Store) beat() {
	for _, l := range s.queue.Logs() {
		_ = s.queue.Put(&job{Log: l, Do: func(b *batch) (verdict, err error) { // unless the store is closed
			if l.Released() { // before this was its turn
				return nil, nil
			}
			_, verdict, err = b.owned(l)
			return verdict, err
		}})
	}
}

// appendTo appends rows to a log's run, if the log still owns it.
func appendTo(b *batch, l *log, rows []journalrow.Event) (verdict, err error) {
	h, verdict, err := b.owned(l)
	if h == nil {
		return verdict, err
	}
	if l.Part == "" {
		return b.append(h, rows, &l.Live)
	}
	verdict, err = b.append(h, rows, b.store.lives.Of(l.Run))
	if err == nil && h.Status.Ended() {
		b.store.lives.Forget(l.Run)
		err = b.conn.Run(`DELETE FROM parts WHERE run = ?`, h.N)
	}
	return verdict, err
}

// release gives the run of a log back, if the log still owns it.
func release(b *batch, l *log) (verdict, err error) {
	h, verdict, err := b.owned(l)
	if h == nil {
		return verdict, err
	}
	h.release(b.now)
	return nil, nil
}

// run returns the header of a run, nil if there is none, or none that can be read:
// that is the verdict.
func (b *batch) run(id string) (h *header, verdict, err error) {
	if h, known := b.runs[id]; known {
		return h, nil, nil
	}
	err = b.conn.Query(`SELECT `+headerColumns+` FROM runs WHERE id = ?`, func(row *stmt) (err error) {
		h, err = readHeader(row)
		return err
	}, id)
	if errors.Is(err, errDamaged) {
		return nil, fmt.Errorf("reading run %s in history %s: %w", id, b.store.path, explain(b.store.path, err)), nil
	}
	if err == nil {
		b.runs[id] = h
	}
	return h, nil, err
}

// existing returns the header of a run; that there is none is the verdict.
func (b *batch) existing(id string) (h *header, verdict, err error) {
	h, verdict, err = b.run(id)
	if h == nil && verdict == nil && err == nil {
		verdict = journal.ErrNotFound
	}
	return h, verdict, err
}

// owned returns the header of a log's run, if the log still owns it; a sign of life
// is written with it.
func (b *batch) owned(l *log) (h *header, verdict, err error) {
	h, verdict, err = b.run(l.Run)
	if verdict != nil || err != nil {
		return nil, verdict, err
	}
	if h != nil && l.Part != "" {
		return b.joined(h, l)
	}
	if h == nil || h.Token != l.Token {
		return nil, journal.ErrLost, nil
	}
	h.heartbeat, h.Dirty = b.now.UnixNano(), true
	return h, nil, nil
}

// joined returns the header of a log's run, if the log still writes its part of it.
func (b *batch) joined(h *header, l *log) (_ *header, verdict, err error) {
	if !h.OwnedRun(nil).Joined() {
		return nil, journal.ErrLost, nil
	}
	found := false
	err = b.conn.Query(`SELECT token FROM parts WHERE run = ? AND part = ?`, func(row *stmt) error {
		found = row.ColumnText(0) == l.Token
		return nil
	}, h.N, []byte(l.Part))
	if err != nil {
		return nil, nil, err
	}
	if !found {
		return nil, journal.ErrLost, nil
	}
	return h, nil, nil
}

// give gives a part of a run that an engine owns to a log.
func (b *batch) give(h *header, l *log) error {
	l.Joined = h.Seq
	return b.conn.Run(`INSERT INTO parts (run, part, token) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET token = excluded.token`, h.N, []byte(l.Part), []byte(l.Token))
}

// flush writes the headers that were changed.
func (b *batch) flush() error {
	for _, h := range b.runs {
		if h == nil || !h.Dirty {
			continue
		}
		if err := h.update(b.conn); err != nil {
			return err
		}
	}
	return nil
}
