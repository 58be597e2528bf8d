package engine

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/workflow"
)

// attempt starts an attempt at a leaf, which has a slot.
func (r *run) attempt(u *unit) {
	res := u.res
	if res.StartedAt == nil {
		u.begin()
		if u.node != nil && u.frame == r.root {
			r.recordStart(u.step.ID)
		}
	}
	res.Attempts++
	res.Status = StatusRunning
	r.running++
	err := u.choose()
	r.observe(u, Event{Attempt: res.Attempts})
	var d draft
	if err == nil {
		d, err = r.draft(u)
	}
	if err != nil {
		r.running--
		r.release(u)
		r.fail(u, err)
		return
	}
	if r.opts.Log != nil && u.turns == nil {
		u.turns = journal.NewTurns(r.opts.Log, u.id(), r.opts.Past.Unit(u.path, u.item))
		if u.step.Effects == workflow.EffectsOnce && r.opts.Again[u.step.ID] {
			u.turns.Repeat()
		}
	}
	d.turns, u.res.Loop = u.turns, u.turns
	attempts := r.attempts
	r.spawn(func(context.Context) report { return r.try(attempts, u, d) })
}

// choose finds the agent and the model of a step that may have several.
func (u *unit) choose() error {
	if u.chosen != nil {
		return nil
	}
	s, err := u.step.Resolve(u.env())
	if err != nil {
		return invalid("choosing for step "+u.path, err)
	}
	u.chosen, u.res.Agent = s, s.Agent
	return nil
}

// try makes an attempt. It runs in its own goroutine and does not touch the run's
// state.
func (r *run) try(ctx context.Context, u *unit, d draft) (rep report) {
	rep = report{unit: u}
	if d.step.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.step.Timeout)
		defer cancel()
	}
	var a Attempt
	if a, rep.err = d.attempt(ctx, r.opts.Attach); rep.err != nil {
		return rep
	}
	a.Turns = d.turns
	if r.opts.Log != nil {
		asking := &asker{unit: u.id(), past: r.opts.Past, decisions: d.decisions, never: !r.opts.AskCalls}
		ctx, asking.cancel = context.WithCancelCause(ctx)
		defer asking.cancel(nil)
		defer func() {
			if rep.err != nil {
				rep.asked = asking.first()
			}
		}()
		a.Ask, a.Decided = asking.ask, asking.decided
	}
	if r.compares() {
		d.resolveIdentity(a)
	}
	key := d.key(a)
	a.Sample = r.samples.number(d.repeated, d.path, key)*d.samples + d.sample
	switch {
	case d.past == nil:
	case d.past.Key == key && r.unchanged(ctx, a, d.past):
		rep.was = d.past
		return rep
	case d.step.Effects == workflow.EffectsOnce && !r.opts.Again[d.step.ID]:
		rep.err = uncertain(u, d.past)
		return rep
	}
	if d.before != nil && d.before.Key == key && r.unchanged(ctx, a, d.before) {
		rep.before = d.before
		return rep
	}
	conversation := d.keep(&a)
	if r.opts.Log == nil {
		if rep.outcome, rep.err = r.execute(ctx, a, d); rep.err == nil {
			rep.talk, rep.err = conversation(rep.outcome)
		}
		return rep
	}
	began := journal.Event{Type: journal.StepStarted, Step: d.path, Item: d.item, Attempt: d.number}
	if d.number == 1 && !d.again {
		began.Detail = journal.Detail(journal.Started{Agent: d.step.Agent, Model: d.identity.Model, Task: d.task, Label: d.label, Inputs: d.inputs})
	} else {
		began.Type = journal.StepAttempt
	}
	wait := r.opts.Log.Append(began)
	if d.step.Effects == workflow.EffectsOnce {
		// Its start must be durable before it can have effects.
		if rep.fatal = wait(); rep.fatal != nil {
			rep.err = rep.fatal
			return rep
		}
	}
	if rep.outcome, rep.err = r.execute(ctx, a, d); rep.err != nil {
		return rep
	}
	if rep.talk, rep.err = conversation(rep.outcome); rep.err != nil {
		return rep
	}
	done := d.finished(rep.outcome)
	if r.opts.Saw != nil {
		done.Saw = r.opts.Saw(ctx, a)
	}
	events := []journal.Event{{Type: journal.StepFinished, Step: d.path, Item: d.item, Key: key,
		Output: rep.outcome.Output, Detail: journal.Detail(done)}}
	if rep.talk != nil {
		events = slices.Insert(events, 0, rep.talk.event(d.path, d.item))
	}
	wait = r.opts.Log.Append(events...)
	if rep.fatal = wait(); rep.fatal != nil {
		rep.err = rep.fatal
	}
	return rep
}

// compares reports whether steps are compared with earlier ones, by what they are asked.
func (r *run) compares() bool { return r.opts.Log != nil || r.opts.Unchanged != nil }

// unchanged reports whether what a finished unit saw is still so, as far as it says.
func (r *run) unchanged(ctx context.Context, a Attempt, was *journal.UnitState) bool {
	return was.Finished.Saw == nil || r.opts.Unchanged == nil || r.opts.Unchanged(ctx, a, was)
}

// execute makes the attempt. The times of its outcome are measured from the start
// of the unit, and the pause before it is part of what it waited.
func (r *run) execute(ctx context.Context, a Attempt, d draft) (llm.Outcome, error) {
	before := time.Since(d.began)
	out, err := r.opts.Execute(ctx, a)
	out.Timing = out.Shift(before)
	if !d.ended.IsZero() && out.Measured() {
		out.WaitedSeconds += (before - d.ended.Sub(d.began)).Seconds()
	}
	return out, err
}

