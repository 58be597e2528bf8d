package workflow

import (
	"errors"
	"fmt"
	"slices"
)

// Names of the function for the files that have changed: as it is written, as it is
// called, and of what lists the files for one evaluation. No file can use the last two.
const (
	changedFiles = "changed_files"
	changedName  = "$changed"
	changesName  = "$changes"
)

// changesUse is an expression that lists changed files.
type changesUse struct {
	expr         *expression
	line, column int
	d            *draft // nil: the file's own
	when         bool   // it decides whether d runs
}

// certainChanges returns those of the file that every run evaluates, unless a step fails.
func (p *reader) certainChanges() []changesUse {
	var certain []changesUse
	for _, u := range p.changes {
		if u.certain() {
			u.d = nil
			certain = append(certain, u)
		}
	}
	return certain
}

func (u changesUse) certain() bool {
	when := u.when
	for d := u.d; d != nil; d = d.level.owner {
		switch {
		case d.Foreach != nil && !when && (d != u.d || d.Foreach.Items == nil || d.Foreach.Items.expr != u.expr):
			return false // there may be no items
		case slices.ContainsFunc(d.level.drafts, func(other *draft) bool { return other.Fallback == d.ID }):
			return false
		case !when && d.skippable(map[*draft]bool{}):
			return false
		case when && slices.ContainsFunc(d.required(), func(of *draft) bool { return of.skippable(map[*draft]bool{}) }):
			return false
		}
		when = false
	}
	return true
}

// errNoChanges reports an evaluation for which there is no list of changed files.
var errNoChanges = errors.New("changed_files is not known here")

// changed returns the files that have changed. Its arguments are what lists them, the
// base and, if uncommitted changes count too, the word for that.
func changed(args ...any) (any, error) {
	list, ok := args[0].(func(string, bool) ([]string, error))
	if !ok || list == nil {
		return nil, errNoChanges
	}
	base, _ := args[1].(string)
	uncommitted := false
	if len(args) > 2 {
		if uncommitted = args[2] == "uncommitted"; !uncommitted {
			return nil, errors.New(`the second argument of changed_files is "uncommitted"`)
		}
	}
	files, err := list(base, uncommitted)
	if err != nil {
		return nil, err
	}
	return anyList(files), nil
}

// CheckChanges evaluates the expressions that list changed files and have all they need
// before the first step runs, and returns an error for each whose files cannot be listed.
// env is that of [Workflow.WithVars]. Of files that steps run it checks those whose
// parameters are known.
func (w *Workflow) CheckChanges(env Env) Errors {
	var errs Errors
	for _, u := range w.changes {
		if !env.knowsAll(u.expr) {
			continue
		}
		var failed error
		own := env
		own.ChangedFiles = func(base string, uncommitted bool) (files []string, err error) {
			if env.ChangedFiles == nil {
				return nil, errNoChanges
			}
			files, err = env.ChangedFiles(base, uncommitted)
			failed = err
			return files, err
		}
		if _, err := u.expr.eval(own); err != nil && failed != nil {
			errs = append(errs, &Error{File: w.file, Line: u.line, Column: u.column, Message: "listing changed files: " + failed.Error()})
		}
	}
	return append(errs, checkChangesBelow(w.Steps, env)...)
}

// ListsChanges reports whether an expression of the workflow, or of a file that it runs,
// may list changed files.
func (w *Workflow) ListsChanges() bool {
	for _, file := range w.All() {
		if file.lists {
			return true
		}
	}
	return false
}

// checkChangesBelow checks the files that steps run.
func checkChangesBelow(steps []*Step, env Env) Errors {
	var errs Errors
	for _, s := range steps {
		switch {
		case s.Body == nil || s.When != nil:
		case s.Workflow == "":
			errs = append(errs, checkChangesBelow(s.Body.Steps, env)...)
		default:
			if inner, ok := s.BodyEnv(env); ok {
				errs = append(errs, s.Body.CheckChanges(inner)...)
			}
		}
	}
	return errs
}

// BodyEnv returns what the file that the step runs sees before its first step, where the
// step sees env. It reports false if that is not known before the run.
func (s *Step) BodyEnv(env Env) (Env, bool) {
	given := make(map[string]any, len(s.With))
	for name, v := range s.With {
		for root, of := range v.Uses() {
			if !env.Knows(root, of) && root != "run" {
				return Env{}, false
			}
		}
		value, err := v.Eval(env)
		if err != nil {
			return Env{}, false // the step fails for it, if it runs
		}
		given[name] = value
	}
	params, err := s.Body.BindValues(given)
	if err != nil {
		return Env{}, false
	}
	inner, err := s.Body.WithVars(Env{Params: params, Run: env.Run, Env: env.Env, ChangedFiles: env.ChangedFiles})
	return inner, err == nil
}

// knowsAll reports whether all names of an expression have values.
func (env Env) knowsAll(e *expression) bool {
	for _, r := range e.refs {
		if !env.Knows(r.root, r.name) && r.root != "run" {
			return false
		}
	}
	return true
}

// checkChangesCall reports arguments of changed_files that cannot be right.
func (e *expression) checkChangesCall(at, args int) {
	e.changes = true
	if args < 1 || args > 2 {
		e.fail(at, fmt.Sprintf("changed_files takes a base, not %d arguments", args), `write changed_files("origin/main") or changed_files("origin/main", "uncommitted")`)
	}
}
