package keysdb

import (
	"context"
	"errors"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/internal/sqlitefile"
	"github.com/claude-force/claude-force/internal/unixtime"
	"github.com/claude-force/claude-force/keys"
)

// AddSession implements [keys.Store].
func (s *Store) AddSession(_ context.Context, token keys.Hash, session keys.Session, now time.Time) error {
	return s.file.Write(func(c *sqlitefile.Conn) error {
		return errors.Join(
			c.Run(`DELETE FROM sessions WHERE expires <= ?`, now.Unix()),
			c.Run(`INSERT INTO sessions (token, secret, expires) VALUES (?, ?, ?)`, token[:], session.Secret[:], unixtime.Seconds(session.Expires)),
			c.Run(`DELETE FROM sessions WHERE token IN (SELECT token FROM sessions ORDER BY expires DESC, token LIMIT -1 OFFSET ?)`, keys.MaxSessions),
		)
	})
}

// Session implements [keys.Store].
func (s *Store) Session(ctx context.Context, token keys.Hash, now time.Time) (session keys.Session, err error) {
	found := false
	err = s.file.Read(ctx, func(c *sqlitefile.Conn) error {
		return c.Query(`SELECT secret, expires FROM sessions WHERE token = ? AND expires > ?`, func(row *sqlite3.Stmt) error {
			found = true
			copy(session.Secret[:], row.ColumnBlob(0, nil))
			session.Expires = unixtime.FromSeconds(row.ColumnInt64(1))
			return nil
		}, token[:], now.Unix())
	})
	if err == nil && !found {
		err = keys.ErrNoSession
	}
	return session, err
}

// EndSession implements [keys.Store].
func (s *Store) EndSession(_ context.Context, token keys.Hash) error {
	return s.file.Write(func(c *sqlitefile.Conn) error { return c.Run(`DELETE FROM sessions WHERE token = ?`, token[:]) })
}
