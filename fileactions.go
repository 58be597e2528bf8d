package claudeforce

import (
	"context"
	"fmt"

	"github.com/claude-force/claude-force/attach"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/workflow"
)

// act makes one attempt at a step without a model.
func (o *Orchestrator) act(ctx context.Context, a engine.Attempt) (llm.Outcome, error) {
	switch act := a.Act.(type) {
	case workflow.Command:
		return o.runCommand(ctx, a, act)
	case workflow.HTTPRequest:
		return o.request(ctx, a, act)
	case workflow.ReadFiles:
		return o.readFiles(ctx, a, act)
	case workflow.WriteFile:
		return o.writeFile(ctx, a, act)
	}
	return llm.Outcome{}, fmt.Errorf("step %s does something unknown: %T", a.Path, a.Act)
}

// readFiles reads the files of a step, as those that are attached to tasks are read, and
// none that a permission rule denies.
func (o *Orchestrator) readFiles(ctx context.Context, a engine.Attempt, r workflow.ReadFiles) (llm.Outcome, error) {
	var files []attach.File
	source, err := o.recorded(a, "Read", &files, func() (_ bool, err error) {
		files, err = o.files.Read(ctx, r.Files, attach.Limits{OnNote: func(text string) { o.notice(ctx, text) }})
		if err != nil {
			return false, invalid(err)
		}
		if o.tools != nil {
			names := make([]string, len(files))
			for i, f := range files {
				names[i] = f.Path
			}
			if err := o.tools.CheckRead(ctx, names); err != nil {
				return false, err
			}
		}
		return true, nil
	})
	out := llm.Outcome{Source: source, CostUSD: new(0.0)}
	if err == nil {
		out.Output, err = contentOf(a.Step.Read, files)
	}
	return out, err
}

// contentOf returns the output of a step that has read files.
func contentOf(r *workflow.Read, files []attach.File) (string, error) {
	type read struct {
		Path    string `json:"path"`
		Content any    `json:"content"`
	}
	list := make([]read, len(files))
	for i, f := range files {
		v, err := workflow.Decode(r.Output, f.Content)
		if err != nil {
			return "", llm.NewError(llm.CodeOutput, fmt.Sprintf("%s is not %s: %v", f.Path, r.Output, err), nil)
		}
		list[i] = read{f.Path, v}
	}
	var value any = list
	switch {
	case r.Many:
	case len(list) != 1:
		return "", invalid(fmt.Errorf("the path names %d files, and one is read; write a list for several: read: [...]", len(list)))
	case r.Output == workflow.OutputText, r.Output == workflow.OutputJSON:
		return files[0].Content, nil
	default:
		value = list[0].Content
	}
	return workflow.Encode(value)
}

// writeFile writes the file of a step.
func (o *Orchestrator) writeFile(ctx context.Context, a engine.Attempt, w workflow.WriteFile) (llm.Outcome, error) {
	var path string
	source, err := o.recorded(a, "Write", &path, func() (bool, error) {
		acting, err := o.acting(ctx, a)
		if err != nil {
			return false, err
		}
		path = w.Path
		return true, acting.Write(journal.WithTurns(withAsk(ctx, a), a.Turns), a.Step.Allow, w.Path, w.Content)
	})
	return llm.Outcome{Source: source, CostUSD: new(0.0), Output: path}, err
}

// checkWrite reports a file of a step that may not be written. One whose path is not
// known yet may; with asks, a user can be asked about it.
func (o *Orchestrator) checkWrite(ctx context.Context, s *workflow.Step, env workflow.Env, asks bool) error {
	if !knownBefore(s.Write.Path, env) {
		return nil
	}
	path, err := s.Write.Path.Render(env)
	if err != nil {
		return nil // the step fails for it, if it runs
	}
	return o.tools.CheckWrite(ctx, s.Allow, path, asks)
}

// knownBefore reports whether it is known before the run what a text is.
func knownBefore(t *workflow.Template, env workflow.Env) bool {
	for root, name := range t.Uses() {
		if !env.Knows(root, name) {
			return false
		}
	}
	return true
}

// save writes a file that an output of a run is saved in.
func (o *Orchestrator) save(ctx context.Context, f engine.File) error {
	if o.tools == nil || o.opts.Toolset == nil {
		return errNoSave
	}
	acting, err := o.commands.get(ctx, o.tools)
	if err != nil {
		return err
	}
	return acting.Save(ctx, f.Path, f.Content)
}

// checkSave reports a file that an output may not be saved in. One whose path is not
// known yet may. No one can be asked about a file in the way of [RunOptions.AskCalls],
// since the work is done by then.
func (o *Orchestrator) checkSave(ctx context.Context, s *workflow.Save, env workflow.Env) error {
	if o.tools == nil || o.opts.Toolset == nil {
		return errNoSave
	}
	if !knownBefore(s.Path, env) {
		return nil
	}
	path, err := s.Name(env)
	if err != nil {
		return err
	}
	return o.tools.CheckWrite(ctx, nil, path, o.opts.Toolset.Asker != nil)
}

// errNoSave is a file to save in a run that cannot write.
var errNoSave = llm.NewError(llm.CodeInvalid, "an output is saved in a file, and this run has no tools: allow them, or set Options.Toolset in the library", nil)
