package schedule

import (
	"context"
	"errors"
	"time"
)

// Errors of a [Store].
var (
	ErrNotFound = errors.New("there is no such schedule")
	ErrExists   = errors.New("there is a schedule of this name")
)

// Store holds schedules. Package scheduletest checks one. Times are kept to the second.
// It is safe for concurrent use, also by several processes if it outlives one.
type Store interface {
	// Add adds a schedule. The error is ErrExists if its project has one of its name.
	Add(ctx context.Context, s *Schedule) error

	// Remove removes a schedule, or returns ErrNotFound.
	Remove(ctx context.Context, dir, name string) error

	// SetPaused pauses or resumes a schedule, or returns ErrNotFound. One that is
	// resumed has ticks after a time.
	SetPaused(ctx context.Context, dir, name string, paused bool, now time.Time) error

	// List lists the schedules of a project, by name.
	List(ctx context.Context, dir string) ([]Schedule, error)

	// Decide writes down that the ticks of a schedule until a time are decided, and the
	// run that one of them is to start, which is then pending. It reports false and
	// changes nothing if another process was there first, or the schedule was removed.
	Decide(ctx context.Context, s *Schedule, o Outcome) (bool, error)

	// Started writes down that the last run of a schedule is not pending any more: it
	// was started, or there is a problem for which it never will be.
	Started(ctx context.Context, s *Schedule, problem string) error

	Close() error
}

// Find returns the schedule of a project with a name, or ErrNotFound.
func Find(ctx context.Context, store Store, dir, name string) (*Schedule, error) {
	list, err := store.List(ctx, dir)
	if err != nil {
		return nil, err
	}
	for i := range list {
		if list[i].Name == name {
			return &list[i], nil
		}
	}
	return nil, ErrNotFound
}

// Outcome is what becomes of ticks. An empty Run leaves that of an earlier tick.
type Outcome struct {
	Decided time.Time // ticks until then are decided
	Run     string    // that one of them is to start
	Tick    time.Time // of Run
}
