package memory

import (
	"context"
	"slices"

	"github.com/claude-force/claude-force/journal"
)

// Signals returns what people sent to a run. See [journal.Store].
func (s *Store) Signals(ctx context.Context, id string, after int64) ([]journal.Event, error) {
	events, err := s.events(ctx, id)
	if err != nil {
		return nil, err
	}
	sent := slices.Clone(events[min(max(after, 0), int64(len(events))):])
	return slices.DeleteFunc(sent, func(ev journal.Event) bool {
		return ev.Type != journal.ApprovalGiven && ev.Type != journal.CancelAsked
	}), nil
}
