// Package valkey is the connection to a Valkey or Redis server that the processes of
// several machines share: opened at its first use, left alone while the server fails,
// and used again when it is back. What needs the server does without it meanwhile.
package valkey

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/valkey-io/valkey-go"
)

// ErrDown reports that the server is not used since it failed.
var ErrDown = errors.New("valkey does not answer")

// Options configure [New]. The zero value is ready.
type Options struct {
	// Secret keys the names that [Client.Name] makes. Machines that share have the same.
	Secret []byte
	// Timeout bounds each operation. 0 means two seconds.
	Timeout time.Duration
	// Retry is how often a server that failed is tried. 0 means one second.
	Retry time.Duration
	// OnDown is called once when the server fails, with the reason, and OnUp once when it
	// is back. They may be nil.
	OnDown func(err error)
	OnUp   func()
}

// Client is a connection to a server, or to a cluster. Make one with [New]; it is safe for
// concurrent use.
type Client struct {
	option valkey.ClientOption
	addr   string
	opts   Options

	opening sync.Mutex // held while a connection is opened

	mu     sync.Mutex // guards the fields below
	conn   valkey.Client
	down   error // why the server is not used; nil if it is
	closed bool

	stop chan struct{}
	jobs sync.WaitGroup // the goroutine that tries a server that failed
}

// params are the parameters of an address that change something.
var params = []string{"addr", "client_name", "db", "dial_timeout", "master_set", "protocol", "skip_verify", "write_timeout"}

// New returns a client of the server at a URL: redis, rediss (TLS), valkey, valkeys or
// unix. It connects to nothing. No error shows the URL, which may hold a password.
func New(address string, opts Options) (*Client, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" && u.Path == "" {
		return nil, errors.New("it is not a URL; write redis://HOST:PORT, rediss:// for TLS, or unix:///PATH, with USER:PASSWORD@ before the host or the path")
	}
	for name := range u.Query() {
		if !slices.Contains(params, name) {
			return nil, fmt.Errorf("it has a parameter that is not known; write redis://HOST:PORT/DATABASE with %s behind a ?, or none", strings.Join(params, ", "))
		}
	}
	if u.Path == "/" && u.Host != "" {
		u.Path = ""
	}
	option, err := valkey.ParseURL(u.String())
	if err != nil || u.Fragment != "" {
		return nil, errors.New("its scheme, its path or a parameter is not known; write redis://HOST:PORT/DATABASE, rediss:// for TLS, or unix:///PATH")
	}
	opts.Timeout = cmp.Or(opts.Timeout, 2*time.Second)
	opts.Retry = cmp.Or(opts.Retry, time.Second)
	option.Dialer.Timeout = cmp.Or(option.Dialer.Timeout, opts.Timeout)
	option.ConnWriteTimeout = cmp.Or(option.ConnWriteTimeout, opts.Timeout)
	option.DisableRetry, option.DisableCache = true, true
	option.PipelineMultiplex = 1 // two connections
	option.ReadBufferEachConn, option.WriteBufferEachConn = 32<<10, 32<<10
	addr := option.InitAddress[0]
	if host, port, err := net.SplitHostPort(addr); err == nil {
		addr = net.JoinHostPort(host, port)
	}
	return &Client{option: option, addr: addr, opts: opts, stop: make(chan struct{})}, nil
}

// Addr returns where the server is, without its credentials.
func (c *Client) Addr() string { return c.addr }

// Name returns a name that shows nothing of what it is made from to who lacks the secret.
func (c *Client) Name(parts ...string) string {
	mac := hmac.New(sha256.New, append([]byte("claude-force valkey\x00"), c.opts.Secret...))
	for _, part := range parts {
		fmt.Fprintf(mac, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// Do uses the server. The error wraps [ErrDown] if it is not used now. An error of use
// that says that the server fails keeps it from being used until it answers again; a
// context that ends is the caller's affair.
func (c *Client) Do(ctx context.Context, use func(ctx context.Context, conn valkey.Client) error) error {
	conn, err := c.connected(ctx)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	err = use(limited, conn)
	if err == nil || ctx.Err() != nil || !serverFails(err) {
		return err
	}
	if limited.Err() != nil || !c.reconnects(ctx, conn, err) {
		c.fail(err)
	}
	return fmt.Errorf("%w: %w", ErrDown, err)
}

// reconnects reports whether an operation failed since its connection was lost, and the
// server can be written to by another one. A client has several connections, and each finds
// out by itself that a server was restarted: that is not another outage.
func (c *Client) reconnects(ctx context.Context, conn valkey.Client, err error) bool {
	if _, replied := valkey.IsValkeyErr(err); replied {
		return false
	}
	limited, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	return c.try(limited, conn) == nil
}

// Ping reports whether the server can be written to.
func (c *Client) Ping(ctx context.Context) error { return c.Do(ctx, c.try) }

// Version returns what the server calls itself, such as "redis 7.0.15"; empty if the user
// may not ask.
func (c *Client) Version(ctx context.Context) (version string, err error) {
	err = c.Do(ctx, func(ctx context.Context, conn valkey.Client) error {
		info, err := conn.Do(ctx, conn.B().Info().Section("server").Build()).ToString()
		if _, refused := valkey.IsValkeyErr(err); refused {
			return nil
		}
		for line := range strings.Lines(info) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			switch {
			case name == "valkey_version":
				version = "valkey " + value
			case name == "redis_version" && version == "":
				version = "redis " + value
			}
		}
		return err
	})
	return version, err
}

// Close ends the connection. Operations fail afterwards.
func (c *Client) Close() {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	c.closed = true
	close(c.stop)
	c.mu.Unlock()
	c.jobs.Wait()
	c.opening.Lock() // who opens it now closes it
	defer c.opening.Unlock()
	if c.conn != nil {
		c.conn.Close()
	}
}

// connected returns the connection, and opens it if there is none yet.
func (c *Client) connected(ctx context.Context) (valkey.Client, error) {
	if conn, err := c.state(); conn != nil || err != nil {
		return conn, err
	}
	c.opening.Lock()
	defer c.opening.Unlock()
	if conn, err := c.state(); conn != nil || err != nil {
		return conn, err
	}
	if err := c.open(); err != nil {
		if ctx.Err() == nil {
			c.fail(err)
		}
		return nil, fmt.Errorf("%w: %w", ErrDown, err)
	}
	return c.state()
}

// state returns the connection if there is one, and why it cannot be used.
func (c *Client) state() (valkey.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return nil, fmt.Errorf("%w: the connection is closed", ErrDown)
	case c.down != nil:
		return nil, fmt.Errorf("%w: %w", ErrDown, c.down)
	}
	return c.conn, nil
}

// open opens the connection. The caller holds opening.
func (c *Client) open() error {
	conn, err := valkey.NewClient(c.option)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		conn.Close()
		return errors.New("the connection is closed")
	}
	c.conn = conn
	return nil
}

