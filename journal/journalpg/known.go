package journalpg

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/claude-force/claude-force/journal/groupcommit"
)

// Mostly a run is written by its owner alone. Then its header is what the owner wrote
// last, and need not be read again: one round trip checks that, and writes.

// errChanged reports that a header that this process knows is not the stored one.
var errChanged = errors.New("another process has written the run")

// remember keeps the header of a run that this store owns, as it is stored now.
func (s *Store) remember(id string, h *header) {
	if h == nil || h.Token == "" || h.writer != s.writer {
		delete(s.heads, id)
		return
	}
	h.stored, h.Dirty = h.Seq, false
	s.heads[id] = h
}

// forget drops what was known before jobs, which have not been written.
func (s *Store) forget(jobs []*job) {
	groupcommit.Reset(jobs)
	s.lives.Clear()
	clear(s.heads)
	clear(s.quiet)
}

// known returns the headers of the runs of jobs, if all jobs only append to runs whose
// headers are known.
func (s *Store) known(jobs []*job) (headers map[string]*header, ok bool) {
	headers = map[string]*header{}
	for _, j := range jobs {
		if j.Run == "" {
			continue
		}
		h := s.heads[j.Run]
		if j.Log == nil || j.Part != "" || h == nil {
			return nil, false
		}
		headers[j.Run] = h
	}
	return headers, true
}

// commitKnown writes jobs in a transaction of one round trip. It returns errChanged, and
// has written nothing, unless the runs' headers are stored as they are known, and the
// last transaction of this process is: a server that took over may have lost that one,
// and given the id of it, which is the version of the header, to another transaction.
func (s *Store) commitKnown(ctx context.Context, conn *pgxpool.Conn, jobs []*job, headers map[string]*header) error {
	b := newBatch(ctx, s, conn)
	b.blind, b.last, b.runs = true, s.batch, headers
	if err := groupcommit.Do(b, jobs); err != nil {
		return err
	}
	err := s.end(b)
	if errors.Is(err, errChanged) {
		rollback(ctx, conn)
	}
	return err
}
