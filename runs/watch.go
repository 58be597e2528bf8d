package runs

import (
	"context"
	"iter"
	"time"

	"github.com/claude-force/claude-force/journal"
)

// Change is what [Watch] yields: an event of a run, or a change of the run itself.
type Change struct {
	Event *journal.Event // nil for a change of the run
	Run   journal.Run    // without an event: the run as it is now
	More  bool           // another event is there already, which comes next
}

const (
	// watchInterval is how often a run that is watched is looked at.
	watchInterval = 200 * time.Millisecond

	// maxUnowned is how many looks in a row may find no owner before the run
	// counts as crashed: a process that was started for it may not own it yet.
	maxUnowned = 15
)

// Watch yields the events of a run from its start, then those that happen, until
// the run ends, crashes or stays interrupted; the last change is that of the run
// then. The id is one that [Find] takes. The sequence ends with ctx, without an
// error.
func Watch(ctx context.Context, store journal.Store, id string) iter.Seq2[Change, error] {
	return WatchAfter(ctx, store, id, 0)
}

// WatchAfter yields as [Watch] does, without the events up to a sequence number.
func WatchAfter(ctx context.Context, store journal.Store, id string, after int64) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		run, err := Find(ctx, store, id)
		if err != nil {
			yield(Change{}, err)
			return
		}
		ticker := time.NewTicker(watchInterval)
		defer ticker.Stop()
		unowned := 0
		status := journal.Status("")
		for {
			// The run is read before its events: if it has ended, these are all.
			var last *journal.Event // which is not yielded until the next is known, or that there is none
			for ev, err := range store.Events(ctx, run.ID, after) {
				if last != nil && !yield(Change{Event: last, More: true}, nil) {
					return
				}
				if err != nil {
					yield(Change{}, err)
					return
				}
				last, after = &ev, ev.Seq
			}
			if last != nil && !yield(Change{Event: last}, nil) {
				return
			}
			ended := false
			if run.Owned() {
				unowned = 0
			} else {
				unowned++
				ended = run.Status.Ended() && run.Status != journal.StatusInterrupted || unowned > maxUnowned
			}
			if ended || run.Status != status {
				status = run.Status
				if !yield(Change{Run: run}, nil) || ended {
					return
				}
			}
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
			if run, err = store.Find(ctx, run.ID); err != nil {
				yield(Change{}, err)
				return
			}
		}
	}
}
