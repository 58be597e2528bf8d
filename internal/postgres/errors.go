package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Transient reports whether what failed may succeed when it is tried again on another
// connection: the connection was lost, the server is starting or stopping, or two
// transactions were in each other's way. Whether a commit that failed so took effect
// is not known.
func Transient(err error) bool {
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, pgx.ErrNoRows), errors.Is(err, pgx.ErrTooManyRows):
		return false
	}
	if _, ok := errors.AsType[*SchemaError](err); ok {
		return false
	}
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		var scan pgx.ScanArgError
		return !errors.As(err, &scan)
	}
	switch pg.Code {
	case "40001", "40P01", "55P03", "57014", "25P03": // serialization, deadlock, lock not available, statement timeout, idle in transaction
		return true
	case "28P01", "28000", "3D000": // wrong password, no such role, no such database
		return false
	}
	// Connection exceptions, a lack of resources such as connections, memory and disk,
	// a server that stops or starts, and errors of the operating system.
	for _, class := range []string{"08", "53", "57P", "58"} {
		if strings.HasPrefix(pg.Code, class) {
			return true
		}
	}
	return false
}

// advice is what a user can do about an error, by its code.
var advice = map[string]string{
	"28P01": "give the password in PGPASSWORD or a passfile, or with the address in the environment",
	"28000": "check the role and pg_hba.conf of the server",
	"3D000": "create the database, or name another in the address of the store",
	"42P01": "bring the schema of the store up to date", // undefined_table
	"42501": "grant the role the right to it",
	"53300": "raise max_connections of the server, or set pool_max_conns in the address of the store",
	"53100": "free space on the server's disk",
}

// Explain adds to an error what to do about it.
func Explain(err error) error {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		if todo := advice[pg.Code]; todo != "" {
			return fmt.Errorf("%w; %s", err, todo)
		}
		return err
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return fmt.Errorf("%w; check that the server runs and that the address of the store is right", err)
	}
	return err
}
