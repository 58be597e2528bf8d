package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/workflow"
)

// File is a file that an output is to be saved in.
type File struct {
	Step    *workflow.Step // nil for the output of the run
	Unit    journal.Unit   // whose output it is; zero for that of the run
	Path    string         // with slashes, from the project's folder; see [workflow.Save.Name]
	Content string
}

// saves reports whether the output of the unit is saved: with foreach that of each
// item, with loop that of the last iteration.
func (u *unit) saves() bool {
	if u.step.Save == nil {
		return false
	}
	if u.parent != nil {
		return u.step.Foreach != nil
	}
	return u.step.Foreach == nil
}

// answers reports whether the journal has the end of the unit before its output is
// saved. It has that of a unit with others within it after that.
func (u *unit) answers() bool { return u.leaf() || u.step.Approval != nil }

// save saves the output of a unit that has completed, and journals that. It reports
// whether the unit can be completed at once: its file is in the journal, or nothing is
// saved. Otherwise it is once the file is written.
//
// The unit's answer is durable by then, so that a process that dies here costs nothing:
// the next one writes the file, again if need be, with the same content.
func (r *run) save(o *outcome) bool {
	u := o.unit
	was := r.opts.Past.Unit(u.path, u.item)
	switch {
	case r.opts.Rebuild || r.parts != nil && r.rebuilt && r.exited == nil:
		r.rebuildSave(o, was)
		return true
	case r.opts.Save == nil:
		return true
	}
	f, saved, err := r.file(u.step.Save, u.env(), o.output, o.json)
	f.Step, f.Unit = u.step, u.id()
	if err == nil {
		err = r.claim(SavedFile{u.path, u.label, saved}, u.item)
	}
	switch {
	case err != nil:
		o.saved, o.status, o.err = true, StatusFailed, invalid("saving the output of step "+u.path, err)
		return true
	case was != nil && was.Saved != nil && *was.Saved == saved:
		r.files = append(r.files, SavedFile{u.path, u.label, saved})
		return true
	}
	r.waiting++
	r.spawn(func(ctx context.Context) report {
		return report{unit: u, kind: saveEnded, err: r.opts.Save(ctx, f), saved: &savedOutput{*o, saved}}
	})
	return false
}

// savedOutput is the end of a unit whose output was to be saved.
type savedOutput struct {
	outcome
	file journal.Saved
}

// saveEnded completes a unit once its output is saved.
func (r *run) saveEnded(ctx context.Context, rep report) {
	o, u := rep.saved.outcome, rep.unit
	o.saved = true
	switch {
	case rep.err == nil:
		r.write(u, journal.FileSaved, 0, rep.saved.file)
		r.files = append(r.files, SavedFile{u.path, u.label, rep.saved.file})
	case ctx.Err() != nil:
		o.status, o.err, o.output = StatusInterrupted, rep.err, ""
		u.reckoned = u.answers() // by the event of its end
	default:
		o.status, o.err = StatusFailed, fmt.Errorf("saving the output of step %s: %w", u.path, rep.err)
	}
	r.outcomes = append(r.outcomes, o)
}

// rebuildSave takes what became of an output from the journal.
func (r *run) rebuildSave(o *outcome, was *journal.UnitState) {
	switch {
	case was == nil:
	case was.Type == journal.StepFailed && was.Failed.Unsaved:
		o.saved, o.status, o.err = true, StatusFailed, failureOf(was)
	case was.Saved != nil:
		r.files = append(r.files, SavedFile{o.unit.path, o.unit.label, *was.Saved})
	}
}

// file returns the file that an output is saved in.
func (r *run) file(s *workflow.Save, env workflow.Env, output string, json any) (File, journal.Saved, error) {
	name, err := s.Name(env)
	if err != nil {
		return File{}, journal.Saved{}, err
	}
	content, err := s.Content(name, output, json)
	if err != nil {
		return File{}, journal.Saved{}, err
	}
	sum := sha256.Sum256([]byte(content))
	return File{Path: name, Content: content}, journal.Saved{Path: name, Bytes: len(content), SHA256: hex.EncodeToString(sum[:])}, nil
}

// claim notes who saves a file. It is an error if another unit of the run does, in this
// process or an earlier one.
func (r *run) claim(f SavedFile, item string) error {
	if r.claimed == nil {
		r.claimed = map[string]claim{}
		if !r.opts.Changed { // else those before may save other files now
			for _, u := range r.opts.Past.Order {
				if u.Saved != nil {
					r.claimed[workflow.SameFile(u.Saved.Path)] = claim{SavedFile{u.Step, u.Started.Label, *u.Saved}, u.Unit}
				}
			}
		}
	}
	key, unit := workflow.SameFile(f.Path), journal.Unit{Step: f.Step, Item: item}
	other, taken := r.claimed[key]
	if !taken || other.unit == unit {
		r.claimed[key] = claim{f, unit}
		return nil
	}
	where := other.name() + " saves in this file too"
	if other.Path != f.Path {
		where = fmt.Sprintf("%s saves in %s, which some systems take for the same file", other.name(), other.Path)
	}
	return fmt.Errorf("%s: %s", f.Path, where)
}

// claim is who saves a file.
type claim struct {
	SavedFile
	unit journal.Unit
}

// name returns who saves the file, for people.
func (f SavedFile) name() string {
	switch {
	case f.Step == "":
		return "the workflow"
	case f.Item != "":
		return "step " + f.Step + "[" + f.Item + "]"
	}
	return "step " + f.Step
}

// saveResult saves the output of a run that has completed, and sets the list of files.
func (r *run) saveResult(ctx context.Context, res *Result) {
	if past := r.opts.Past; res.Status == StatusCompleted && res.Exited == nil && r.wf.Save != nil {
		switch {
		case r.opts.Rebuild:
			if past.Saved != nil {
				r.files = append(r.files, SavedFile{Saved: *past.Saved})
			}
		case r.opts.Save != nil:
			if err := r.saveOutput(ctx, res.Output); err != nil {
				res.Status, res.Error = StatusFailed, new(fmt.Sprintf("saving the output of the workflow: %v", err))
				if ctx.Err() != nil {
					res.Status = StatusInterrupted
				}
			}
		}
		if r.opts.Rebuild && past.Saved == nil && past.Ended != nil && past.Ended.Status == journal.StatusFailed && past.Ended.Error != "" {
			res.Status, res.Error = StatusFailed, new(past.Ended.Error)
		}
	}
	slices.SortFunc(r.files, func(a, b SavedFile) int { return strings.Compare(a.Path, b.Path) })
	res.Files = r.files
}

// saveOutput saves the output of the run.
func (r *run) saveOutput(ctx context.Context, output string) error {
	env := r.root.env
	env.Steps = r.root.all()
	f, saved, err := r.file(r.wf.Save, env, output, parseJSON(output))
	if err == nil {
		err = r.claim(SavedFile{Saved: saved}, "")
	}
	if err != nil {
		return err
	}
	if was := r.opts.Past.Saved; was == nil || *was != saved {
		if err := r.opts.Save(ctx, f); err != nil {
			return err
		}
		r.write(nil, journal.FileSaved, 0, saved)
	}
	r.files = append(r.files, SavedFile{Saved: saved})
	return nil
}