// fail keeps the server from being used until it answers again.
func (c *Client) fail(why error) {
	c.mu.Lock()
	if c.closed || c.down != nil {
		c.mu.Unlock()
		return
	}
	c.down = why
	c.jobs.Go(c.wait)
	c.mu.Unlock()
	if c.opts.OnDown != nil {
		c.opts.OnDown(why)
	}
}

// wait tries the server until it answers, or the client is closed.
func (c *Client) wait() {
	ticker := time.NewTicker(c.opts.Retry)
	defer ticker.Stop()
	for {
		select {
		case <-c.stop:
			return
		case <-ticker.C:
		}
		if c.answers() {
			break
		}
	}
	c.mu.Lock()
	c.down = nil
	c.mu.Unlock()
	if c.opts.OnUp != nil {
		c.opts.OnUp()
	}
}

// answers reports whether the server answers.
func (c *Client) answers() bool {
	c.opening.Lock()
	defer c.opening.Unlock()
	c.mu.Lock()
	conn := c.conn
	c.mu.Unlock()
	if conn == nil {
		if c.open() != nil {
			return false
		}
		conn = c.conn
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.opts.Timeout) //nolint:forbidigo // it looks for the server between the calls of any caller
	defer cancel()
	return c.try(ctx, conn) == nil
}

// probe is a script that does once what the stores do. It writes: a server that only reads is
// of no use. A user who may do only a part of it would else be found out again and again,
// since what is tried while the server is not used would be something else than what fails.
// The first thing it writes needs memory: after that a script may exceed what the server has.
// KEYS: a text, a sorted set, a hash and a stream, in one slot of a cluster.
var probe = sync.OnceValue(func() *valkey.Lua {
	return valkey.NewLuaScript(`
local time = redis.call('TIME')
redis.call('SET', KEYS[1], time[1], 'PX', 1000)
redis.call('GET', KEYS[1])
redis.call('MGET', KEYS[1])
redis.call('PEXPIRE', KEYS[1], 1000)
redis.call('ZADD', KEYS[2], 1, 'a')
redis.call('PEXPIRE', KEYS[2], 1000)
redis.call('ZSCORE', KEYS[2], 'a')
redis.call('ZCARD', KEYS[2])
redis.call('ZRANGE', KEYS[2], 0, -1)
redis.call('ZREMRANGEBYSCORE', KEYS[2], 0, 0)
redis.call('ZPOPMIN', KEYS[2])
redis.call('ZREM', KEYS[2], 'a')
redis.call('HSET', KEYS[3], 'a', 'b')
redis.call('PEXPIRE', KEYS[3], 1000)
redis.call('HGETALL', KEYS[3])
redis.call('XADD', KEYS[4], '*', 'e', '')
redis.call('PEXPIRE', KEYS[4], 1000)
redis.call('XREAD', 'COUNT', 1, 'STREAMS', KEYS[4], '0')
redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3])
redis.call('DEL', KEYS[4])
return 1`)
})

// try does with the server once what the stores do.
func (c *Client) try(ctx context.Context, conn valkey.Client) error {
	tag := "claude-force:{" + c.Name("try") + "}:"
	return probe().Exec(ctx, conn, []string{tag + "text", tag + "sorted", tag + "hash", tag + "stream"}, nil).Error()
}

// serverFails reports whether an error says that the server cannot be used, as opposed to
// what it says of one operation.
func serverFails(err error) bool {
	if valkey.IsValkeyNil(err) {
		return false
	}
	reply, replied := valkey.IsValkeyErr(err)
	if !replied {
		return true
	}
	text := reply.Error()
	// A script that may not use a command, or a server that does not have it.
	for _, refusal := range []string{"The user executing the script can't", "ACL failure", "unknown command", "Unknown Redis command"} {
		if strings.Contains(text, refusal) {
			return true
		}
	}
	code, _, _ := strings.Cut(text, " ")
	switch code {
	case "LOADING", "READONLY", "OOM", "MISCONF", "NOAUTH", "WRONGPASS", "NOPERM", "CLUSTERDOWN", "MASTERDOWN", "BUSY":
		return true
	}
	return false
}
