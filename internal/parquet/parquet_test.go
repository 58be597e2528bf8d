package parquet_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	reference "github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/internal/parquet"
)

type row struct {
	Time  time.Time `parquet:"time"`
	Name  string    `parquet:"name"`
	Count int       `parquet:"count"`
	Size  float64   `parquet:"size"`
	Cost  *float64  `parquet:"cost"`
}

// referenceRow is row as the reference library wants it tagged.
type referenceRow struct {
	Time  time.Time `parquet:"time"`
	Name  string    `parquet:"name"`
	Count int       `parquet:"count"`
	Size  float64   `parquet:"size"`
	Cost  *float64  `parquet:"cost,optional"`
}

func write(t interface{ Fatal(...any) }, rows []row) []byte {
	var file bytes.Buffer
	w := parquet.NewWriter[row](&file)
	for _, r := range rows {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// read returns the rows as another implementation of the format reads them.
func read(t interface{ Fatal(...any) }, file []byte) []row {
	found, err := reference.Read[referenceRow](bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	rows := make([]row, len(found))
	for i, r := range found {
		rows[i] = row(r)
		rows[i].Time = r.Time.UTC()
	}
	return rows
}

// TestAnotherImplementationReadsTheRows has parquet-go read what is written.
func TestAnotherImplementationReadsTheRows(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) row {
			r := row{
				Time: time.Unix(0, rapid.Int64().Draw(t, "time")).UTC(), Name: rapid.String().Draw(t, "name"),
				Count: rapid.Int().Draw(t, "count"), Size: rapid.Float64().Draw(t, "size"),
			}
			if rapid.Bool().Draw(t, "has cost") {
				r.Cost = new(rapid.Float64().Draw(t, "cost"))
			}
			return r
		}), 0, 40).Draw(t, "rows")
		if diff := cmp.Diff(rows, read(t, write(t, rows))); diff != "" {
			t.Fatal(diff)
		}
	})
}

// TestManyRowGroups checks a file that is larger than what is kept in memory.
func TestManyRowGroups(t *testing.T) {
	t.Parallel()
	rows := make([]row, 120_001)
	for i := range rows {
		rows[i] = row{Time: time.Unix(int64(i), 0).UTC(), Name: "linter", Count: i}
		if i%3 == 0 {
			rows[i].Cost = new(float64(i))
		}
	}
	file := write(t, rows)
	if diff := cmp.Diff(rows, read(t, file)); diff != "" {
		t.Error(diff)
	}
	opened, err := reference.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	if got := len(opened.RowGroups()); got != 3 {
		t.Errorf("%d row groups; want 3", got)
	}
}

// TestTheSchemaIsTheReferences checks that readers see the types that the
// reference library gives to the same rows.
func TestTheSchemaIsTheReferences(t *testing.T) {
	t.Parallel()
	file := write(t, nil)
	opened, err := reference.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	want := reference.NewSchema("calls", reference.SchemaOf(referenceRow{}))
	if diff := cmp.Diff(want.String(), opened.Schema().String()); diff != "" {
		t.Error(diff)
	}
}

type full struct{ left int }

var errFull = errors.New("no space left")

func (f *full) Write(b []byte) (int, error) {
	if len(b) > f.left {
		return 0, errFull
	}
	f.left -= len(b)
	return len(b), nil
}

// TestErrorsOfTheWriterBelow checks that no write error is lost, wherever it occurs.
func TestErrorsOfTheWriterBelow(t *testing.T) {
	t.Parallel()
	size := len(write(t, []row{{Name: "linter"}}))
	for left := range size {
		w := parquet.NewWriter[row](&full{left})
		if err := errors.Join(w.Write(row{Name: "linter"}), w.Close()); !errors.Is(err, errFull) {
			t.Errorf("with room for %d of %d bytes: %v", left, size, err)
		}
	}
}
