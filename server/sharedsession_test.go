package server_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/internal/postgres/postgrestest"
	"github.com/claude-force/claude-force/keys"
	"github.com/claude-force/claude-force/pipeline"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/server"
	"github.com/claude-force/claude-force/sim"
)

// TestSessionsOfServers has two servers share a database, or a folder, behind a balancer: a
// browser that logs in at one is logged in at the other, and logs out of both; and when its
// key is revoked, neither knows it.
func TestSessionsOfServers(t *testing.T) {
	t.Parallel()
	for name, database := range map[string]func(*testing.T) string{
		"a database": func(t *testing.T) string { return postgrestest.URL(t) },
		"a folder":   func(*testing.T) string { return "" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, owner := t.TempDir(), keys.New()
			cfg, err := claudeforce.LoadConfig(dir)
			if err != nil {
				t.Fatal(err)
			}
			cfg.DataDir, cfg.Store = t.TempDir(), database(t)
			var servers []http.Handler
			for range 2 {
				srv, err := server.New(t.Context(), server.Options{
					Dir: dir, Config: cfg, Key: owner, Version: "test",
					Open: func(ctx context.Context, dir string, _ runs.Settings) (*claudeforce.Orchestrator, error) {
						return claudeforce.New(ctx, claudeforce.Options{Dir: dir, Config: cfg, Simulator: sim.New(sim.Options{})})
					},
				})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() {
					if err := srv.Close(); err != nil {
						t.Error(err)
					}
				})
				servers = append(servers, srv)
			}
			balancer := 0 // which server gets the next request
			web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { servers[balancer].ServeHTTP(w, r) }))
			t.Cleanup(web.Close)
			s := &service{t: t, url: web.URL, key: owner}
			at := func(c *http.Client, n int, want string) {
				t.Helper()
				balancer = n
				res, err := c.Get(web.URL + "/runs")
				if err != nil {
					t.Fatal(err)
				}
				body(t, res)
				if got := res.Request.URL.Path; got != want {
					t.Errorf("server %d shows %s; want %s", n, got, want)
				}
			}
			post := func(c *http.Client, n int, path string, form url.Values) {
				t.Helper()
				balancer = n
				res, err := c.PostForm(web.URL+path, form)
				if err != nil {
					t.Fatal(err)
				}
				body(t, res)
			}
			store, err := pipeline.OpenKeys(cfg)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := store.Close(); err != nil {
					t.Error(err)
				}
			})
			secret, _, err := keys.Create(t.Context(), store, &keys.Spec{Name: "ci", Role: keys.RoleRead}, "owner")
			if err != nil {
				t.Fatal(err)
			}
			one, other := s.browser(), s.browser()
			at(one, 0, "/login")
			post(one, 0, "/login", url.Values{"key": {owner}})
			post(other, 1, "/login", url.Values{"key": {secret}})
			for n := range servers {
				at(one, n, "/runs")
				at(other, n, "/runs")
			}
			post(one, 1, "/logout", nil)
			err = keys.Revoke(t.Context(), store, "ci", "owner")
			for n := range servers {
				at(one, n, "/login")
				at(other, n, "/login")
			}
			if err := errors.Join(err, t.Context().Err()); err != nil {
				t.Error(err)
			}
		})
	}
}
