// Package keysdb keeps keys in a SQLite file, keys.db, which several processes may use at
// once. What is done to keys and budgets survives a power cut; when a key was used, how many
// requests it made, and who has logged in or out last may be lost by one.
package keysdb

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/internal/sqlitefile"
	"github.com/claude-force/claude-force/internal/unixtime"
	"github.com/claude-force/claude-force/keys"
	"github.com/claude-force/claude-force/llm/budget"
)

//go:embed migrations/*.sql
var migrations embed.FS

// schema is the schema of this version.
var schema = sqlitefile.Schema{Version: 2, Migrations: migrations}

// usedEvery is how often it is noted that a key is used.
const usedEvery = time.Minute

// Store is a [keys.Store] in a file. Make one with [New].
type Store struct{ file sqlitefile.Lazy }

// New returns the store in a file, which is made when the first key is. Close it when
// done.
func New(path string) *Store {
	return &Store{sqlitefile.Lazy{
		Path: path, Holds: "keys", Schema: &schema, Own: []error{keys.ErrNotFound, keys.ErrExists, keys.ErrNoSession},
		Advice: sqlitefile.Advice{
			Damaged:     "put a backup in its place, or move it away to start without keys",
			Empty:       "put a backup in its place, or remove it to start without keys",
			Full:        "free some space",
			NotWritable: "make it writable, or name another with CLAUDE_FORCE_HOME",
			Path:        "name another folder with CLAUDE_FORCE_HOME",
			Foreign:     "name another folder with CLAUDE_FORCE_HOME",
		},
	}}
}

// Close closes the file.
func (s *Store) Close() error { return s.file.Close() }

// act runs a transaction that survives a power cut, with its entry of the audit log. do
// reports whether it changed anything.
func (s *Store) act(a keys.Act, do func(c *sqlitefile.Conn) (changed bool, err error)) error {
	return s.file.Exclusive(func(c *sqlitefile.Conn) error {
		err := c.Write(func() error {
			changed, err := do(c)
			if err != nil || !changed {
				return err
			}
			return c.Run(`INSERT INTO acts (time, who, action, name, detail) VALUES (?, ?, ?, ?, ?)`, a.Time.Unix(), a.By, a.Action, a.Name, a.Detail)
		})
		if err != nil {
			return err
		}
		if err := c.Exec(`PRAGMA synchronous = FULL`); err != nil {
			return err
		}
		// A commit flushes those before it.
		err = c.Write(func() error {
			return c.Run(`DELETE FROM requests WHERE time < ?`, a.Time.Add(-time.Hour).UnixNano())
		})
		return errors.Join(err, c.Exec(`PRAGMA synchronous = NORMAL`))
	})
}

// Create implements [keys.Store].
func (s *Store) Create(_ context.Context, k *keys.Key, secret keys.Hash, b *keys.Budget, act keys.Act) error {
	models, err := json.Marshal(k.Models)
	if err != nil {
		return err
	}
	return s.act(act, func(c *sqlitefile.Conn) (bool, error) {
		n, err := c.Change(`INSERT INTO keys (id, name, team, role, models, rpm, last4, created, expires, used, revoked) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO NOTHING`,
			k.ID, k.Name, k.Team, string(k.Role), string(models), k.RPM, k.Last4, unixtime.Seconds(k.Created), unixtime.Seconds(k.Expires), unixtime.Seconds(k.Used), unixtime.Seconds(k.Revoked))
		if err == nil && n == 0 {
			err = keys.ErrExists
		}
		if err == nil {
			err = c.Run(`INSERT INTO secrets (hash, key, until) VALUES (?, ?, 0)`, secret[:], k.ID)
		}
		if err == nil && b != nil {
			err = setBudget(c, b)
		}
		return true, err
	})
}

// Rotate implements [keys.Store].
func (s *Store) Rotate(_ context.Context, name string, secret keys.Hash, last4 string, until time.Time, act keys.Act) error {
	return s.act(act, func(c *sqlitefile.Conn) (bool, error) {
		k, err := find(c, `WHERE name = ? AND revoked = 0`, name)
		if err != nil {
			return false, err
		}
		return true, errors.Join(
			c.Run(`UPDATE secrets SET until = ?1 WHERE key = ?2 AND (until = 0 OR until > ?1)`, unixtime.Seconds(until), k.ID),
			c.Run(`INSERT INTO secrets (hash, key, until) VALUES (?, ?, 0)`, secret[:], k.ID),
			c.Run(`UPDATE keys SET last4 = ? WHERE id = ?`, last4, k.ID),
		)
	})
}

// Revoke implements [keys.Store].
func (s *Store) Revoke(_ context.Context, name string, act keys.Act) error {
	return s.act(act, func(c *sqlitefile.Conn) (bool, error) {
		k, err := find(c, `WHERE name = ?`, name)
		if err != nil || !k.Revoked.IsZero() {
			return false, err
		}
		return true, c.Run(`UPDATE keys SET revoked = ? WHERE id = ?`, unixtime.Seconds(act.Time), k.ID)
	})
}

// SetBudget implements [keys.Store].
func (s *Store) SetBudget(_ context.Context, b *keys.Budget, act keys.Act) error {
	return s.act(act, func(c *sqlitefile.Conn) (bool, error) { return true, setBudget(c, b) })
}

func setBudget(c *sqlitefile.Conn, b *keys.Budget) error {
	return c.Run(`INSERT INTO budgets (level, name, usd, every, since) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (level, name) DO UPDATE SET usd = ?3, every = ?4, since = ?5`,
		string(b.Level), b.Name, b.USD, int64(b.Every/time.Second), unixtime.Seconds(b.From))
}

