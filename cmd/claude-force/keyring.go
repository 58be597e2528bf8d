package main

import (
	"context"

	"github.com/claude-force/claude-force/client"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/keys"
	"github.com/claude-force/claude-force/llm/budget"
	"github.com/claude-force/claude-force/pipeline"
)

// byOwner is who changes keys, in the audit log, where the command does.
const byOwner = "owner"

// keyring is the keys of this data folder, or those of a server, which a [client.Client]
// is.
type keyring interface {
	Keys(ctx context.Context) ([]keys.KeyStatus, error)
	CreateKey(ctx context.Context, create client.CreateKey) (*client.CreatedKey, error)
	RotateKey(ctx context.Context, name, grace string) (secret string, err error)
	RevokeKey(ctx context.Context, name string) error
	KeyBudgets(ctx context.Context) ([]keys.KeyBudget, error)
	SetKeyBudget(ctx context.Context, level, name, text string) error
	KeyActs(ctx context.Context, limit int) ([]keys.Act, error)
}

// withKeys runs do with the keys of this data folder, or with those of a server.
func (a *app) withKeys(do func(keyring) error) error {
	if a.server != "" {
		c, err := a.connect()
		if err != nil {
			return err
		}
		return userError(do(c))
	}
	cfg, err := a.settings()
	if err != nil {
		return err
	}
	store, err := pipeline.OpenKeys(cfg)
	if err != nil {
		return err
	}
	return storeError(closing(do(localKeys{cfg, store}), store))
}

// localKeys are the keys of this data folder.
type localKeys struct {
	cfg   *config.Config
	store keys.Store
}

func (l localKeys) Keys(ctx context.Context) ([]keys.KeyStatus, error) {
	return pipeline.Keys(ctx, l.cfg, l.store)
}

func (l localKeys) CreateKey(ctx context.Context, c client.CreateKey) (*client.CreatedKey, error) {
	spec := keys.Spec{Name: c.Name, Team: c.Team, Role: keys.Role(c.Role), Models: c.Models, RPM: c.RPM, Budget: c.Budget}
	if c.Expires != "" {
		var err error
		if spec.Expires, err = config.ParseDuration(c.Expires); err != nil {
			return nil, err
		}
	}
	unknown, err := pipeline.UnknownModels(l.cfg, c.Models)
	if err != nil {
		return nil, err
	}
	if len(unknown) > 0 {
		return nil, badInput("--models: no model is named %q; claude-force models list shows those that are known", unknown[0])
	}
	secret, k, err := keys.Create(ctx, l.store, &spec, byOwner)
	if err != nil {
		return nil, err
	}
	return &client.CreatedKey{Secret: secret, Key: *k, Budget: c.Budget}, nil
}

func (l localKeys) RotateKey(ctx context.Context, name, grace string) (string, error) {
	if grace == "" {
		return keys.Rotate(ctx, l.store, name, 0, byOwner)
	}
	keep, err := config.ParseDuration(grace)
	if err != nil {
		return "", err
	}
	return keys.Rotate(ctx, l.store, name, keep, byOwner)
}

func (l localKeys) RevokeKey(ctx context.Context, name string) error {
	return keys.Revoke(ctx, l.store, name, byOwner)
}

func (l localKeys) KeyBudgets(ctx context.Context) ([]keys.KeyBudget, error) {
	return pipeline.KeyBudgets(ctx, l.cfg, l.store)
}

func (l localKeys) SetKeyBudget(ctx context.Context, level, name, text string) error {
	if text == "none" {
		text = ""
	}
	_, err := keys.SetBudget(ctx, l.store, budget.Level(level), name, text, byOwner)
	return err
}

func (l localKeys) KeyActs(ctx context.Context, limit int) ([]keys.Act, error) {
	return l.store.Acts(ctx, limit)
}
