package permission

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"

	"github.com/claude-force/claude-force/tool"
)

// Question is a call of which a person must say whether it may run.
type Question struct {
	Tool   string
	Input  json.RawMessage
	Cwd    string // the current folder
	Reason string // why it is asked
}

// Asker answers whether a call may run that no rule decides. The answer belongs to
// this call alone. An error is a no whose text the model reads.
type Asker func(ctx context.Context, q Question) (bool, error)

// Guard returns options with the policy as gate of calls and files. Without an asker
// the answer to every question is no.
func (p *Policy) Guard(options tool.Options, asker Asker) tool.Options {
	options.Home = p.Home
	options.Gate = func(ctx context.Context, env *tool.Env, name string, input json.RawMessage) error {
		d := p.Check(name, input, env.Cwd())
		switch {
		case d.Outcome == Allow:
			return nil
		case d.Outcome == Ask && asker != nil:
			yes, err := asker(ctx, Question{name, input, env.Cwd(), d.Reason})
			if err != nil {
				return err
			}
			if yes {
				return nil
			}
		}
		return errors.New(d.Reason)
	}
	options.Denied = func(op tool.Op, path string) bool { return p.DeniedFile(op == tool.OpWrite, path) }
	return options
}

// NewEnv returns the environment of an agent under the policy. Folders outside the
// project that the policy names are granted.
func (p *Policy) NewEnv(options tool.Options, asker Asker) (*tool.Env, error) {
	env, err := tool.NewEnv(p.Dir, p.Guard(options, asker))
	if err != nil {
		return nil, err
	}
	if err := p.GrantTo(env); err != nil {
		return nil, errors.Join(err, env.Close())
	}
	return env, nil
}

// GrantTo grants the folders outside the project that the policy names to an
// environment: those of Read rules to be read, also by commands, the others to be
// changed too.
func (p *Policy) GrantTo(env *tool.Env) error {
	folders := append(p.granted("Edit"), p.Extra...)
	if p.Mode == ModeBypass {
		folders = append(folders, filepath.VolumeName(p.Dir)+string(filepath.Separator))
	}
	for _, dir := range folders {
		if err := env.Grant(dir); err != nil {
			return err
		}
	}
	for _, dir := range p.granted("Read") {
		if err := env.GrantRead(dir); err != nil {
			return err
		}
	}
	return nil
}
