package runs

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
)

// StepRow is a unit of work of a run, a step or an item of one, as it is listed.
type StepRow struct {
	Step      string     `json:"step"` // its path
	Item      string     `json:"item,omitempty"`
	Key       string     `json:"key,omitempty"` // of the item
	Status    string     `json:"status"`
	Agent     string     `json:"agent,omitempty"`
	Model     string     `json:"model,omitempty"`
	Source    llm.Source `json:"source,omitempty"`
	Attempts  int        `json:"attempts"`
	StartedAt time.Time  `json:"started_at,omitzero"`
	EndedAt   time.Time  `json:"ended_at,omitzero"`
	Tokens    int        `json:"tokens"`
	CostUSD   *float64   `json:"cost_usd"` // nil if unknown
	Error     string     `json:"error,omitempty"`
}

// StepRows returns the units of work of the run in the order in which they began. If step
// is not empty, it returns those of this step and within it.
func (d *Detail) StepRows(step string) []StepRow {
	rows := []StepRow{}
	for _, u := range d.State.Order {
		if step == "" || u.In(step) {
			rows = append(rows, d.stepRow(u))
		}
	}
	return rows
}

func (d *Detail) stepRow(u *journal.UnitState) StepRow {
	r := StepRow{
		Step: u.Step, Item: ItemLabel(u), Key: u.Item, Status: d.unitStatus(u), Agent: u.Started.Agent, Model: u.Started.Model,
		Attempts: u.Attempts, StartedAt: u.StartedAt, EndedAt: u.EndedAt,
	}
	switch u.Type {
	case journal.StepFinished:
		f := u.Finished
		r.Source, r.Tokens, r.CostUSD = f.Source, f.Usage.TotalTokens(), f.CostUSD
		if f.Model != "" {
			r.Model = f.Model
		}
	case journal.StepFailed:
		r.Tokens, r.CostUSD, r.Error = u.Failed.Usage.TotalTokens(), u.Failed.CostUSD, u.Failed.Message
	case journal.StepSkipped:
		r.Error = u.Skipped.Reason
	}
	return r
}

// unitStatus returns the status of a unit: of one that began and has not ended, what the
// run does.
func (d *Detail) unitStatus(u *journal.UnitState) string {
	switch u.Type {
	case journal.StepFinished:
		return string(engine.StatusCompleted)
	case journal.StepFailed:
		return string(engine.StatusFailed)
	case journal.StepSkipped:
		return string(engine.StatusSkipped)
	}
	switch {
	case !d.Run.Owned() || d.Run.Status.Ended():
		return string(engine.StatusInterrupted)
	case u.Type == journal.ApprovalAsked && u.Decision == nil:
		return string(engine.StatusWaiting)
	default:
		return string(engine.StatusRunning)
	}
}

// StepView is all that is known of a unit of work.
type StepView struct {
	StepRow
	Prompt   string              `json:"prompt,omitempty"` // as rendered, without files and results of other steps
	Inputs   journal.Fingerprint `json:"inputs"`           // short hashes of what it was asked, part by part
	Reason   string              `json:"reason"`           // why it was reused or was run
	Output   string              `json:"output"`
	Tries    []StepAttempt       `json:"tries"`
	Turns    []*Turn             `json:"turns,omitempty"` // of an agent with tools, with its calls of them
	Timing   llm.Timing          `json:"timing"`
	Usage    llm.Usage           `json:"usage"`
	Changes  *llm.Changes        `json:"changes,omitempty"` // in a worktree of its own
	Compared string              `json:"compared_with,omitempty"`
}

// StepAttempt is one attempt of a unit.
type StepAttempt struct {
	Attempt   int       `json:"attempt"` // from 1
	StartedAt time.Time `json:"started_at"`
	EndedAt   time.Time `json:"ended_at,omitzero"`
	Code      string    `json:"code,omitempty"` // why it failed; empty for one that has not
	Error     string    `json:"error,omitempty"`
}

// LoadStep returns what is known of a step of a run, or of an item of it, by its name or the
// start of its key. The error is a [fault.InputError] if there is none.
func LoadStep(ctx context.Context, store journal.Store, id, step, item string) (*StepView, error) {
	d, err := Load(ctx, store, id)
	if err != nil {
		return nil, err
	}
	return d.loadStep(ctx, store, step, item)
}

