package postgres

import (
	"crypto/x509"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// TestSchemaOfAddresses: the schema is the one that PostgreSQL takes for the first of the
// search path, however it is written and wherever the address has it.
func TestSchemaOfAddresses(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"":                                    DefaultSchema,
		"search_path=":                        DefaultSchema,
		"search_path=team_a":                  "team_a",
		"search_path=team_a,public":           "team_a",
		"search_path=%20team_a%20,public":     "team_a",
		"search_path=Team_A":                  "team_a",
		"search_path=%22Team_A%22":            "Team_A",
		"search_path=%22a%22%22b,c%22,public": `a"b,c`,
		"search_path=%22$user%22,public":      "u",
		"search_path=$user":                   "u",
		"options=-c%20search_path%3Dteam_a":   "team_a",
		"options=-csearch_path%3Dteam_a":      "team_a",
		"options=--search_path%3Dteam_a":      "team_a",
		"options=--search-path%3Dteam_a":      "team_a",
		"options=-c%20geqo%3Doff%20-c%20search_path%3Da%20-csearch_path%3Db": "b",
		`options=-c%20search_path%3D%22a%5C%20b%22`:                          "a b",
		"options=-c%20geqo%3Doff":                                            DefaultSchema,
		"options=-csearch_path%3Da&search_path=b":                            "b",
	} {
		cfg, schema, err := parse("postgres://u@h/d?" + query)
		if err != nil || schema != want {
			t.Errorf("%s: schema %q, %v; want %q", query, schema, err, want)
			continue
		}
		if again, err := firstSchema(cfg.ConnConfig.RuntimeParams["search_path"], "other"); err != nil || again != want {
			t.Errorf("%s: its connections have the search path %s", query, cfg.ConnConfig.RuntimeParams["search_path"])
		}
	}
	for _, query := range []string{"search_path=%22team", "search_path=%22a%00%22", "search_path=a123456789a123456789a123456789a123456789a123456789a123456789abcd"} {
		if _, schema, err := parse("postgres://u@h/d?" + query); err == nil {
			t.Errorf("%s: schema %q", query, schema)
		}
	}
}

// TestSessionSettings: no address decides what the program needs of a session, and what
// psql takes is no error.
func TestSessionSettings(t *testing.T) {
	t.Parallel()
	cfg, _, err := parse("postgres://u@h/d?client_encoding=LATIN1&TimeZone=Asia/Tokyo&DateStyle=SQL&keepalives_idle=30&gssencmode=disable&application_name=x&options=-cidle_in_transaction_session_timeout%3D9s")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"client_encoding": "UTF8", "timezone": "UTC", "datestyle": "ISO", "standard_conforming_strings": "on",
		"application_name": "x", "search_path": `"claude_force"`, "options": "-cidle_in_transaction_session_timeout=9s",
	}
	got := cfg.ConnConfig.RuntimeParams
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %q; want %q", name, got[name], value)
		}
	}
	if len(got) != len(want) {
		t.Errorf("settings %v", got)
	}
}

// TestAdviceOfPools: what PgBouncer refuses, and a standby, is said with what to do.
func TestAdviceOfPools(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ code, message, want string }{
		{"08P01", "unsupported startup parameter: search_path", "ignore_startup_parameters"},
		{"42P05", `prepared statement "stmtcache_1" already exists`, "max_prepared_statements"},
		{"26000", `prepared statement "stmtcache_1" does not exist`, "max_prepared_statements"},
		{"0A000", "cannot access temporary or unlogged relations during recovery", "name the primary server"},
		{"0A000", "something else is not supported", ""},
	} {
		err := Explain(&pgconn.PgError{Severity: "ERROR", Code: test.code, Message: test.message})
		if got := strings.Contains(err.Error(), "; "); got != (test.want != "") || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", test.message, err)
		}
	}
	for want, invalid := range map[string]error{
		"name the host":         x509.HostnameError{Certificate: &x509.Certificate{}, Host: "db"},
		"renew the certificate": x509.CertificateInvalidError{Cert: &x509.Certificate{}, Reason: x509.Expired},
		"sslrootcert":           x509.UnknownAuthorityError{},
	} {
		if err := Explain(fmt.Errorf("connecting: %w", invalid)); !strings.Contains(err.Error(), want) {
			t.Errorf("%v", err)
		}
	}
}
