package claudeforce

import (
	"context"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/claude-force/claude-force/attach"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/sandbox"
	"github.com/claude-force/claude-force/workflow"
)

// notFound is the exit code of a command whose program is not there.
const notFound = 127

// checkAct records what will stop a step without a model: a file to read that is not
// there or cannot be read, a command whose program is not installed. Nothing is
// recorded if an answer may decide what the step does, or an earlier step may still
// bring what is missing.
func (r *dryRun) checkAct(ctx context.Context, a engine.Attempt) {
	r.mu.Lock()
	tainted := r.tainted(a.Path, a.Item)
	r.mu.Unlock()
	if tainted && !actKnown(a.Step) {
		return
	}
	// With one step at a time, those before it in the file have ended.
	inOrder := r.wf.MaxParallel == 1 || r.opts.MaxParallel == 1
	if (tainted || inOrder) && r.changesFiles(r.wf) {
		return
	}
	why := ""
	switch act := a.Act.(type) {
	case workflow.ReadFiles:
		files, err := r.o.files.Read(ctx, act.Files, attach.Limits{})
		if err == nil {
			_, err = contentOf(a.Step.Read, files)
		}
		if err != nil && ctx.Err() == nil {
			why = err.Error()
		}
	case workflow.Command:
		why = r.missingProgram(a.Step, act)
	}
	if why != "" {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.problem(a.Step, a.Path, a.Item, why)
	}
}

// missingProgram returns why a command cannot start, or an empty string if it can. What
// a script starts is not known.
func (r *dryRun) missingProgram(s *workflow.Step, c workflow.Command) string {
	if len(c.Args) == 0 || s.Run.Succeeded(notFound) {
		return ""
	}
	dir, err := filepath.Abs(filepath.Join(r.o.opts.Dir, c.Cwd))
	if err != nil {
		return ""
	}
	env := c.Env
	if !hasPath(env) {
		env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	}
	if !sandbox.Missing(sandbox.Command{Args: c.Args, Dir: dir, Env: env}) {
		return ""
	}
	if filepath.Base(c.Args[0]) == c.Args[0] {
		return fmt.Sprintf("the program %q is not in PATH; install it, or correct its name", c.Args[0])
	}
	return fmt.Sprintf("there is no program %q; paths of programs start at the folder of the command", c.Args[0])
}

func hasPath(env []string) bool {
	for _, v := range env {
		if strings.HasPrefix(v, "PATH=") {
			return true
		}
	}
	return false
}

// changesFiles reports whether a step of a workflow may write files: it runs a command,
// writes or saves a file, or gives tools to an agent.
func (r *dryRun) changesFiles(wf *workflow.Workflow) bool {
	tools := r.o.tools != nil && r.o.opts.Toolset != nil
	for _, s := range wf.Steps {
		switch {
		case s.Run != nil || s.Write != nil || s.Save != nil:
			return true
		case s.Agent != "" && tools:
			return true
		case s.Body != nil && r.changesFiles(s.Body):
			return true
		}
	}
	return false
}

// actKnown reports whether what a step reads or runs depends on no answer.
func actKnown(s *workflow.Step) bool {
	var values []*workflow.Value
	switch {
	case s.Read != nil:
		values = s.Read.Files
	case s.Run != nil && len(s.Run.Args) > 0 && (s.Run.Cwd == nil || settled(s.Run.Cwd.Uses())):
		values = s.Run.Args[:1]
	default:
		return false
	}
	for _, v := range values {
		if !settled(v.Uses()) {
			return false
		}
	}
	return true
}

// settled reports whether the names that an expression uses have their values before the
// run. Items do not: they may come from an answer.
func settled(uses iter.Seq2[string, string]) bool {
	for root := range uses {
		if root != "params" && root != "vars" && root != "env" && root != "run" {
			return false
		}
	}
	return true
}

// place returns the file and the line of the step with a path; an empty file if it is
// not known.
func (r *dryRun) place(path string) (file string, line int) {
	wf := r.wf
	for part := range (journal.Unit{Step: path}).Parts() {
		if wf == nil {
			return file, line
		}
		file = wf.File()
		s := wf.Step(part.ID)
		if s == nil {
			return file, line
		}
		wf, line = s.Body, s.Line
	}
	return file, line
}
