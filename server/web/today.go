package web

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/pipeline"
)

// figuresFor is how long the figures of the day are kept before they are worked out again.
const figuresFor = 3 * time.Second

// today has the figures of the calls of the day.
type today struct {
	config *config.Config

	mu      sync.Mutex // guards the fields below
	at      time.Time
	summary *analytics.Summary
}

// start returns when the day began, in the time zone of the configuration.
func (t *today) start() time.Time {
	now := time.Now().In(t.config.TimeZone)
	return time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, t.config.TimeZone)
}

// figures returns the figures of the day so far.
func (t *today) figures(ctx context.Context) (*analytics.Summary, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.summary != nil && time.Since(t.at) < figuresFor {
		return t.summary, nil
	}
	store, err := pipeline.OpenCalls(ctx, t.config)
	if err != nil {
		return nil, err
	}
	summary, err := store.Summary(ctx, analytics.Filter{Since: t.start(), Zone: t.config.TimeZone})
	if err := errors.Join(err, store.Close()); err != nil {
		return nil, err
	}
	t.at, t.summary = time.Now(), summary
	return summary, nil
}
