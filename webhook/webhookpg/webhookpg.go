// Package webhookpg keeps webhooks and what is to be sent to them in a PostgreSQL
// database, for the servers of several machines.
package webhookpg

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/internal/process"
	"github.com/claude-force/claude-force/internal/seal"
	"github.com/claude-force/claude-force/internal/unixtime"
	"github.com/claude-force/claude-force/webhook"
)

// Store is a [webhook.Store] in a database. Make one with [New].
type Store struct {
	db   postgres.Store
	box  *seal.Box // nil without encryption
	self process.ID
}

var _ webhook.Store = (*Store)(nil)

// New returns the store in a database, which is given back by Close. The key, which
// encrypts bodies, has 32 bytes; nil means no encryption.
func New(db *postgres.DB, key []byte) (*Store, error) {
	box, err := seal.New(key)
	if err != nil {
		return nil, err
	}
	own := []error{webhook.ErrNotFound, webhook.ErrExists, webhook.ErrTooMany}
	return &Store{postgres.Store{DB: db, Holds: "webhooks", Own: own}, box, process.This()}, nil
}

// Close gives the database back.
func (s *Store) Close() error { return s.db.Close() }

// Add implements [webhook.Store].
func (s *Store) Add(ctx context.Context, h *webhook.Hook) error {
	events, err := json.Marshal(h.Events)
	if err != nil {
		return err
	}
	return s.db.Transact(ctx, func(ctx context.Context, tx pgx.Tx) error {
		// Webhooks are added one after the other, so that they can be counted.
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('claude-force webhooks ' || current_schema(), 0))`); err != nil {
			return err
		}
		var have int
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM webhooks`).Scan(&have); err != nil {
			return err
		}
		if have >= webhook.MaxHooks {
			return webhook.ErrTooMany
		}
		tag, err := tx.Exec(ctx, `INSERT INTO webhooks (`+hookColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (name) DO NOTHING`,
			h.ID, h.Name, h.URL, string(events), h.SecretEnv, unixtime.Millis(h.Created), postgres.Text(h.Disabled), h.Marks.Runs, unixtime.Nanos(h.Marks.RunsAt), h.Marks.Budgets)
		if err == nil && tag.RowsAffected() == 0 {
			err = webhook.ErrExists
		}
		return err
	})
}

// lock locks a webhook and returns its id, or ErrNotFound.
func lock(ctx context.Context, tx pgx.Tx, name string) (id string, err error) {
	if !postgres.Storable(name) {
		return "", webhook.ErrNotFound
	}
	err = tx.QueryRow(ctx, `SELECT id FROM webhooks WHERE name = $1 FOR UPDATE`, name).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		err = webhook.ErrNotFound
	}
	return id, err
}

// Remove implements [webhook.Store].
func (s *Store) Remove(ctx context.Context, name string) error {
	return s.db.Transact(ctx, func(ctx context.Context, tx pgx.Tx) error {
		id, err := lock(ctx, tx, name)
		if err != nil {
			return err
		}
		send := &pgx.Batch{}
		send.Queue(`DELETE FROM webhook_deliveries WHERE webhook = $1`, id)
		send.Queue(`DELETE FROM webhooks WHERE id = $1`, id)
		return tx.SendBatch(ctx, send).Close()
	})
}

const hookColumns = `id, name, url, events, secret_env, created, disabled, runs, runs_at, budgets`

// List implements [webhook.Store].
func (s *Store) List(ctx context.Context) ([]webhook.Hook, error) {
	return postgres.Collect(ctx, &s.db, readHook, `SELECT `+hookColumns+` FROM webhooks ORDER BY name`)
}

func readHook(row pgx.CollectableRow) (h webhook.Hook, err error) {
	var events string
	var created, runsAt int64
	if err := row.Scan(&h.ID, &h.Name, &h.URL, &events, &h.SecretEnv, &created, &h.Disabled, &h.Marks.Runs, &runsAt, &h.Marks.Budgets); err != nil {
		return h, err
	}
	h.Created, h.Marks.RunsAt = unixtime.FromMillis(created), unixtime.FromNanos(runsAt)
	return h, json.Unmarshal([]byte(events), &h.Events)
}

// Enqueue implements [webhook.Store].
func (s *Store) Enqueue(ctx context.Context, h *webhook.Hook, to webhook.Marks, events []webhook.Event, now time.Time) (done bool, err error) {
	err = s.db.Transact(ctx, func(ctx context.Context, tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE webhooks SET runs = $1, runs_at = $2, budgets = $3 WHERE id = $4 AND runs = $5 AND runs_at = $6 AND budgets = $7 AND disabled = ''`,
			to.Runs, unixtime.Nanos(to.RunsAt), to.Budgets, h.ID, h.Marks.Runs, unixtime.Nanos(h.Marks.RunsAt), h.Marks.Budgets)
		if done = tag.RowsAffected() > 0; err != nil || !done || len(events) == 0 {
			return err
		}
		send := &pgx.Batch{}
		for i := range events {
			ev := &events[i]
			send.Queue(`INSERT INTO webhook_deliveries (webhook, id, type, subject, body, created, state, attempts, last, next, status, problem, lease, owner, leased_until)
				VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, $6, 0, '', '', '', 0) ON CONFLICT DO NOTHING`,
				h.ID, ev.ID, string(ev.Type), postgres.Text(ev.Subject), s.box.Seal(ev.Body, bound(h.ID, ev.ID)), unixtime.Millis(now), string(webhook.Pending))
		}
		send.Queue(`DELETE FROM webhook_deliveries WHERE webhook = $1 AND state <> 'pending' AND n <=
			(SELECT n FROM webhook_deliveries WHERE webhook = $1 AND state <> 'pending' ORDER BY n DESC LIMIT 1 OFFSET $2)`, h.ID, webhook.MaxSettled)
		return tx.SendBatch(ctx, send).Close()
	})
	return done && err == nil, err
}