// RemoveBudget implements [keys.Store].
func (s *Store) RemoveBudget(_ context.Context, b *keys.Budget, act keys.Act) error {
	return s.act(act, func(c *sqlitefile.Conn) (bool, error) {
		return true, c.Run(`DELETE FROM budgets WHERE level = ? AND name = ?`, string(b.Level), b.Name)
	})
}

const columns = `id, name, team, role, models, rpm, last4, created, expires, used, revoked`

func readKey(row *sqlite3.Stmt) (k keys.Key, err error) {
	k = keys.Key{
		ID: row.ColumnText(0), Name: row.ColumnText(1), Team: row.ColumnText(2), Role: keys.Role(row.ColumnText(3)), RPM: row.ColumnInt(5), Last4: row.ColumnText(6),
		Created: unixtime.FromSeconds(row.ColumnInt64(7)), Expires: unixtime.FromSeconds(row.ColumnInt64(8)), Used: unixtime.FromSeconds(row.ColumnInt64(9)), Revoked: unixtime.FromSeconds(row.ColumnInt64(10)),
	}
	return k, json.Unmarshal(row.ColumnBlob(4, nil), &k.Models)
}

// find returns the key that a condition is for, or ErrNotFound.
func find(c *sqlitefile.Conn, where string, args ...any) (*keys.Key, error) {
	var found *keys.Key
	err := c.Query(`SELECT `+columns+` FROM keys `+where, func(row *sqlite3.Stmt) error {
		k, err := readKey(row)
		found = &k
		return err
	}, args...)
	if err == nil && found == nil {
		err = keys.ErrNotFound
	}
	return found, err
}

// Keys implements [keys.Store].
func (s *Store) Keys(ctx context.Context) ([]keys.Key, error) {
	list := []keys.Key{}
	err := s.file.Read(ctx, func(c *sqlitefile.Conn) error {
		return c.Query(`SELECT `+columns+` FROM keys ORDER BY name`, func(row *sqlite3.Stmt) error {
			k, err := readKey(row)
			list = append(list, k)
			return err
		})
	})
	return list, err
}

// Budgets implements [keys.Store].
func (s *Store) Budgets(ctx context.Context) ([]keys.Budget, error) {
	var list []keys.Budget
	err := s.file.Read(ctx, func(c *sqlitefile.Conn) error {
		return c.Query(`SELECT level, name, usd, every, since FROM budgets ORDER BY level, name`, func(row *sqlite3.Stmt) error {
			list = append(list, keys.Budget{
				Level: budget.Level(row.ColumnText(0)), Name: row.ColumnText(1), USD: row.ColumnFloat(2),
				Every: time.Duration(row.ColumnInt64(3)) * time.Second, From: unixtime.FromSeconds(row.ColumnInt64(4)),
			})
			return nil
		})
	})
	return list, err
}

// Acts implements [keys.Store].
func (s *Store) Acts(ctx context.Context, limit int) ([]keys.Act, error) {
	list := []keys.Act{}
	err := s.file.Read(ctx, func(c *sqlitefile.Conn) error {
		return c.Query(`SELECT time, who, action, name, detail FROM acts ORDER BY id DESC LIMIT ?`, func(row *sqlite3.Stmt) error {
			list = append(list, keys.Act{Time: unixtime.FromSeconds(row.ColumnInt64(0)), By: row.ColumnText(1), Action: row.ColumnText(2), Name: row.ColumnText(3), Detail: row.ColumnText(4)})
			return nil
		}, limit)
	})
	return list, err
}

// BySecret implements [keys.Store].
func (s *Store) BySecret(ctx context.Context, secret keys.Hash, now time.Time) (*keys.Key, error) {
	k, err := s.one(ctx, `WHERE id = (SELECT key FROM secrets WHERE hash = ? AND (until = 0 OR until > ?))`, secret[:], now.Unix())
	if err != nil || now.Sub(k.Used) < usedEvery {
		return k, err
	}
	k.Used = now.UTC().Truncate(time.Second)
	err = s.file.Write(func(c *sqlitefile.Conn) error {
		return c.Run(`UPDATE keys SET used = ? WHERE id = ?`, unixtime.Seconds(now), k.ID)
	})
	return k, err
}

// ByName implements [keys.Store].
func (s *Store) ByName(ctx context.Context, name string) (*keys.Key, error) {
	return s.one(ctx, `WHERE name = ?`, name)
}

// one returns the key that a condition is for, or ErrNotFound.
func (s *Store) one(ctx context.Context, where string, args ...any) (k *keys.Key, err error) {
	err = s.file.Read(ctx, func(c *sqlitefile.Conn) error {
		k, err = find(c, where, args...)
		return err
	})
	if err == nil && k == nil { // there is no file
		err = keys.ErrNotFound
	}
	return k, err
}

// Take implements [keys.Store].
func (s *Store) Take(_ context.Context, id string, rpm int, now time.Time) (wait time.Duration, err error) {
	since := now.Add(-time.Minute).UnixNano()
	err = s.file.Write(func(c *sqlitefile.Conn) error {
		if err := c.Run(`DELETE FROM requests WHERE key = ? AND time <= ?`, id, since); err != nil {
			return err
		}
		// The one that must have left the minute before there is room.
		err := c.Query(`SELECT time FROM requests WHERE key = ? ORDER BY time DESC, n DESC LIMIT 1 OFFSET ?`, func(row *sqlite3.Stmt) error {
			wait = time.Duration(row.ColumnInt64(0) - since)
			return nil
		}, id, rpm-1)
		if err != nil || wait > 0 {
			return err
		}
		return c.Run(`INSERT INTO requests (key, time, n) SELECT ?1, ?2, count(*) FROM requests WHERE key = ?1 AND time = ?2`, id, now.UnixNano())
	})
	return wait, err
}
