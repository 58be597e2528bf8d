package cachepg_test

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/internal/postgres/postgrestest"
	"github.com/claude-force/claude-force/internal/seal"
	"github.com/claude-force/claude-force/llm/cache"
	"github.com/claude-force/claude-force/llm/cache/cachepg"
	"github.com/claude-force/claude-force/llm/cache/cachetest"
)

func connect(tb testing.TB, url string) *postgres.DB {
	tb.Helper()
	db, err := postgres.Open(tb.Context(), url)
	if err != nil {
		tb.Fatal(err)
	}
	return db
}

func open(tb testing.TB, url string, opts cachepg.Options) *cachepg.Store {
	tb.Helper()
	s, err := cachepg.Open(tb.Context(), connect(tb, url), opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Close() })
	return s
}

func TestSuite(t *testing.T) {
	t.Parallel()
	cachetest.Suite(t, func(t *testing.T, maxBytes int64) cache.Backend {
		if maxBytes == 0 {
			maxBytes = 1 << 40
		}
		return open(t, postgrestest.URL(t), cachepg.Options{MaxBytes: maxBytes})
	})
	cachetest.SharedSuite(t, func(t *testing.T) func(*testing.T) cache.Backend {
		url := postgrestest.URL(t)
		return func(t *testing.T) cache.Backend { return open(t, url, cachepg.Options{}) }
	})
}

// change runs a statement behind the store's back.
func change(t *testing.T, url, sql string) {
	t.Helper()
	db := connect(t, url)
	defer db.Close()
	if _, err := db.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func TestDamagedRowsAreMisses(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	for _, set := range []string{
		`data = 'x'`, `sum = 'x'`, `data = '[]'`, `expires = 9000000000000000000`, `usd = 1e6`, `tokens = 1000000`, `agent = 'other'`, `truncated = true`,
		`data = (SELECT data FROM cache_answers ORDER BY key DESC LIMIT 1), sum = (SELECT sum FROM cache_answers ORDER BY key DESC LIMIT 1)`,
	} {
		s := open(t, url, cachepg.Options{})
		if _, _, err := s.Clear(t.Context(), cache.Filter{}); err != nil {
			t.Fatal(err)
		}
		cachetest.Put(t, s, cachetest.Entry(1), cachetest.Entry(2))
		key := cachetest.Entry(1).Key
		change(t, url, `UPDATE cache_answers SET `+set+` WHERE key = '\x`+key.String()+`'`)
		for e, err := range s.List(t.Context(), cache.Filter{}) {
			if err != nil || (e.Key == key) != (e.Prompt == "(damaged)") {
				t.Errorf("%s: listed as %+v, %v", set, e, err)
			}
		}
		if cachetest.Has(t, s, 1) {
			t.Errorf("%s: a damaged answer was found", set)
		}
		if st := cachetest.Stats(t, s); st.Entries != 1 {
			t.Errorf("%s: %d entries; the damaged one was to be removed", set, st.Entries)
		}
	}
}

func TestEncryption(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	key := bytes.Repeat([]byte{7}, 32)
	s := open(t, url, cachepg.Options{Key: key})
	e := cachetest.Entry(1)
	e.Prompt, e.Response.Content[0].Text = "a secret question", "a secret answer"
	cachetest.Put(t, s, e)
	db := connect(t, url)
	defer db.Close()
	var row string
	if err := db.QueryRow(t.Context(), `SELECT concat(agent, model, encode(data, 'escape')) FROM cache_answers`).Scan(&row); err != nil || strings.Contains(row, "secret") {
		t.Errorf("the row is %q, %v", row, err)
	}
	for name, tt := range map[string]struct {
		key  []byte
		want error
	}{"another key": {bytes.Repeat([]byte{8}, 32), seal.ErrWrongKey}, "no key": {nil, seal.ErrEncrypted}} {
		if _, err := cachepg.Open(t.Context(), db, cachepg.Options{Key: tt.key}); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v; want %v", name, err, tt.want)
		}
	}
	if got, err := open(t, url, cachepg.Options{Key: key}).Get(t.Context(), e.Key, time.Time{}); err != nil || got.Response.Text() != "a secret answer" {
		t.Errorf("with the right key: %v, %v", got, err)
	}
	clear := postgrestest.URL(t)
	open(t, clear, cachepg.Options{})
	other := connect(t, clear)
	defer other.Close()
	if _, err := cachepg.Open(t.Context(), other, cachepg.Options{Key: key}); !errors.Is(err, seal.ErrNotEncrypted) {
		t.Errorf("a key for a clear store: %v", err)
	}
}

