package webhookdb

// NewDead returns the store of a process of this host that has ended: its number is that
// of this process, which was started later.
func NewDead(path string, key []byte) (*Store, error) {
	s, err := New(path, key)
	if err == nil {
		s.self.Born--
	}
	return s, err
}
