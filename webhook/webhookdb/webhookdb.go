// Package webhookdb keeps webhooks and what is to be sent to them in a SQLite file,
// webhooks.db, which several processes may use at once.
package webhookdb

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/json"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/internal/process"
	"github.com/claude-force/claude-force/internal/seal"
	"github.com/claude-force/claude-force/internal/sqlitefile"
	"github.com/claude-force/claude-force/internal/unixtime"
	"github.com/claude-force/claude-force/webhook"
)

//go:embed migrations/*.sql
var migrations embed.FS

// schema is the schema of this version.
var schema = sqlitefile.Schema{Version: 1, Migrations: migrations}

// Store is a [webhook.Store] in a file. Make one with [New].
type Store struct {
	file sqlitefile.Lazy
	box  *seal.Box // nil without encryption
	self process.ID
}

// New returns the store in a file, which is made when the first webhook is. The key, which
// encrypts bodies, has 32 bytes; nil means no encryption. Close it when done.
func New(path string, key []byte) (*Store, error) {
	box, err := seal.New(key)
	if err != nil {
		return nil, err
	}
	return &Store{box: box, self: process.This(), file: sqlitefile.Lazy{
		Path: path, Holds: "webhooks", Schema: &schema, Own: []error{webhook.ErrNotFound, webhook.ErrExists, webhook.ErrTooMany},
		Advice: sqlitefile.Advice{
			Damaged:     "put a backup in its place, or move it away to start without webhooks",
			Empty:       "put a backup in its place, or remove it to start without webhooks",
			Full:        "free some space",
			NotWritable: "make it writable, or name another with CLAUDE_FORCE_HOME",
			Path:        "name another folder with CLAUDE_FORCE_HOME",
			Foreign:     "name another folder with CLAUDE_FORCE_HOME",
		},
	}}, nil
}

// Close closes the file.
func (s *Store) Close() error { return s.file.Close() }

// Add implements [webhook.Store].
func (s *Store) Add(_ context.Context, h *webhook.Hook) error {
	events, err := json.Marshal(h.Events)
	if err != nil {
		return err
	}
	return s.file.Write(func(c *sqlitefile.Conn) error {
		_, have, err := c.Sum(`SELECT count(*) FROM webhooks`)
		if err == nil && have >= webhook.MaxHooks {
			err = webhook.ErrTooMany
		}
		if err != nil {
			return err
		}
		n, err := c.Change(`INSERT INTO webhooks (id, name, url, events, secret_env, created, disabled, runs, runs_at, budgets) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO NOTHING`,
			h.ID, h.Name, h.URL, string(events), h.SecretEnv, unixtime.Millis(h.Created), h.Disabled, h.Marks.Runs, unixtime.Nanos(h.Marks.RunsAt), h.Marks.Budgets)
		if err == nil && n == 0 {
			err = webhook.ErrExists
		}
		return err
	})
}

// Remove implements [webhook.Store].
func (s *Store) Remove(_ context.Context, name string) error {
	return s.file.Write(func(c *sqlitefile.Conn) error {
		if err := c.Run(`DELETE FROM deliveries WHERE webhook = (SELECT id FROM webhooks WHERE name = ?)`, name); err != nil {
			return err
		}
		n, err := c.Change(`DELETE FROM webhooks WHERE name = ?`, name)
		if err == nil && n == 0 {
			err = webhook.ErrNotFound
		}
		return err
	})
}

