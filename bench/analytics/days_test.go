//go:build unix

package main

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/callsdb"
	"github.com/claude-force/claude-force/analytics/callspg"
	"github.com/claude-force/claude-force/internal/postgres/postgrestest"
	"github.com/claude-force/claude-force/internal/tablecopy"
)

// store is one whose tables can be compared.
type store interface {
	analytics.Store
	Tables() []tablecopy.Table
}

// TestRepeatedDaysAreAsAdded: a store whose first day is repeated has the rows and sums of
// one to which all days were added.
func TestRepeatedDaysAreAsAdded(t *testing.T) {
	t.Parallel()
	const n = 80 // two runs
	file := func(fill func(path string) error) store {
		path := filepath.Join(t.TempDir(), "history.db")
		if err := fill(path); err != nil {
			t.Fatal(err)
		}
		s, err := callsdb.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	database := func(fill func(address, spool string) error) store {
		address, spool := postgrestest.URL(t), filepath.Join(t.TempDir(), "spool")
		if err := fill(address, spool); err != nil {
			t.Fatal(err)
		}
		return callspg.Open(postgrestest.Open(t, address), spool)
	}
	all := func(s store) store {
		t.Helper()
		for day := range days {
			if err := addDay(t.Context(), s, n, day); err != nil {
				t.Fatal(err)
			}
		}
		return s
	}
	for name, stores := range map[string][2]store{
		"files": {
			file(func(path string) error { return fillFile(t.Context(), path, n) }),
			all(file(func(string) error { return nil })),
		},
		"postgres": {
			database(func(address, spool string) error {
				return fillDatabase(t.Context(), postgrestest.Open(t, address), address, spool, n)
			}),
			all(database(func(string, string) error { return nil })),
		},
	} {
		pairs, err := tablecopy.NewPairs(stores[0].Tables(), stores[1].Tables())
		if err != nil {
			t.Fatal(err)
		}
		rows := map[string]int64{}
		for i := range pairs {
			repeated, added, err := pairs[i].Compare(t.Context(), nil)
			if err != nil || repeated != added {
				t.Errorf("%s: %s: %+v repeated, %+v added, %v", name, pairs[i].From.Name(), repeated, added, err)
			}
			rows[pairs[i].From.Name()] = repeated.Rows
		}
		if rows["calls"] != n*days || rows["calls of tools"] != n*days/toolsEvery || rows["runs of calls"] == 0 {
			t.Errorf("%s has the rows %v", name, rows)
		}
		var sums [2]*analytics.Summary
		for i, s := range stores {
			if sums[i], err = s.Summary(t.Context(), analytics.Filter{Since: firstDay().AddDate(0, 0, days-7)}); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(sums[0], sums[1]); diff != "" || sums[0].Calls != 7*n || sums[0].Tools == nil {
			t.Errorf("%s: the summaries of %d calls differ:\n%s", name, sums[0].Calls, diff)
		}
		if v, err := stores[0].Verify(t.Context()); err != nil || v.Days != days || len(v.DaysDiffer)+len(v.RunsDiffer) > 0 {
			t.Errorf("%s: sums and rows of %d days differ: %v %v, %v", name, v.Days, v.DaysDiffer, v.RunsDiffer, err)
		}
	}
}
