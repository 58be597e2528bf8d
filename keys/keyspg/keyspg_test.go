package keyspg_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/internal/postgres/postgrestest"
	"github.com/claude-force/claude-force/keys"
	"github.com/claude-force/claude-force/keys/keyspg"
	"github.com/claude-force/claude-force/keys/keystest"
)

func open(t testing.TB, url string) *keyspg.Store {
	t.Helper()
	db, err := postgres.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close) // it may be closed
	return keyspg.New(db)
}

func TestSuite(t *testing.T) {
	keystest.Suite(t, func(t *testing.T) keys.Store { return open(t, postgrestest.URL(t)) })
}

// TestShared has two stores in one database, each with connections of its own, as two
// servers have: what one does, the other sees at once, and requests are counted together.
func TestShared(t *testing.T) {
	url := postgrestest.URL(t)
	stores := []keys.Store{open(t, url), open(t, url+"&application_name=other")}
	secret, k, err := keys.Create(t.Context(), stores[0], &keys.Spec{Name: "ci", Budget: "1/day"}, "owner")
	if err != nil {
		t.Fatal(err)
	}
	id, err := keys.Identify(t.Context(), stores[1], secret, time.Now())
	if err != nil || id.ID != k.ID || len(id.Budgets) != 1 {
		t.Fatalf("%+v, %v", id, err)
	}
	const rpm = 30
	now := time.Now()
	var allowed atomic.Int64
	var wg sync.WaitGroup
	for i := range 2 * rpm {
		wg.Go(func() {
			wait, err := stores[i%2].Take(context.Background(), k.ID, rpm, now)
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
	// Of those who make or rotate a key of one name at once, each has its effect or none.
	var created atomic.Int64
	for i := range 8 {
		wg.Go(func() {
			_, _, err := keys.Create(context.Background(), stores[i%2], &keys.Spec{Name: "web"}, "owner")
			if err == nil {
				created.Add(1)
			} else if !errors.Is(err, keys.ErrExists) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if created.Load() != 1 {
		t.Errorf("%d keys of one name", created.Load())
	}
	if err := keys.Revoke(t.Context(), stores[0], "ci", "owner"); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Identify(t.Context(), stores[1], secret, time.Now()); !errors.Is(err, keys.ErrRevoked) {
		t.Errorf("a key that another process revoked: %v", err)
	}
}

// TestServerGone: without a database no key is good, and what was done is there when it is
// back.
func TestServerGone(t *testing.T) {
	t.Parallel()
	server := postgrestest.Start(t)
	s := open(t, server.URL(t))
	secret, _, err := keys.Create(t.Context(), s, &keys.Spec{Name: "ci"}, "owner")
	if err != nil {
		t.Fatal(err)
	}
	server.Kill(t)
	if _, err := keys.Identify(t.Context(), s, secret, time.Now()); err == nil || errors.Is(err, keys.ErrNotFound) || !strings.Contains(err.Error(), "the keys at") {
		t.Errorf("without a database: %v", err)
	}
	server.Restart(t)
	if _, err := keys.Identify(t.Context(), s, secret, time.Now()); err != nil {
		t.Errorf("when it is back: %v", err)
	}
}
