package webhookpg

import "github.com/claude-force/claude-force/internal/postgres"

// NewDead returns the store of a process of this host that has ended: its number is that
// of this process, which was started later.
func NewDead(db *postgres.DB, key []byte) (*Store, error) {
	s, err := New(db, key)
	if err == nil {
		s.self.Born--
	}
	return s, err
}
