package callsdb_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/callsdb"
	"github.com/claude-force/claude-force/analytics/spool"
	"github.com/claude-force/claude-force/llm"
)

// TestCallsOfANewerProgram: a program takes from the spool what is before an entry that a
// newer one has written in a form that it does not know. All the rest stays, and is taken
// once, by a program that knows the form.
func TestCallsOfANewerProgram(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "history.db")
	file := spool.NewFile(path, spool.FileOptions{})
	call := func(n int) analytics.Call {
		return analytics.Call{Time: time.Unix(int64(n), 0), Agent: "a", Asked: "m", Model: "m", Source: llm.SourceLive, Cost: llm.Money(n)}
	}
	for n := range 3 {
		if _, err := file.Append(spool.Calls([]analytics.Call{call(n + 1)})...); err != nil {
			t.Fatal(err)
		}
	}
	// The second entry becomes one of the next form, with a field behind those that are known.
	setForm := func(from, to byte) {
		t.Helper()
		data, err := os.ReadFile(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		second := call(2)
		was := spool.AppendCall(nil, &second)
		was[0] = from
		at := bytes.Index(data, was)
		if at < 0 {
			t.Fatal("the entry is not in the file")
		}
		data[at] = to
		was[0] = to
		binary.LittleEndian.PutUint32(data[at+len(was):], crc32.ChecksumIEEE(was))
		if err := os.WriteFile(file.Name(), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	setForm(spool.CallForm, spool.CallForm+1)
	s, err := callsdb.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	cost := func() (sum llm.Money) {
		t.Helper()
		if err := s.Take(t.Context()); err != nil {
			t.Fatal(err)
		}
		err := s.Query(t.Context(), `SELECT coalesce(sum(cost_usd), 0) * 1e9 FROM calls`, analytics.QueryLimits{}, func(_ []string, row []any) error {
			if len(row) > 0 {
				f, _ := row[0].(float64)
				sum = llm.Money(f + 0.5)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	for range 2 {
		if got := cost(); got != 1 {
			t.Errorf("the calls cost %d, want those before the newer one, 1", got)
		}
	}
	if _, err := file.Append(spool.Calls([]analytics.Call{call(4)})...); err != nil {
		t.Fatal(err)
	}
	if got := cost(); got != 1 {
		t.Errorf("the calls cost %d after another was recorded; want 1", got)
	}
	setForm(spool.CallForm+1, spool.CallForm) // the newer program knows it
	for range 2 {
		if got := cost(); got != 1+2+3+4 {
			t.Errorf("the calls cost %d with the program that knows all; want 10", got)
		}
	}
	if size := file.Size(); size != 0 {
		t.Errorf("the spool has %d bytes", size)
	}
}
