// Package admissionvalkey keeps the rate limits of a credential in Valkey or Redis, so that
// the processes of several machines share them. One script decides about each call, by the
// clock of the server.
package admissionvalkey

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/valkey-io/valkey-go"

	store "github.com/claude-force/claude-force/internal/valkey"
	"github.com/claude-force/claude-force/llm/admission"
)

//go:embed limits.lua
var source string

// script returns the script that does an operation.
var script = sync.OnceValue(func() *valkey.Lua { return valkey.NewLuaScript(source) })

// Operations of the script that are this package's own.
const (
	opReset admission.OpKind = "reset"
	opLive  admission.OpKind = "live"
)

const (
	// expiry is after how long without a call a pool is forgotten.
	expiry = 24 * time.Hour
	// beat is how often a process says that it lives.
	beat = admission.MemberTime / 3
	// maxPools bounds the pools that a process says so for.
	maxPools = 64
)

// Limits implements [admission.Shared]. Make one with [New].
type Limits struct {
	client *store.Client
	cred   string // a keyed hash

	mu    sync.Mutex                     // guards the fields below
	pools map[string]map[string]struct{} // members of this process, by pool
	stop  chan struct{}                  // nil before the first operation and after Close
	done  chan struct{}                  // closed when the heartbeat has ended
}

// New returns the limits of a credential. It sends nothing. Close them before the client.
func New(client *store.Client, namespace string) *Limits {
	return &Limits{client: client, cred: client.Name("limits", namespace), pools: map[string]map[string]struct{}{}}
}

// keys returns the names of a pool's keys. They are in one slot of a cluster.
func (l *Limits) keys(pool string) []string {
	tag := "claude-force:{" + l.cred + ":" + pool + "}:"
	return []string{tag + "limits", tag + "members"}
}

// index returns the name of the key with the names of the pools.
func (l *Limits) index() string { return "claude-force:{" + l.cred + "}:pools" }

// Apply implements [admission.Shared].
func (l *Limits) Apply(ctx context.Context, pool string, known admission.Known, op admission.Op) (v admission.View, err error) {
	if op.Kind != admission.OpLook {
		l.live(ctx, pool, known.Member)
	}
	err = l.client.Do(ctx, func(ctx context.Context, conn valkey.Client) error {
		reply, err := script().Exec(ctx, conn, l.keys(pool), arguments(known, op)).AsStrSlice()
		if err != nil || len(reply) == 0 {
			return err
		}
		v, err = parseView(reply, op)
		return err
	})
	if err != nil {
		return admission.View{}, fmt.Errorf("deciding by the limits of %s: %w", pool, err)
	}
	return v, nil
}

// arguments returns those of the script.
func arguments(known admission.Known, op admission.Op) []string {
	args := make([]string, 0, 40)
	add := func(values ...string) { args = append(args, values...) }
	amounts := func(all ...admission.Amounts) {
		for _, a := range all {
			add(millionths(a[0]), millionths(a[1]), millionths(a[2]))
		}
	}
	add(string(op.Kind), known.Member, millis(admission.MemberTime), millis(expiry), micros(max(known.Minute, time.Millisecond)), rand.Text(), string(known.Source), flag(known.Apart))
	amounts(known.Assumed, known.Learned, known.Used)
	add(op.Ticket.Epoch)
	amounts(op.Ticket.Cost, op.Ticket.Marks, op.Cost)
	switch op.Kind {
	case admission.OpTake:
		add(strconv.Itoa(op.InFlight))
	case admission.OpLearn:
		for i, q := range op.Said {
			remaining := "-1"
			if q.Counted {
				remaining = millionths(q.Remaining)
			}
			add(millionths(q.Limit), remaining, millionths(q.Slack(i)), millionths(op.Outstanding[i]))
		}
		add(micros(op.Ago))
	case admission.OpRefuse:
		add(flag(op.Counted), micros(op.Freeze), op.By)
	}
	return args
}

// most bounds amounts, so that their millionths are exact. It is more than the script counts
// up to.
const most = 2e9

func millionths(amount float64) string {
	return strconv.FormatInt(int64(math.Round(min(max(amount, -most), most)*1e6)), 10)
}

func micros(d time.Duration) string { return strconv.FormatInt(d.Microseconds(), 10) }

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

func flag(set bool) string {
	if set {
		return "1"
	}
	return "0"
}

// parseView reads the answer of the script.
func parseView(reply []string, op admission.Op) (v admission.View, err error) {
	const head, each = 5, 6
	if len(reply) != head+3*each {
		return v, fmt.Errorf("the script gave %d values", len(reply))
	}
	number := func(i int) float64 {
		n, bad := strconv.ParseInt(reply[i], 10, 64)
		err = errors.Join(err, bad)
		return float64(n)
	}
	duration := func(i int) time.Duration { return time.Duration(number(i)) * time.Microsecond }
	if op.Kind == admission.OpTake {
		v.Ticket.Epoch, v.Wait = reply[0], duration(1)
	}
	v.Frozen, v.Members = duration(2), int(number(4))
	if v.Frozen > 0 {
		v.By = reply[3]
	}
	for i := range v.Buckets {
		at := head + i*each
		b := &v.Buckets[i]
		b.Limit, b.Level, b.Source = number(at)/1e6, number(at+1)/1e6, admission.Source(reply[at+2])
		if learned := int64(number(at + 3)); learned > 0 {
			b.Learned = time.UnixMicro(learned)
		}
		if op.Kind == admission.OpTake {
			v.Ticket.Marks[i], v.Ticket.Cost[i] = number(at+4)/1e6, number(at+5)/1e6
		}
	}
	return v, err
}

