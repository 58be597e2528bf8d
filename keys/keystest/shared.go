package keystest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claude-force/claude-force/keys"
)

// Shared checks two stores of the same keys, as two processes have them: what one does,
// the other sees at once, and requests are counted together.
func Shared(t *testing.T, one, other keys.Store) {
	t.Helper()
	stores := []keys.Store{one, other}
	secret, k, err := keys.Create(t.Context(), one, &keys.Spec{Name: "ci", Budget: "1/day"}, "owner")
	if err != nil {
		t.Fatal(err)
	}
	id, err := keys.Identify(t.Context(), other, secret, time.Now())
	if err != nil || id.ID != k.ID || len(id.Budgets) != 1 {
		t.Fatalf("%+v, %v", id, err)
	}
	const rpm = 30
	now := time.Now()
	var allowed, created atomic.Int64
	var wg sync.WaitGroup
	for i := range 2 * rpm {
		wg.Go(func() {
			wait, err := stores[i%2].Take(t.Context(), k.ID, rpm, now)
			if err != nil {
				t.Error(err)
			}
			if wait == 0 {
				allowed.Add(1)
			}
		})
	}
	wg.Wait()
	if n := allowed.Load(); n != rpm {
		t.Errorf("%d requests, want %d", n, rpm)
	}
	// Of those who make a key of one name at once, one has its effect.
	for i := range 8 {
		wg.Go(func() {
			_, _, err := keys.Create(t.Context(), stores[i%2], &keys.Spec{Name: "web"}, "owner")
			if err == nil {
				created.Add(1)
			} else if !errors.Is(err, keys.ErrExists) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := created.Load(); n != 1 {
		t.Errorf("%d keys of one name", n)
	}
	// Who logs out at one is out at the other.
	in := keys.Session{Secret: keys.HashOf("k"), Expires: time.Unix(now.Unix()+60, 0)}
	addSession(t, one, "token", in, now)
	inSession(t, other, "token", now, in)
	if err := other.EndSession(t.Context(), keys.HashOf("token")); err != nil {
		t.Error(err)
	}
	inSession(t, one, "token", now, keys.Session{})
	if err := keys.Revoke(t.Context(), one, "ci", "owner"); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Identify(t.Context(), other, secret, time.Now()); !errors.Is(err, keys.ErrRevoked) {
		t.Errorf("a key that another process revoked: %v", err)
	}
}
