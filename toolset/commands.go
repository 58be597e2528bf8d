package toolset

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/task"
	"github.com/claude-force/claude-force/tool"
	"github.com/claude-force/claude-force/tool/bash"
	"github.com/claude-force/claude-force/tool/permission"
)

// Commands runs commands that no model asked for, such as steps of a workflow: under
// the permissions and in the sandbox that agents have. It is safe for concurrent use.
type Commands struct {
	session *Session
	env     *tool.Env
}

// Commands opens what commands of workflows run in. Close releases it. ctx is only for
// notices.
func (p *Project) Commands(ctx context.Context) (*Commands, error) {
	s, err := p.session(ctx, &agent.Agent{Name: "workflow", Tools: []string{"Bash"}}, task.Task{})
	if err != nil {
		return nil, err
	}
	env, err := s.open()
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return &Commands{s, env}, nil
}

// Close ends and removes what the commands left.
func (c *Commands) Close() error { return errors.Join(c.session.close(), c.env.Close()) }

// DeniedError is what may not be done.
type DeniedError struct {
	What   string // such as "the command may not run"
	Reason string
	Rule   string // that grants it; empty if none does
}

func (e *DeniedError) Error() string {
	text := e.What + ": " + e.Reason
	if e.Rule != "" {
		text += " A rule such as " + e.Rule + " grants it."
	}
	return text
}

// FaultKind returns [fault.KindInput].
func (e *DeniedError) FaultKind() fault.Kind { return fault.KindInput }

// judge says what the policy makes of a call that no model asked for. allow are rules
// beyond which a step does not go.
func (s *Session) judge(allow []string, name string, input json.RawMessage, dir string) (permission.Decision, error) {
	policy := *s.Policy()
	if err := s.project.narrow(&policy, &agent.Agent{Name: "workflow"}, task.Task{Allow: allow}, false); err != nil {
		return permission.Decision{}, err
	}
	return policy.Check(name, input, dir), nil
}

func folderBelow(dir, name string) (string, error) {
	if !filepath.IsLocal(name) {
		return "", fault.Input(fmt.Errorf("cwd %q leaves the project's folder; name a folder in it", name))
	}
	return filepath.Join(dir, name), nil
}

// CheckCommand reports, before anything runs, a command that may not run: a
// [*DeniedError]. With asks, a user can be asked about it.
func (p *Project) CheckCommand(ctx context.Context, allow []string, command bash.Command, asks bool) error {
	dir := p.options.Dir
	if command.Dir != "" {
		var err error
		if dir, err = folderBelow(dir, command.Dir); err != nil {
			return err
		}
	}
	input, err := json.Marshal(map[string]string{"command": command.Text()})
	if err != nil {
		return err
	}
	d, err := p.judge(ctx, allow, "Bash", input, dir)
	if err != nil || d.Outcome == permission.Allow || d.Outcome == permission.Ask && asks {
		return err
	}
	return deniedCommand(d.Reason, command)
}

// judge says, before anything runs, what the policy makes of a call that no model asked
// for: see [Session.judge].
func (p *Project) judge(ctx context.Context, allow []string, name string, input json.RawMessage, dir string) (permission.Decision, error) {
	s, err := p.session(ctx, &agent.Agent{Name: "workflow", Tools: []string{name}}, task.Task{})
	if err != nil {
		return permission.Decision{}, err
	}
	d, err := s.judge(allow, name, input, dir)
	return d, errors.Join(err, s.close())
}

func deniedCommand(reason string, c bash.Command) error {
	return &DeniedError{"the command may not run", reason, "Bash(" + c.Text() + ")"}
}

// Run runs a command once the user's rules, or the one who is asked, allow it. allow
// are rules beyond which a step does not go; they grant nothing.
func (c *Commands) Run(ctx context.Context, allow []string, command bash.Command) (*bash.Ended, error) {
	dir := c.env.Dir()
	if command.Dir != "" {
		var err error
		if dir, err = folderBelow(dir, command.Dir); err != nil {
			return nil, err
		}
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return nil, fault.Input(fmt.Errorf("cwd %q is no folder of the project", command.Dir))
		}
		command.Dir = dir
	}
	input, err := json.Marshal(map[string]string{"command": command.Text()})
	if err != nil {
		return nil, err
	}
	if reason, err := c.permit(ctx, allow, "Bash", input, dir); err != nil {
		return nil, err
	} else if reason != "" {
		return nil, deniedCommand(reason, command)
	}
	return c.session.shell.Run(ctx, c.env.ForCall(), command)
}

// permit returns why a call may not be made, or "" if the user's rules, or the one who
// is asked, allow it.
func (c *Commands) permit(ctx context.Context, allow []string, name string, input json.RawMessage, dir string) (reason string, err error) {
	d, err := c.session.judge(allow, name, input, dir)
	if err != nil || d.Outcome == permission.Allow {
		return "", err
	}
	yes := false
	if asker := c.session.project.options.Asker; d.Outcome == permission.Ask && asker != nil {
		yes, err = asker(ctx, permission.Question{Tool: name, Input: input, Cwd: dir, Reason: d.Reason})
	}
	switch {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case err != nil:
		return err.Error(), nil
	case !yes:
		return d.Reason, nil
	}
	return "", nil
}
