package journal

import (
	"encoding/json"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// UnitState is what the events of one unit add up to.
type UnitState struct {
	Unit
	Type     EventType // the last that says where it stands: StepStarted, StepFinished, StepFailed, StepSkipped, ApprovalAsked
	Started  Started
	Finished Finished         // if it is Answered
	Failed   Failed           // if Type is StepFailed, and of the last attempt that is tried again
	Skipped  Skipped          // if Type is StepSkipped
	Asked    *ApprovalRequest // an approval's question; nil if none was asked
	Decision *Decision
	Key      llm.Key
	Output   string
	Expanded *Expanded // of a foreach, once it knows its items
	Kept     Kept      // of Conversation

	// Conversation is the turns of a finished unit that another continues, as JSON; empty if
	// there are none.
	Conversation string

	Saved     *Saved // the file that holds its output; nil if none was saved
	Attempts  int
	RetryAt   time.Time // when the next attempt begins; zero unless the unit waits for that
	StartedAt time.Time // of the first attempt that counts
	EndedAt   time.Time // zero while it has not ended
	StartSeq  int64     // Seq of the event with which it started; 0 if it did not
	EndSeq    int64     // Seq of the event with which it ended; 0 while it has not

	Turns     int // answers within it, if its agent has tools
	ToolCalls int // that have finished

	answered bool // it has finished since it last started

	turns []*turn // those that it goes on from
	saw   []saw   // what the tools of a finished unit gave

	place int // in the order of the state
}

// Answered reports whether the unit has a result: it has finished, also if its output
// could not be saved and it failed for that.
func (u *UnitState) Answered() bool { return u.answered }

// Retries reports whether the unit waits for its next attempt. That of nil does not.
func (u *UnitState) Retries() bool { return u != nil && u.Open() && !u.RetryAt.IsZero() }

// Open reports whether the unit has started and not ended.
func (u *UnitState) Open() bool { return u.Type == StepStarted || u.Type == ApprovalAsked }

// Uncertain reports whether it is unknown what effects the unit, which has started
// and not finished, has had. That of an agent with tools is known, unless one of
// its calls was cut off.
func (u *UnitState) Uncertain() bool {
	if u.Turns == 0 {
		return true
	}
	for _, known := range u.turns {
		for _, c := range known.calls {
			if c.Blocks == nil {
				return true
			}
		}
	}
	return u.turns == nil
}

// State is what the events of a run add up to.
type State struct {
	Units     map[Unit]*UnitState
	Order     []*UnitState // as they were first started
	Cancelled bool         // a person asked for it, after the run was last taken on
	Saved     *Saved       // the file that holds the output of the run; nil if none was saved
	Ended     *RunEnd      // how the run last ended; nil while it is in progress
	Changes   []Changes    // that expressions of the run have asked for, each once
	Exited    *Exited      // the first step that ended the run; nil if none did
	Resumes   int
	Spec      json.RawMessage // what the run is asked since changes were accepted; nil if none were
	LastSeq   int64

	own map[*UnitState]bool // units that no other state has, of a state from Fork; nil if all are
}

// Fold adds up events, which must be those of one run in order. It returns the
// state so far with the first error of the sequence.
func Fold(events iter.Seq2[Event, error]) (*State, error) {
	s := &State{Units: map[Unit]*UnitState{}}
	for ev, err := range events {
		if err == nil {
			err = s.Add(ev)
		}
		if err != nil {
			return s, err
		}
	}
	return s, nil
}

// Unit returns the state of one unit, or nil if nothing is known of it.
func (s *State) Unit(step, item string) *UnitState {
	if s == nil {
		return nil
	}
	return s.Units[Unit{step, item}]
}

// Add takes in the next event.
func (s *State) Add(ev Event) error {
	s.LastSeq = ev.Seq
	switch ev.Type {
	case RunStarted:
		return nil
	case RunResumed:
		s.Resumes++
		s.Cancelled, s.Ended = false, nil
		var r Resumed
		if err := ev.Decode(&r); err != nil {
			return err
		}
		if r.Spec != nil {
			s.Spec, s.Exited = r.Spec, nil // steps are compared with the changes
		}
		return nil
	case RunFinished:
		s.Ended = &RunEnd{}
		return ev.Decode(s.Ended)
	case CancelAsked:
		s.Cancelled = true
		return nil
	case ChangesListed:
		var c Changes
		err := ev.Decode(&c)
		s.Changes = append(s.Changes, c)
		return err
	case FileSaved:
		if ev.Step == "" {
			s.Saved = &Saved{}
			return ev.Decode(s.Saved)
		}
	}
	id := Unit{ev.Step, ev.Item}
	u := s.unit(id)
	err := u.add(ev)
	if end := u.Finished.Exit; end != nil && ev.Type == StepFinished && s.Exited == nil {
		s.Exited = &Exited{ev.Step, ev.Item, *end}
	}
	return err
}

// unit returns a unit to be changed, which is added if it is new.
func (s *State) unit(id Unit) *UnitState {
	u := s.Units[id]
	switch {
	case u == nil:
		u = &UnitState{Unit: id, place: len(s.Order)}
		s.Order = append(s.Order, u)
	case s.own == nil || s.own[u]:
		return u
	default:
		u = u.clone()
		s.Order[u.place] = u
	}
	s.Units[id] = u
	if s.own != nil {
		s.own[u] = true
	}
	return u
}

// Fork returns a state to which events can be added while others read s, which does not
// change: the units that the events are about are copied. No events may be added to s
// any more.
func (s *State) Fork() *State {
	next := *s
	next.Units, next.Order, next.Changes = maps.Clone(s.Units), slices.Clone(s.Order), slices.Clip(s.Changes)
	next.own = map[*UnitState]bool{}
	return &next
}

// clone returns a copy of the unit that shares with it nothing which events change.
func (u *UnitState) clone() *UnitState {
	c := *u
	c.turns = cloneTurns(u.turns)
	return &c
}

// start notes that the unit starts. If it starts again, by a resumed run, what was before
// is void, except for the turns of its agent, what a glob found and what is in a file. A
// question that is still open does not start again; one that is asked again must not have
// the answer of the first.
func (u *UnitState) start(ev Event) {
	*u = UnitState{Unit: u.Unit, Type: StepStarted, Attempts: max(ev.Attempt, 1), StartedAt: ev.Time, StartSeq: ev.Seq, Expanded: u.Expanded, Saved: u.Saved, place: u.place,
		Turns: u.Turns, ToolCalls: u.ToolCalls, turns: u.turns}
}

func (u *UnitState) add(ev Event) error {
	switch ev.Type {
	case StepStarted:
		u.start(ev)
		return ev.Decode(&u.Started)
	case StepAttempt:
		u.Type, u.Attempts, u.answered, u.RetryAt = StepStarted, ev.Attempt, false, time.Time{}
		return nil
	case TurnAnswered, ToolStarted, ToolFinished, ToolWaits:
		return u.addTurn(ev)
	case Conversation:
		u.Conversation = ev.Output
		return ev.Decode(&u.Kept)
	case StepRetrying:
		u.Failed = Failed{}
		err := ev.Decode(&u.Failed)
		u.RetryAt = ev.Time.Add(time.Duration(u.Failed.WaitSeconds * float64(time.Second)))
		u.endTurns(false)
		return err
	case StepFinished:
		var done Finished
		err := ev.Decode(&done)
		if done.Started != nil {
			u.start(ev)
			u.Started, done.Started = *done.Started, nil
		}
		u.RetryAt = time.Time{}
		u.Type, u.EndedAt, u.EndSeq, u.Key, u.Output = ev.Type, ev.Time, ev.Seq, ev.Key, ev.Output
		u.Finished, u.answered = Finished{}, true
		u.keepSaw()
		if u.StartedAt.IsZero() {
			u.StartedAt = ev.Time
		}
		u.Finished = done
		return err
	case StepFailed:
		u.RetryAt = time.Time{}
		u.Type, u.EndedAt, u.EndSeq, u.Failed, u.Output = ev.Type, ev.Time, ev.Seq, Failed{}, ev.Output
		err := ev.Decode(&u.Failed)
		u.answered = u.answered && u.Failed.Unsaved
		u.endTurns(true)
		return err
	case StepSkipped:
		u.Type, u.EndedAt, u.EndSeq, u.Skipped = ev.Type, ev.Time, ev.Seq, Skipped{}
		return ev.Decode(&u.Skipped)
	case StepExpanded:
		u.Expanded = &Expanded{}
		return ev.Decode(u.Expanded)
	case FileSaved:
		u.Saved = &Saved{}
		return ev.Decode(u.Saved)
	case ApprovalAsked:
		u.Type, u.Asked = ev.Type, &ApprovalRequest{}
		return ev.Decode(u.Asked)
	case ApprovalGiven:
		if u.Decision != nil {
			return nil // it was decided
		}
		u.Decision = &Decision{}
		return ev.Decode(u.Decision)
	}
	return nil // a type from a later version
}
