package journal

import (
	"context"
	"errors"
)

// Owned reports whether someone works on the run: a process that lives, or an engine.
func (r *Run) Owned() bool { return r.Owner != nil && r.Owner.Alive || r.Joined() }

// Joined reports whether an engine owns the run, so that its parts can be joined.
func (r *Run) Joined() bool { return r.Engine != "" && !r.Status.Ended() }

// OwnedError returns the error that says who works on the run.
func (r *Run) OwnedError() *OwnedError {
	err := &OwnedError{Run: r.ID, Engine: r.Engine}
	if r.Owner != nil {
		err.Owner, err.Engine = *r.Owner, ""
	}
	return err
}

// CheckAcquire returns why the run cannot be acquired; nil if it can. See [Store].
func (r *Run) CheckAcquire() error {
	if r.Owned() {
		return r.OwnedError()
	}
	return nil
}

// CheckJoin returns why a part of the run cannot be joined for an engine; nil if it can.
// See [Joiner].
func (r *Run) CheckJoin(engine string) error {
	switch {
	case r.Owner != nil && r.Owner.Alive:
		return r.OwnedError()
	case !r.Joined() || engine == "":
		return ErrLost
	case r.Engine != engine:
		return r.OwnedError()
	}
	return nil
}

// Joiner is a [Store] whose runs can be written by several processes at the same time, each
// a part, for an engine that owns them instead of a process. The engine owns a run from its
// creation until RunFinished, whatever becomes of the processes: no lease can be lost.
//
// The Log that Create returns for such a run is that of the zero Unit.
type Joiner interface {
	// Join returns the log of a part of a run: of one unit, or, with the zero Unit, of
	// what is between the units. The caller is the only one to write that part from then
	// on: the error of a log that was joined before for the same part is [ErrLost], as is
	// that of all logs once the run has ended. What is in the journal after Join is thus
	// all that there is of the part: it is among the events up to the number last. Releasing
	// the log, also one that has lost its part, leaves the run to the engine.
	//
	// The error of a run that has ended is [ErrLost], that of one which a process or
	// another engine owns is an [*OwnedError].
	Join(ctx context.Context, id, engine string, part Unit) (log Log, last int64, err error)
	// Signaled returns, of runs, each with the number of an event, those to which people have
	// sent something behind it, see Signals of [Store], with the number of the last. It costs
	// less than to look for each, and leaves out runs that there are not.
	Signaled(ctx context.Context, after map[string]int64) (last map[string]int64, err error)
}

// LookForSignals is Signaled of a [Joiner] for a store in which to look for each costs little.
func LookForSignals(ctx context.Context, s Store, after map[string]int64) (last map[string]int64, err error) {
	last = map[string]int64{}
	for id, seq := range after {
		switch sent, err := s.Signals(ctx, id, seq); {
		case errors.Is(err, ErrNotFound):
		case err != nil:
			return nil, err
		case len(sent) > 0:
			last[id] = sent[len(sent)-1].Seq
		}
	}
	return last, nil
}
