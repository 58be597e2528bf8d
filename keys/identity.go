package keys

import (
	"context"
	"slices"
	"time"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/budget"
)

// Role says which requests a key is for.
type Role string

// Roles. All of them read; none but that of the owner both calls models and manages
// keys.
const (
	RoleRead  Role = "read"  // look at runs, costs and what the project has
	RoleRun   Role = "run"   // and start, answer and stop runs, and call models
	RoleAdmin Role = "admin" // and manage keys and the cache, without calling models
	RoleOwner Role = "owner" // all of it: the key of the data folder, which is in no store
)

// Roles are those that a key in the store can have.
var Roles = []Role{RoleRead, RoleRun, RoleAdmin}

// Allows reports whether a key of the role may do what the role need is for.
func (r Role) Allows(need Role) bool {
	switch r {
	case RoleOwner:
		return true
	case RoleRead, RoleRun, RoleAdmin:
		return need == RoleRead || need == r
	default:
		return false
	}
}

// Identity says who sent a request, and what they may do. It is that of a key at the
// time of the request.
type Identity struct {
	ID   string // of the key in the store; empty for the owner of the data folder
	Name string // of the key; "owner" for the owner
	Team string // may be empty
	Role Role

	Models  []string // that may be called, by alias or id; nil for all
	RPM     int      // most requests a minute; 0 for no limit
	Budgets []Budget // of the key, its team and all keys; each holds
}

// Owner returns the identity of the owner of a data folder.
func Owner() *Identity { return &Identity{Name: ownerName, Role: RoleOwner} }

const ownerName = "owner"

// AllowsModel reports whether calls of a model are allowed. Both are compared as
// resolve, which returns the id of an alias, returns them.
func (id *Identity) AllowsModel(model string, resolve func(string) string) bool {
	if id.Models == nil {
		return true
	}
	model = resolve(model)
	return slices.ContainsFunc(id.Models, func(m string) bool { return resolve(m) == model })
}

// Scopes returns the budgets that calls at a time are charged to, beside others.
func (id *Identity) Scopes(now time.Time) []budget.Scope {
	var scopes []budget.Scope
	for i := range id.Budgets {
		scopes = append(scopes, id.Budgets[i].Scope(now))
	}
	return scopes
}

// Levels of budgets of keys.
const (
	KeyLevel  budget.Level = "key"
	TeamLevel budget.Level = "team"
	AllLevel  budget.Level = "all"
)

// Budget is what may be spent in each period of a key, of a team or of all keys
// together.
type Budget struct {
	Level budget.Level  `json:"level"`
	Name  string        `json:"name"` // of the key or team; "keys" for all
	USD   float64       `json:"usd"`
	Every time.Duration `json:"-"`    // the length of a period
	From  time.Time     `json:"from"` // when the first period begins
}

// Period returns when the period of a time begins and ends.
func (b *Budget) Period(now time.Time) (from, to time.Time) {
	n := now.Sub(b.From) / b.Every
	if now.Before(b.From) {
		n = 0
	}
	from = b.From.Add(n * b.Every)
	return from, from.Add(b.Every)
}

// Scope returns the budget of the period of a time. Each period has an account of its
// own in the ledger.
func (b *Budget) Scope(now time.Time) budget.Scope {
	from, _ := b.Period(now)
	limit := llm.Dollars(b.USD)
	if limit <= 0 {
		limit = budget.Nothing
	}
	return budget.Scope{Level: b.Level, Name: b.Name + " from " + from.UTC().Format(time.RFC3339), Limits: budget.Limits{Money: limit}}
}

type identityKey struct{}

// WithIdentity returns ctx for a request of id.
func WithIdentity(ctx context.Context, id *Identity) context.Context {
	return context.WithValue(ctx, identityKey{}, id)
}

// FromContext returns who sent the request that ctx is of; nil if that is not known.
func FromContext(ctx context.Context) *Identity {
	id, _ := ctx.Value(identityKey{}).(*Identity)
	return id
}
