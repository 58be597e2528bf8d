package engine

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/workflow"
)

// sum makes the result's usage and cost those of the parts.
func (u *unit) sum(parts iter.Seq[*StepResult]) {
	for p := range parts {
		u.add(p)
	}
}

// add adds the usage, the calls, the cost and the times of a part of the unit.
func (u *unit) add(p *StepResult) {
	u.res.Usage = u.res.Usage.Add(p.Usage)
	u.res.Calls += p.Calls
	u.res.Turns += p.Turns
	u.res.ToolCalls += p.ToolCalls
	u.res.Timing = u.res.AddApart(p.Timing)
	u.res.CostUSD = plusCost(u.res.CostUSD, p)
}

// plusCost returns a sum of costs with one more; nil if any is unknown. Of what did
// not complete only what is known was paid.
func plusCost(sum *float64, p *StepResult) *float64 {
	switch {
	case p.CostUSD != nil && sum != nil:
		return new(*sum + *p.CostUSD)
	case p.CostUSD == nil && p.Status == StatusCompleted:
		return nil
	}
	return sum
}

// finish returns the run's result and journals its end.
func (r *run) finish(ctx context.Context) (*Result, error) {
	res := r.result(ctx)
	return res, r.writeResult(res)
}

// result returns the run's result, whose output it saves.
func (r *run) result(ctx context.Context) *Result {
	r.alarm.Stop()
	res := &Result{
		RunID: r.opts.RunID, Workflow: r.wf.Name, Status: StatusCompleted,
		ExecutionOrder: append([]string{}, r.order...), Steps: r.root.results(),
		CostUSD: new(float64), Notes: r.notes,
	}
	for _, n := range r.root.list {
		if r.abandon(n.unit) {
			res.Status = StatusInterrupted
		}
		res.Usage = res.Usage.Add(n.res.Usage)
		res.Timing = res.AddApart(n.res.Timing)
		res.CostUSD = plusCost(res.CostUSD, n.res)
		if n.res.Status != StatusCompleted && !(n.fallbackOnly && !n.wanted) {
			missing := NotDone{Step: n.step.ID, Status: n.res.Status}
			if n.res.Error != nil {
				missing.Reason = *n.res.Error
			}
			if n.res.Status == StatusFailed {
				missing.Code, missing.Ceiling = n.res.code.String(), n.res.Ceiling()
			}
			res.NotDone = append(res.NotDone, missing)
		}
	}
	switch {
	case r.exited != nil:
		res.Exited, res.Status, res.Output = r.exited, Status(r.exited.Status), r.exited.Message
		if res.Status == StatusFailed {
			res.Error = &r.exited.Message
		}
	case r.cancelled:
		res.Status = StatusCancelled
	case r.refused != nil:
		res.Status, res.Error = StatusFailed, new(r.refused.Error())
	case res.Status != StatusCompleted:
	case r.root.failed != nil:
		res.Status = StatusFailed
	case r.root.nothingSucceeded():
		res.Status, res.Error = StatusFailed, new("no step succeeded")
	default:
		var err error
		if res.Output, err = r.root.output(); err != nil {
			res.Status, res.Error = StatusFailed, new(fmt.Sprintf("filling in the output of the workflow: %v", err))
		}
	}
	r.saveResult(ctx, res)
	r.judge(res)
	res.TotalTimeSeconds = time.Since(r.started).Seconds()
	return res
}

// nothingSucceeded reports whether no step has completed or kept an answer, and one
// that lets the run continue has failed. To continue is not to succeed: such a run has failed.
func (f *frame) nothingSucceeded() bool {
	failed := false
	for _, n := range f.list {
		if n.counts == StatusCompleted || n.counts == StatusFailed && n.kept() != "" {
			return false
		}
		failed = failed || n.counts == StatusFailed && n.step.OnFailure == workflow.OnFailureContinue
	}
	return failed
}

// writeResult journals the end of the run. It returns the first error of the
// journal.
func (r *run) writeResult(res *Result) error {
	if r.fatal != nil || r.opts.Log == nil {
		return r.fatal
	}
	wait := r.opts.Log.Append(journal.Event{Type: journal.RunFinished, Detail: journal.Detail(journal.RunEnd{
		Status: journal.Status(res.Status), TotalTimeSeconds: res.TotalTimeSeconds, UncountedUSD: new(max(r.uncounted, 0)),
		Error: text(res.Error), Exited: res.Exited,
	})})
	return wait()
}

// abandon marks what a stopped run left undone, in u and within it, as
// interrupted, or as skipped if a step has ended the run. It reports whether there is any.
func (r *run) abandon(u *unit) bool {
	switch u.res.Status {
	case StatusPending, StatusRunning, StatusWaiting, StatusInterrupted:
	default:
		return false
	}
	r.leaveUndone(u.res)
	r.leaveUncounted(u)
	if u.res.StartedAt != nil && u.res.DurationSeconds == 0 {
		u.res.DurationSeconds = u.took()
	}
	for c := range u.live {
		r.abandon(c)
		if u.fan == nil {
			u.add(c.res)
			u.res.Steps = c.res.Steps
		}
	}
	if f := u.fan; f != nil {
		for i, item := range f.results {
			if item == nil { // never started
				never := &StepResult{Agent: agentOf(u.step), Outcome: llm.Outcome{CostUSD: new(float64)}}
				r.leaveUndone(never)
				f.results[i] = &ItemResult{Key: f.keys[i], Item: f.labels[i], StepResult: never}
				continue
			}
			u.add(item.StepResult)
		}
		u.res.Items = f.results
	}
	if f := u.body; f != nil {
		u.res.Steps = f.results()
		for _, n := range f.list {
			r.abandon(n.unit)
			u.add(n.res)
		}
	}
	return true
}
