// Package postgres connects stores to a PostgreSQL database: one pool of connections for
// all stores of a process, and the check that the database has the schema they need.
//
//	db, err := postgres.Open(ctx, "postgres://app@db.example:5432/agents")
//	…
//	defer db.Close()
//	rows, err := db.Query(ctx, `SELECT id FROM runs`)
//
// All tables are in one schema of the database, claude_force, or the first that
// search_path in the URL names; it is the search path of every connection. The
// password comes from the URL, PGPASSWORD or a passfile, as for psql, and is in no
// error. What makes the schema is in internal/postgres/pgmigrate, so that a program
// that only uses it links no more than this.
package postgres

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// DefaultSchema is the schema that the tables are in unless the URL names another.
const DefaultSchema = "claude_force"

const (
	// connectTimeout is how long a new connection may take if the URL does not say.
	connectTimeout = 10 * time.Second
	// idleInTransaction is when the server ends a transaction whose client is silent, in
	// milliseconds: a machine that was cut off must not keep its locks. Uses of the database
	// that wait for them end after [useTimeout], or a time as long.
	idleInTransaction = "5000"
)

// DB is a pool of connections to a database. It is safe for concurrent use.
type DB struct {
	*pgxpool.Pool

	address string
	schema  string
	pools   *pools
	closed  sync.Once
}

// Open returns the database at a URL, after it has checked that its schema fits. All
// users of one URL in a process share one pool.
func Open(ctx context.Context, address string) (*DB, error) {
	db, err := Connect(address)
	if err != nil {
		return nil, err
	}
	if err := db.Check(ctx); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

// Connect returns the database at a URL, whatever its schema. No connection is made
// before the first use.
func Connect(address string) (*DB, error) { return open.connect(address) }

// Close gives the pool back. Its connections are closed with its last user. Further calls
// do nothing.
func (db *DB) Close() { db.closed.Do(func() { db.pools.release(db.address) }) }

// Schema returns the name of the schema that the tables are in.
func (db *DB) Schema() string { return db.schema }

// String returns host, database and schema, for messages.
func (db *DB) String() string { return name(db.Config().ConnConfig, db.schema) }

func name(c *pgx.ConnConfig, schema string) string {
	return fmt.Sprintf("%s/%s (schema %s)", c.Host, c.Database, schema)
}

// pools are the pools of a process, by URL.
type pools struct {
	mu   sync.Mutex // guards what follows
	open map[string]*shared
}

type shared struct {
	pool   *pgxpool.Pool
	schema string
	users  int
}

var open = &pools{open: map[string]*shared{}}

func (p *pools) connect(address string) (*DB, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.open[address]
	if s == nil {
		cfg, schema, err := parse(address)
		if err != nil {
			return nil, err
		}
		cfg.PrepareConn = (&fence{db: name(cfg.ConnConfig, schema), schema: schema}).prepare
		cfg.AfterConnect = checkServer
		pool, err := pgxpool.NewWithConfig(context.Background(), cfg) //nolint:forbidigo // it outlasts who opens it first
		if err != nil {
			return nil, fmt.Errorf("connecting to the store: %w", err)
		}
		s = &shared{pool: pool, schema: schema}
		p.open[address] = s
	}
	s.users++
	return &DB{Pool: s.pool, address: address, schema: s.schema, pools: p}, nil
}

func (p *pools) release(address string) {
	p.mu.Lock()
	s := p.open[address]
	s.users--
	last := s.users == 0
	if last {
		delete(p.open, address)
	}
	p.mu.Unlock()
	if last {
		s.pool.Close()
	}
}
