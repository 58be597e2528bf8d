package relay

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/claude-force/claude-force/journal"
)

// lookSignal has a run look at its journal: someone has decided something.
const lookSignal = "look"

// RunInput is what the workflow of a run is started with.
type RunInput struct {
	Run       string        `json:"r"`
	Items     *Items        `json:"i,omitempty"` // of a child: what it advances
	Heartbeat time.Duration `json:"h,omitempty"` // after which a silent worker counts as gone; 0 for [DefaultHeartbeat]
	Part      int           `json:"n,omitempty"` // items of a child at most; 0 for [DefaultPart]
	Events    int           `json:"e,omitempty"` // of a history, after which it is continued in another; 0 for what the server suggests
}

// Defaults of a [RunInput].
const (
	DefaultHeartbeat = 15 * time.Second
	DefaultPart      = 500
)

// hardEvents is how many events a history may have before nothing more is started in it.
// The server ends a workflow at 51,200.
const hardEvents = 20_000

// longest bounds an attempt. What a step may take is the engine's to say.
const longest = 30 * 24 * time.Hour

// Run executes the workflow of a run, or of some items of a foreach in it.
func Run(ctx workflow.Context, in RunInput) error {
	// What is cancelled by Temporal is cancelled in the journal, and ends as any other run.
	own, release := workflow.NewDisconnectedContext(ctx)
	defer release()
	r := &relay{in: in, ctx: own, under: map[journal.Unit]int{}, children: map[journal.Unit][]workflow.ChildWorkflowFuture{}, events: workflow.NewSelector(own)}
	r.attempts, r.stop = workflow.WithCancel(own)
	cancelled, cancel := workflow.NewFuture(own)
	workflow.Go(ctx, func(ctx workflow.Context) {
		ctx.Done().Receive(ctx, nil)
		cancel.Set(nil, nil)
	})
	r.events.AddFuture(cancelled, func(workflow.Future) { r.cancelled = true })
	r.events.AddReceive(workflow.GetSignalChannel(own, lookSignal), func(c workflow.ReceiveChannel, _ bool) {
		c.Receive(own, nil)
		r.passOn()
	})
	return r.loop()
}

// relay is the state of the workflow of a run: what is under way.
type relay struct {
	in       RunInput
	ctx      workflow.Context
	attempts workflow.Context // of what is under way
	stop     workflow.CancelFunc
	events   workflow.Selector

	under     map[journal.Unit]int                            // units under way, with the attempts at once; its order must not matter
	order     []journal.Unit                                  // the same, in the order of their starts
	children  map[journal.Unit][]workflow.ChildWorkflowFuture // of those that are wide
	failed    bool                                            // something ended without an end in the journal
	cancelled bool                                            // by Temporal
	wides     int                                             // foreach that were started apart
	wake      time.Time                                       // of the timer that is set
	unset     workflow.CancelFunc                             // ends that timer
}

func (r *relay) loop() error {
	for {
		if r.cancelled && r.in.Items == nil {
			r.cancelled = false
			if err := r.local(cancelActivity, nil, r.in.Run); err != nil {
				return r.end(err)
			}
		}
		if r.cancelled { // by the workflow of the run, which knows why
			return r.end(nil)
		}
		f := &Frontier{}
		if err := r.local(advanceActivity, f, r.in.Run, r.in.Items, r.underWay()); err != nil {
			return r.end(err)
		}
		switch {
		case f.Ended != "" && len(r.order) == 0:
			return nil
		case f.Ended != "" || f.Stop:
			r.stop()
		case r.suggested() && len(r.order) == 0:
			return r.again()
		case r.full():
		default:
			r.start(f)
		}
		r.setAlarm(f.Wake)
		r.events.Select(r.ctx)
		for r.events.HasPending() { // several ends are one look
			r.events.Select(r.ctx)
		}
		if r.failed {
			r.failed = false
			if err := workflow.Sleep(r.ctx, time.Second); err != nil {
				return err
			}
		}
	}
}

// underWay returns what is under way.
func (r *relay) underWay() []Under {
	list := make([]Under, len(r.order))
	for i, u := range r.order {
		list[i] = Under{u, r.under[u]}
	}
	return list
}

// passOn has the children look too.
func (r *relay) passOn() {
	for _, u := range r.order {
		for _, child := range r.children[u] {
			child.SignalChildWorkflow(r.ctx, lookSignal, nil) // one that has ended needs no look
		}
	}
}

// end stops what is under way, and returns how the workflow ends by an error of a look.
func (r *relay) end(err error) error {
	r.stop()
	for len(r.order) > 0 {
		r.events.Select(r.ctx)
	}
	if isGone(err) {
		return nil
	}
	return err
}

// suggested reports whether the history is long enough to be continued in another.
func (r *relay) suggested() bool {
	info := workflow.GetInfo(r.ctx)
	if r.in.Events > 0 {
		return info.GetCurrentHistoryLength() > r.in.Events
	}
	return info.GetContinueAsNewSuggested()
}

// full reports whether nothing more may be started in this history.
func (r *relay) full() bool {
	most := hardEvents
	if r.in.Events > 0 {
		most = 2 * r.in.Events
	}
	return workflow.GetInfo(r.ctx).GetCurrentHistoryLength() > most
}

// again continues the run in another history. Nothing is under way, so that nothing has to
// be carried over: the journal has it all. A signal that is not taken in yet is none the
// less seen, since the new history begins with a look.
func (r *relay) again() error {
	return workflow.NewContinueAsNewError(r.ctx, workflow.GetInfo(r.ctx).WorkflowType.Name, r.in)
}