// List implements [webhook.Store].
func (s *Store) List(ctx context.Context) ([]webhook.Hook, error) {
	list := []webhook.Hook{}
	err := s.file.Read(ctx, func(c *sqlitefile.Conn) error {
		return c.Query(`SELECT id, name, url, events, secret_env, created, disabled, runs, runs_at, budgets FROM webhooks ORDER BY name`, func(row *sqlite3.Stmt) error {
			h := webhook.Hook{
				ID: row.ColumnText(0), Name: row.ColumnText(1), URL: row.ColumnText(2), SecretEnv: row.ColumnText(4), Created: unixtime.FromMillis(row.ColumnInt64(5)),
				Disabled: row.ColumnText(6), Marks: webhook.Marks{Runs: row.ColumnInt64(7), RunsAt: unixtime.FromNanos(row.ColumnInt64(8)), Budgets: row.ColumnInt64(9)},
			}
			if err := json.Unmarshal(row.ColumnBlob(3, nil), &h.Events); err != nil {
				return err
			}
			list = append(list, h)
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// Enqueue implements [webhook.Store].
func (s *Store) Enqueue(_ context.Context, h *webhook.Hook, to webhook.Marks, events []webhook.Event, now time.Time) (done bool, err error) {
	err = s.file.Write(func(c *sqlitefile.Conn) error {
		n, err := c.Change(`UPDATE webhooks SET runs = ?, runs_at = ?, budgets = ? WHERE id = ? AND runs = ? AND runs_at = ? AND budgets = ? AND disabled = ''`,
			to.Runs, unixtime.Nanos(to.RunsAt), to.Budgets, h.ID, h.Marks.Runs, unixtime.Nanos(h.Marks.RunsAt), h.Marks.Budgets)
		if done = n > 0; err != nil || !done {
			return err
		}
		for i := range events {
			ev := &events[i]
			if err := c.Run(`INSERT INTO deliveries (webhook, id, type, subject, body, created, state, attempts, last, next, status, problem, lease, owner, leased_until)
				VALUES (?, ?, ?, ?, ?, ?6, ?, 0, 0, ?6, 0, '', '', '', 0) ON CONFLICT DO NOTHING`,
				h.ID, ev.ID, string(ev.Type), ev.Subject, s.box.Seal(ev.Body, bound(h.ID, ev.ID)), unixtime.Millis(now), string(webhook.Pending)); err != nil {
				return err
			}
		}
		if len(events) == 0 {
			return nil
		}
		return c.Run(`DELETE FROM deliveries WHERE webhook = ?1 AND state <> 'pending' AND n <= (SELECT n FROM deliveries WHERE webhook = ?1 AND state <> 'pending' ORDER BY n DESC LIMIT 1 OFFSET ?2)`,
			h.ID, webhook.MaxSettled)
	})
	return done && err == nil, err
}

// newLease returns a lease that no other has.
func newLease() string { return rand.Text() }

// bound returns what the body of an event is bound to.
func bound(hook, event string) []byte { return []byte(hook + "\n" + event) }

// Claim implements [webhook.Store].
func (s *Store) Claim(ctx context.Context, h *webhook.Hook, n int, now time.Time) (claimed []webhook.Delivery, err error) {
	due, err := s.due(ctx, h, n, now)
	if err != nil || len(due) == 0 {
		return nil, err
	}
	owner, err := json.Marshal(s.self)
	if err != nil {
		return nil, err
	}
	err = s.file.Write(func(c *sqlitefile.Conn) error {
		claimed = nil
		for _, d := range due {
			lease := newLease()
			changed, err := c.Change(`UPDATE deliveries SET lease = ?1, owner = ?2, leased_until = ?3, attempts = attempts + 1, last = ?4
				WHERE webhook = ?5 AND id = ?6 AND state = 'pending' AND lease = ?7 AND next = ?8
				AND EXISTS (SELECT 1 FROM webhooks WHERE id = ?5 AND disabled = '')`,
				lease, string(owner), unixtime.Millis(now.Add(webhook.Lease)), unixtime.Millis(now), h.ID, d.ID, d.Lease, unixtime.Millis(d.Next))
			if err != nil {
				return err
			}
			if changed > 0 { // else another process was there first
				d.Lease, d.Last = lease, now.UTC().Truncate(time.Millisecond)
				d.Attempts++
				claimed = append(claimed, d)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return claimed, nil
}

// due returns deliveries that no living process has claimed, and whose time has come, with
// their bodies. A time that lies so far ahead that no clock that was right can have set it
// has come.
func (s *Store) due(ctx context.Context, h *webhook.Hook, n int, now time.Time) (due []webhook.Delivery, err error) {
	dead := map[string]bool{}
	err = s.file.Read(ctx, func(c *sqlitefile.Conn) error {
		return c.Query(`SELECT `+columns+`, next, lease, owner, leased_until, body FROM deliveries
			WHERE webhook = ?1 AND state = 'pending' AND (next <= ?2 OR next > ?3) ORDER BY n LIMIT ?4`, func(row *sqlite3.Stmt) error {
			d := read(row)
			d.Next, d.Lease = unixtime.FromMillis(row.ColumnInt64(9)), row.ColumnText(10)
			if owner, until := row.ColumnText(11), unixtime.FromMillis(row.ColumnInt64(12)); d.Lease != "" && until.After(now) && until.Sub(now) <= 2*webhook.Lease {
				if _, known := dead[owner]; !known {
					var p process.ID
					dead[owner] = json.Unmarshal([]byte(owner), &p) == nil && p.Dead(s.self)
				}
				if !dead[owner] {
					return nil
				}
			}
			if len(due) == n {
				return nil
			}
			if body, err := s.box.Open(row.ColumnBlob(13, nil), bound(h.ID, d.ID)); err == nil && json.Valid(body) {
				d.Body = body // else the key is another
			}
			due = append(due, d)
			return nil
		}, h.ID, unixtime.Millis(now), unixtime.Millis(now.Add(webhook.MaxWait)), n+maxClaimed)
	})
	return due, err
}

// maxClaimed is how many deliveries that others have claimed are passed over.
const maxClaimed = 1000

// Settle implements [webhook.Store].
func (s *Store) Settle(_ context.Context, d *webhook.Delivery, o webhook.Outcome) error {
	return s.file.Write(func(c *sqlitefile.Conn) error {
		n, err := c.Change(`UPDATE deliveries SET state = ?, status = ?, problem = ?, next = ?, lease = '', owner = '', leased_until = 0 WHERE lease = ? AND id = ?`,
			string(o.State), o.Status, o.Problem, unixtime.Millis(o.Next), d.Lease, d.ID)
		if err != nil || n == 0 || o.Disable == "" {
			return err
		}
		return c.Run(`UPDATE webhooks SET disabled = ? WHERE id = (SELECT webhook FROM deliveries WHERE id = ?)`, o.Disable, d.ID)
	})
}

// Retry implements [webhook.Store].
func (s *Store) Retry(_ context.Context, name string, marks webhook.Marks, now time.Time) (due int, err error) {
	err = s.file.Write(func(c *sqlitefile.Conn) error {
		n, err := c.Change(`UPDATE webhooks SET runs = iif(disabled = '', runs, ?), runs_at = iif(disabled = '', runs_at, ?), budgets = iif(disabled = '', budgets, ?), disabled = '' WHERE name = ?`,
			marks.Runs, unixtime.Nanos(marks.RunsAt), marks.Budgets, name)
		if err == nil && n == 0 {
			err = webhook.ErrNotFound
		}
		if err != nil {
			return err
		}
		n, err = c.Change(`UPDATE deliveries SET state = 'pending', attempts = 0, next = ?1, created = iif(state = 'failed', ?1, created)
			WHERE webhook = (SELECT id FROM webhooks WHERE name = ?2) AND state <> 'delivered' AND lease = ''`, unixtime.Millis(now), name)
		due = int(n)
		return err
	})
	return due, err
}

// columns are those that read takes.
const columns = `id, type, subject, created, state, attempts, last, status, problem`

func read(row *sqlite3.Stmt) webhook.Delivery {
	return webhook.Delivery{
		ID: row.ColumnText(0), Type: webhook.Type(row.ColumnText(1)), Subject: row.ColumnText(2), Created: unixtime.FromMillis(row.ColumnInt64(3)),
		State: webhook.State(row.ColumnText(4)), Attempts: row.ColumnInt(5), Last: unixtime.FromMillis(row.ColumnInt64(6)), Status: row.ColumnInt(7), Problem: row.ColumnText(8),
	}
}

// Deliveries implements [webhook.Store].
func (s *Store) Deliveries(ctx context.Context, h *webhook.Hook, limit int) ([]webhook.Delivery, error) {
	return s.deliveries(ctx, `WHERE webhook = ? ORDER BY n DESC LIMIT ?`, h.ID, limit)
}

func (s *Store) deliveries(ctx context.Context, which string, args ...any) ([]webhook.Delivery, error) {
	list := []webhook.Delivery{}
	err := s.file.Read(ctx, func(c *sqlitefile.Conn) error {
		return c.Query(`SELECT `+columns+`, next FROM deliveries `+which, func(row *sqlite3.Stmt) error {
			d := read(row)
			d.Next = unixtime.FromMillis(row.ColumnInt64(9))
			list = append(list, d)
			return nil
		}, args...)
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// Summary implements [webhook.Store].
func (s *Store) Summary(ctx context.Context, h *webhook.Hook) (map[webhook.State]int, *webhook.Delivery, error) {
	count := map[webhook.State]int{}
	err := s.file.Read(ctx, func(c *sqlitefile.Conn) error {
		return c.Query(`SELECT state, count(*) FROM deliveries WHERE webhook = ? GROUP BY state`, func(row *sqlite3.Stmt) error {
			count[webhook.State(row.ColumnText(0))] = row.ColumnInt(1)
			return nil
		}, h.ID)
	})
	if err != nil {
		return nil, nil, err
	}
	last, err := s.deliveries(ctx, `WHERE webhook = ? AND last > 0 ORDER BY last DESC, n DESC LIMIT 1`, h.ID)
	if err != nil || len(last) == 0 {
		return count, nil, err
	}
	return count, &last[0], nil
}
