package keys_test

import (
	"testing"
	"time"

	"github.com/claude-force/claude-force/keys"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/budget"
)

// TestRoles checks each role against each that a route may need.
func TestRoles(t *testing.T) {
	for role, want := range map[keys.Role]map[keys.Role]bool{
		keys.RoleRead:  {keys.RoleRead: true},
		keys.RoleRun:   {keys.RoleRead: true, keys.RoleRun: true},
		keys.RoleAdmin: {keys.RoleRead: true, keys.RoleAdmin: true},
		keys.RoleOwner: {keys.RoleRead: true, keys.RoleRun: true, keys.RoleAdmin: true},
		"":             {},
	} {
		for _, need := range keys.Roles {
			if got := role.Allows(need); got != want[need] {
				t.Errorf("%s does what %s is for: %t", role, need, got)
			}
		}
	}
}

// TestBudget checks that each period of a budget has an account of its own.
func TestBudget(t *testing.T) {
	from := time.Date(2026, 11, 1, 9, 0, 0, 0, time.UTC)
	b := keys.Budget{Level: keys.TeamLevel, Name: "web", USD: 20, Every: 30 * 24 * time.Hour, From: from}
	for after, want := range map[time.Duration]string{
		-time.Hour:                     "web from 2026-11-01T09:00:00Z",
		0:                              "web from 2026-11-01T09:00:00Z",
		30*24*time.Hour - 1:            "web from 2026-11-01T09:00:00Z",
		30 * 24 * time.Hour:            "web from 2026-12-01T09:00:00Z",
		10*30*24*time.Hour + time.Hour: "web from 2027-08-28T09:00:00Z",
	} {
		s := b.Scope(from.Add(after))
		if s.Name != want || s.Level != keys.TeamLevel || s.Limits.Money != 20*llm.Dollar {
			t.Errorf("after %s: %+v, want %s", after, s, want)
		}
	}
	b.USD = 0
	if got := b.Scope(from).Limits.Money; got != budget.Nothing {
		t.Errorf("a budget of 0 allows %v", got)
	}
}

// TestModels checks which models a key may call, by alias and by id.
func TestModels(t *testing.T) {
	resolve := func(name string) string {
		if name == "haiku" {
			return "claude-haiku-4-5"
		}
		return name
	}
	id := keys.Identity{Models: []string{"haiku", "claude-sonnet-5"}}
	for model, want := range map[string]bool{"claude-haiku-4-5": true, "haiku": true, "claude-sonnet-5": true, "opus": false, "": false} {
		if got := id.AllowsModel(model, resolve); got != want {
			t.Errorf("%q is allowed: %t", model, got)
		}
	}
	if !keys.Owner().AllowsModel("opus", resolve) {
		t.Error("the owner may not call a model")
	}
}
