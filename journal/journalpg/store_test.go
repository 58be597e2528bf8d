package journalpg_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/internal/postgres/postgrestest"
	"github.com/claude-force/claude-force/internal/seal"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/journalpg"
	"github.com/claude-force/claude-force/journal/journaltest"
)

// TestMain lets the test binary be the other processes of a test.
func TestMain(m *testing.M) {
	os.Exit(journaltest.Main(m, func(ctx context.Context, url string) (journal.Store, error) {
		db, err := postgres.Open(ctx, url)
		if err != nil {
			return nil, err
		}
		return journalpg.Open(ctx, db, journalpg.Options{})
	}))
}

// openAs opens the store at a URL as the process with a pid of a host; 0 and "" mean
// this one.
func openAs(tb testing.TB, url string, opts journalpg.Options, host string, pid int) *journalpg.Store {
	tb.Helper()
	db, err := postgres.Open(tb.Context(), url)
	if err != nil {
		tb.Fatal(err)
	}
	s, err := journalpg.OpenAs(tb.Context(), db, opts, host, pid)
	if err != nil {
		db.Close()
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Close() })
	return s
}

func openStore(tb testing.TB, url string) *journalpg.Store {
	tb.Helper()
	return openAs(tb, url, journalpg.Options{}, "", 0)
}

// TestSuite runs the suite with stores that say they are another process, which is
// there, and can be killed.
func TestSuite(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]journalpg.Options{"clear": {}, "encrypted": {Key: bytes.Repeat([]byte{7}, 32)}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			journaltest.ProcessSuite(t, func(t *testing.T) string { return postgrestest.URL(t) }, func(t *testing.T, url string, pid int) journal.Store {
				return openAs(t, url, opts, "", pid)
			})
		})
	}
}

func TestEncryption(t *testing.T) {
	t.Parallel()
	url, key := postgrestest.URL(t), bytes.Repeat([]byte{7}, 32)
	for _, tt := range []struct {
		url    string
		key    []byte
		secret bool
	}{{url, key, false}, {postgrestest.URL(t), nil, true}} {
		s := openAs(t, tt.url, journalpg.Options{Key: tt.key}, "", 0)
		log, err := s.Create(t.Context(), journal.Run{ID: "a", Workflow: "secret1", File: "secret2", Spec: []byte(`"secret3"`)})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(log.Append(journal.Event{Type: journal.StepFinished, Step: "x", Output: "secret4", Detail: []byte(`{"source": "secret5"}`)})(), log.Release()); err != nil {
			t.Fatal(err)
		}
		db, err := postgres.Open(t.Context(), tt.url)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		var dump string
		if err := db.QueryRow(t.Context(), `SELECT string_agg(encode(r.workflow, 'escape') || encode(r.file, 'escape') || encode(r.spec, 'escape') ||
			encode(coalesce(e.detail, ''), 'escape') || encode(coalesce(o.data, ''), 'escape'), ' ')
			FROM journal_runs r JOIN journal_events e ON e.run = r.n LEFT JOIN journal_outputs o ON o.hash = e.output`).Scan(&dump); err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			if strings.Contains(dump, fmt.Sprint("secret", i+1)) != tt.secret {
				t.Errorf("encrypted %v, the database holds: %q", tt.key != nil, dump)
			}
		}
	}
	for want, key := range map[error][]byte{seal.ErrWrongKey: bytes.Repeat([]byte{8}, 32), seal.ErrEncrypted: nil} {
		db, err := postgres.Open(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := journalpg.Open(t.Context(), db, journalpg.Options{Key: key}); !errors.Is(err, want) {
			t.Errorf("with another key: %v; want %v", err, want)
		}
	}
}
