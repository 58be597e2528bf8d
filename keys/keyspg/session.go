package keyspg

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claude-force/claude-force/internal/unixtime"
	"github.com/claude-force/claude-force/keys"
)

// AddSession implements [keys.Store].
func (s *Store) AddSession(ctx context.Context, token keys.Hash, session keys.Session, now time.Time) error {
	return s.db.Write(ctx, func(ctx context.Context) error {
		// One transaction, which is sent at once. After a crash of the database a browser may
		// have to log in once more.
		send := &pgx.Batch{}
		send.Queue(`SELECT set_config('synchronous_commit', 'off', true)`)
		send.Queue(`INSERT INTO keys_sessions (token, secret, expires) VALUES ($1, $2, $3)`, token[:], session.Secret[:], unixtime.Seconds(session.Expires))
		send.Queue(`DELETE FROM keys_sessions WHERE token IN (SELECT token FROM keys_sessions WHERE expires <= $1
			OR token IN (SELECT token FROM keys_sessions ORDER BY expires DESC, token OFFSET $2) ORDER BY token FOR UPDATE SKIP LOCKED)`, now.Unix(), keys.MaxSessions)
		return s.db.SendBatch(ctx, send).Close()
	})
}

// Session implements [keys.Store].
func (s *Store) Session(ctx context.Context, token keys.Hash, now time.Time) (session keys.Session, err error) {
	err = s.db.Read(ctx, func(ctx context.Context) error {
		var secret []byte
		var expires int64
		err := s.db.QueryRow(ctx, `SELECT secret, expires FROM keys_sessions WHERE token = $1 AND expires > $2`, token[:], now.Unix()).Scan(&secret, &expires)
		if errors.Is(err, pgx.ErrNoRows) {
			return keys.ErrNoSession
		}
		copy(session.Secret[:], secret)
		session.Expires = unixtime.FromSeconds(expires)
		return err
	})
	return session, err
}

// EndSession implements [keys.Store].
func (s *Store) EndSession(ctx context.Context, token keys.Hash) error {
	return s.db.Write(ctx, func(ctx context.Context) error {
		_, err := s.db.Exec(ctx, `DELETE FROM keys_sessions WHERE token = $1`, token[:])
		return err
	})
}
