package valkey_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/valkey-io/valkey-go"

	store "github.com/claude-force/claude-force/internal/valkey"
	"github.com/claude-force/claude-force/internal/valkey/valkeytest"
)

func TestAddresses(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"redis://user:canary@cache.example:7000/3":  "cache.example:7000",
		"rediss://:canary@cache.example":            "cache.example:6379",
		"valkey://cache.example":                    "cache.example:6379",
		"unix:///run/valkey.sock":                   "/run/valkey.sock",
		"unix:///run/valkey.sock?db=2":              "/run/valkey.sock",
		"redis://cache.example/":                    "cache.example:6379",
		"redis://cache.example/?client_name=me":     "cache.example:6379",
		"redis://u:c%3Fn%2F@cache.example:7000/":    "cache.example:7000",
		"redis://cache.example?canary=1":            "",
		"redis://cache.example?dial_timeout=canary": "",
		"redis://cache.example:7000/3#canary":       "",
		"http://canary@cache.example":               "",
		"redis://canary@cache.example/canary":       "",
		"redis://user:can%zzary@cache.example:7000": "",
		"canary": "",
		"":       "",
	} {
		c, err := store.New(address, store.Options{})
		switch {
		case want == "" && err == nil:
			t.Errorf("%s: no error", address)
		case want == "" && (strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), "redis://")):
			t.Errorf("%s: %v", address, err)
		case want != "" && (err != nil || c.Addr() != want):
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestNamesShowNothing(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, secret := range []string{"", "one", "two"} {
		c, err := store.New("redis://localhost", store.Options{Secret: []byte(secret)})
		if err != nil {
			t.Fatal(err)
		}
		for _, parts := range [][]string{{"sk-ant"}, {"sk", "-ant"}, {"sk-ant", ""}, {"limits", "sk-ant"}} {
			name := c.Name(parts...)
			if seen[name] || strings.Contains(name, "sk") || name != c.Name(parts...) {
				t.Errorf("%q is %s", parts, name)
			}
			seen[name] = true
		}
	}
}

