package mcpclient_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/claude-force/claude-force/mcpclient"
)

// TestStore asks two stores about one file, as two processes do.
func TestStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "trust.json")
	asks, changes := mcpclient.NewStore(path), mcpclient.NewStore(path)
	server := mcpclient.Server{Name: "s", Scope: mcpclient.ScopeProject, Project: "/p", Transport: "stdio", Command: "c"}
	state := func(want mcpclient.State) {
		t.Helper()
		for _, s := range []*mcpclient.Store{asks, changes, asks} {
			if got, _, err := s.State(server); got != want || err != nil {
				t.Errorf("%s, %v; want %s", got, err, want)
			}
		}
	}
	var offer mcpclient.Offer
	for i := range 200 {
		offer.Tools = append(offer.Tools, mcpclient.Tool{Name: fmt.Sprint(i), Schema: json.RawMessage(`{"type":"object","title":"<&>\u2028é"}`)})
	}
	state(mcpclient.Untrusted)
	for range 3 {
		if _, err := changes.Trust(server, offer); err != nil {
			t.Fatal(err)
		}
		state(mcpclient.Trusted)
		server.Command += "x"
		state(mcpclient.Changed)
		if _, err := asks.Trust(server, offer); err != nil {
			t.Fatal(err)
		}
		state(mcpclient.Trusted)
		_, pin, err := asks.State(server)
		if differ, added := mcpclient.Compare(pin.Offer, offer); err != nil || len(differ) > 0 || len(added) > 0 {
			t.Errorf("what was stored differs: %d and %d tools, %v", len(differ), len(added), err)
		}
		if n := testing.AllocsPerRun(10, func() { _, _, _ = asks.State(server) }); n > 100 {
			t.Errorf("%.0f allocations: a file that did not change is read again", n)
		}
		if was, err := changes.Untrust(server); !was || err != nil {
			t.Fatal(was, err)
		}
		state(mcpclient.Untrusted)
	}
}
