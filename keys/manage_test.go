package keys_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/keys"
	"github.com/claude-force/claude-force/keys/keystest"
	"github.com/claude-force/claude-force/llm/budget"
)

func TestMemory(t *testing.T) {
	keystest.Suite(t, func(*testing.T) keys.Store { return &keys.Memory{} })
}

// TestLife makes a key, uses it, gives it another secret and ends it; no list and no log
// has its secret.
func TestLife(t *testing.T) {
	ctx, store := t.Context(), &keys.Memory{}
	for level, name := range map[string]string{"team": "web", "all": ""} {
		if _, err := keys.SetBudget(ctx, store, keysLevel(level), name, "50/week", "owner"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := keys.SetBudget(ctx, store, keys.TeamLevel, "other", "1/day", "owner"); err != nil {
		t.Fatal(err)
	}
	first, k, err := keys.Create(ctx, store, &keys.Spec{Name: "ci", Team: "web", Budget: "20/30d", Models: []string{"haiku"}, RPM: 60, Expires: time.Hour}, "owner")
	if err != nil {
		t.Fatal(err)
	}
	id, err := keys.Identify(ctx, store, first, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(id.Budgets); id.Role != keys.RoleRun || id.Team != "web" || len(id.Budgets) != 3 || strings.Contains(got, "other") {
		t.Errorf("identity %+v", id)
	}
	second, err := keys.Rotate(ctx, store, "ci", 0, "owner")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Identify(ctx, store, first, time.Now()); !errors.Is(err, keys.ErrNotFound) {
		t.Errorf("the old secret: %v", err)
	}
	if _, err := keys.Identify(ctx, store, second, time.Now().Add(2*time.Hour)); !errors.Is(err, keys.ErrExpired) {
		t.Errorf("after its end: %v", err)
	}
	if err := keys.Revoke(ctx, store, "ci", "owner"); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Current(ctx, store, k.Name, time.Now()); !errors.Is(err, keys.ErrRevoked) {
		t.Errorf("after it was revoked: %v", err)
	}
	list, _ := store.Keys(ctx)
	acts, _ := store.Acts(ctx, 100)
	shown, _ := json.Marshal([]any{list, acts, k, id})
	for _, secret := range []string{first, second} {
		if strings.Contains(string(shown), secret[3:40]) {
			t.Errorf("a secret in %s", shown)
		}
	}
	if len(acts) != 6 {
		t.Errorf("%d entries: %+v", len(acts), acts)
	}
}

func keysLevel(name string) budget.Level { return budget.Level(name) }

// TestBadKeys checks what keys cannot be.
func TestBadKeys(t *testing.T) {
	store := &keys.Memory{}
	for want, spec := range map[string]keys.Spec{
		"name of a key":    {Name: ""},
		"begin as a key":   {Name: "cf_x"},
		"letters, digits":  {Name: "a b"},
		"name of a team":   {Name: "a", Team: "ü"},
		`role "owner"`:     {Name: "a", Role: keys.RoleOwner},
		"requests":         {Name: "a", RPM: -1},
		"expired already":  {Name: "a", Expires: -time.Hour},
		"no name of a mod": {Name: "a", Models: []string{""}},
		"no budget":        {Name: "a", Budget: "20"},
		"period":           {Name: "a", Budget: "20/1s"},
		"between":          {Name: "a", Budget: "20/91d"},
	} {
		_, _, err := keys.Create(t.Context(), store, &spec, "owner")
		if err == nil || !strings.Contains(err.Error(), want) || fault.KindOf(err) != fault.KindInput {
			t.Errorf("%+v: %v, want %q", spec, err, want)
		}
	}
	if list, err := store.Keys(t.Context()); err != nil || len(list) > 0 {
		t.Errorf("keys %v, %v", list, err)
	}
	for name, err := range map[string]error{
		"revoke": keys.Revoke(t.Context(), store, "x", "owner"),
		"budget": second(keys.SetBudget(t.Context(), store, keys.KeyLevel, "x", "1/day", "owner")),
		"rotate": second(keys.Rotate(t.Context(), store, "x", 0, "owner")),
	} {
		if !errors.Is(err, keys.ErrNotFound) || !strings.Contains(err.Error(), `"x"`) || fault.KindOf(err) != fault.KindInput {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// TestSetBudget checks that a change of the amount keeps the period, with what was spent.
func TestSetBudget(t *testing.T) {
	store := &keys.Memory{}
	old := time.Date(2026, 11, 1, 9, 0, 0, 0, time.UTC)
	if err := store.SetBudget(t.Context(), &keys.Budget{Level: keys.TeamLevel, Name: "web", USD: 1, Every: time.Hour, From: old}, keys.Act{}); err != nil {
		t.Fatal(err)
	}
	b, err := keys.SetBudget(t.Context(), store, keys.TeamLevel, "web", "5/1h", "owner")
	if err != nil || !b.From.Equal(old) || b.USD != 5 {
		t.Errorf("%+v, %v", b, err)
	}
	b, err = keys.SetBudget(t.Context(), store, keys.TeamLevel, "web", "5/day", "owner")
	if err != nil || b.From.Equal(old) {
		t.Errorf("%+v, %v", b, err)
	}
	if _, err := keys.SetBudget(t.Context(), store, keys.TeamLevel, "web", "", "owner"); err != nil {
		t.Fatal(err)
	}
	if all, err := store.Budgets(t.Context()); err != nil || len(all) > 0 {
		t.Errorf("%v, %v", all, err)
	}
}

// TestBudgetText reads budgets and writes them again.
func TestBudgetText(t *testing.T) {
	for text, want := range map[string]string{
		"20/30d": "20/30d", "5/day": "5/day", "$1.50/week": "1.5/7d", "0/hour": "0/1h", "2/24h": "2/day", "3/90m": "3/90m", " 4 / 12h ": "4/12h",
		"": "", "5": "", "/day": "", "-1/day": "", "NaN/day": "", "1e99/day": "", "5/": "", "5/never": "", "5/30s": "", "5/100d": "", "5/-1h": "",
	} {
		b, err := keys.ParseBudget(text)
		if want == "" {
			if err == nil {
				t.Errorf("%q is %s", text, b)
			}
			continue
		}
		if err != nil || b.String() != want {
			t.Errorf("%q: %v, %v", text, b, err)
		}
	}
}
