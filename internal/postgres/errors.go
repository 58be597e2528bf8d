package postgres

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/claude-force/claude-force/fault"
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
	if _, ok := errors.AsType[*ServerError](err); ok {
		return false
	}
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		var scan pgx.ScanArgError
		return !errors.As(err, &scan)
	}
	switch pg.Code {
	// Serialization, deadlock, lock not available, statement timeout, idle in transaction,
	// a server that only reads: during a failover the next connection may be to another.
	case "40001", "40P01", "55P03", "57014", "25P03", "25006":
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

// Unusable reports whether an error says that the database cannot be used with the address and
// the rights that were given: no connection is possible, the server only reads, or the role lacks
// a right.
func Unusable(err error) bool {
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && slices.Contains([]string{"42501", "42P05", "26000"}, pg.Code) || OnlyReads(err)
}

// OnlyReads reports whether an error says that the server only reads.
func OnlyReads(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && onlyReads(pg)
}

// onlyReads reports whether an error is one of a server that only reads: a setting of the
// session (read_only_sql_transaction), or a standby's word on what needs to write.
func onlyReads(err *pgconn.PgError) bool {
	return err.Code == "25006" || err.Code == "0A000" && strings.Contains(err.Message, "during recovery")
}

// advice is what a user can do about an error, by its code.
var advice = map[string]string{
	"28P01": "give the password in PGPASSWORD or a passfile, or with the address in the environment",
	"28000": "check the role and pg_hba.conf of the server",
	"3D000": "create the database, or name another in the address of the store",
	"42P01": "bring the schema of the store up to date", // undefined_table
	"42501": "grant the role the right to it",
	"53300": "raise max_connections of the server, or set pool_max_conns in the address of the store",
	"25006": "name the primary server in the address of the store, or give all servers and target_session_attrs=read-write; default_transaction_read_only must be off for the role",
	"57014": "raise statement_timeout of the role or the database, or set it in the address of the store",
	"42704": "leave out of the address of the store what the server does not know",
	"53100": "free space on the server's disk",
	"42P05": pooled, // duplicate_prepared_statement
	"26000": pooled, // invalid_sql_statement_name
}

// pooled is what to do about prepared statements that are another session's, or lost.
const pooled = "a pool of transactions before the server, such as PgBouncer, must have max_prepared_statements above 0, or the address of the store default_query_exec_mode=exec"

// adviceOf returns what a user can do about what a server says.
func adviceOf(err *pgconn.PgError) string {
	switch {
	case err.Code == "08P01" && strings.Contains(err.Message, "startup parameter"):
		return "have PgBouncer ignore it (ignore_startup_parameters)"
	case onlyReads(err):
		return advice["25006"]
	}
	return advice[err.Code]
}

// Explain adds to an error what to do about it, in one line. One that says nothing of what was
// asked for, but that the database cannot be used, is a [fault.UnavailableError].
func Explain(err error) error {
	if Transient(err) || Unusable(err) {
		return fault.Unavailable(advised(err))
	}
	return advised(err)
}

// advised returns an error with what to do about it.
func advised(err error) error {
	todo := ""
	pg, answered := errors.AsType[*pgconn.PgError](err)
	connecting, refused := errors.AsType[*pgconn.ConnectError](err)
	_, unfit := errors.AsType[*ServerError](err)
	_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	_, named := errors.AsType[x509.HostnameError](err)
	_, invalid := errors.AsType[x509.CertificateInvalidError](err)
	switch {
	case err == nil:
		return nil
	case answered:
		todo = adviceOf(pg)
	case unfit: // it says what to do
	case unknown:
		todo = "name the certificate of its authority with sslrootcert in the address of the store"
	case named:
		todo = "name the host in the address of the store as the server's certificate does, or give the server one with that name"
	case invalid:
		todo = "renew the certificate of the server, or correct the clock of this machine"
	case refused && refusesTLS(connecting.Error()):
		todo = "have the server use TLS (ssl = on), or, in a network that you trust, give sslmode=disable in the address of the store"
	case refused:
		todo = "check that the server runs and that the address of the store is right"
	}
	if refused {
		err = oneLine{err}
	}
	if todo == "" {
		return err
	}
	return fmt.Errorf("%w; %s", err, todo)
}

func refusesTLS(text string) bool { return strings.Contains(text, "server refused TLS connection") }

// oneLine is an error of a connection, which has a line for each address that was tried,
// with its text in one.
type oneLine struct{ error }

// Unwrap returns the error.
func (e oneLine) Unwrap() error { return e.error }

func (e oneLine) Error() string {
	var tried []string
	head, lines, _ := strings.Cut(e.error.Error(), "\n")
	for line := range strings.SplitSeq(lines, "\n") {
		if line = strings.TrimSpace(line); line != "" && !slices.Contains(tried, line) {
			tried = append(tried, line)
		}
	}
	// Unless the address says more, TLS is tried first, and then done without.
	if plain := slices.DeleteFunc(slices.Clone(tried), refusesTLS); len(plain) > 0 {
		tried = plain
	}
	if len(tried) == 0 {
		return head
	}
	return head + " " + strings.Join(tried, "; ")
}
