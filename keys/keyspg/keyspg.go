// Package keyspg keeps keys in a PostgreSQL database, for the servers of several machines.
// What is done to keys and budgets survives a crash of the database; when a key was used
// and how many requests it made in the last minute may be lost by one.
package keyspg

import (
	"context"
	"encoding/json"
	"errors"
	"hash/fnv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/internal/unixtime"
	"github.com/claude-force/claude-force/keys"
)

// usedEvery is how often it is noted that a key is used.
const usedEvery = time.Minute

// Store is a [keys.Store] in a database. Make one with [New].
type Store struct{ db postgres.Store }

var _ keys.Store = (*Store)(nil)

// New returns the store in a database, which is given back by Close.
func New(db *postgres.DB) *Store {
	return &Store{postgres.Store{DB: db, Holds: "keys", Own: []error{keys.ErrNotFound, keys.ErrExists, keys.ErrNoSession}}}
}

// Close gives the database back.
func (s *Store) Close() error { return s.db.Close() }

// act runs a transaction with its entry of the audit log. do reports whether it changed
// anything.
func (s *Store) act(ctx context.Context, a keys.Act, do func(ctx context.Context, tx pgx.Tx) (changed bool, err error)) error {
	return s.db.Transact(ctx, func(ctx context.Context, tx pgx.Tx) error {
		changed, err := do(ctx, tx)
		if err != nil || !changed {
			return err
		}
		send := &pgx.Batch{}
		send.Queue(`INSERT INTO keys_acts (time, who, action, name, detail) VALUES ($1, $2, $3, $4, $5)`, unixtime.Seconds(a.Time), a.By, a.Action, a.Name, a.Detail)
		send.Queue(`DELETE FROM keys_requests WHERE time < $1`, a.Time.Add(-time.Hour).UnixNano())
		return tx.SendBatch(ctx, send).Close()
	})
}

