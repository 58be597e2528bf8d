package claudeforce

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"sync"
	"time"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/task"
	"github.com/claude-force/claude-force/tool"
	"github.com/claude-force/claude-force/workflow"
)

// stepSaw is what a step with tools depended on beside what it was asked, as the
// journal keeps it.
type stepSaw struct {
	Noted    int                `json:"noted"`  // [tool.Noted]
	At       time.Time          `json:"at"`     // when the step's agent worked
	Grants   string             `json:"grants"` // [task.Tools].Grants
	Observed []tool.Observation `json:"observed"`
}

// reuse decides which steps of a run are taken from the run before since they would
// see the same, and remembers why the others are not.
type reuse struct {
	o    *Orchestrator
	opts *RunOptions

	mu      sync.Mutex
	taken   map[journal.Unit]bool
	differs map[journal.Unit]difference
}

// newReuse returns the reuse of a run.
func newReuse(o *Orchestrator, opts *RunOptions) *reuse {
	return &reuse{o: o, opts: opts, taken: map[journal.Unit]bool{}, differs: map[journal.Unit]difference{}}
}

// difference is why a step is not reused.
type difference struct {
	why   string // for people; empty if nothing is
	exact bool   // it names what differs, and not only what cannot be compared
}

// took reports whether a step was taken from the run before, since it would see the same.
func (u *reuse) took(unit journal.Unit) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.taken[unit]
}

// why returns what a step that was run would see otherwise; empty if that is not known.
// It is exact if it names what differs.
func (u *reuse) why(unit journal.Unit) (why string, exact bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.differs[unit].why, u.differs[unit].exact
}

// saw returns what an attempt saw; nil if that is not known.
func (u *reuse) saw(ctx context.Context, a engine.Attempt) json.RawMessage {
	changes, ok := a.Turns.Changes(tool.Noted)
	if !ok || !u.reusable(a.Step) {
		return nil
	}
	tools, err := u.o.tasks.ToolsOf(ctx, u.task(a))
	if err != nil || tools == nil || tools.Look == nil {
		return nil
	}
	s := stepSaw{Noted: tool.Noted, At: time.Now().UTC(), Grants: tools.Grants}
	seen := map[tool.Observation]bool{}
	for _, c := range changes {
		var change tool.Change
		if json.Unmarshal(c, &change) != nil {
			return nil
		}
		for _, o := range change.Observed {
			if o.Kind == tool.SawAnything {
				s.Observed = []tool.Observation{o} // the others are of no use
				return journal.Detail(s)
			}
			if o.Kind == tool.SawTree && seen[o] {
				continue
			}
			seen[o] = true
			s.Observed = append(s.Observed, o)
		}
	}
	return journal.Detail(s)
}

// reusable reports whether a step may be taken from an earlier run at all.
func (u *reuse) reusable(s *workflow.Step) bool {
	return s.Effects != workflow.EffectsIdempotent && s.Effects != workflow.EffectsOnce && u.o.opts.Replay == nil && u.o.tools != nil
}

// task returns the task of an attempt.
func (u *reuse) task(a engine.Attempt) Task {
	t := stepTask(a.Step, u.opts)
	t.Prompt = a.Task
	u.opts.give(&t, a)
	return t
}

// unchanged reports whether all that a step saw in the run before is still so. What
// the cache would not answer is not reused either.
func (u *reuse) unchanged(ctx context.Context, a engine.Attempt, was *journal.UnitState) bool {
	var s stepSaw
	t := u.task(a)
	if !u.reusable(a.Step) || u.o.opts.Record != nil || u.o.tasks.CachePolicy(ctx, t) != llm.PolicyDefault ||
		json.Unmarshal(was.Finished.Saw, &s) != nil || s.Noted != tool.Noted || u.old(ctx, t, s.At) {
		return false
	}
	d, err := u.difference(ctx, t, s) // what cannot be looked at is run
	u.mu.Lock()
	defer u.mu.Unlock()
	if err == nil && d.why == "" {
		u.taken[was.Unit] = true
		return true
	}
	u.differs[was.Unit] = d
	return false
}

// old reports whether an answer of that time would not be in the cache any more.
func (u *reuse) old(ctx context.Context, t Task, at time.Time) bool {
	ttl := u.o.pipe.TTL(t.Agent, u.o.tasks.CacheTTL(ctx, t))
	return ttl == 0 || ttl > 0 && time.Since(at) > ttl
}

// difference returns what is not as a step saw it; empty if all is.
func (u *reuse) difference(ctx context.Context, t Task, s stepSaw) (_ difference, err error) {
	tools, err := u.o.tasks.ToolsOf(ctx, t)
	if err != nil || tools == nil || tools.Look == nil {
		return difference{why: "its agent has no tools now"}, err
	}
	if tools.Close != nil {
		defer func() { err = errors.Join(err, tools.Close()) }()
	}
	if tools.Grants != s.Grants {
		return difference{why: "what it may do changed", exact: true}, nil
	}
	env, err := tools.Look()
	if err != nil {
		return difference{}, err
	}
	defer func() { err = errors.Join(err, env.Close()) }()
	d, err := env.Verify(ctx, s.Observed)
	if err != nil || d == nil {
		return difference{}, err
	}
	return difference{u.o.sawOther(ctx, env, d, s.At), d.Kind != tool.SawAnything}, nil
}

// sawOther says what a step would see or find otherwise.
func (o *Orchestrator) sawOther(ctx context.Context, env *tool.Env, d *tool.Difference, since time.Time) string {
	name := d.Name
	if dir, err := filepath.Abs(o.opts.Dir); err == nil {
		if rel, err := filepath.Rel(dir, name); err == nil && filepath.IsLocal(rel) {
			name = filepath.ToSlash(rel)
		}
	}
	input := json.RawMessage(d.Input)
	if d.Input == "" {
		input = json.RawMessage(d.Name)
	}
	switch {
	case d.Own:
		return "it changed file " + name + ", which it had read"
	case d.Kind == tool.Wrote:
		return "file " + name + ", which it wrote, is not as it left it"
	case d.Kind == tool.SawAnything && d.Name == "Bash":
		return "it ran a command that changed files, or whose files cannot be compared"
	case d.Kind == tool.SawAnything:
		return "what its call of " + d.Name + " saw cannot be compared"
	case d.Kind == tool.SawTree:
		switch file, folder := env.ChangedSince(ctx, since); {
		case folder == ".":
			return "files were added to the working folder or removed from it, which a command that it ran may have read"
		case folder != "":
			return "files were added to folder " + folder + " or removed from it, which a command that it ran may have read"
		case file != "":
			return "file " + file + ", which a command that it ran may have read, changed"
		}
		return "the files that a command which it ran may have read changed"
	case d.Tool == "":
		return "file " + name + ", which it read, changed"
	default:
		return sawChanged(d.Tool, task.Brief(input))
	}
}
