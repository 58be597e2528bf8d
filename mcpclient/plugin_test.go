package mcpclient_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/claude-force/claude-force/mcpclient"
)

// Servers of a plugin have names of their own, know its folder, and are not started
// before the user trusts them.
func TestServersOfPlugins(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	servers, notes, err := mcpclient.Load(mcpclient.Sources{Dir: dir, Plugins: []mcpclient.PluginServers{{
		Plugin: "review", Dir: `/data/a "b"`, Servers: map[string]json.RawMessage{
			"db":  json.RawMessage(`{"command": "${CLAUDE_PLUGIN_ROOT}/run", "args": ["--root", "${CLAUDE_PLUGIN_ROOT}"]}`),
			"bad": json.RawMessage(`{"args": []}`),
		},
	}}})
	if err != nil || len(servers) != 1 || len(notes) != 1 {
		t.Fatalf("servers %v, notes %q, error %v", servers, notes, err)
	}
	s := servers[0]
	if s.Name != "plugin_review_db" || s.Scope != mcpclient.ScopePlugin || s.Command != `/data/a "b"/run` || !slices.Equal(s.Args, []string{"--root", `/data/a "b"`}) {
		t.Errorf("got %+v", s)
	}
	if state, _, err := mcpclient.NewStore(dir + "/trust.json").State(s); err != nil || state != mcpclient.Untrusted {
		t.Errorf("state %q, error %v; want it untrusted", state, err)
	}
	renamed := s
	renamed.Command = "/other"
	if renamed.Digest() == s.Digest() {
		t.Error("another command has the same digest")
	}
}
