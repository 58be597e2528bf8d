package server

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claude-force/claude-force/keys"
)

// TestRoleFor says which role routes need: that of what changes nothing is read.
func TestRoleFor(t *testing.T) {
	for pattern, want := range map[string]keys.Role{
		"GET /api/v1/runs":               keys.RoleRead,
		"GET /api/v1/runs/{run}/stream":  keys.RoleRead,
		"POST /api/v1/runs":              keys.RoleRun,
		"POST /api/v1/plans":             keys.RoleRun,
		"POST /v1/messages":              keys.RoleRun,
		"GET /api/v1/cache":              keys.RoleRead,
		"DELETE /api/v1/cache":           keys.RoleAdmin,
		"GET /api/v1/keys":               keys.RoleAdmin,
		"GET /keys":                      keys.RoleAdmin,
		"POST /keys/{key}/revoke":        keys.RoleAdmin,
		"GET /runs":                      keys.RoleRead,
		"POST /start":                    keys.RoleRun,
		"POST /logout":                   keys.RoleRead,
		"GET /v1/files":                  keys.RoleOwner,
		"POST /v1/messages/batches":      keys.RoleOwner,
		"POST /v1/messages/count_tokens": keys.RoleRun,
		"POST /api/v1/keys/{key}/x":      keys.RoleAdmin,
		"POST /api/v1/keysets":           keys.RoleRun,
		"DELETE /api/v1/runs/{run}":      keys.RoleAdmin,
		"DELETE /v1/files/{file}":        keys.RoleOwner,
		"":                               keys.RoleRun,

		"GET /api/v1/webhooks":                 keys.RoleAdmin,
		"GET /webhooks/{webhook}":              keys.RoleAdmin,
		"POST /api/v1/webhooks/{webhook}/test": keys.RoleAdmin,
		"POST /webhooks/{webhook}/retry":       keys.RoleAdmin,
		"POST /api/v1/webhooks":                keys.RoleOwner,
		"DELETE /api/v1/webhooks/{webhook}":    keys.RoleOwner,
		"POST /webhooks":                       keys.RoleOwner,
		"POST /webhooks/{webhook}/remove":      keys.RoleOwner,
	} {
		if got := roleFor(pattern); got != want {
			t.Errorf("%q needs %s, want %s", pattern, got, want)
		}
	}
}

// TestKeyOf finds the key of a request; several keys are none.
func TestKeyOf(t *testing.T) {
	for name, test := range map[string]struct {
		header http.Header
		want   string
	}{
		"none":          {http.Header{}, ""},
		"bearer":        {http.Header{"Authorization": {"Bearer a"}}, "a"},
		"small":         {http.Header{"Authorization": {"bearer a "}}, "a"},
		"x-api-key":     {http.Header{"X-Api-Key": {"a"}}, "a"},
		"both":          {http.Header{"X-Api-Key": {"a"}, "Authorization": {"Bearer a"}}, "a"},
		"two":           {http.Header{"X-Api-Key": {"b"}, "Authorization": {"Bearer a"}}, ""},
		"two of a kind": {http.Header{"X-Api-Key": {"a", "b"}}, ""},
		"password":      {http.Header{"X-Api-Key": {"a"}, "Authorization": {"Basic a"}}, ""},
		"empty":         {http.Header{"X-Api-Key": {""}, "Authorization": {""}}, ""},
	} {
		if got, ok := keyOf(test.header); got != test.want || ok != (test.want != "") {
			t.Errorf("%s: %q, %t", name, got, ok)
		}
	}
}

// failingKeys is a store of keys in which none can be looked up while it fails.
type failingKeys struct {
	keys.Memory
	fails atomic.Bool
	looks atomic.Int64
}

func (s *failingKeys) BySecret(ctx context.Context, secret keys.Hash, now time.Time) (*keys.Key, error) {
	s.looks.Add(1)
	if s.fails.Load() {
		return nil, errors.New("the database is shut down")
	}
	return s.Memory.BySecret(ctx, secret, now)
}

