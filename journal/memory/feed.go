package memory

import (
	"bytes"
	"context"
	"slices"

	"github.com/claude-force/claude-force/journal"
)

// Notices returns the notices after a number. See [journal.Feed].
func (s *Store) Notices(ctx context.Context, after int64, limit int) ([]journal.Notice, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	var found []journal.Notice
	for _, n := range s.notices {
		if n.N > after && len(found) < limit {
			n.Event.Detail = bytes.Clone(n.Event.Detail)
			found = append(found, n)
		}
	}
	return found, nil
}

// LastNotice returns the number of the latest notice. See [journal.Feed].
func (s *Store) LastNotice(ctx context.Context) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.noticed, s.ready(ctx)
}

// notice adds an event to the notices if it is one. The caller holds mu.
func (s *Store) notice(ev journal.Event) {
	if journal.IsNotice(ev.Type) {
		s.noticed++
		s.notices = append(s.notices, journal.Notice{N: s.noticed, Event: ev})
	}
}

// forget removes the notices of a run. The caller holds mu.
func (s *Store) forget(run string) {
	s.notices = slices.DeleteFunc(s.notices, func(n journal.Notice) bool { return n.Event.Run == run })
}
