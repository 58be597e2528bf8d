// Package keystest tests that a [keys.Store] keeps its contract.
package keystest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/claude-force/claude-force/keys"
)

// Suite checks a store. newStore returns an empty one; the suite calls it several times.
func Suite(t *testing.T, newStore func(t *testing.T) keys.Store) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(*testing.T, keys.Store)
	}{
		{"Empty", empty},
		{"Create", create},
		{"Rotate", rotate},
		{"Revoke", revoke},
		{"Budgets", budgets},
		{"Used", used},
		{"Take", take},
		{"TakeAtOnce", takeAtOnce},
		{"Texts", texts},
		{"Sessions", sessions},
		{"ManySessions", manySessions},
	} {
		t.Run(test.name, func(t *testing.T) {
			store := newStore(t)
			t.Cleanup(func() {
				if err := store.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			})
			test.run(t, store)
		})
	}
}

var start = time.Date(2026, 11, 1, 9, 0, 0, 0, time.UTC)

// after returns the time so many seconds after the start.
func after(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

// add adds a key and returns it with the hash of its secret.
func add(t *testing.T, s keys.Store, k keys.Key, b *keys.Budget) (keys.Key, keys.Hash) {
	t.Helper()
	k.ID, k.Last4, k.Created = "key_"+k.Name, "1234", start
	hash := keys.HashOf("the secret of " + k.Name)
	if err := s.Create(t.Context(), &k, hash, b, keys.Act{Time: start, By: "owner", Action: keys.ActCreate, Name: k.Name}); err != nil {
		t.Fatalf("Create: %v", err)
	}
	return k, hash
}

// equal compares lists, of which an empty one may be nil.
func equal(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// is checks which key a secret is of at a time; nil for none.
func is(t *testing.T, s keys.Store, secret keys.Hash, now time.Time, want *keys.Key) {
	t.Helper()
	got, err := s.BySecret(t.Context(), secret, now)
	if want == nil {
		if !errors.Is(err, keys.ErrNotFound) || got != nil {
			t.Errorf("a secret that is none at %s: %v, %v", now, got, err)
		}
		return
	}
	if err != nil {
		t.Fatalf("BySecret at %s: %v", now, err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(keys.Key{}, "Used", "Last4", "Revoked")); diff != "" {
		t.Errorf("key at %s (-want +got):\n%s", now, diff)
	}
}

func empty(t *testing.T, s keys.Store) {
	is(t, s, keys.HashOf("x"), start, nil)
	list, err := s.Keys(t.Context())
	equal(t, "keys", []keys.Key{}, list)
	all, budgetsErr := s.Budgets(t.Context())
	equal(t, "budgets", []keys.Budget{}, all)
	acts, actsErr := s.Acts(t.Context(), 10)
	equal(t, "acts", []keys.Act{}, acts)
	if err := errors.Join(err, budgetsErr, actsErr); err != nil {
		t.Error(err)
	}
	act := keys.Act{Time: start, By: "owner"}
	if err := s.Revoke(t.Context(), "x", act); !errors.Is(err, keys.ErrNotFound) {
		t.Errorf("Revoke: %v", err)
	}
	if err := s.Rotate(t.Context(), "x", keys.HashOf("y"), "1234", start, act); !errors.Is(err, keys.ErrNotFound) {
		t.Errorf("Rotate: %v", err)
	}
	if _, err := s.ByName(t.Context(), "x"); !errors.Is(err, keys.ErrNotFound) {
		t.Errorf("ByName: %v", err)
	}
	if acts, err := s.Acts(t.Context(), 10); err != nil || len(acts) > 0 {
		t.Errorf("%d entries of what failed, %v", len(acts), err)
	}
}

func create(t *testing.T, s keys.Store) {
	web := keys.Key{Name: "web", Team: "front", Role: keys.RoleRun, Models: []string{"haiku", "claude-sonnet-5"}, RPM: 60, Expires: after(100)}
	web, secret := add(t, s, web, &keys.Budget{Level: keys.KeyLevel, Name: "web", USD: 2.5, Every: time.Hour, From: start})
	ci, other := add(t, s, keys.Key{Name: "ci", Role: keys.RoleRead}, nil)
	is(t, s, secret, after(1), &web)
	is(t, s, secret, after(1000), &web) // that it has expired is the caller's to see
	is(t, s, other, after(1), &ci)
	is(t, s, keys.HashOf("the secret of we"), after(1), nil)
	list, err := s.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]keys.Key{ci, web}, list, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(keys.Key{}, "Used")); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	got, err := s.ByName(t.Context(), "web")
	if err != nil || got.Name != "web" {
		t.Errorf("ByName: %v, %v", got, err)
	}
	again := keys.Key{ID: "key_other", Name: "web", Role: keys.RoleRun, Created: start}
	b := &keys.Budget{Level: keys.KeyLevel, Name: "web", USD: 1000, Every: time.Hour, From: start}
	if err := s.Create(t.Context(), &again, keys.HashOf("z"), b, keys.Act{Time: start}); !errors.Is(err, keys.ErrExists) {
		t.Errorf("Create of a name that is taken: %v", err)
	}
	is(t, s, keys.HashOf("z"), after(1), nil)
	all, err := s.Budgets(t.Context())
	if err != nil || len(all) != 1 || all[0].USD != 2.5 {
		t.Errorf("budgets %v, %v", all, err)
	}
	acts, err := s.Acts(t.Context(), 10)
	if err != nil || len(acts) != 2 || acts[0].Name != "ci" || acts[1].Name != "web" {
		t.Errorf("acts %v, %v", acts, err)
	}
	if acts, err := s.Acts(t.Context(), 1); err != nil || len(acts) != 1 || acts[0].Name != "ci" {
		t.Errorf("the latest act: %v, %v", acts, err)
	}
}

func rotate(t *testing.T, s keys.Store) {
	k, first := add(t, s, keys.Key{Name: "ci", Role: keys.RoleRun}, nil)
	second, third := keys.HashOf("second"), keys.HashOf("third")
	for i, secret := range []keys.Hash{second, third} {
		act := keys.Act{Time: after(10 * i), By: "boss", Action: keys.ActRotate, Name: "ci"}
		if err := s.Rotate(t.Context(), "ci", secret, "567"+fmt.Sprint(i), after(100+50*i), act); err != nil {
			t.Fatal(err)
		}
	}
	for seconds, good := range map[int][3]bool{20: {true, true, true}, 99: {true, true, true}, 100: {false, true, true}, 149: {false, true, true}, 150: {false, false, true}, 9999: {false, false, true}} {
		for i, secret := range []keys.Hash{first, second, third} {
			want := &k
			if !good[i] {
				want = nil
			}
			is(t, s, secret, after(seconds), want)
		}
	}
	if got, err := s.ByName(t.Context(), k.Name); err != nil || got.Last4 != "5671" {
		t.Errorf("ByName: %v, %v", got, err)
	}
	fourth := keys.HashOf("fourth")
	if err := s.Rotate(t.Context(), "ci", fourth, "9999", after(30), keys.Act{Time: after(30)}); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []keys.Hash{first, second, third} {
		is(t, s, secret, after(30), nil)
	}
	is(t, s, fourth, after(30), &k)
}

func revoke(t *testing.T, s keys.Store) {
	k, secret := add(t, s, keys.Key{Name: "ci", Role: keys.RoleRun}, nil)
	for _, seconds := range []int{10, 20} {
		if err := s.Revoke(t.Context(), "ci", keys.Act{Time: after(seconds), By: "boss", Action: keys.ActRevoke, Name: "ci"}); err != nil {
			t.Fatal(err)
		}
	}
	is(t, s, secret, after(30), &k)
	if got, err := s.ByName(t.Context(), k.Name); err != nil || !got.Revoked.Equal(after(10)) || got.Good(after(9)) {
		t.Errorf("ByName: %+v, %v", got, err)
	}
	if err := s.Rotate(t.Context(), "ci", keys.HashOf("new"), "1234", start, keys.Act{}); !errors.Is(err, keys.ErrNotFound) {
		t.Errorf("Rotate of a key that is revoked: %v", err)
	}
	is(t, s, keys.HashOf("new"), after(30), nil)
	acts, err := s.Acts(t.Context(), 10)
	want := []keys.Act{{Time: after(10), By: "boss", Action: keys.ActRevoke, Name: "ci"}, {Time: start, By: "owner", Action: keys.ActCreate, Name: "ci"}}
	equal(t, "acts", want, acts)
	if err != nil {
		t.Error(err)
	}
}

func budgets(t *testing.T, s keys.Store) {
	set := func(b keys.Budget) {
		t.Helper()
		if err := s.SetBudget(t.Context(), &b, keys.Act{Time: start, Action: keys.ActBudget}); err != nil {
			t.Fatal(err)
		}
	}
	all := keys.Budget{Level: keys.AllLevel, Name: "keys", USD: 100, Every: 24 * time.Hour, From: start}
	team := keys.Budget{Level: keys.TeamLevel, Name: "web", USD: 0, Every: time.Minute, From: after(5)}
	key := keys.Budget{Level: keys.KeyLevel, Name: "web", USD: 0.000000001, Every: 90 * 24 * time.Hour, From: after(7)}
	for _, b := range []keys.Budget{team, key, all} {
		other := b
		other.USD, other.Every, other.From = 7, time.Hour, after(99)
		set(other)
		set(b)
	}
	got, err := s.Budgets(t.Context())
	equal(t, "budgets", []keys.Budget{all, key, team}, got)
	if err := errors.Join(err, s.RemoveBudget(t.Context(), &keys.Budget{Level: keys.TeamLevel, Name: "web"}, keys.Act{}), s.RemoveBudget(t.Context(), &keys.Budget{Level: keys.TeamLevel, Name: "none"}, keys.Act{})); err != nil {
		t.Fatal(err)
	}
	got, err = s.Budgets(t.Context())
	equal(t, "budgets", []keys.Budget{all, key}, got)
	if err != nil {
		t.Error(err)
	}
}

// used checks that the time of use is kept to the minute.
func used(t *testing.T, s keys.Store) {
	_, secret := add(t, s, keys.Key{Name: "ci", Role: keys.RoleRun}, nil)
	for _, use := range []struct{ at, want int }{{0, 0}, {59, 0}, {60, 60}, {61, 60}, {500, 500}} {
		if _, err := s.BySecret(t.Context(), secret, after(use.at)); err != nil {
			t.Fatal(err)
		}
		if k, err := s.ByName(t.Context(), "ci"); err != nil || !k.Used.Equal(after(use.want)) {
			t.Errorf("used after %d s: %s, %v", use.at, k.Used, err)
		}
	}
}

func take(t *testing.T, s keys.Store) {
	const rpm = 3
	for _, request := range []struct{ at, wait int }{{0, 0}, {10, 0}, {20, 0}, {30, 30}, {59, 1}, {60, 0}, {60, 10}, {70, 0}, {200, 0}, {200, 0}, {200, 0}, {200, 60}, {260, 0}} {
		wait, err := s.Take(t.Context(), "a", rpm, after(request.at))
		if err != nil || wait != time.Duration(request.wait)*time.Second {
			t.Errorf("request after %d s waits %s, %v; want %d s", request.at, wait, err, request.wait)
		}
	}
	if wait, err := s.Take(t.Context(), "b", rpm, after(260)); err != nil || wait != 0 {
		t.Errorf("the request of another key waits %s, %v", wait, err)
	}
	// The limit was lowered.
	if wait, err := s.Take(t.Context(), "a", 1, after(300)); err != nil || wait != 20*time.Second {
		t.Errorf("request waits %s, %v", wait, err)
	}
}

func takeAtOnce(t *testing.T, s keys.Store) {
	const rpm = 20
	var mu sync.Mutex
	allowed := 0
	var wg sync.WaitGroup
	for range 5 * rpm {
		wg.Go(func() {
			wait, err := s.Take(t.Context(), "a", rpm, start)
			if err != nil {
				t.Error(err)
			}
			if wait == 0 {
				mu.Lock()
				allowed++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if allowed != rpm {
		t.Errorf("%d requests in a minute, want %d", allowed, rpm)
	}
}

// texts checks that no text of a request is part of a statement.
func texts(t *testing.T, s keys.Store) {
	_, secret := add(t, s, keys.Key{Name: "ci", Role: keys.RoleRun}, nil)
	for _, text := range []string{"' OR '1'='1", "ci'; DROP TABLE keys; --", "%", "_i", "*", "\x00", ""} {
		if _, err := s.ByName(t.Context(), text); !errors.Is(err, keys.ErrNotFound) {
			t.Errorf("ByName(%q): %v", text, err)
		}
		if err := s.Revoke(t.Context(), text, keys.Act{Time: start}); !errors.Is(err, keys.ErrNotFound) {
			t.Errorf("Revoke(%q): %v", text, err)
		}
		if _, err := s.Take(t.Context(), text, 1, start); err != nil {
			t.Errorf("Take(%q): %v", text, err)
		}
	}
	k, err := s.BySecret(t.Context(), secret, after(1))
	if err != nil || !k.Revoked.IsZero() {
		t.Errorf("%+v, %v", k, err)
	}
}
