package claudeforce

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/internal/valkey/valkeytest"
	"github.com/claude-force/claude-force/pipeline"
)

// diagnosed returns what Diagnose says of a service and a data folder, by name.
func diagnosed(t *testing.T, baseURL, dir string, offline bool, limit time.Duration) map[string]Check {
	t.Helper()
	cfg, err := config.Load(config.Sources{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	cfg.DataDir, cfg.BaseURL = dir, baseURL
	found := map[string]Check{}
	for _, c := range diagnose(t.Context(), Options{Config: cfg, Dir: t.TempDir()}, offline, limit) {
		if _, twice := found[c.Name]; twice {
			t.Errorf("two checks are named %s", c.Name)
		}
		found[c.Name] = c
	}
	return found
}

// TestDiagnoseEndpoints gives what services, gateways and proxies answer. What is wrong
// with a service is never blamed on the key or on a store.
func TestDiagnoseEndpoints(t *testing.T) {
	t.Setenv("ANTHROPIC_API_KEY", "sk-ant-test-0123456789abcdef")
	answer := func(status int, kind, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}
	}
	apiError := func(status int, typ, message string) http.HandlerFunc {
		return answer(status, "application/json", fmt.Sprintf(`{"type":"error","error":{"type":%q,"message":%q}}`, typ, message))
	}
	const html = "<html><body><h1>Bad Gateway</h1></body></html>"
	for _, c := range []struct {
		name           string
		handler        http.HandlerFunc
		path           string
		service, key   CheckStatus
		failed, detail string // the check that is not passed, and what it says
		notSaid        []string
	}{
		{"counts", answer(200, "application/json", `{"input_tokens":3}`), "", CheckPassed, CheckPassed, "", "", nil},
		{"hangs", func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // or the server does not see that the client has left
			<-r.Context().Done()
		}, "", CheckWarned, CheckPassed, "service", "no answer", []string{"cache.db", "check the key"}},
		{"HTML 502", answer(502, "text/html", html), "", CheckWarned, CheckPassed, "service", "502", []string{"check the key", "<html>"}},
		{"HTML 503", answer(503, "text/html", html), "", CheckWarned, CheckPassed, "service", "503", []string{"check the key"}},
		{"JSON 500", apiError(500, "api_error", "Internal"), "", CheckWarned, CheckPassed, "service", "Internal", []string{"check the key"}},
		{"overloaded", apiError(529, "overloaded_error", "Overloaded"), "", CheckWarned, CheckPassed, "service", "Overloaded", []string{"check the key"}},
		{"limited", apiError(429, "rate_limit_error", "Slow down"), "", CheckWarned, CheckPassed, "service", "Slow down", []string{"check the key"}},
		{"no such path, JSON", apiError(404, "not_found_error", "Not found"), "", CheckPassed, CheckPassed, "", "does not count", []string{"has no model"}},
		{"no such path, other JSON", answer(404, "application/json", `{"detail":"Not Found"}`), "", CheckPassed, CheckPassed, "", "does not count", []string{"has no model"}},
		{"no such path, HTML", answer(404, "text/html", html), "", CheckPassed, CheckPassed, "", "does not count", []string{"has no model"}},
		{"no such method", answer(405, "text/plain", "no"), "", CheckPassed, CheckPassed, "", "does not count", []string{"has no model"}},
		{"not implemented", answer(501, "application/json", `{"error":"not implemented"}`), "", CheckPassed, CheckPassed, "", "does not count", []string{"has no model"}},
		{"ends in /v1", answer(404, "application/json", `{"detail":"Not Found"}`), "/v1/", CheckFailed, CheckPassed, "service", "/v1", []string{"has no model", "check the key"}},
		{"no such model", apiError(404, "not_found_error", "model: claude-haiku-5-5"), "", CheckPassed, CheckPassed, "model", "has no model", []string{"check the key"}},
		{"wrong key", apiError(401, "authentication_error", "invalid x-api-key"), "", CheckPassed, CheckFailed, "key", "invalid x-api-key", nil},
		{"HTML 403", answer(403, "text/html", html), "", CheckPassed, CheckFailed, "key", "403", []string{"<html>"}},
		{"no money", apiError(400, "invalid_request_error", "Your credit balance is too low"), "", CheckPassed, CheckFailed, "key", "cannot pay", nil},
		{"redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) }, "", CheckFailed, CheckPassed, "service", "redirect", []string{"check the key"}},
		{"HTML 200", answer(200, "text/html", "<html>Log in to the network</html>"), "", CheckFailed, CheckPassed, "service", "", []string{"check the key", "cache.db"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(c.handler)
			t.Cleanup(server.Close)
			limit, dir := 5*time.Minute, t.TempDir()
			if c.name == "hangs" {
				// The first check makes the stores, so that the second needs little of its limit for them.
				diagnosed(t, server.URL, dir, true, limit)
				limit = 5 * time.Second
			}
			found := diagnosed(t, server.URL+c.path, dir, false, limit)
			bad := func(check Check) bool { return check.Status == CheckFailed || check.Status == CheckWarned }
			for name, check := range maps.Clone(found) { // all but the service may need longer on a slow machine
				for c.name == "hangs" && name != "service" && name != "space" && bad(check) && limit < time.Minute {
					limit *= 2
					found = diagnosed(t, server.URL+c.path, dir, false, limit)
					check = found[name]
				}
			}
			if found["service"].Status != c.service || found["key"].Status != c.key {
				t.Errorf("service: %+v, key: %+v; want %s and %s", found["service"], found["key"], c.service, c.key)
			}
			said := ""
			for name, check := range found {
				if name == "service" || name == "key" || name == "model" {
					said += check.Detail + "; " + check.Hint + "\n"
				}
				if bad(check) != (name == c.failed) && name != "space" {
					t.Errorf("%+v; want a problem with %q alone", check, c.failed)
				}
			}
			if !strings.Contains(said, c.detail) {
				t.Errorf("%q is missing in:\n%s", c.detail, said)
			}
			for _, text := range c.notSaid {
				if strings.Contains(said, text) {
					t.Errorf("%q is said in:\n%s", text, said)
				}
			}
		})
	}
}

// TestDiagnoseStores damages each store in each way and wants the check of that store,
// and no other, to find it.
func TestDiagnoseStores(t *testing.T) {
	t.Setenv("ANTHROPIC_API_KEY", "sk-ant-test-0123456789abcdef")
	damages := map[string]func(path string) error{
		"garbage":   func(path string) error { return os.WriteFile(path, []byte(strings.Repeat("garbage ", 2000)), 0o600) },
		"short":     func(path string) error { return os.Truncate(path, 3000) },
		"a folder":  func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
		"no schema": func(path string) error { return overwrite(path, 4096) },
	}
	for name, path := range map[string]func(pipeline.DataDir) string{
		"store":   pipeline.DataDir.Cache,
		"history": pipeline.DataDir.History,
		"budget":  pipeline.DataDir.Budget,
	} {
		for damage, do := range damages {
			t.Run(name+", "+damage, func(t *testing.T) {
				dir := t.TempDir()
				for _, c := range diagnosed(t, "", dir, true, time.Minute) { // makes the stores
					if c.Status == CheckFailed {
						t.Fatalf("at first: %+v", c)
					}
				}
				file := path(pipeline.DataDir(dir))
				if err := errors.Join(os.RemoveAll(file+"-wal"), os.RemoveAll(file+"-shm"), do(file)); err != nil {
					t.Fatal(err)
				}
				for _, c := range diagnosed(t, "", dir, true, time.Minute) {
					if (c.Status == CheckFailed) != (c.Name == name) {
						t.Errorf("%+v", c)
					}
					if c.Name == name && (!strings.Contains(c.Detail, filepath.Base(file)) || c.Hint == "") {
						t.Errorf("it does not say what to do: %+v", c)
					}
				}
			})
		}
	}
	t.Run("a file in place of a folder", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.WriteFile(pipeline.DataDir(dir).Limits(), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if c := diagnosed(t, "", dir, true, time.Minute)["folders"]; c.Status != CheckFailed || !strings.Contains(c.Detail, "limits") {
			t.Errorf("%+v", c)
		}
	})
}

// TestDiagnoseSettings gives settings that are wrong, and a key that is not the stores': no check
// may call for the removal of a store that is sound.
func TestDiagnoseSettings(t *testing.T) {
	t.Setenv("ANTHROPIC_API_KEY", "sk-ant-test-0123456789abcdef")
	dir := t.TempDir()
	key := func(name string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(strings.Repeat(name, 64)[:64]), 0o600); err != nil {
			t.Fatal(err)
		}
		return "file:" + path
	}
	load := func(set map[string]string) *config.Config {
		cfg, err := config.Load(config.Sources{})
		if err != nil {
			t.Fatal(err)
		}
		cfg.DataDir = dir
		for name, value := range set {
			if err := cfg.Set(name, value, "test"); err != nil {
				t.Fatal(err)
			}
		}
		return cfg
	}
	stores := func(set map[string]string) map[string]Check {
		cfg, found := load(set), map[string]Check{}
		for _, c := range storeChecks(cfg) {
			for _, c := range c.run(t.Context()) {
				found[c.Name] = c
			}
		}
		if cfg.Valkey != "" {
			found["valkey"] = checkValkey(t.Context(), cfg)
		}
		return found
	}
	right := map[string]string{"cache.encryption_key": key("a")}
	for _, c := range stores(right) { // makes the stores
		if c.Status == CheckFailed {
			t.Fatalf("at first: %+v", c)
		}
	}
	for name, test := range map[string]struct {
		set    map[string]string
		failed string // checks
	}{
		"another key":           {map[string]string{"cache.encryption_key": key("b")}, "store history"},
		"no key":                {nil, "store history"},
		"a key that is missing": {map[string]string{"cache.encryption_key": "file:" + filepath.Join(dir, "none")}, "store history"},
		"a wrong parameter":     {map[string]string{"cache.encryption_key": right["cache.encryption_key"], "valkey": "redis://127.0.0.1:1?dial_timeout=soon"}, "store valkey"},
		"a wrong path":          {map[string]string{"cache.encryption_key": right["cache.encryption_key"], "valkey": "redis://127.0.0.1:1/main"}, "store valkey"},
	} {
		found := stores(test.set)
		for check := range strings.FieldsSeq(test.failed) {
			if found[check].Status != CheckFailed {
				t.Errorf("%s: %+v", name, found[check])
			}
		}
		for _, c := range found {
			if strings.Contains(c.Hint, "delete") || strings.Contains(c.Hint, "move it") || strings.Contains(c.Hint, "backup") || strings.HasPrefix(c.Detail, ":") {
				t.Errorf("%s: %+v", name, c)
			}
		}
	}
}