// TestHold ends a request soon after its key was revoked or expired, and not because the
// store of keys is away for a while.
func TestHold(t *testing.T) {
	revoke := func(t *testing.T, s *failingKeys) {
		if err := s.Revoke(t.Context(), "ci", keys.Act{Time: time.Now()}); err != nil {
			t.Error(err)
		}
	}
	for name, tt := range map[string]struct {
		change func(t *testing.T, s *failingKeys)
		ends   time.Duration // at most, after the change; 0 for not at all
	}{
		"nothing": {func(*testing.T, *failingKeys) {}, 0},
		"revoked": {revoke, recheck},
		"expired": {func(*testing.T, *failingKeys) { time.Sleep(time.Hour) }, recheck},
		"a short outage": {func(_ *testing.T, s *failingKeys) {
			for range 2 {
				s.fails.Store(true)
				time.Sleep(unknownFor - 2*recheck)
				s.fails.Store(false)
				time.Sleep(2 * recheck)
			}
		}, 0},
		"a long outage": {func(_ *testing.T, s *failingKeys) { s.fails.Store(true) }, unknownFor},
		"revoked in an outage": {func(t *testing.T, s *failingKeys) {
			s.fails.Store(true)
			time.Sleep(10 * recheck)
			revoke(t, s)
			s.fails.Store(false)
		}, recheck},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, secret := &failingKeys{}, keys.HashOf("secret")
				key := &keys.Key{ID: "1", Name: "ci", Role: keys.RoleRun, Created: time.Now(), Expires: time.Now().Add(30 * time.Minute)}
				if err := store.Create(t.Context(), key, secret, nil, keys.Act{}); err != nil {
					t.Fatal(err)
				}
				ring := &keyring{store: store, recheck: recheck}
				id, err := ring.bySecret(t.Context(), secret)
				if err != nil || id == nil {
					t.Fatal(id, err)
				}
				ctx, release := ring.hold(t.Context(), id, secret)
				defer release()
				tt.change(t, store)
				time.Sleep(max(tt.ends, 2*recheck) + time.Millisecond)
				if ended := errors.Is(context.Cause(ctx), errKey); ended != (tt.ends > 0) {
					t.Errorf("it ended: %t, with %v", ended, context.Cause(ctx))
				}
			})
		})
	}
}

// TestHoldTogether has many requests of two keys under way, which come and go: each key is
// looked at as often as for one, and only the requests of the key that is revoked end.
func TestHoldTogether(t *testing.T) {
	const each, seconds, revoked = 50, 20, 10 * time.Second
	synctest.Test(t, func(t *testing.T) {
		store := &failingKeys{}
		ring := &keyring{store: store, recheck: recheck}
		var all sync.WaitGroup
		for _, name := range []string{"good", "bad"} {
			secret := keys.HashOf(name)
			key := &keys.Key{ID: name, Name: name, Role: keys.RoleRun, Created: time.Now()}
			if err := store.Create(t.Context(), key, secret, nil, keys.Act{}); err != nil {
				t.Fatal(err)
			}
			for n := range each {
				all.Go(func() {
					began := time.Duration(n) * 10 * time.Millisecond
					ends := began + time.Duration(n+1)*seconds*time.Second/each // unless it is ended before
					time.Sleep(began)
					ctx, release := ring.hold(t.Context(), &keys.Identity{ID: name, Name: name, Role: keys.RoleRun}, secret)
					defer release()
					select {
					case <-ctx.Done():
					case <-time.After(ends - began):
					}
					ended, must := errors.Is(context.Cause(ctx), errKey), name == "bad" && ends > revoked+2*recheck
					if may := name == "bad" && ends > revoked; ended && !may || must && !ended {
						t.Errorf("request %d of the %s key: %v", n, name, context.Cause(ctx))
					}
				})
			}
		}
		time.Sleep(revoked)
		if err := store.Revoke(t.Context(), "bad", keys.Act{Time: time.Now()}); err != nil {
			t.Fatal(err)
		}
		all.Wait()
		if looks := store.looks.Load(); looks > 2*(seconds+2) {
			t.Errorf("the keys were looked at %d times in %d seconds", looks, seconds)
		}
		synctest.Wait()
		ring.mu.Lock()
		defer ring.mu.Unlock()
		if len(ring.watches) > 0 {
			t.Errorf("%d keys are still looked at", len(ring.watches))
		}
	})
}
