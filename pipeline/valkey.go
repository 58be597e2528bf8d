package pipeline

import (
	"context"
	"fmt"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/internal/valkey"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/coalesce/coalescevalkey"
)

// openValkey returns the client of the server that machines share, or nil if the settings
// name none. That it fails, and that it is back, is a notice each.
func (p *Pipeline) openValkey(ctx context.Context) (*valkey.Client, error) {
	if p.config.Valkey == "" || p.opts.Simulator != nil || p.opts.Model != nil {
		return nil, nil
	}
	var err error
	if p.secret, err = EncryptionKey(ctx, p.config); err != nil {
		return nil, err
	}
	return newValkey(p.config, p.secret, valkey.Options{
		OnDown: func(err error) {
			p.notice(p.background, fmt.Sprintf("Valkey at %s does not answer; each process keeps to its last known share of the rate limits, and makes its calls itself, until it does: %v", p.valkey.Addr(), err))
		},
		OnUp: func() { p.notice(p.background, fmt.Sprintf("Valkey at %s answers again", p.valkey.Addr())) },
	})
}

func newValkey(cfg *config.Config, secret []byte, opts valkey.Options) (*valkey.Client, error) {
	opts.Secret = secret
	client, err := valkey.New(cfg.Valkey, opts)
	if err != nil {
		return nil, fault.Input(fmt.Errorf("the setting valkey: %w", err))
	}
	return client, nil
}

// sharedByMachines returns next with identical calls of other machines shared.
func (p *Pipeline) sharedByMachines(next llm.Model, s *service) llm.Model {
	if p.valkey == nil {
		return next
	}
	shared, err := coalescevalkey.New(next, s.keyer, p.valkey, p.secret)
	if err != nil {
		p.notice(p.background, fmt.Sprintf("calls are not shared with other machines: %v", err))
		return next
	}
	return shared
}

// PingValkey writes to the server that cfg names, and returns where it is and what it calls
// itself. It is not to be called without one.
func PingValkey(ctx context.Context, cfg *config.Config) (addr, version string, err error) {
	client, err := newValkey(cfg, nil, valkey.Options{})
	if err != nil {
		return "", "", err
	}
	defer client.Close()
	if err := client.Ping(ctx); err != nil {
		return client.Addr(), "", err
	}
	version, err = client.Version(ctx)
	return client.Addr(), version, err
}