// ended handles the end of an attempt.
func (r *run) ended(ctx context.Context, rep report) {
	u := rep.unit
	if rep.was != nil {
		r.restore(u, rep.was)
		return
	}
	if rep.before != nil {
		r.reuse(u, rep.before)
		return
	}
	u.pay(rep)
	stopped, retry := r.stopping || ctx.Err() != nil, u.shouldRetry(rep)
	if rep.asked != nil && rep.fatal == nil && !stopped {
		r.askCall(u, rep.asked)
		return
	}
	if retry && !stopped {
		r.retry(u, rep.err)
		return
	}
	o := outcome{unit: u, status: StatusCompleted, output: strings.Clone(rep.outcome.Output)} // without what its builder has to spare
	switch {
	case rep.err == nil:
		u.talk = rep.talk
		o.json = u.parse(o.output)
	case rep.fatal != nil, rep.asked != nil, stopped && retry, llm.IsDrained(rep.err),
		// Only what this run itself stopped is interrupted: the run's own end, or
		// its own time that was up and not the step's.
		ctx.Err() != nil && (llm.CodeOf(rep.err) == llm.CodeCanceled || llm.CodeOf(rep.err) == llm.CodeTimeout):
		o.status, o.err, o.output = StatusInterrupted, rep.err, ""
	default:
		o.status, o.err, o.output = StatusFailed, rep.err, ""
		if answered(rep) { // it was paid for
			o.output = rep.outcome.Output
		}
	}
	r.outcomes = append(r.outcomes, o)
}

// answered reports whether a failed attempt got an answer that is whole, although
// it is not the one that was asked for.
func answered(rep report) bool {
	return llm.CodeOf(rep.err) == llm.CodeOutput || rep.outcome.StopReason == llm.StopContextWindow
}

// pay adds the outcome of an attempt to the unit's result. An attempt that failed
// at an unknown cost leaves the cost as it is.
func (u *unit) pay(rep report) {
	sum := rep.outcome
	sum.Output = u.res.Output
	sum.Usage = u.res.Usage.Add(sum.Usage)
	sum.Calls += u.res.Calls
	sum.Timing = u.res.AddLater(sum.Timing)
	if sum.Model == "" {
		sum.Model = u.res.Model
	}
	switch {
	case sum.CostUSD != nil && u.res.CostUSD != nil:
		sum.CostUSD = new(*u.res.CostUSD + *sum.CostUSD)
	case sum.CostUSD != nil || rep.err != nil:
		sum.CostUSD = u.res.CostUSD
	}
	u.res.Outcome = sum
}

// firstPause and longestPause bound the wait before a step's next attempt.
// Calls already retry below, in seconds; a step retries what outlasted that.
const (
	firstPause   = 2 * time.Second
	longestPause = time.Minute
)

// shouldRetry reports whether the unit has another attempt after one. Failures that
// would repeat (a wrong request, a wrong key, an empty account) are not tried
// again, nor is what must not happen twice.
func (u *unit) shouldRetry(rep report) bool {
	code := llm.CodeOf(rep.err)
	return rep.err != nil && rep.fatal == nil && u.res.Attempts <= u.step.Retry.Max &&
		u.step.Effects != workflow.EffectsOnce && (code.Transient() || code == llm.CodeTimeout || code == llm.CodeOutput)
}

// retry makes the unit wait for its next attempt.
func (r *run) retry(u *unit, err error) {
	wait := max(u.pause(), u.waitAsked(err))
	u.attemptEnded = time.Now()
	if u.turns != nil && llm.CodeOf(err) == llm.CodeOutput {
		u.turns.Forget() // the same turns would end in the same output
	}
	u.res.Status = StatusWaiting
	failed := u.failure(err)
	failed.WaitSeconds = wait.Seconds()
	r.write(u, journal.StepRetrying, u.res.Attempts, failed)
	r.observe(u, Event{Attempt: u.res.Attempts, Wait: wait, Err: err})
	r.waiting++
	r.spawn(func(ctx context.Context) report {
		r.pause(ctx, wait)
		return report{unit: u, kind: pauseEnded}
	})
	r.yieldSlot(u)
}

// pause returns how long the unit waits before its next attempt.
func (u *unit) pause() time.Duration {
	ceiling, longest := firstPause, longestPause
	if u.step.Retry.Backoff > 0 {
		ceiling = u.step.Retry.Backoff
		longest = max(longest, ceiling)
	}
	if u.step.Retry.MaxBackoff > 0 {
		longest = u.step.Retry.MaxBackoff
	}
	for n := 1; n < u.res.Attempts && ceiling < longest; n++ {
		ceiling += min(ceiling, longest-ceiling) // doubled, but never beyond what a Duration holds
	}
	ceiling = min(ceiling, longest)
	return ceiling/2 + rand.N(ceiling/2+1)
}

// longestAsked bounds the pause that a server asks for.
const longestAsked = 10 * time.Minute

// waitAsked returns the pause before its next attempt that the server asks for which
// answered the request of a step. Calls of a model have waited for theirs already.
func (u *unit) waitAsked(err error) time.Duration {
	if e, ok := errors.AsType[*llm.Error](err); ok && u.step.HTTP != nil {
		return min(e.RetryAfter, longestAsked)
	}
	return 0
}

// pause waits for a time, or until the run stops.
func (r *run) pause(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.stopped:
	case <-ctx.Done():
	}
}
