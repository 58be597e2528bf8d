package keyspg_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/claude-force/claude-force/internal/postgres/postgrestest"
	"github.com/claude-force/claude-force/keys"
	"github.com/claude-force/claude-force/keys/keyspg"
	"github.com/claude-force/claude-force/keys/keystest"
)

func open(t testing.TB, url string) *keyspg.Store {
	t.Helper()
	return keyspg.New(postgrestest.Open(t, url))
}

func TestSuite(t *testing.T) {
	keystest.Suite(t, func(t *testing.T) keys.Store { return open(t, postgrestest.URL(t)) })
}

// TestShared has two stores in one database, each with connections of its own, as two
// servers have.
func TestShared(t *testing.T) {
	url := postgrestest.URL(t)
	keystest.Shared(t, open(t, url), open(t, url+"&application_name=other"))
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
