package keys

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/llm/budget"
)

// Bounds of what keys can have.
const (
	maxName   = 64
	maxModels = 100
	maxRPM    = 100_000

	// minPeriod and maxPeriod bound the periods of budgets. The ledger forgets an
	// account that nothing was charged to for 90 days.
	minPeriod = time.Minute
	maxPeriod = 90 * 24 * time.Hour
)

// Spec is what a new key is to be.
type Spec struct {
	Name    string
	Team    string
	Role    Role // empty for RoleRun
	Models  []string
	RPM     int
	Budget  string        // as [ParseBudget] takes it; empty for none
	Expires time.Duration // from now; 0 for never
}

// Create makes a key and returns its secret, which is kept nowhere. by says who asked for
// it. Errors that the caller can mend are [fault.InputError]s.
func Create(ctx context.Context, store Store, spec *Spec, by string) (secret string, k *Key, err error) {
	now := time.Now().UTC().Truncate(time.Second)
	k = &Key{ID: "key_" + strings.ToLower(rand.Text()[:16]), Name: spec.Name, Team: spec.Team, Role: cmp.Or(spec.Role, RoleRun), Models: spec.Models, RPM: spec.RPM, Created: now}
	if spec.Expires != 0 {
		k.Expires = now.Add(spec.Expires)
	}
	var b *Budget
	if spec.Budget != "" {
		if b, err = ParseBudget(spec.Budget); err == nil {
			b.Level, b.Name, b.From = KeyLevel, k.Name, now
		}
	}
	if err := errors.Join(k.check(), err); err != nil {
		return "", nil, fault.Input(err)
	}
	secret = New()
	k.Last4 = secret[len(secret)-4:]
	act := Act{Time: now, By: by, Action: ActCreate, Name: k.Name, Detail: k.describe(b)}
	if err := store.Create(ctx, k, HashOf(secret), b, act); err != nil {
		return "", nil, named(err, k.Name)
	}
	return secret, k, nil
}

// named adds the name of a key to an error that is about it.
func named(err error, name string) error {
	if errors.Is(err, ErrExists) || errors.Is(err, ErrNotFound) {
		return fault.Input(fmt.Errorf("key %q: %w", name, err))
	}
	return err
}

// check returns what is wrong with a new key.
func (k *Key) check() error {
	err := checkName("the name of a key", k.Name)
	if k.Team != "" {
		err = errors.Join(err, checkName("the name of a team", k.Team))
	}
	if !slices.Contains(Roles, k.Role) {
		err = errors.Join(err, fmt.Errorf("role %q is none of read, run and admin", k.Role))
	}
	if k.RPM < 0 || k.RPM > maxRPM {
		err = errors.Join(err, fmt.Errorf("%d requests a minute is not between 1 and %d; 0 is no limit", k.RPM, maxRPM))
	}
	if !k.Expires.IsZero() && !k.Expires.After(k.Created) {
		err = errors.Join(err, errors.New("the key would have expired already"))
	}
	if len(k.Models) > maxModels {
		err = errors.Join(err, fmt.Errorf("%d models are more than %d", len(k.Models), maxModels))
	}
	for _, m := range k.Models {
		if m == "" || len(m) > 4*maxName {
			err = errors.Join(err, fmt.Errorf("%q is no name of a model", m))
		}
	}
	return err
}

// checkName returns what is wrong with a name: a key's must not look like a secret, and
// names stand in tables, addresses and commands.
func checkName(what, name string) error {
	const alphanumeric = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	ok := name != "" && len(name) <= maxName && strings.Trim(name, alphanumeric+"._-") == "" && strings.Contains(alphanumeric, name[:1])
	switch {
	case strings.HasPrefix(name, prefix):
		return fmt.Errorf("%s must not begin as a key does", what)
	case name == ownerName:
		return fmt.Errorf("%s must not be %q, which is the owner of the data folder", what, name)
	case !ok:
		return fmt.Errorf("%s must be 1 to %d letters, digits, dots, dashes and underscores, beginning with a letter or digit; %q is not", what, maxName, name)
	}
	return nil
}

// describe returns the settings of a new key, for the audit log.
func (k *Key) describe(b *Budget) string {
	parts := []string{"role " + string(k.Role)}
	if k.Team != "" {
		parts = append(parts, "team "+k.Team)
	}
	if b != nil {
		parts = append(parts, "budget "+b.String())
	}
	if k.RPM > 0 {
		parts = append(parts, strconv.Itoa(k.RPM)+" requests a minute")
	}
	if len(k.Models) > 0 {
		parts = append(parts, "models "+strings.Join(k.Models, ","))
	}
	if !k.Expires.IsZero() {
		parts = append(parts, "until "+k.Expires.UTC().Format(time.RFC3339))
	}
	return strings.Join(parts, ", ")
}

// Rotate gives a key another secret and returns that. The one before is good for the
// time grace, which may be 0.
func Rotate(ctx context.Context, store Store, name string, grace time.Duration, by string) (secret string, err error) {
	if grace < 0 {
		return "", fault.Input(fmt.Errorf("the old secret cannot be good for %s", grace))
	}
	now := time.Now().UTC().Truncate(time.Second)
	secret = New()
	act := Act{Time: now, By: by, Action: ActRotate, Name: name}
	if grace > 0 {
		act.Detail = "the old secret is good until " + now.Add(grace).Format(time.RFC3339)
	}
	if err := store.Rotate(ctx, name, HashOf(secret), secret[len(secret)-4:], now.Add(grace), act); err != nil {
		return "", named(err, name)
	}
	return secret, nil
}

