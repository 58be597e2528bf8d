package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
)

// ErrDenied is the failure of an approval that a person did not give.
var ErrDenied = errors.New("not approved")

// ask waits for a person's approval, unless the journal has the decision. A
// request keeps its deadline however often the run is resumed.
func (r *run) ask(u *unit) {
	was := r.opts.Past.Unit(u.path, u.item)
	if was != nil && (was.Type == journal.StepFinished || was.Answered() && !r.rebuilt) && !r.opts.Changed {
		r.restore(u, was)
		return
	}
	if u.reuse {
		if earlier := r.opts.Earlier.Unit(u.path, u.item); earlier != nil && earlier.Type == journal.StepFinished && earlier.Finished.Exit == nil {
			r.reuse(u, earlier)
			return
		}
	}
	if r.rebuilt {
		if was != nil {
			r.rebuild(u, was)
		}
		return
	}
	message, err := u.step.Approval.Message.Render(u.env())
	if err != nil {
		r.fail(u, invalid("filling in the question of step "+u.path, err))
		return
	}
	question := &journal.ApprovalRequest{Message: message, Choices: u.step.Approval.Choices, Schema: u.step.Approval.Schema}
	switch {
	case was == nil:
	case r.parts != nil && was.Asked != nil: // the question stands as it was asked
	case !answers(was, question), was.Finished.Exit != nil && !u.step.Approval.Exits:
		was = nil // that was another question
	case was.Answered():
		r.restore(u, was)
		return
	}
	now := time.Now()
	u.begin()
	u.res.Attempts, u.res.Status = 1, StatusWaiting
	if u.node != nil && u.frame == r.root {
		r.recordStart(u.step.ID)
	}
	r.asking = append(r.asking, u)
	if was != nil && was.Asked != nil && was.Type != journal.StepFailed {
		u.asked, u.res.StartedAt, u.began = was.Asked, new(was.StartedAt.UTC()), time.Time{}
		if !u.asked.Deadline.IsZero() {
			left := u.asked.Deadline.Sub(now)
			if d := u.step.Approval.Timeout; d > 0 {
				left = min(left, d) // the clock may have been set back since
			}
			u.deadline = now.Add(left)
		}
		r.show(u)
	} else {
		u.asked = question
		if d := u.step.Approval.Timeout; d > 0 {
			u.asked.Deadline = now.UTC().Add(d)
			u.deadline = now.Add(d)
		}
		r.put(u)
	}
	if was != nil && was.Decision != nil && was.Type != journal.StepFailed {
		r.answer(u, *was.Decision)
		return
	}
	r.expire(now)
}

// answers reports whether what a journal says of an approval is about the question.
func answers(was *journal.UnitState, question *journal.ApprovalRequest) bool {
	if was.Asked == nil {
		return was.Started.Task == question.Message && !question.WantsValue()
	}
	return was.Asked.Digest() == question.Digest() && (was.Decision == nil || question.CheckAnswer(was.Decision) == nil)
}

// put journals a new request. It is shown once that is durable, so that a
// decision finds it; the decision may come before it is shown.
func (r *run) put(u *unit) {
	if r.opts.Log == nil {
		r.show(u)
		return
	}
	wait := r.opts.Log.Append(
		journal.Event{Type: journal.StepStarted, Step: u.path, Item: u.item, Attempt: 1, Detail: journal.Detail(journal.Started{Task: u.asked.Message, Label: u.label})},
		journal.Event{Type: journal.ApprovalAsked, Step: u.path, Item: u.item, Detail: journal.Detail(u.asked)})
	r.waiting++
	r.spawn(func(context.Context) report { return report{unit: u, kind: questionKept, fatal: wait()} })
}

// show reports a request to the observer, unless it has ended.
func (r *run) show(u *unit) {
	if !r.stopping && slices.Contains(r.asking, u) {
		r.observe(u, Event{Attempt: 1, Asked: u.asked, Question: u.question()})
	}
}

// decide handles an event that a person sent.
func (r *run) decide(ev journal.Event) {
	switch ev.Type {
	case journal.CancelAsked:
		r.cancelled = true
		r.stop()
		r.cancel(errCancelled)
	case journal.ApprovalGiven:
		var d journal.Decision
		if ev.Decode(&d) != nil {
			return // not ours: a later version may say it otherwise
		}
		for _, u := range r.asking {
			if u.question() != (journal.Unit{Step: ev.Step, Item: ev.Item}) {
				continue
			}
			if d.Question == "" || d.Question == u.asked.Digest() { // else it is of a question that was asked before
				r.answer(u, d)
			}
			return
		}
	}
}

