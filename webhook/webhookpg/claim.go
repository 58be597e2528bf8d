package webhookpg

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/internal/process"
	"github.com/claude-force/claude-force/internal/unixtime"
	"github.com/claude-force/claude-force/webhook"
)

// Claim implements [webhook.Store]. A time that lies so far ahead that no clock that was
// right can have set it has come.
func (s *Store) Claim(ctx context.Context, h *webhook.Hook, n int, now time.Time) (claimed []webhook.Delivery, err error) {
	owner, err := json.Marshal(s.self)
	if err != nil {
		return nil, err
	}
	dead, err := s.dead(ctx, h)
	if err != nil {
		return nil, err
	}
	err = s.db.Transact(ctx, func(ctx context.Context, tx pgx.Tx) error {
		claimed = nil
		rows, err := tx.Query(ctx, `SELECT `+deliveryColumns+`, n, body FROM webhook_deliveries
			WHERE webhook = $1 AND state = 'pending' AND (next <= $2 OR next > $3)
			AND (lease = '' OR leased_until <= $2 OR leased_until > $4 OR owner = ANY($5))
			AND EXISTS (SELECT FROM webhooks WHERE id = $1 AND disabled = '')
			ORDER BY n LIMIT $6 FOR UPDATE SKIP LOCKED`,
			h.ID, unixtime.Millis(now), unixtime.Millis(now.Add(webhook.MaxWait)), unixtime.Millis(now.Add(2*webhook.Lease)), dead, n)
		if err != nil {
			return err
		}
		send := &pgx.Batch{}
		claimed, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (webhook.Delivery, error) {
			var number int64
			var sealed []byte
			d, err := readDelivery(row, &number, &sealed)
			if err != nil {
				return d, err
			}
			if body, err := s.box.Open(sealed, bound(h.ID, d.ID)); err == nil && json.Valid(body) {
				d.Body = body // else the key is another
			}
			d.Lease, d.Last = rand.Text(), now.UTC().Truncate(time.Millisecond)
			d.Attempts++
			send.Queue(`UPDATE webhook_deliveries SET lease = $1, owner = $2, leased_until = $3, attempts = attempts + 1, last = $4 WHERE n = $5`,
				d.Lease, string(owner), unixtime.Millis(now.Add(webhook.Lease)), unixtime.Millis(now), number)
			return d, nil
		})
		if err != nil || len(claimed) == 0 {
			return err
		}
		return tx.SendBatch(ctx, send).Close()
	})
	if err != nil {
		return nil, err
	}
	return claimed, nil
}

// dead returns the processes that have claimed deliveries to a webhook and are known to be
// dead.
func (s *Store) dead(ctx context.Context, h *webhook.Hook) (dead []string, err error) {
	owners, err := postgres.Collect(ctx, &s.db, pgx.RowTo[string], `SELECT DISTINCT owner FROM webhook_deliveries WHERE webhook = $1 AND state = 'pending' AND lease <> ''`, h.ID)
	for _, owner := range owners {
		var p process.ID
		if json.Unmarshal([]byte(owner), &p) == nil && p.Dead(s.self) {
			dead = append(dead, owner)
		}
	}
	return dead, err
}
