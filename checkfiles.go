package claudeforce

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/claude-force/claude-force/attach"
	"github.com/claude-force/claude-force/workflow"
)

// checkFiles returns what is wrong with the files of steps that are known before the run,
// and what of them cannot be sent. Steps within others are checked where they start
// whatever happens before them, since what comes before may make the files.
func (o *Orchestrator) checkFiles(ctx context.Context, wf *workflow.Workflow, env workflow.Env, opts *RunOptions) []error {
	var errs []error
	for _, s := range wf.Steps {
		if err := o.checkFilesOf(ctx, s, env, opts); err != nil {
			errs = append(errs, fmt.Errorf("step %s: %w", s.ID, err))
		}
		errs = append(errs, o.checkFilesWithin(ctx, wf, s, env, opts)...)
	}
	return errs
}

// checkFilesWithin checks the steps that a step of wf has within it.
func (o *Orchestrator) checkFilesWithin(ctx context.Context, wf *workflow.Workflow, s *workflow.Step, env workflow.Env, opts *RunOptions) []error {
	if s.Body == nil || !startsFirst(wf, s) {
		return nil
	}
	if s.Workflow != "" {
		var known bool
		if env, known = s.BodyEnv(env); !known {
			return nil
		}
	}
	var errs []error
	for _, inner := range s.Body.Steps {
		if startsFirst(s.Body, inner) {
			if err := o.checkFilesOf(ctx, inner, env, opts); err != nil {
				errs = append(errs, fmt.Errorf("step %s in %s: %w", inner.ID, s.ID, err))
			}
		}
		errs = append(errs, o.checkFilesWithin(ctx, s.Body, inner, env, opts)...)
	}
	return errs
}

// startsFirst reports whether a step of wf starts in every run, and nothing comes before it.
func startsFirst(wf *workflow.Workflow, s *workflow.Step) bool {
	spare := slices.ContainsFunc(wf.Steps, func(other *workflow.Step) bool { return other.Fallback == s.ID })
	return !spare && s.When == nil && s.Foreach == nil && len(s.Dependencies) == 0
}

// checkFilesOf checks the files of one step.
func (o *Orchestrator) checkFilesOf(ctx context.Context, s *workflow.Step, env workflow.Env, opts *RunOptions) error {
	var errs []error
	for _, f := range s.Files {
		if !static(f) {
			continue
		}
		patterns, err := f.Texts(env)
		var files []attach.File
		if err == nil && len(patterns) > 0 {
			files, err = o.files.Read(ctx, patterns, attach.Limits{Media: true}) // what it cannot send is found before anything is spent
		}
		if media := attach.Blocks(files); err == nil && len(media) > 0 {
			for _, v := range s.Variants() {
				t := stepTask(v, opts)
				t.Media = media
				err = errors.Join(err, o.tasks.CheckModel(ctx, t))
			}
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