// LoadStep returns what the function LoadStep does.
func (r *Reader) LoadStep(ctx context.Context, id, step, item string) (*StepView, error) {
	d, err := r.Load(ctx, id)
	if err != nil {
		return nil, err
	}
	return d.loadStep(ctx, r.store, step, item)
}

// loadStep returns a step, or an item of it, as [LoadStep] does.
func (d *Detail) loadStep(ctx context.Context, store journal.Store, step, item string) (*StepView, error) {
	i := slices.IndexFunc(d.State.Order, func(u *journal.UnitState) bool {
		return u.Step == step && (item == "" && u.Item == "" || item != "" && (ItemLabel(u) == item || strings.HasPrefix(u.Item, item)))
	})
	if i < 0 && item != "" {
		return nil, inputf("step %s has no item %q", step, item)
	}
	if i < 0 {
		return nil, inputf("run %s has started no step %q", d.Run.ID, step)
	}
	u := d.State.Order[i]
	v := &StepView{
		StepRow: d.stepRow(u), Prompt: u.Started.Task, Inputs: u.Started.Inputs, Output: u.Output, Tries: []StepAttempt{},
		Timing: u.Finished.Timing, Usage: u.Finished.Usage, Changes: u.Finished.Changes,
	}
	if u.Type == journal.StepFailed {
		v.Timing, v.Usage = u.Failed.Timing, u.Failed.Usage
	}
	if l := d.Loop(u.Unit); l != nil {
		v.Turns = l.Turns
	}
	if err := v.addTries(ctx, store, d.Run.ID, u.Unit); err != nil {
		return nil, err
	}
	before, err := LoadPrevious(ctx, store, d.Run.ID, d.Spec, d.Workflow)
	if err != nil {
		return nil, err
	}
	v.explain(before, u)
	return v, nil
}

// addTries reads the attempts of a unit.
func (v *StepView) addTries(ctx context.Context, store journal.Store, run string, unit journal.Unit) error {
	for ev, err := range store.Events(ctx, run, 0) {
		if err != nil {
			return err
		}
		if ev.Step != unit.Step || ev.Item != unit.Item {
			continue
		}
		switch ev.Type {
		case journal.StepStarted, journal.StepAttempt:
			v.Tries = append(v.Tries, StepAttempt{Attempt: max(ev.Attempt, 1), StartedAt: ev.Time})
		case journal.StepRetrying, journal.StepFailed, journal.StepFinished:
			if len(v.Tries) == 0 {
				continue
			}
			last := &v.Tries[len(v.Tries)-1]
			last.EndedAt = ev.Time
			if ev.Type == journal.StepFinished {
				continue
			}
			var f journal.Failed
			if err := ev.Decode(&f); err != nil {
				return err
			}
			last.Code, last.Error = f.Code, f.Message
		}
	}
	return nil
}

// explain says why the unit was reused or was run, by what the run before was asked.
func (v *StepView) explain(before *Previous, u *journal.UnitState) {
	var differs []string
	was := before.State.Unit(u.Step, u.Item)
	known := before.Run != nil && was != nil && was.Type == journal.StepFinished && was.Started.Inputs != nil
	if known {
		v.Compared = before.Run.ID
		differs = DiffInputs(was.Started.Inputs, u.Started.Inputs)
	}
	switch {
	case v.Source == llm.SourceJournal:
		v.Reason = "taken from an earlier run"
	case v.Source == llm.SourceCoalesced:
		v.Reason = "the same call was in flight"
	case v.Source == llm.SourceCache && known && len(differs) == 0:
		v.Reason = "nothing has changed"
	case v.Source == llm.SourceCache:
		v.Reason = "the same request was answered before"
	case v.Source == "":
		v.Reason = ""
	case len(differs) > 0:
		v.Reason = "changed since the run before: " + strings.Join(differs, ", ")
	case known:
		v.Reason = "called again although the run before was asked the same"
	default:
		v.Reason = "no run before has finished this step"
	}
}
