package cachevalkey_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	store "github.com/claude-force/claude-force/internal/valkey"
	"github.com/claude-force/claude-force/internal/valkey/valkeytest"
	"github.com/claude-force/claude-force/llm/cache"
	"github.com/claude-force/claude-force/llm/cache/cachedb"
	"github.com/claude-force/claude-force/llm/cache/cachetest"
	"github.com/claude-force/claude-force/llm/cache/cachevalkey"
)

// machine returns the cache of a machine, in a file of its own. secret separates tests.
func machine(t *testing.T, server *valkeytest.Server, secret string, maxBytes int64) cache.Backend {
	t.Helper()
	client, err := store.New(server.URL(), store.Options{Secret: []byte(secret), Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	own, err := cachedb.Open(t.TempDir()+"/cache.db", cachedb.Options{MaxBytes: maxBytes})
	if err != nil {
		t.Fatal(err)
	}
	c, err := cachevalkey.New(own, client, []byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSuite(t *testing.T) {
	server := valkeytest.Start(t)
	cachetest.Suite(t, func(t *testing.T, maxBytes int64) cache.Backend {
		server.Kill()
		if maxBytes == 0 { // what is evicted here is found there, so the server is away
			server.Restart()
		}
		return machine(t, server, t.Name(), maxBytes)
	})
}

// TestMachinesFindEachOthersAnswers puts on one machine and reads on another, which keeps
// what it finds; what is cleared is found on neither.
func TestMachinesFindEachOthersAnswers(t *testing.T) {
	server := valkeytest.Start(t)
	one, two, three := machine(t, server, "", 0), machine(t, server, "", 0), machine(t, server, "", 0)
	for n := range 250 {
		if err := one.Put(t.Context(), cachetest.Entry(n)); err != nil {
			t.Fatal(err)
		}
	}
	get := func(b cache.Backend, n int, want bool) {
		t.Helper()
		e, err := b.Get(t.Context(), cachetest.Entry(n).Key, time.Time{})
		switch {
		case want && (err != nil || e.Response.Text() != fmt.Sprint("answer ", n) || e.Agent != fmt.Sprint("agent", n%2)):
			t.Errorf("answer %d is %+v, %v", n, e, err)
		case !want && !errors.Is(err, cache.ErrMiss):
			t.Errorf("answer %d is %+v, %v; want none", n, e, err)
		}
	}
	for _, n := range []int{0, 1, 249} {
		get(two, n, true)
	}
	if _, err := two.Get(t.Context(), cachetest.Entry(5).Key, time.Now().Add(time.Minute)); !errors.Is(err, cache.ErrMiss) {
		t.Errorf("one that is too old: %v", err)
	}
	if s, err := two.Stats(t.Context()); err != nil || s.Hits != 3 || s.Entries != 3 {
		t.Errorf("the other machine counts %+v, %v", s, err)
	}
	server.CheckKeys("answer 1", "prompt", "agent", "haiku")
	if _, _, err := two.Clear(t.Context(), cache.Filter{Agent: "agent1"}); err != nil {
		t.Fatal(err)
	}
	get(two, 1, false)
	get(three, 249, false)
	get(three, 248, true)
	if _, _, err := two.Clear(t.Context(), cache.Filter{}); err != nil {
		t.Fatal(err)
	}
	get(two, 0, false)
	get(two, 100, false)
	get(one, 100, true) // its own
	server.Kill()
	get(one, 101, true)
	get(two, 101, false)
	if err := two.Put(t.Context(), cachetest.Entry(7)); err != nil {
		t.Errorf("without the server: %v", err)
	}
	get(two, 7, true)
	if _, _, err := two.Clear(t.Context(), cache.Filter{}); err == nil {
		t.Error("the server's answers are cleared without it")
	}
	for _, b := range []cache.Backend{one, two, three} {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}
