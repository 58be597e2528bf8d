package postgres

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"
)

// StateWith reads the state of the schema at a URL over sessions that have another search path
// than the URL's.
func StateWith(ctx context.Context, address, path string) (*State, error) {
	cfg, schema, err := parse(address)
	if err != nil {
		return nil, err
	}
	cfg.ConnConfig.RuntimeParams["search_path"] = path
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	return (&DB{Pool: pool, schema: schema}).State(ctx)
}
