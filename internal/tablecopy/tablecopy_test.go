package tablecopy_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/claude-force/claude-force/internal/tablecopy"
)

// records are a table in memory, with an int as its key, that fails at random.
type records struct {
	columns  string // if others than those of most tests
	rows     [][]any
	fails    func() bool
	finished int
}

var errStopped = errors.New("stopped")

func (r *records) Name() string { return "records" }
func (r *records) Keys() int    { return 1 }

func (r *records) Row() []tablecopy.Column {
	return tablecopy.Columns(cmp.Or(r.columns, "id int, a real, b text, c text"))
}

func compare(a, b []any) int { return int(a[0].(int64) - b[0].(int64)) }

func (r *records) Read(_ context.Context, after []any, limit int) ([][]any, error) {
	if r.fails != nil && r.fails() {
		return nil, errStopped
	}
	at := 0
	if after != nil {
		i, found := slices.BinarySearchFunc(r.rows, after, compare)
		if at = i; found {
			at++
		}
	}
	var list [][]any
	for _, row := range r.rows[at:min(len(r.rows), at+limit)] {
		list = append(list, slices.Clone(row))
	}
	return list, nil
}

func (r *records) Write(_ context.Context, rows [][]any) error {
	if r.fails != nil && r.fails() {
		return errStopped
	}
	for _, row := range rows {
		if i, found := slices.BinarySearchFunc(r.rows, row, compare); found {
			r.rows[i] = row
		} else {
			r.rows = slices.Insert(r.rows, i, row)
		}
	}
	return nil
}

func (r *records) Finish(context.Context) error {
	r.finished++
	return nil
}

// TestCopy: however often a copy is stopped, and whatever of the destination is missing or
// old, it ends with the rows of the source.
func TestCopy(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5) {
		random := rand.New(rand.NewPCG(seed, 0))
		from, to := &records{}, &records{}
		for n := range int64(3000) {
			row := []any{2*n + 1, random.Float64(), []byte(fmt.Sprint(random.Int())), nil}
			from.rows = append(from.rows, row)
			switch random.IntN(10) {
			case 0:
				to.rows = append(to.rows, row)
			case 1:
				to.rows = append(to.rows, []any{row[0], 0.5, []byte{}, nil})
			}
		}
		p := tablecopy.Pair{From: from, To: to}
		to.fails = func() bool { return random.IntN(5) == 0 }
		stops := 0
		for {
			err := p.Copy(t.Context(), false, nil)
			if err == nil {
				break
			}
			if stops++; !errors.Is(err, errStopped) || stops > 1000 {
				t.Fatal(err)
			}
		}
		if !reflect.DeepEqual(from.rows, to.rows) || to.finished != 1 {
			t.Fatalf("seed %d, after %d stops, finished %d times: %d rows differ from %d", seed, stops, to.finished, len(to.rows), len(from.rows))
		}
		to.fails = nil
		a, b, err := p.Compare(t.Context(), nil)
		if err != nil || a != b || a.Rows != 3000 {
			t.Errorf("%+v and %+v, %v", a, b, err)
		}
	}
}

// TestCompare: what differs has other sums, also where the bytes of all values are the same.
func TestCompare(t *testing.T) {
	t.Parallel()
	same := [][]any{{int64(1), []byte("ab"), []byte("c")}}
	for name, other := range map[string][][]any{
		"missing":    nil,
		"more":       {same[0], {int64(2), []byte("ab"), []byte("c")}},
		"shifted":    {{int64(1), []byte("a"), []byte("bc")}},
		"null":       {{int64(1), []byte("ab"), nil}},
		"other type": {{int64(1), []byte("ab"), 0.0}},
	} {
		p := tablecopy.Pair{From: &records{rows: same}, To: &records{rows: other}}
		if a, b, err := p.Compare(t.Context(), nil); err != nil || a == b {
			t.Errorf("%s: %+v and %+v, %v", name, a, b, err)
		}
	}
	if !bytes.Equal([]byte("ab"), same[0][1].([]byte)) {
		t.Error("comparing has changed a row")
	}
}

// TestNewPairs: tables that do not fit are not copied.
func TestNewPairs(t *testing.T) {
	t.Parallel()
	one, two := []tablecopy.Table{&records{}}, []tablecopy.Table{&records{}, &records{}}
	if _, err := tablecopy.NewPairs(one, two); err == nil {
		t.Error("one table was copied to two")
	}
	for name, columns := range map[string]string{"swapped": "id int, a real, c text, b text", "fewer": "id int, a real, b text"} {
		if _, err := tablecopy.NewPairs(one, []tablecopy.Table{&records{columns: columns}}); err == nil {
			t.Errorf("a table was copied to one whose columns are %s", name)
		}
	}
	if _, err := tablecopy.NewPairs(one, []tablecopy.Table{&records{columns: "id int, a real, b blob, c text"}}); err != nil {
		t.Errorf("another type of column: %v", err)
	}
	if pairs, err := tablecopy.NewPairs(two, two); err != nil || len(pairs) != 2 {
		t.Errorf("%d pairs, %v", len(pairs), err)
	}
}
