package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/claude-force/claude-force/fault"
)

// oldest is the oldest version of PostgreSQL that the schema works with.
const oldest = 13

// ServerError says that a database can never be a store, and what to do.
type ServerError struct{ What string }

// FaultKind returns [fault.KindInput].
func (e *ServerError) FaultKind() fault.Kind { return fault.KindInput }

func (e *ServerError) Error() string { return e.What }

// checkServer returns a [*ServerError] for a connection to a server, or a database, that
// cannot be a store. It asks nothing: servers say these things with each connection.
func checkServer(_ context.Context, conn *pgx.Conn) error {
	said := conn.PgConn().ParameterStatus
	if encoding := said("server_encoding"); encoding != "" && encoding != "UTF8" {
		return &ServerError{fmt.Sprintf("the database has the encoding %s, which cannot hold all texts: make a database with CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0", encoding)}
	}
	version := said("server_version")
	digits, _, _ := strings.Cut(version, ".")
	if number, err := strconv.Atoi(digits); err == nil && number < oldest {
		return &ServerError{fmt.Sprintf("the server is PostgreSQL %s: update it to version %d or later", version, oldest)}
	}
	return nil
}