// Pools implements [admission.Shared].
func (l *Limits) Pools(ctx context.Context) (names []string, err error) {
	err = l.client.Do(ctx, func(ctx context.Context, conn valkey.Client) error {
		names, err = conn.Do(ctx, conn.B().Zrange().Key(l.index()).Min("0").Max("-1").Build()).AsStrSlice()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing the pools with limits: %w", err)
	}
	return names, nil
}

// Reset implements [admission.Shared].
func (l *Limits) Reset(ctx context.Context, pool string) (reset []string, err error) {
	names := []string{pool}
	if pool == "" {
		if names, err = l.Pools(ctx); err != nil {
			return nil, err
		}
	}
	for _, name := range names {
		err := l.client.Do(ctx, func(ctx context.Context, conn valkey.Client) error {
			reply, err := script().Exec(ctx, conn, l.keys(name), arguments(admission.Known{}, admission.Op{Kind: opReset})).AsIntSlice()
			if err == nil && len(reply) > 0 {
				reset = append(reset, name)
			}
			return err
		})
		if err != nil {
			return reset, fmt.Errorf("resetting the limits of %s: %w", name, err)
		}
	}
	return reset, nil
}

// live lets a member be one for as long as this process lives.
func (l *Limits) live(ctx context.Context, pool, member string) {
	l.mu.Lock()
	_, known := l.pools[pool][member]
	if !known {
		if len(l.pools) >= maxPools {
			clear(l.pools) // a pool that is used comes back
		}
		if l.pools[pool] == nil {
			l.pools[pool] = map[string]struct{}{}
		}
		l.pools[pool][member] = struct{}{}
	}
	if l.stop == nil {
		l.stop, l.done = make(chan struct{}), make(chan struct{})
		go l.beat(l.stop, l.done)
	}
	l.mu.Unlock()
	if !known {
		_ = l.list(ctx, pool) // the next heartbeat does it again
	}
}

// list names a pool in the index, which forgets pools as the server does.
func (l *Limits) list(ctx context.Context, pool string) error {
	now := time.Now()
	return l.client.Do(ctx, func(ctx context.Context, conn valkey.Client) error {
		for _, r := range conn.DoMulti(ctx,
			conn.B().Zadd().Key(l.index()).ScoreMember().ScoreMember(float64(now.Unix()), pool).Build(),
			conn.B().Zremrangebyscore().Key(l.index()).Min("-inf").Max(strconv.FormatInt(now.Add(-expiry).Unix(), 10)).Build(),
			conn.B().Pexpire().Key(l.index()).Milliseconds(expiry.Milliseconds()).Build(),
		) {
			if err := r.Error(); err != nil {
				return err
			}
		}
		return nil
	})
}

// beat keeps this process's members until stop is closed.
func (l *Limits) beat(stop <-chan struct{}, done chan<- struct{}) {
	defer close(done)
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		l.mu.Lock()
		pools := map[string][]string{}
		for pool, members := range l.pools {
			for member := range members {
				pools[pool] = append(pools[pool], member)
			}
		}
		l.mu.Unlock()
		for pool, members := range pools {
			ctx := context.Background() //nolint:forbidigo // of no call; the client bounds the time
			if l.renew(ctx, pool, members) != nil || l.list(ctx, pool) != nil {
				break // the server is away
			}
		}
	}
}

// renew lets members that the server has not forgotten be ones for longer. One that it has
// forgotten comes back with its next operation, which says what it has used.
func (l *Limits) renew(ctx context.Context, pool string, members []string) error {
	return l.client.Do(ctx, func(ctx context.Context, conn valkey.Client) error {
		for _, member := range members {
			args := arguments(admission.Known{Member: member}, admission.Op{Kind: opLive})
			if err := script().Exec(ctx, conn, l.keys(pool), args).Error(); err != nil {
				return err
			}
		}
		return nil
	})
}

// Close ends the heartbeat and takes this process's members out, so that the others' shares
// grow at once.
func (l *Limits) Close() {
	l.mu.Lock()
	stop, done, pools := l.stop, l.done, l.pools
	l.stop, l.pools = nil, map[string]map[string]struct{}{}
	l.mu.Unlock()
	if stop == nil {
		return
	}
	close(stop)
	<-done
	for pool, members := range pools {
		for member := range members {
			err := l.client.Do(context.Background(), func(ctx context.Context, conn valkey.Client) error { //nolint:forbidigo // Close takes none; the client bounds the time
				return conn.Do(ctx, conn.B().Zrem().Key(l.keys(pool)[1]).Member(member).Build()).Error()
			})
			if err != nil {
				return // they expire
			}
		}
	}
}