// start starts what is ready and not under way.
func (r *relay) start(f *Frontier) {
	for _, u := range f.Ready {
		unit := journal.Unit{Step: u.Step, Item: u.Item}
		if _, open := r.under[unit]; open {
			continue
		}
		ctx := workflow.WithActivityOptions(r.attempts, r.options(unit, u.Priority))
		in := attemptInput{Step: u.Step, Item: u.Item}
		if runOf(workflow.GetInfo(ctx).WorkflowExecution.ID) != r.in.Run {
			in.Run = r.in.Run
		}
		r.follow(unit, 0, workflow.ExecuteActivity(ctx, attemptActivity, in))
	}
	for _, w := range f.Wide {
		unit := journal.Unit{Step: w.Step, Item: w.Item}
		if _, open := r.under[unit]; open {
			continue
		}
		r.follow(unit, w.Most, r.startItems(unit, w))
	}
}

// follow notes that a unit is under way until a future is ready.
func (r *relay) follow(u journal.Unit, most int, f workflow.Future) {
	r.under[u] = most
	r.order = append(r.order, u)
	r.events.AddFuture(f, func(f workflow.Future) {
		if err := f.Get(r.ctx, nil); err != nil && !temporal.IsCanceledError(err) {
			r.failed = true
		}
		delete(r.under, u)
		delete(r.children, u)
		r.order = slices.DeleteFunc(r.order, func(other journal.Unit) bool { return other == u })
	})
}

// startItems starts the children for the items of a foreach: as many at once as keep the
// attempts at once within their limit. The future is ready once all have ended.
func (r *relay) startItems(u journal.Unit, w Wide) workflow.Future {
	done, settle := workflow.NewFuture(r.ctx)
	most := max(w.Most, 1)
	part := cmp.Or(r.in.Part, DefaultPart)
	parts := (w.Count + part - 1) / part
	atOnce := min(parts, most)
	r.wides++
	// Ids are not encrypted: no names of steps. A child may start children of its own.
	name := fmt.Sprintf("%s/%d", workflow.GetInfo(r.ctx).WorkflowExecution.ID, r.wides)
	workflow.Go(r.attempts, func(ctx workflow.Context) {
		var failed error
		open := 0
		ends := workflow.NewSelector(ctx)
		for i := 0; ; {
			if i < parts && open < atOnce && ctx.Err() == nil {
				items := Items{Step: w.Step, Item: w.Item, From: w.Count * i / parts, To: w.Count * (i + 1) / parts, Most: most / atOnce}
				i++
				open++
				child := r.startChild(ctx, name, u, items, w.Priority)
				r.children[u] = append(r.children[u], child)
				ends.AddFuture(child, func(f workflow.Future) {
					open--
					if err := f.Get(ctx, nil); err != nil && failed == nil {
						failed = err
					}
				})
				continue
			}
			if open == 0 {
				break
			}
			ends.Select(ctx)
		}
		settle.SetError(failed)
	})
	return done
}

// startChild starts the child for some items.
func (r *relay) startChild(ctx workflow.Context, name string, u journal.Unit, items Items, priority int) workflow.ChildWorkflowFuture {
	in := r.in
	in.Items = &items
	ctx = workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID:            fmt.Sprintf("%s/%d", name, items.From),
		WorkflowIDReusePolicy: enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		ParentClosePolicy:     enums.PARENT_CLOSE_POLICY_REQUEST_CANCEL,
		WaitForCancellation:   true,
		StaticSummary:         fmt.Sprintf("%s[%d:%d]", u, items.From, items.To),
		Priority:              temporal.Priority{PriorityKey: priority},
	})
	return workflow.ExecuteChildWorkflow(ctx, itemsWorkflow, in)
}

// setAlarm sets the timer for the nearest deadline.
func (r *relay) setAlarm(at time.Time) {
	if at.Equal(r.wake) {
		return
	}
	if r.unset != nil {
		r.unset()
	}
	r.wake, r.unset = at, nil
	if at.IsZero() {
		return
	}
	var ctx workflow.Context
	ctx, r.unset = workflow.WithCancel(r.ctx)
	r.events.AddFuture(workflow.NewTimer(ctx, max(at.Sub(workflow.Now(ctx)), time.Second)), func(f workflow.Future) {
		if f.Get(r.ctx, nil) == nil && at.Equal(r.wake) {
			r.wake = time.Time{} // the next look says what is still to come
		}
	})
}

// local calls a local activity until it succeeds: the journal may be away for a while.
func (r *relay) local(name string, result any, args ...any) error {
	ctx := workflow.WithLocalActivityOptions(r.ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout: 5 * time.Minute, ScheduleToCloseTimeout: longest,
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: 200 * time.Millisecond, MaximumInterval: 30 * time.Second},
	})
	return workflow.ExecuteLocalActivity(ctx, name, args...).Get(r.ctx, result)
}

// options returns the options of the attempts at a unit.
func (r *relay) options(u journal.Unit, priority int) workflow.ActivityOptions {
	return workflow.ActivityOptions{
		StartToCloseTimeout: longest,
		HeartbeatTimeout:    cmp.Or(r.in.Heartbeat, DefaultHeartbeat),
		WaitForCancellation: true,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: time.Second, MaximumInterval: 30 * time.Second},
		Priority:            temporal.Priority{PriorityKey: priority},
		Summary:             u.String(),
	}
}
