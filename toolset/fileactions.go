package toolset

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/task"
	"github.com/claude-force/claude-force/tool/permission"
)

// CheckRead reports the first of some files, named from the project's folder, that a
// rule denies to read.
func (p *Project) CheckRead(ctx context.Context, names []string) error {
	s, err := p.session(ctx, &agent.Agent{Name: "workflow", Tools: []string{"Read"}}, task.Task{})
	if err != nil {
		return err
	}
	for _, name := range names {
		input, err := json.Marshal(map[string]string{"file_path": filepath.Join(p.options.Dir, filepath.FromSlash(name))})
		if err != nil {
			return errors.Join(err, s.close())
		}
		if d, err := s.judge(nil, "Read", input, p.options.Dir); err != nil || d.Outcome != permission.Allow {
			if err == nil {
				err = &DeniedError{name + " may not be read", d.Reason, ""}
			}
			return errors.Join(err, s.close())
		}
	}
	return s.close()
}

// CheckWrite reports, before anything runs, a file that may not be written. With asks,
// a user can be asked about it.
func (p *Project) CheckWrite(ctx context.Context, allow []string, path string, asks bool) error {
	input, err := writeInput(p.options.Dir, path, "")
	if err != nil {
		return err
	}
	d, err := p.judge(ctx, allow, "Write", input, p.options.Dir)
	if err != nil || d.Outcome == permission.Allow || d.Outcome == permission.Ask && asks {
		return err
	}
	return deniedWrite(d.Reason, path)
}

func deniedWrite(reason, path string) error {
	rule := filepath.ToSlash(filepath.Clean(filepath.FromSlash(path)))
	if filepath.IsAbs(path) {
		rule = "/" + rule // an absolute path in rules has two
	}
	return &DeniedError{path + " may not be written", reason, "Edit(" + rule + ")"}
}

func writeInput(dir, path, content string) (json.RawMessage, error) {
	if path = filepath.FromSlash(path); !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	return json.Marshal(map[string]string{"file_path": path, "content": content})
}

// Write gives a file its content once the user's rules, or the one who is asked, allow
// it: a reader sees all of the old or all of the new. The path begins from the project's
// folder. allow is as for [Commands.Run].
func (c *Commands) Write(ctx context.Context, allow []string, path, content string) error {
	path, err := c.permitWrite(ctx, allow, path, content)
	if err != nil {
		return err
	}
	return fault.Input(c.env.ForCall().Replace(path, []byte(content)))
}

// Save writes as Write does without rules of a step, and leaves a file alone that has the content.
func (c *Commands) Save(ctx context.Context, path, content string) error {
	path, err := c.permitWrite(ctx, nil, path, content)
	if err != nil {
		return err
	}
	env := c.env.ForCall()
	if env.Holds(path, []byte(content)) {
		return nil
	}
	return fault.Input(env.Replace(path, []byte(content)))
}

// permitWrite returns the absolute path of a file that may be given a content.
func (c *Commands) permitWrite(ctx context.Context, allow []string, path, content string) (string, error) {
	dir := c.env.Dir()
	input, err := writeInput(dir, path, content)
	if err != nil {
		return "", err
	}
	if reason, err := c.permit(ctx, allow, "Write", input, dir); err != nil {
		return "", err
	} else if reason != "" {
		return "", deniedWrite(reason, path)
	}
	if path = filepath.FromSlash(path); !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	return path, nil
}
