package keys

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/claude-force/claude-force/llm/budget"
)

// Memory is a [Store] that ends with the process. The zero value is ready.
type Memory struct {
	mu       sync.Mutex // guards the fields below
	keys     []*Key     // by name
	secrets  map[Hash]*memorySecret
	budgets  []Budget // by level and name
	acts     []Act
	requests map[string][]time.Time // of the last minute, by id
	sessions map[Hash]Session       // by the hashes of their tokens
}

type memorySecret struct {
	key   *Key
	until time.Time // zero if it is good as long as the key
}

func (m *Memory) find(name string) *Key {
	for _, k := range m.keys {
		if k.Name == name {
			return k
		}
	}
	return nil
}

// Create implements [Store].
func (m *Memory) Create(_ context.Context, k *Key, secret Hash, b *Budget, act Act) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.find(k.Name) != nil {
		return ErrExists
	}
	kept := *k
	kept.Models = slices.Clone(k.Models)
	m.keys = append(m.keys, &kept)
	slices.SortFunc(m.keys, func(a, b *Key) int { return cmp.Compare(a.Name, b.Name) })
	if m.secrets == nil {
		m.secrets = map[Hash]*memorySecret{}
	}
	m.secrets[secret] = &memorySecret{key: &kept}
	if b != nil {
		m.setBudget(b)
	}
	m.acts = append(m.acts, act)
	return nil
}

// Rotate implements [Store].
func (m *Memory) Rotate(_ context.Context, name string, secret Hash, last4 string, until time.Time, act Act) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.find(name)
	if k == nil || !k.Revoked.IsZero() {
		return ErrNotFound
	}
	for _, s := range m.secrets {
		if s.key == k && (s.until.IsZero() || s.until.After(until)) {
			s.until = until
		}
	}
	m.secrets[secret] = &memorySecret{key: k}
	k.Last4 = last4
	m.acts = append(m.acts, act)
	return nil
}

// Revoke implements [Store].
func (m *Memory) Revoke(_ context.Context, name string, act Act) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.find(name)
	switch {
	case k == nil:
		return ErrNotFound
	case k.Revoked.IsZero():
		k.Revoked = act.Time
		m.acts = append(m.acts, act)
	}
	return nil
}

// SetBudget implements [Store].
func (m *Memory) SetBudget(_ context.Context, b *Budget, act Act) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.setBudget(b)
	m.acts = append(m.acts, act)
	return nil
}

func (m *Memory) setBudget(b *Budget) {
	m.removeBudget(b.Level, b.Name)
	m.budgets = append(m.budgets, *b)
	slices.SortFunc(m.budgets, func(a, b Budget) int { return cmp.Or(cmp.Compare(a.Level, b.Level), cmp.Compare(a.Name, b.Name)) })
}

func (m *Memory) removeBudget(level budget.Level, name string) {
	m.budgets = slices.DeleteFunc(m.budgets, func(b Budget) bool { return b.Level == level && b.Name == name })
}

// RemoveBudget implements [Store].
func (m *Memory) RemoveBudget(_ context.Context, b *Budget, act Act) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.removeBudget(b.Level, b.Name)
	m.acts = append(m.acts, act)
	return nil
}

// Keys implements [Store].
func (m *Memory) Keys(context.Context) ([]Key, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := []Key{}
	for _, k := range m.keys {
		list = append(list, *k)
	}
	return list, nil
}

// Budgets implements [Store].
func (m *Memory) Budgets(context.Context) ([]Budget, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.budgets), nil
}

// Acts implements [Store].
func (m *Memory) Acts(_ context.Context, limit int) ([]Act, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := slices.Clone(m.acts)
	slices.Reverse(list)
	return list[:min(len(list), limit)], nil
}

// BySecret implements [Store].
func (m *Memory) BySecret(_ context.Context, secret Hash, now time.Time) (*Key, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.secrets[secret]
	if s == nil || !s.until.IsZero() && !now.Before(s.until) {
		return nil, ErrNotFound
	}
	if now.Sub(s.key.Used) >= usedEvery {
		s.key.Used = now.UTC().Truncate(time.Second)
	}
	k := *s.key
	return &k, nil
}

// usedEvery is how often it is noted that a key is used.
const usedEvery = time.Minute

// ByName implements [Store].
func (m *Memory) ByName(_ context.Context, name string) (*Key, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.find(name)
	if k == nil {
		return nil, ErrNotFound
	}
	found := *k
	return &found, nil
}

// Take implements [Store].
func (m *Memory) Take(_ context.Context, id string, rpm int, now time.Time) (time.Duration, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.requests == nil {
		m.requests = map[string][]time.Time{}
	}
	since := now.Add(-time.Minute)
	recent := slices.DeleteFunc(m.requests[id], func(t time.Time) bool { return !t.After(since) })
	m.requests[id] = recent
	if len(recent) >= rpm {
		return recent[len(recent)-rpm].Sub(since), nil
	}
	m.requests[id] = append(recent, now)
	return 0, nil
}

// AddSession implements [Store].
func (m *Memory) AddSession(_ context.Context, token Hash, session Session, now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sessions == nil {
		m.sessions = map[Hash]Session{}
	}
	var first Hash
	m.sessions[token] = session
	for hash, s := range m.sessions {
		if !now.Before(s.Expires) {
			delete(m.sessions, hash)
		} else if first == (Hash{}) || s.Expires.Before(m.sessions[first].Expires) {
			first = hash
		}
	}
	if len(m.sessions) > MaxSessions {
		delete(m.sessions, first)
	}
	return nil
}

// Session implements [Store].
func (m *Memory) Session(_ context.Context, token Hash, now time.Time) (Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.sessions[token]
	if !ok || !now.Before(s.Expires) {
		return Session{}, ErrNoSession
	}
	return s, nil
}

// EndSession implements [Store].
func (m *Memory) EndSession(_ context.Context, token Hash) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.sessions, token)
	return nil
}

// Close implements [Store].
func (m *Memory) Close() error { return nil }