// bound returns what the body of an event is bound to.
func bound(hook, event string) []byte { return []byte(hook + "\n" + event) }

// Settle implements [webhook.Store].
func (s *Store) Settle(ctx context.Context, d *webhook.Delivery, o webhook.Outcome) error {
	return s.db.Transact(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if o.Disable != "" {
			if _, err := tx.Exec(ctx, `SELECT FROM webhooks WHERE id = (SELECT webhook FROM webhook_deliveries WHERE id = $1) FOR UPDATE`, d.ID); err != nil {
				return err
			}
		}
		tag, err := tx.Exec(ctx, `UPDATE webhook_deliveries SET state = $1, status = $2, problem = $3, next = $4, lease = '', owner = '', leased_until = 0 WHERE lease = $5 AND id = $6`,
			string(o.State), o.Status, postgres.Text(o.Problem), unixtime.Millis(o.Next), d.Lease, d.ID)
		if err != nil || tag.RowsAffected() == 0 || o.Disable == "" {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE webhooks SET disabled = $1 WHERE id = (SELECT webhook FROM webhook_deliveries WHERE id = $2)`, postgres.Text(o.Disable), d.ID)
		return err
	})
}

// Retry implements [webhook.Store].
func (s *Store) Retry(ctx context.Context, name string, marks webhook.Marks, now time.Time) (due int, err error) {
	err = s.db.Transact(ctx, func(ctx context.Context, tx pgx.Tx) error {
		id, err := lock(ctx, tx, name)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE webhooks SET runs = $2, runs_at = $3, budgets = $4, disabled = '' WHERE id = $1 AND disabled <> ''`,
			id, marks.Runs, unixtime.Nanos(marks.RunsAt), marks.Budgets); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `UPDATE webhook_deliveries SET state = 'pending', attempts = 0, next = $1, created = CASE WHEN state = 'failed' THEN $1 ELSE created END
			WHERE webhook = $2 AND state <> 'delivered' AND lease = ''`, unixtime.Millis(now), id)
		due = int(tag.RowsAffected())
		return err
	})
	return due, err
}

// deliveryColumns are those that readDelivery reads.
const deliveryColumns = `id, type, subject, created, state, attempts, last, status, problem, next`

// readDelivery reads a delivery, and what follows its columns.
func readDelivery(row pgx.CollectableRow, more ...any) (d webhook.Delivery, err error) {
	var created, last, next int64
	err = row.Scan(append([]any{&d.ID, (*string)(&d.Type), &d.Subject, &created, (*string)(&d.State), &d.Attempts, &last, &d.Status, &d.Problem, &next}, more...)...)
	d.Created, d.Last, d.Next = unixtime.FromMillis(created), unixtime.FromMillis(last), unixtime.FromMillis(next)
	return d, err
}

// Deliveries implements [webhook.Store].
func (s *Store) Deliveries(ctx context.Context, h *webhook.Hook, limit int) ([]webhook.Delivery, error) {
	return s.deliveries(ctx, `WHERE webhook = $1 ORDER BY n DESC LIMIT $2`, h.ID, limit)
}

func (s *Store) deliveries(ctx context.Context, which string, args ...any) ([]webhook.Delivery, error) {
	return postgres.Collect(ctx, &s.db, func(row pgx.CollectableRow) (webhook.Delivery, error) { return readDelivery(row) },
		`SELECT `+deliveryColumns+` FROM webhook_deliveries `+which, args...)
}

// Summary implements [webhook.Store].
func (s *Store) Summary(ctx context.Context, h *webhook.Hook) (map[webhook.State]int, *webhook.Delivery, error) {
	count := map[webhook.State]int{}
	err := s.db.Read(ctx, func(ctx context.Context) error {
		rows, err := s.db.Query(ctx, `SELECT state, count(*) FROM webhook_deliveries WHERE webhook = $1 GROUP BY state`, h.ID)
		if err != nil {
			return err
		}
		var state string
		var n int
		_, err = pgx.ForEachRow(rows, []any{&state, &n}, func() error {
			count[webhook.State(state)] = n
			return nil
		})
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	last, err := s.deliveries(ctx, `WHERE webhook = $1 AND last > 0 ORDER BY last DESC, n DESC LIMIT 1`, h.ID)
	if err != nil || len(last) == 0 {
		return count, nil, err
	}
	return count, &last[0], nil
}