// TestServerThatFails kills and freezes a server: each is said once, and what needs the
// server fails at once until it is back.
func TestServerThatFails(t *testing.T) {
	server := valkeytest.Start(t)
	// A patient client takes no machine that stalls for a server that is frozen.
	open := func(timeout time.Duration) (*store.Client, <-chan string) {
		said := make(chan string, 1000)
		c, err := store.New(server.URL(), store.Options{
			Timeout: timeout, Retry: 10 * time.Millisecond,
			OnDown: func(err error) { said <- "down" }, OnUp: func() { said <- "up" },
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c, said
	}
	set := func(ctx context.Context, conn valkey.Client) error {
		return conn.Do(ctx, conn.B().Set().Key("x").Value("y").Build()).Error()
	}
	fails := func(c *store.Client) {
		t.Helper()
		for i := range 100 {
			if err := c.Do(t.Context(), set); !errors.Is(err, store.ErrDown) {
				t.Errorf("operation %d: %v", i, err)
			}
		}
	}
	c, said := open(time.Minute)
	// The second connection finds out by an operation that fails that the server was restarted.
	works := func() {
		t.Helper()
		err := c.Do(t.Context(), set)
		if errors.Is(err, store.ErrDown) {
			err = c.Do(t.Context(), set)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	works()
	server.Kill()
	fails(c)
	server.Restart()
	if down, up := <-said, <-said; down != "down" || up != "up" {
		t.Errorf("of a server that was killed: said %q, %q", down, up)
	}
	works()
	hasty, saidOfFrozen := open(3 * time.Second)
	for hasty.Do(t.Context(), set) != nil { // a machine that stalls is an outage to it
	}
	server.Freeze()
	fails(hasty)
	server.Thaw()
	for hasty.Do(t.Context(), set) != nil {
	}
	hasty.Close()
	for n := range max(2, len(saidOfFrozen)) { // each outage once
		if got := <-saidOfFrozen; got != []string{"down", "up"}[n%2] {
			t.Errorf("of a server that was frozen: said %q as number %d", got, n+1)
		}
	}
	works()
	select {
	case more := <-said:
		t.Errorf("said %q too", more)
	default:
	}
	// What the server says of one operation is no failure of its, and a caller that leaves is none.
	wrong := c.Do(t.Context(), func(ctx context.Context, conn valkey.Client) error {
		return conn.Do(ctx, conn.B().Lpush().Key("x").Element("y").Build()).Error()
	})
	gone, leave := context.WithCancel(t.Context())
	leave()
	left := c.Do(gone, set)
	if err := c.Do(t.Context(), set); err != nil || wrong == nil || errors.Is(wrong, store.ErrDown) || left == nil {
		t.Errorf("%v; of a wrong operation %v; of a caller that left %v", err, wrong, left)
	}
	if version, err := c.Version(t.Context()); err != nil || !strings.Contains(version, "e") {
		t.Errorf("version %q, %v", version, err)
	}
	c.Close()
	if err := c.Do(t.Context(), set); !errors.Is(err, store.ErrDown) {
		t.Errorf("after Close: %v", err)
	}
}

// TestServerThatWasNeverThere checks that a server that comes late is used.
func TestServerThatWasNeverThere(t *testing.T) {
	server := valkeytest.Start(t, "requirepass canary")
	up := make(chan struct{})
	c, err := store.New(server.URL(), store.Options{Timeout: time.Minute, Retry: 10 * time.Millisecond, OnUp: func() { close(up) }})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Ping(t.Context()); !errors.Is(err, store.ErrDown) || strings.Contains(err.Error(), "canary") {
		t.Errorf("without the password: %v", err)
	}
	with, err := store.New(strings.Replace(server.URL(), "unix://", "unix://:canary@", 1), store.Options{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer with.Close()
	if err := with.Ping(t.Context()); err != nil {
		t.Errorf("with the password: %v", err)
	}
	err = with.Do(t.Context(), func(ctx context.Context, conn valkey.Client) error {
		return conn.Do(ctx, conn.B().ConfigSet().ParameterValue().ParameterValue("requirepass", "").Build()).Error()
	})
	if err != nil {
		t.Fatal(err)
	}
	<-up
	if err := c.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestUsersWithFewRights: a user who may not do one of the things that the stores do is
// found out by the first look at the server, so that the server does not come and go. One
// with the rights that the documentation names can do all of it.
func TestUsersWithFewRights(t *testing.T) {
	t.Parallel()
	commands := []string{
		"evalsha", "set", "get", "mget", "del", "unlink", "pexpire", "time", "zadd", "zscore", "zcard", "zrange", "zrem",
		"zremrangebyscore", "zpopmin", "hset", "hgetall", "xadd", "xread",
	}
	rights := map[string]string{
		"documented": "~claude-force:* +@read +@write +@connection +@scripting +time +info",
		"silent":     "~claude-force:* +@all -info",
		"elsewhere":  "~other:* +@all",
		"none":       "~* -@all +@connection",
	}
	for _, command := range commands {
		rights["no-"+command] = "~* +@all -" + command
	}
	var settings []string
	for name, may := range rights {
		settings = append(settings, "user "+name+" on >canary "+may)
	}
	server := valkeytest.Start(t, settings...)
	for name := range rights {
		c, err := store.New(strings.Replace(server.URL(), "unix://", "unix://"+name+":canary@", 1), store.Options{Timeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		err = c.Ping(t.Context())
		good := name == "documented" || name == "silent"
		if good && err != nil || !good && !errors.Is(err, store.ErrDown) || err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", name, err)
		}
		if version, err := c.Version(t.Context()); good && (err != nil || (version == "") != (name == "silent")) {
			t.Errorf("%s: version %q, %v", name, version, err)
		}
		c.Close()
	}
}

// TestServersThatCannotBeWritten: one without memory, and one that follows another, are of
// no use, and leave nothing without an expiry.
func TestServersThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string][]string{
		"without memory": {"maxmemory 1", "maxmemory-policy noeviction"},
		"follower":       {"replicaof 127.0.0.1 1"},
	} {
		c, err := store.New(valkeytest.Start(t, settings...).URL(), store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Ping(t.Context()); !errors.Is(err, store.ErrDown) {
			t.Errorf("%s: %v", name, err)
		}
		c.Close()
	}
}
