package coalescevalkey

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/valkey-io/valkey-go"

	store "github.com/claude-force/claude-force/internal/valkey"
	"github.com/claude-force/claude-force/llm"
)

// streamTime is after how long without a new event a stream is forgotten.
const streamTime = 4 * LeaseTime

// streams keeps flights in Valkey: a key with the owner, and a stream of each flight.
type streams struct{ client *store.Client }

func (s *streams) name(key llm.Key) string { return s.client.Name("flight", string(key[:])) }

// The keys of a name are in one slot of a cluster.
func ownerKey(name string) string { return "claude-force:{" + name + "}:owner" }

func streamKey(name, id string) string { return "claude-force:{" + name + "}:events:" + id }

// landedMark is before the id of a flight that has landed, as the value of its owner's key.
const landedMark = "landed:"

func (s *streams) join(ctx context.Context, name string, landed bool) (id string, owns bool, err error) {
	own := rand.Text()
	lease := strconv.FormatInt(LeaseTime.Milliseconds(), 10)
	err = s.client.Do(ctx, func(ctx context.Context, conn valkey.Client) error {
		for {
			err := conn.Do(ctx, conn.B().Set().Key(ownerKey(name)).Value(own).Nx().PxMilliseconds(LeaseTime.Milliseconds()).Build()).Error()
			if err == nil {
				id, owns = own, true
				return nil
			}
			if !valkey.IsValkeyNil(err) {
				return err
			}
			value, err := conn.Do(ctx, conn.B().Get().Key(ownerKey(name)).Build()).ToString()
			if valkey.IsValkeyNil(err) {
				continue
			}
			var down bool
			if id, down = strings.CutPrefix(value, landedMark); err != nil || landed || !down {
				return err
			}
			// The caller wants an answer from now on.
			err = setOwned().Exec(ctx, conn, []string{ownerKey(name)}, []string{value, own, lease}).Error()
			if !valkey.IsValkeyNil(err) {
				id, owns = own, err == nil
				return err
			}
		}
	})
	if err != nil {
		return "", false, fmt.Errorf("joining a flight: %w", err)
	}
	return id, owns, nil
}

// ifOwned does something with the key of a flight if its owner still owns it.
func ifOwned(command string) func() *valkey.Lua {
	return sync.OnceValue(func() *valkey.Lua {
		return valkey.NewLuaScript("if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call(" + command + ") end return false")
	})
}

var (
	extendOwned  = ifOwned("'PEXPIRE', KEYS[1], ARGV[2]")
	releaseOwned = ifOwned("'DEL', KEYS[1]")
	setOwned     = ifOwned("'SET', KEYS[1], ARGV[2], 'PX', ARGV[3]")
)

func (s *streams) extend(ctx context.Context, name, id string) error {
	return s.client.Do(ctx, func(ctx context.Context, conn valkey.Client) error {
		lease := strconv.FormatInt(LeaseTime.Milliseconds(), 10)
		err := notOwned(extendOwned().Exec(ctx, conn, []string{ownerKey(name)}, []string{id, lease}).Error())
		return errors.Join(err, expire(ctx, conn, streamKey(name, id)))
	})
}

func (s *streams) release(ctx context.Context, name, id string) error {
	return s.client.Do(ctx, func(ctx context.Context, conn valkey.Client) error {
		return notOwned(releaseOwned().Exec(ctx, conn, []string{ownerKey(name)}, []string{id}).Error())
	})
}

func (s *streams) land(ctx context.Context, name, id string) error {
	return s.client.Do(ctx, func(ctx context.Context, conn valkey.Client) error {
		time := strconv.FormatInt(LeaseTime.Milliseconds(), 10)
		return notOwned(setOwned().Exec(ctx, conn, []string{ownerKey(name)}, []string{id, landedMark + id, time}).Error())
	})
}

// Forget forgets flights that have landed, so that no call is given their answers any more,
// as when those have been removed from a cache.
func Forget(ctx context.Context, client *store.Client) error {
	err := client.Do(ctx, func(ctx context.Context, conn valkey.Client) error {
		for cursor := uint64(0); ; {
			page, err := conn.Do(ctx, conn.B().Scan().Cursor(cursor).Match(ownerKey("*")).Count(1000).Build()).AsScanEntry()
			if err != nil {
				return err
			}
			for _, key := range page.Elements {
				value, err := conn.Do(ctx, conn.B().Get().Key(key).Build()).ToString()
				if err == nil && strings.HasPrefix(value, landedMark) {
					err = releaseOwned().Exec(ctx, conn, []string{key}, []string{value}).Error()
				}
				if err := notOwned(err); err != nil {
					return err
				}
			}
			if cursor = page.Cursor; cursor == 0 {
				return nil
			}
		}
	})
	if err != nil {
		return fmt.Errorf("forgetting calls that have just ended: %w", err)
	}
	return nil
}

// notOwned returns the error of a script, unless that only says that another owns the flight.
func notOwned(err error) error {
	if valkey.IsValkeyNil(err) {
		return nil
	}
	return err
}

func expire(ctx context.Context, conn valkey.Client, key string) error {
	return conn.Do(ctx, conn.B().Pexpire().Key(key).Milliseconds(streamTime.Milliseconds()).Build()).Error()
}

func (s *streams) publish(ctx context.Context, name, id string, data []byte) error {
	key := streamKey(name, id)
	return s.client.Do(ctx, func(ctx context.Context, conn valkey.Client) error {
		for _, r := range conn.DoMulti(ctx,
			conn.B().Xadd().Key(key).Id("*").FieldValue().FieldValue("e", valkey.BinaryString(data)).Build(),
			conn.B().Pexpire().Key(key).Milliseconds(streamTime.Milliseconds()).Build(),
		) {
			if err := r.Error(); err != nil {
				return err
			}
		}
		return nil
	})
}

// readAtOnce is how many pieces of a stream are read at once.
const readAtOnce = 64

func (s *streams) read(ctx context.Context, name, id, after string) (data [][]byte, next string, owned bool, err error) {
	err = s.client.Do(ctx, func(ctx context.Context, conn valkey.Client) error {
		answers := conn.DoMulti(ctx,
			conn.B().Get().Key(ownerKey(name)).Build(),
			conn.B().Xread().Count(readAtOnce).Streams().Key(streamKey(name, id)).Id(cmp.Or(after, "0")).Build(),
		)
		owner, err := answers[0].ToString()
		if err != nil && !valkey.IsValkeyNil(err) {
			return err
		}
		owned = owner == id
		entries, err := answers[1].AsXRead()
		if err != nil && !valkey.IsValkeyNil(err) {
			return err
		}
		next = after
		for _, e := range entries[streamKey(name, id)] {
			data, next = append(data, []byte(e.FieldValues["e"])), e.ID
		}
		return nil
	})
	if err != nil {
		return nil, "", false, fmt.Errorf("reading a flight: %w", err)
	}
	return data, next, owned, nil
}