// Revoke ends a key at once.
func Revoke(ctx context.Context, store Store, name, by string) error {
	return named(store.Revoke(ctx, name, Act{Time: time.Now().UTC().Truncate(time.Second), By: by, Action: ActRevoke, Name: name}), name)
}

// SetBudget sets the budget of a level and name from a text as [ParseBudget] takes it, or
// removes it if the text is empty. A change of the amount leaves what was spent in this
// period; a change of the period begins a new one.
func SetBudget(ctx context.Context, store Store, level budget.Level, name, text, by string) (*Budget, error) {
	now := time.Now().UTC().Truncate(time.Second)
	if level == AllLevel {
		name = allName
	}
	if !slices.Contains([]budget.Level{KeyLevel, TeamLevel, AllLevel}, level) {
		return nil, fault.Input(fmt.Errorf("%q is not one of key, team and all", level))
	}
	act := Act{Time: now, By: by, Action: ActBudget, Name: string(level) + " " + name, Detail: "none"}
	if err := checkName("the name of a "+string(level), name); err != nil {
		return nil, fault.Input(err)
	}
	if level == KeyLevel {
		list, err := store.Keys(ctx)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(list, func(k Key) bool { return k.Name == name }) {
			return nil, named(ErrNotFound, name)
		}
	}
	if text == "" {
		return nil, store.RemoveBudget(ctx, &Budget{Level: level, Name: name}, act)
	}
	b, err := ParseBudget(text)
	if err != nil {
		return nil, fault.Input(err)
	}
	b.Level, b.Name, b.From = level, name, now
	have, err := store.Budgets(ctx)
	if err != nil {
		return nil, err
	}
	for _, h := range have {
		if h.Level == level && h.Name == name && h.Every == b.Every {
			b.From = h.From
		}
	}
	act.Detail = b.String()
	return b, store.SetBudget(ctx, b, act)
}

// allName is the name of the budget of all keys.
const allName = "keys"

// ParseBudget returns the budget that a text such as 20/30d or 5/day describes: US
// dollars and the time in which they may be spent, again and again.
func ParseBudget(text string) (*Budget, error) {
	amount, period, ok := strings.Cut(text, "/")
	usd, err := strconv.ParseFloat(strings.TrimPrefix(strings.TrimSpace(amount), "$"), 64)
	if !ok || err != nil || math.IsNaN(usd) || usd < 0 || usd > 1e9 {
		return nil, fmt.Errorf("%q is no budget: give US dollars and a period, such as 20/30d or 5/day", text)
	}
	every, err := parsePeriod(strings.TrimSpace(period))
	if err != nil {
		return nil, fmt.Errorf("%q is no budget: %w", text, err)
	}
	return &Budget{USD: usd, Every: every}, nil
}

func parsePeriod(text string) (time.Duration, error) {
	const day = 24 * time.Hour
	switch text {
	case "hour":
		return time.Hour, nil
	case "day":
		return day, nil
	case "week":
		return 7 * day, nil
	}
	every, err := config.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("the period is hour, day, week or a duration such as 12h or 30d: %w", err)
	}
	if every < minPeriod || every > maxPeriod || every%time.Second != 0 {
		return 0, fmt.Errorf("a period is between 1m and 90d, in whole seconds")
	}
	return every, nil
}

// String returns the budget as [ParseBudget] takes it.
func (b *Budget) String() string {
	const day = 24 * time.Hour
	period := b.Every.String()
	switch {
	case b.Every == day:
		period = "day"
	case b.Every%day == 0:
		period = strconv.Itoa(int(b.Every/day)) + "d"
	case b.Every%time.Hour == 0:
		period = strconv.Itoa(int(b.Every/time.Hour)) + "h"
	case b.Every%time.Minute == 0:
		period = strconv.Itoa(int(b.Every/time.Minute)) + "m"
	}
	return strconv.FormatFloat(b.USD, 'f', -1, 64) + "/" + period
}

// Errors of keys that are in the store and not good.
var (
	ErrRevoked = errors.New("the key was revoked")
	ErrExpired = errors.New("the key has expired")
)

// Identify returns the identity of a secret at a time. The error is ErrNotFound,
// ErrRevoked or ErrExpired if it has none.
func Identify(ctx context.Context, store Store, secret string, now time.Time) (*Identity, error) {
	if !Valid(secret) {
		return nil, ErrNotFound
	}
	return IdentifyHash(ctx, store, HashOf(secret), now)
}

// IdentifyHash returns the identity of the secret with a hash, as [Identify] does.
func IdentifyHash(ctx context.Context, store Store, secret Hash, now time.Time) (*Identity, error) {
	k, err := store.BySecret(ctx, secret, now)
	if err != nil {
		return nil, err
	}
	return identity(ctx, store, k, now)
}

// Current returns the identity that the key with a name has at a time. The errors are
// those of [Identify].
func Current(ctx context.Context, store Store, name string, now time.Time) (*Identity, error) {
	k, err := store.ByName(ctx, name)
	if err != nil {
		return nil, err
	}
	return identity(ctx, store, k, now)
}

func identity(ctx context.Context, store Store, k *Key, now time.Time) (*Identity, error) {
	switch {
	case !k.Revoked.IsZero():
		return nil, ErrRevoked
	case !k.Good(now):
		return nil, ErrExpired
	}
	all, err := store.Budgets(ctx)
	if err != nil {
		return nil, err
	}
	id := &Identity{ID: k.ID, Name: k.Name, Team: k.Team, Role: k.Role, Models: k.Models, RPM: k.RPM}
	for _, b := range all {
		if b.Level == AllLevel || b.Level == KeyLevel && b.Name == k.Name || b.Level == TeamLevel && b.Name == k.Team {
			id.Budgets = append(id.Budgets, b)
		}
	}
	return id, nil
}
