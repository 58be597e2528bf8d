package postgres

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// errURL says nothing of the URL, which may hold a password.
var errURL = errors.New("the address of the store is not a URL such as postgres://user@host:5432/database; characters such as @, / and % in its parts are written as %40, %2F and %25")

// sessionSettings are what the program needs of every session, whatever the URL, the role,
// the database or the server say: texts are UTF-8, and values in a text form, which some
// modes of pgx use, are in the form that it reads. PgBouncer lets all of them through.
var sessionSettings = map[string]string{
	"client_encoding":             "UTF8",
	"datestyle":                   "ISO",
	"standard_conforming_strings": "on",
	"timezone":                    "UTC",
}

// libpqOnly are parameters that psql takes and that change nothing here. The server would
// refuse them as settings that it does not know.
var libpqOnly = []string{"keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout", "gssencmode", "sslcompression", "fallback_application_name"}

// parse reads a URL. Its errors never have the password.
func parse(address string) (cfg *pgxpool.Config, schema string, err error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return nil, "", errURL
	}
	cfg, err = pgxpool.ParseConfig(address)
	if err != nil {
		if err := checkPool(u.Query()); err != nil {
			return nil, "", fmt.Errorf("reading the address of the store: %w", err)
		}
		inner := errors.Unwrap(err) // the outer one shows the URL
		password, _ := u.User.Password()
		for _, secret := range []string{password, u.Query().Get("password"), u.Query().Get("sslpassword")} {
			if inner == nil || secret != "" && strings.Contains(inner.Error(), secret) {
				return nil, "", errURL
			}
		}
		return nil, "", fmt.Errorf("reading the address of the store: %w", inner)
	}
	conn := cfg.ConnConfig
	params := conn.RuntimeParams
	for _, name := range libpqOnly {
		delete(params, name)
	}
	for name, value := range sessionSettings {
		for given := range params { // names of settings have any case
			if strings.EqualFold(given, name) {
				delete(params, given)
			}
		}
		params[name] = value
	}
	if mode := conn.DefaultQueryExecMode; mode == pgx.QueryExecModeExec || mode == pgx.QueryExecModeSimpleProtocol {
		params["bytea_output"] = "hex" // which these read as a text; PgBouncer refuses it unless it is to ignore it
	}
	if schema, err = firstSchema(setting(params, "search_path"), conn.User); err != nil {
		return nil, "", fmt.Errorf("reading the address of the store: %w", err)
	}
	// Only this one: while it is missing, tables of another must not be taken for its own.
	params["search_path"] = pgx.Identifier{schema}.Sanitize()
	if setting(params, "idle_in_transaction_session_timeout") == "" {
		params["idle_in_transaction_session_timeout"] = idleInTransaction
	}
	if params["application_name"] == "" {
		params["application_name"] = "claude-force"
	}
	if conn.ConnectTimeout == 0 {
		conn.ConnectTimeout = connectTimeout
	}
	return cfg, schema, nil
}

// checkPool returns an error that names a setting of the pool whose value cannot be read,
// which those of pgx do not. It does not show the value, which may be a piece of a password.
func checkPool(query url.Values) error {
	const plain = "postgres://h/d"
	if _, err := pgxpool.ParseConfig(plain); err != nil {
		return nil //nolint:nilerr // the environment is at fault
	}
	for name := range query {
		if !strings.HasPrefix(name, "pool_") {
			continue
		}
		if _, err := pgxpool.ParseConfig(plain + "?" + url.Values{name: query[name]}.Encode()); err != nil {
			want := "a time such as 30s"
			if strings.HasSuffix(name, "_conns") {
				want = "a number of connections"
			}
			return fmt.Errorf("%s must be %s", name, want)
		}
	}
	return nil
}

var (
	option = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`(?:^|\s)(?:-c\s*|--)([A-Za-z_.-]+)=((?:\\.|[^\s\\])*)`)
	})
	escaped = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\\(.)`) })
)

// setting returns the value that an address gives a setting of the session: as a parameter,
// or, as for psql, in the parameter options.
func setting(params map[string]string, name string) (value string) {
	if params[name] != "" {
		return params[name]
	}
	for _, m := range option().FindAllStringSubmatch(params["options"], -1) {
		if strings.EqualFold(strings.ReplaceAll(m[1], "-", "_"), name) {
			value = escaped().ReplaceAllString(m[2], "$1") // the last one holds
		}
	}
	return value
}

// maxName is how many bytes of a name PostgreSQL keeps.
const maxName = 63

// firstSchema returns the first schema of a search path as PostgreSQL reads it, or
// [DefaultSchema] if there is none.
func firstSchema(path, user string) (schema string, err error) {
	path = strings.TrimSpace(path)
	if rest, quoted := strings.CutPrefix(path, `"`); quoted {
		var name strings.Builder
		for {
			part, after, closed := strings.Cut(rest, `"`)
			name.WriteString(part)
			if !closed {
				return "", fmt.Errorf("search_path has a quote that is not closed")
			}
			if rest = after; !strings.HasPrefix(rest, `"`) {
				break
			}
			name.WriteByte('"')
			rest = rest[1:]
		}
		schema = name.String()
	} else {
		schema, _, _ = strings.Cut(path, ",")
		schema = strings.ToLower(strings.TrimSpace(schema))
	}
	switch {
	case schema == "$user":
		schema = user
	case schema == "":
		schema = DefaultSchema
	}
	if len(schema) > maxName || !Storable(schema) {
		return "", fmt.Errorf("the schema %q in search_path is no name of at most %d bytes", schema, maxName)
	}
	return schema, nil
}
