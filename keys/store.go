package keys

import (
	"context"
	"errors"
	"time"
)

// Key is a key in a store, without its secret.
type Key struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"` // unique, also among keys that are revoked
	Team    string    `json:"team,omitempty"`
	Role    Role      `json:"role"`
	Models  []string  `json:"models,omitempty"` // that may be called, by alias or id; none for all
	RPM     int       `json:"rpm,omitempty"`    // most requests a minute; 0 for no limit
	Last4   string    `json:"last4"`            // the end of the secret
	Created time.Time `json:"created_at"`
	Expires time.Time `json:"expires_at,omitzero"`
	Used    time.Time `json:"used_at,omitzero"` // to the minute
	Revoked time.Time `json:"revoked_at,omitzero"`
}

// Good reports whether a key can be used.
func (k *Key) Good(now time.Time) bool {
	return k.Revoked.IsZero() && (k.Expires.IsZero() || now.Before(k.Expires))
}

// Status returns whether a key can be used at a time: good, expired or revoked.
func (k *Key) Status(now time.Time) string {
	switch {
	case !k.Revoked.IsZero():
		return "revoked"
	case !k.Good(now):
		return "expired"
	default:
		return "good"
	}
}

// KeyBudget is a budget of keys, with what was spent in the period that is now.
type KeyBudget struct {
	Budget
	Text     string    `json:"budget" doc:"as it was set" example:"20/30d"`
	Begins   time.Time `json:"begins_at" doc:"when the period began"`
	Ends     time.Time `json:"ends_at" doc:"when the next one begins"`
	Spent    float64   `json:"spent_usd"`
	Reserved float64   `json:"reserved_usd" doc:"by calls in flight"`
}

// KeyStatus is a key with whether it can be used, and the budgets that are its alone.
type KeyStatus struct {
	Key
	Status  string      `json:"status" doc:"good, expired or revoked"`
	Budgets []KeyBudget `json:"budgets" doc:"of the key alone"`
}

// Actions of [Act].
const (
	ActCreate = "create"
	ActRotate = "rotate"
	ActRevoke = "revoke"
	ActBudget = "budget"
)

// Act is an entry of the audit log: what was done to keys, and which key or user did it.
type Act struct {
	Time   time.Time `json:"time"`
	By     string    `json:"by"` // the name of the key, or who else
	Action string    `json:"action"`
	Name   string    `json:"name"` // of the key, or the level and name of the budget
	Detail string    `json:"detail,omitempty"`
}

// Errors of a [Store].
var (
	ErrNotFound = errors.New("there is no such key")
	ErrExists   = errors.New("there is a key of this name")

	ErrNoSession = errors.New("there is no such session")
)

// Store holds keys, budgets, the audit log and the sessions of browsers. Package keystest checks one. Times are
// kept to the second. It is safe for concurrent use, also by several processes if it
// outlives one.
type Store interface {
	// Create adds a key with the hash of its secret and, unless it is nil, its budget.
	// The error is ErrExists if its name is taken.
	Create(ctx context.Context, k *Key, secret Hash, budget *Budget, act Act) error

	// Rotate gives a key that is not revoked another secret. Those before are good
	// until a time at most. The error is ErrNotFound if there is no such key.
	Rotate(ctx context.Context, name string, secret Hash, last4 string, until time.Time, act Act) error

	// Revoke ends a key. That a key is revoked already is no error.
	Revoke(ctx context.Context, name string, act Act) error

	// SetBudget sets a budget, in the place of one of the same level and name.
	SetBudget(ctx context.Context, b *Budget, act Act) error

	// RemoveBudget removes a budget; that there is none is no error.
	RemoveBudget(ctx context.Context, b *Budget, act Act) error

	// Keys lists all keys, by name.
	Keys(ctx context.Context) ([]Key, error)

	// Budgets lists all budgets, by level and name.
	Budgets(ctx context.Context) ([]Budget, error)

	// Acts lists the latest entries of the audit log, the newest first.
	Acts(ctx context.Context, limit int) ([]Act, error)

	// BySecret returns the key that a secret is of at a time, and notes that it was
	// used. The error is ErrNotFound if the secret is none, or not good any more; that
	// the key is revoked or has expired is no error.
	BySecret(ctx context.Context, secret Hash, now time.Time) (*Key, error)

	// ByName returns the key with a name, or ErrNotFound.
	ByName(ctx context.Context, name string) (*Key, error)

	// Take counts a request of a key at a time, unless there were rpm in the minute
	// before. Then it returns how long it takes until there is room, else 0.
	Take(ctx context.Context, id string, rpm int, now time.Time) (wait time.Duration, err error)

	// AddSession keeps a session by the hash of its token until it expires. Sessions that
	// have expired at a time are forgotten.
	AddSession(ctx context.Context, token Hash, session Session, now time.Time) error

	// Session returns the session of a token, or ErrNoSession if there is none at a time.
	Session(ctx context.Context, token Hash, now time.Time) (Session, error)

	// EndSession ends the session of a token; that there is none is no error.
	EndSession(ctx context.Context, token Hash) error

	Close() error
}
