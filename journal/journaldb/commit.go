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
)

// What one transaction may hold, so that it stays short.
const (
	maxJobs  = 1000
	maxBytes = 8 << 20
)

// busyTries is how often an event of a run is tried to be written while other
// processes keep the file locked, each time for twice [sqlitefile.BusyTimeout].
const busyTries = 10

// job is something to be written.
type job struct {
	// do writes it. A verdict says why it was not done, before anything was
	// written; an error fails the whole transaction.
	do   func(*batch) (verdict, err error)
	log  *log // whose job it is; nil if it is no log's
	size int  // bytes, roughly

	done chan struct{} // closed when err is set
	err  error
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
	j.done = make(chan struct{})
	s.queue = append(s.queue, j)
	if s.ended == nil {
		s.ended = make(chan struct{})
		go s.commit(s.ended) // Close waits for it
	}
	s.poke()
	return nil
}

// write queues what belongs to no log and waits until it is durable.
func (s *Store) write(do func(*batch) (verdict, err error)) error {
	j := &job{do: do}
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
	var conn *sqlitefile.Conn
	for {
		select {
		case <-s.wake:
			// Those who were woken by the last commit queue what they have
			// next before this one begins, so that it is for all of them.
			runtime.Gosched()
		case <-beat.C:
			s.beat()
		}
		for {
			jobs, closed := s.take()
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
	return slices.ContainsFunc(jobs, func(j *job) bool { return j.log != nil })
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

// batch is a transaction with the headers of the runs it touches, each read and
// written once.
type batch struct {
	store *Store
	conn  *sqlitefile.Conn
	now   time.Time
	runs  map[string]*header // nil for one that does not exist
}

func (s *Store) commitBatch(conn *sqlitefile.Conn, jobs []*job) error {
	return conn.Write(func() error {
		b := &batch{store: s, conn: conn, now: time.Now(), runs: map[string]*header{}}
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
		return b.flush()
	})
}

// finish tells who waits how it went.
func (s *Store) finish(jobs []*job, err error) {
	if err != nil {
		err = fmt.Errorf("writing history %s: %w", s.path, explain(s.path, err))
	}
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

// beat queues a sign of life for every run with an owner. No caller waits for
// it: if it cannot be written, neither can events.
func (s *Store) beat() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.logs {
		s.queue = append(s.queue, &job{log: l, done: make(chan struct{}), do: func(b *batch) (verdict, err error) {
			if l.isReleased() { // before this was its turn
				return nil, nil
			}
			_, verdict, err = b.owned(l)
			return verdict, err
		}})
	}
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
	h, verdict, err = b.run(l.id)
	if verdict != nil || err != nil {
		return nil, verdict, err
	}
	if h == nil || h.Token != l.token {
		return nil, journal.ErrLost, nil
	}
	h.heartbeat, h.Dirty = b.now.UnixNano(), true
	return h, nil, nil
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
