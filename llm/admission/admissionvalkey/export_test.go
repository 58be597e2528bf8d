package admissionvalkey

import store "github.com/claude-force/claude-force/internal/valkey"

// Client returns the client of the limits.
func (l *Limits) Client() *store.Client { return l.client }