// TestStoringReadsNoTable counts the rows that the database reads to store answers one after
// the other: not all that are there, each time.
func TestStoringReadsNoTable(t *testing.T) {
	t.Parallel()
	const answers = 1500
	url := postgrestest.URL(t)
	s := open(t, url, cachepg.Options{})
	for n := range answers {
		cachetest.Put(t, s, cachetest.Entry(n))
	}
	if err := s.Close(); err != nil { // the counts are complete once connections have ended
		t.Fatal(err)
	}
	db := connect(t, url)
	defer db.Close()
	c := postgrestest.Counted(t, db, "cache_answers", func(c postgrestest.Counts) bool { return c.Inserted >= answers })
	if c.Whole > answers {
		t.Errorf("%d rows were read of the whole table to store %d", c.Whole, answers)
	}
}

// TestCutOffWithinPut cuts a machine off while it stores an answer. Another one that has paid
// for the same answer stores it: it does not give up before the database ends the transaction
// of the first.
func TestCutOffWithinPut(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	near := open(t, url, cachepg.Options{})
	through, c := postgrestest.NewCable(t, url, "UPDATE cache_totals SET entries")
	far := open(t, through, cachepg.Options{})
	failed := make(chan error, 1)
	go func() { failed <- far.Put(t.Context(), cachetest.Entry(1)) }()
	<-c.Cut
	cachetest.Put(t, near, cachetest.Entry(1))
	if !cachetest.Has(t, near, 1) {
		t.Error("the answer is not there")
	}
	c.Pull()
	if err := <-failed; err == nil {
		t.Error("the machine that was cut off has stored its answer")
	}
}

// TestManyProcesses stores overlapping answers from many stores into a small cache: its sums
// are those of its rows, and it does not grow beyond its bound.
func TestManyProcesses(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	const most = 60_000
	var all sync.WaitGroup
	for p := range 6 {
		s := open(t, url, cachepg.Options{MaxBytes: most})
		for g := range 3 {
			all.Go(func() {
				for n := range 60 {
					if err := s.Put(t.Context(), cachetest.Entry((n*7+g*13+p*5)%150)); err != nil {
						t.Error(err)
					}
					cachetest.Has(t, s, (n*3+p)%150)
				}
			})
		}
	}
	all.Wait()
	s := open(t, url, cachepg.Options{MaxBytes: most})
	cachetest.Put(t, s, cachetest.Entry(1000))
	db := connect(t, url)
	defer db.Close()
	var entries, bytes, uses int64
	if err := db.QueryRow(t.Context(), `SELECT count(*), sum(size)::bigint, (SELECT count(*) FROM cache_uses) FROM cache_answers`).Scan(&entries, &bytes, &uses); err != nil {
		t.Fatal(err)
	}
	if st := cachetest.Stats(t, s); st.Entries != entries || st.Bytes != bytes || st.Entries != uses || st.Bytes > most || st.Entries < 50 {
		t.Errorf("%+v; the rows are %d with %d bytes and %d uses", st, entries, bytes, uses)
	}
}

// TestServerGone: a server that was killed is an error that says so, and what was stored
// before is there when it is back.
func TestServerGone(t *testing.T) {
	t.Parallel()
	server := postgrestest.Start(t)
	url := server.URL(t)
	s := open(t, url, cachepg.Options{})
	cachetest.Put(t, s, cachetest.Entry(1))
	server.Kill(t)
	if err := s.Put(t.Context(), cachetest.Entry(2)); err == nil {
		t.Error("an answer was stored without a server")
	}
	if _, err := s.Get(t.Context(), cachetest.Entry(1).Key, time.Time{}); err == nil || errors.Is(err, cache.ErrMiss) {
		t.Errorf("reading without a server: %v", err)
	}
	server.Restart(t)
	again := open(t, url, cachepg.Options{})
	if !cachetest.Has(t, again, 1) {
		t.Error("an answer was lost")
	}
	cachetest.Put(t, again, cachetest.Entry(2))
}

// TestNamesOfAnyBytes: an answer of an agent whose name a column of texts cannot hold is
// kept, and found by that name.
func TestNamesOfAnyBytes(t *testing.T) {
	t.Parallel()
	s := open(t, postgrestest.URL(t), cachepg.Options{})
	e := cachetest.Entry(1)
	e.Agent, e.Model = "a\xff\x00", "m\xff"
	cachetest.Put(t, s, e)
	if e.Agent != "a\xff\x00" {
		t.Errorf("the caller's answer was changed: %q", e.Agent)
	}
	got, err := s.Get(t.Context(), e.Key, time.Time{})
	if err != nil || got.Agent != postgres.Text(e.Agent) {
		t.Errorf("%+v, %v", got, err)
	}
	found := 0
	for _, err := range s.List(t.Context(), cache.Filter{Agent: e.Agent}) {
		if err != nil {
			t.Fatal(err)
		}
		found++
	}
	n, _, err := s.Clear(t.Context(), cache.Filter{Agent: e.Agent})
	if found != 1 || n != 1 || err != nil {
		t.Errorf("%d were listed, and %d cleared, %v; want 1", found, n, err)
	}
}
