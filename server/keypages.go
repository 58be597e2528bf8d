package server

import (
	"context"

	"github.com/claude-force/claude-force/keys"
	"github.com/claude-force/claude-force/pipeline"
	"github.com/claude-force/claude-force/server/web"
)

// keyOperations returns the operations of the API on keys, for pages.
func (s *Server) keyOperations() web.KeyOperations {
	return web.KeyOperations{
		List: func(ctx context.Context) ([]keys.KeyStatus, error) {
			return pipeline.Keys(ctx, s.opts.Config, s.keys.store)
		},
		Budgets: func(ctx context.Context) ([]keys.KeyBudget, error) {
			return pipeline.KeyBudgets(ctx, s.opts.Config, s.keys.store)
		},
		Acts: func(ctx context.Context, limit int) ([]keys.Act, error) { return s.keys.store.Acts(ctx, limit) },
		Create: func(ctx context.Context, k web.NewKey) (secret string, err error) {
			out, err := s.createKey(ctx, &struct{ Body CreateKey }{CreateKey{
				Name: k.Name, Team: k.Team, Role: k.Role, Models: k.Models, RPM: k.RPM, Budget: k.Budget, Expires: k.Expires,
			}})
			if err != nil {
				return "", err
			}
			return out.Body.Secret, nil
		},
		Rotate: func(ctx context.Context, name, grace string) (secret string, err error) {
			out, err := s.rotateKey(ctx, &rotateKeyInput{KeyName{name}, &RotateKey{grace}})
			if err != nil {
				return "", err
			}
			return out.Body.Secret, nil
		},
		Revoke: func(ctx context.Context, name string) error {
			_, err := s.revokeKey(ctx, &KeyName{name})
			return err
		},
		SetBudget: func(ctx context.Context, level, name, text string) error {
			_, err := s.setKeyBudget(ctx, &struct{ Body SetKeyBudget }{SetKeyBudget{level, name, text}})
			return err
		},
	}
}