// Create implements [keys.Store].
func (s *Store) Create(ctx context.Context, k *keys.Key, secret keys.Hash, b *keys.Budget, act keys.Act) error {
	models, err := json.Marshal(k.Models)
	if err != nil {
		return err
	}
	return s.act(ctx, act, func(ctx context.Context, tx pgx.Tx) (bool, error) {
		tag, err := tx.Exec(ctx, `INSERT INTO keys_keys (`+columns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (name) DO NOTHING`,
			k.ID, k.Name, k.Team, string(k.Role), string(models), k.RPM, k.Last4, unixtime.Seconds(k.Created), unixtime.Seconds(k.Expires), unixtime.Seconds(k.Used), unixtime.Seconds(k.Revoked))
		if err == nil && tag.RowsAffected() == 0 {
			err = keys.ErrExists
		}
		if err == nil {
			_, err = tx.Exec(ctx, `INSERT INTO keys_secrets (hash, key, until) VALUES ($1, $2, 0)`, secret[:], k.ID)
		}
		if err == nil && b != nil {
			err = setBudget(ctx, tx, b)
		}
		return true, err
	})
}

// Rotate implements [keys.Store].
func (s *Store) Rotate(ctx context.Context, name string, secret keys.Hash, last4 string, until time.Time, act keys.Act) error {
	if !postgres.Storable(name) {
		return keys.ErrNotFound
	}
	return s.act(ctx, act, func(ctx context.Context, tx pgx.Tx) (bool, error) {
		k, err := find(ctx, tx, `WHERE name = $1 AND revoked = 0 FOR UPDATE`, name)
		if err != nil {
			return false, err
		}
		send := &pgx.Batch{}
		send.Queue(`UPDATE keys_secrets SET until = $1 WHERE key = $2 AND (until = 0 OR until > $1)`, unixtime.Seconds(until), k.ID)
		send.Queue(`INSERT INTO keys_secrets (hash, key, until) VALUES ($1, $2, 0)`, secret[:], k.ID)
		send.Queue(`UPDATE keys_keys SET last4 = $1 WHERE id = $2`, last4, k.ID)
		return true, tx.SendBatch(ctx, send).Close()
	})
}

// Revoke implements [keys.Store].
func (s *Store) Revoke(ctx context.Context, name string, act keys.Act) error {
	if !postgres.Storable(name) {
		return keys.ErrNotFound
	}
	return s.act(ctx, act, func(ctx context.Context, tx pgx.Tx) (bool, error) {
		k, err := find(ctx, tx, `WHERE name = $1 FOR UPDATE`, name)
		if err != nil || !k.Revoked.IsZero() {
			return false, err
		}
		_, err = tx.Exec(ctx, `UPDATE keys_keys SET revoked = $1 WHERE id = $2`, unixtime.Seconds(act.Time), k.ID)
		return true, err
	})
}

// SetBudget implements [keys.Store].
func (s *Store) SetBudget(ctx context.Context, b *keys.Budget, act keys.Act) error {
	return s.act(ctx, act, func(ctx context.Context, tx pgx.Tx) (bool, error) { return true, setBudget(ctx, tx, b) })
}

func setBudget(ctx context.Context, tx pgx.Tx, b *keys.Budget) error {
	_, err := tx.Exec(ctx, `INSERT INTO keys_budgets (level, name, usd, every, since) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (level, name) DO UPDATE SET usd = excluded.usd, every = excluded.every, since = excluded.since`,
		string(b.Level), b.Name, b.USD, int64(b.Every/time.Second), unixtime.Seconds(b.From))
	return err
}

// RemoveBudget implements [keys.Store].
func (s *Store) RemoveBudget(ctx context.Context, b *keys.Budget, act keys.Act) error {
	return s.act(ctx, act, func(ctx context.Context, tx pgx.Tx) (bool, error) {
		_, err := tx.Exec(ctx, `DELETE FROM keys_budgets WHERE level = $1 AND name = $2`, string(b.Level), b.Name)
		return true, err
	})
}

const columns = `id, name, team, role, models, rpm, last4, created, expires, used, revoked`

func readKey(row pgx.CollectableRow) (k keys.Key, err error) {
	var models string
	var created, expires, used, revoked int64
	if err := row.Scan(&k.ID, &k.Name, &k.Team, (*string)(&k.Role), &models, &k.RPM, &k.Last4, &created, &expires, &used, &revoked); err != nil {
		return k, err
	}
	k.Created, k.Expires, k.Used, k.Revoked = unixtime.FromSeconds(created), unixtime.FromSeconds(expires), unixtime.FromSeconds(used), unixtime.FromSeconds(revoked)
	return k, json.Unmarshal([]byte(models), &k.Models)
}

// querier is the database, or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// find returns the key that a condition is for, or ErrNotFound.
func find(ctx context.Context, q querier, where string, args ...any) (*keys.Key, error) {
	rows, err := q.Query(ctx, `SELECT `+columns+` FROM keys_keys `+where, args...)
	if err != nil {
		return nil, err
	}
	k, err := pgx.CollectExactlyOneRow(rows, readKey)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, keys.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return &k, nil
}

// Keys implements [keys.Store].
func (s *Store) Keys(ctx context.Context) ([]keys.Key, error) {
	return postgres.Collect(ctx, &s.db, readKey, `SELECT `+columns+` FROM keys_keys ORDER BY name`)
}

// Budgets implements [keys.Store].
func (s *Store) Budgets(ctx context.Context) ([]keys.Budget, error) {
	return postgres.Collect(ctx, &s.db, func(row pgx.CollectableRow) (b keys.Budget, err error) {
		var every, since int64
		err = row.Scan((*string)(&b.Level), &b.Name, &b.USD, &every, &since)
		b.Every, b.From = time.Duration(every)*time.Second, unixtime.FromSeconds(since)
		return b, err
	}, `SELECT level, name, usd, every, since FROM keys_budgets ORDER BY level, name`)
}

// Acts implements [keys.Store].
func (s *Store) Acts(ctx context.Context, limit int) ([]keys.Act, error) {
	return postgres.Collect(ctx, &s.db, func(row pgx.CollectableRow) (a keys.Act, err error) {
		var at int64
		err = row.Scan(&at, &a.By, &a.Action, &a.Name, &a.Detail)
		a.Time = unixtime.FromSeconds(at)
		return a, err
	}, `SELECT time, who, action, name, detail FROM keys_acts ORDER BY id DESC LIMIT $1`, limit)
}

// BySecret implements [keys.Store].
func (s *Store) BySecret(ctx context.Context, secret keys.Hash, now time.Time) (*keys.Key, error) {
	k, err := s.one(ctx, `WHERE id = (SELECT key FROM keys_secrets WHERE hash = $1 AND (until = 0 OR until > $2))`, secret[:], now.Unix())
	if err != nil || now.Sub(k.Used) < usedEvery {
		return k, err
	}
	k.Used = now.UTC().Truncate(time.Second)
	err = s.db.Write(ctx, func(ctx context.Context) error {
		// One transaction, which is sent at once: a machine that is cut off holds no lock. Who
		// finds the key locked need not write: another writes the same.
		send := &pgx.Batch{}
		send.Queue(`SELECT set_config('synchronous_commit', 'off', true)`)
		send.Queue(`UPDATE keys_keys SET used = $1 WHERE id = (SELECT id FROM keys_keys WHERE id = $2 AND used < $1 FOR UPDATE SKIP LOCKED)`, unixtime.Seconds(now), k.ID)
		return s.db.SendBatch(ctx, send).Close()
	})
	return k, err
}

// ByName implements [keys.Store].
func (s *Store) ByName(ctx context.Context, name string) (*keys.Key, error) {
	if !postgres.Storable(name) {
		return nil, keys.ErrNotFound
	}
	return s.one(ctx, `WHERE name = $1`, name)
}

// one returns the key that a condition is for, or ErrNotFound.
func (s *Store) one(ctx context.Context, where string, args ...any) (k *keys.Key, err error) {
	err = s.db.Read(ctx, func(ctx context.Context) error {
		k, err = find(ctx, s.db, where, args...)
		return err
	})
	return k, err
}

// Take implements [keys.Store].
func (s *Store) Take(ctx context.Context, id string, rpm int, now time.Time) (wait time.Duration, err error) {
	since := now.Add(-time.Minute).UnixNano()
	hash := fnv.New64a()
	_, _ = hash.Write([]byte("keys_requests " + id)) // it never fails
	err = s.db.Write(ctx, func(ctx context.Context) error {
		// One transaction. The requests of a key are counted one after the other.
		send := &pgx.Batch{}
		send.Queue(`SELECT pg_advisory_xact_lock($1)`, int64(hash.Sum64()))
		send.Queue(`DELETE FROM keys_requests WHERE key = $1 AND time <= $2`, []byte(id), since)
		// The one that must have left the minute before there is room.
		send.Queue(`WITH full_by AS (SELECT time FROM keys_requests WHERE key = $1 ORDER BY time DESC LIMIT 1 OFFSET $2),
				taken AS (INSERT INTO keys_requests (key, time) SELECT $1, $3 WHERE NOT EXISTS (SELECT FROM full_by))
			SELECT coalesce(max(time), 0) FROM full_by`, []byte(id), rpm-1, now.UnixNano())
		results := s.db.SendBatch(ctx, send)
		_, lockErr := results.Exec()
		_, deleteErr := results.Exec()
		var fullBy int64
		countErr := results.QueryRow().Scan(&fullBy)
		if err := results.Close(); err != nil {
			return err
		}
		if fullBy > 0 {
			wait = time.Duration(fullBy - since)
		}
		return errors.Join(lockErr, deleteErr, countErr)
	})
	return wait, err
}
