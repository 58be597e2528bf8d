package server

import (
	"net/http"
	"testing"

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