// answer ends a request with the decision d.
func (r *run) answer(u *unit, d journal.Decision) {
	r.asking = slices.DeleteFunc(r.asking, func(v *unit) bool { return v == u })
	if u.call != nil {
		r.callDecided(u, d)
		return
	}
	if !d.Approved {
		err := ErrDenied
		if d.By != "" {
			err = fmt.Errorf("%w by %s", err, d.By)
		}
		if d.Comment != "" {
			err = fmt.Errorf("%w: %s", err, d.Comment)
		}
		u.res.Reason = d.Comment
		r.deny(u, d, err)
		return
	}
	r.endQuestion(u, d, nil)
}

// deny ends an approval that was not given, for the reason err: it fails, or the run exits.
func (r *run) deny(u *unit, d journal.Decision, err error) {
	if !u.step.Approval.Exits {
		r.fail(u, err)
		return
	}
	r.endQuestion(u, d, &journal.Exit{Status: journal.StatusCompleted, Message: err.Error()})
}

// endQuestion completes an approval with the decision d. The run exits if end is not nil.
func (r *run) endQuestion(u *unit, d journal.Decision, end *journal.Exit) {
	output := d.Text()
	if !u.asked.WantsValue() || end != nil {
		// All of it is there, so that steps can use a comment that is missing.
		data, err := json.Marshal(map[string]any{"approved": d.Approved, "by": d.By, "comment": d.Comment})
		if err != nil {
			r.fail(u, err)
			return
		}
		output = string(data)
	}
	if r.opts.Log != nil {
		r.opts.Log.Append(journal.Event{Type: journal.StepFinished, Step: u.path, Item: u.item, Output: output,
			Detail: journal.Detail(journal.Finished{Outcome: llm.Outcome{CostUSD: new(float64)}, DurationSeconds: u.took(), Exit: end})})
	}
	r.outcomes = append(r.outcomes, outcome{unit: u, status: StatusCompleted, output: output, json: parseJSON(output)})
	if end != nil {
		r.exit(u, *end)
	}
}

// expire ends the requests whose deadline has passed, and sets the alarm for the
// next.
func (r *run) expire(now time.Time) {
	var next time.Time
	for _, u := range slices.Clone(r.asking) {
		at := u.deadline
		switch {
		case at.IsZero() || u.expired:
		case passed(now, at, u.asked.Deadline):
			u.expired = true
			r.lookForDecision(u)
		case next.IsZero() || at.Before(next):
			next = at
		}
	}
	r.alarm.Stop()
	if !next.IsZero() {
		r.alarm.Reset(min(next.Sub(now), clockCheck))
	}
}

// clockCheck is the longest time between two looks at the clock while a deadline is
// set: a timer stands still while the machine sleeps, and does not see a clock that is
// set.
const clockCheck = 15 * time.Second

// passed reports whether a deadline has passed: the time that was given is up by the
// monotonic clock, or the time of day that people were shown is reached, as after a
// sleep. The first of both counts, as it does where decisions are taken.
func passed(now, monotonic, shown time.Time) bool {
	return !now.Before(monotonic) || !now.Round(0).Before(shown.Round(0))
}

// lookForDecision ends a request whose deadline has passed with the decision that
// the journal has. Without one, the answer is no.
func (r *run) lookForDecision(u *unit) {
	if r.opts.Decided == nil {
		r.expired(report{unit: u})
		return
	}
	r.waiting++
	question := u.question()
	r.spawn(func(ctx context.Context) report {
		rep := report{unit: u, kind: deadlinePassed}
		if r.opts.Log != nil { // a decision that is being written is in the journal after this
			if rep.fatal = r.opts.Log.Append()(); rep.fatal != nil {
				return rep
			}
		}
		rep.decision, rep.fatal = r.opts.Decided(ctx, question)
		return rep
	})
}

// expired ends a request whose deadline has passed.
func (r *run) expired(rep report) {
	u := rep.unit
	switch {
	case !slices.Contains(r.asking, u) || rep.fatal != nil || r.stopping:
	case rep.decision != nil:
		r.answer(u, *rep.decision)
	case u.call != nil:
		r.answer(u, journal.Decision{Comment: "there was no answer by " + u.asked.Deadline.Local().Format(time.DateTime)})
	default:
		r.asking = slices.DeleteFunc(r.asking, func(v *unit) bool { return v == u })
		// Others may read it, and would ask something else after a resume if it named the hour.
		r.deny(u, journal.Decision{}, fmt.Errorf("%w: there was no answer within %s", ErrDenied, llm.ShortDuration(u.step.Approval.Timeout)))
	}
}
