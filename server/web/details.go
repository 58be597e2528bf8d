package web

import (
	"context"
	"sync"
	"time"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/runs"
)

const (
	// maxDetails is how many runs are kept in memory as they were last read.
	maxDetails = 16

	// readShare is the share of the time that reading a run that is in progress may take:
	// one that took long is not read again at once.
	readShare = 4
)

// details reads runs, and keeps those that were looked at last: several parts of a page
// and several readers want the same.
type details struct {
	store journal.Store

	mu    sync.Mutex // guards the field below
	known map[string]*detail
}

// detail is a run as it was read.
type detail struct {
	mu   sync.Mutex // guards the fields below
	run  *runs.Detail
	at   time.Time     // when it was read
	took time.Duration // to read it

	used time.Time // guarded by details.mu
}

func newDetails(store journal.Store) *details {
	return &details{store: store, known: map[string]*detail{}}
}

// load returns a run with what is known of it. Callers must not change it. What it says
// of a run that is in progress may be as old as reading takes, a few times over.
func (d *details) load(ctx context.Context, id string) (*runs.Detail, error) {
	run, err := runs.Find(ctx, d.store, id)
	if err != nil {
		return nil, err
	}
	e := d.entry(run.ID)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.run != nil {
		was := &e.run.Run
		same := was.Status == run.Status && was.FinishedAt.Equal(run.FinishedAt) && runs.StatusOf(*was) == runs.StatusOf(run)
		ended := run.Status.Ended() && run.Owner == nil
		if same && (ended || time.Since(e.at) < readShare*e.took) {
			return e.run, nil
		}
	}
	start := time.Now()
	whole, err := runs.Load(ctx, d.store, run.ID)
	if err != nil {
		return nil, err
	}
	e.run, e.at, e.took = whole, time.Now(), time.Since(start)
	return whole, nil
}

// entry returns the entry of a run, in the place of the one that was used longest ago.
func (d *details) entry(id string) *detail {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.known[id]
	if e == nil {
		if len(d.known) >= maxDetails {
			oldest := ""
			for id, e := range d.known {
				if oldest == "" || e.used.Before(d.known[oldest].used) {
					oldest = id
				}
			}
			delete(d.known, oldest)
		}
		e = &detail{}
		d.known[id] = e
	}
	e.used = time.Now()
	return e
}