// overwrite writes zeros over the pages of a file after the first.
func overwrite(path string, from int) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for i := from; i < len(data); i++ {
		data[i] = 0xA5
	}
	return os.WriteFile(path, data, 0o600)
}

// TestAHangingCheckDelaysNoOther runs a check that never ends beside one that does.
func TestAHangingCheckDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		defer close(hang)
		got := runChecks(t.Context(), time.Second, []check{
			{[]string{"a", "b"}, func(context.Context) []Check { <-hang; return nil }},
			one("c", func(context.Context) Check { return Check{Name: "c", Status: CheckPassed} }),
		})
		if len(got) != 3 || got[0].Name != "a" || got[0].Status != CheckFailed || got[1].Name != "b" || got[2].Status != CheckPassed {
			t.Errorf("%+v", got)
		}
	})
}

// TestDiagnoseValkey checks a server that is there and one that is not.
func TestDiagnoseValkey(t *testing.T) {
	server := valkeytest.Start(t, "requirepass canary")
	for url, want := range map[string]CheckStatus{
		strings.Replace(server.URL(), "unix://", "unix://:canary@", 1): CheckPassed, server.URL(): CheckFailed, "redis://:canary@127.0.0.1:1": CheckFailed,
	} {
		cfg := &config.Config{Valkey: url}
		if got := checkValkey(t.Context(), cfg); got.Status != want || strings.Contains(got.Detail, "canary") {
			t.Errorf("%+v, want %v", got, want)
		}
	}
}
