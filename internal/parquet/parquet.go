// Package parquet writes flat tables as Apache Parquet files.
//
//	w := parquet.NewWriter[row](file)
//	for … { err = w.Write(row{…}) }
//	err = w.Close()
//
// The columns are the fields of the row type, named by their tags `parquet:"…"`:
// strings, ints, float64s, times (in nanoseconds, UTC), and *float64s for what may
// be missing. Pages are encoded plainly and compressed with gzip, which every
// reader of Parquet knows.
package parquet

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"time"
)

// rowGroup is the number of rows that are kept in memory before they are written.
const rowGroup = 50_000

const magic = "PAR1"

// errTooLong says that one column of a row group exceeds what a page can hold.
var errTooLong = errors.New("the rows are too long for Parquet")

// Writer writes rows of type T. Close completes the file.
type Writer[T any] struct {
	out     io.Writer
	offset  int64
	columns []*column
	rows    int // in the current row group
	groups  []group
	total   int64
	err     error // the first one; nothing is written after it
}

// column collects the values of one column of the current row group.
type column struct {
	name    string
	field   int // of the row type
	kind    kind
	values  bytes.Buffer
	present []bool // of an optional column
}

// group describes a row group that has been written.
type group struct {
	rows   int
	chunks []chunk
}

// chunk describes a column of a row group that has been written.
type chunk struct {
	offset           int64
	size, compressed int64 // with the page's header
}

// NewWriter returns a writer of rows of type T. It panics if a field of T has a
// type that it does not know, or no tag.
func NewWriter[T any](out io.Writer) *Writer[T] {
	w := &Writer[T]{out: out}
	row := reflect.TypeFor[T]()
	for i := range row.NumField() {
		f := row.Field(i)
		name := f.Tag.Get("parquet")
		k, ok := kinds[f.Type]
		if !ok || name == "" {
			panic(fmt.Sprintf("parquet: the field %s of %s is no column", f.Name, row))
		}
		w.columns = append(w.columns, &column{name: name, field: i, kind: k})
	}
	w.write([]byte(magic))
	return w
}

// Write adds a row.
func (w *Writer[T]) Write(row T) error {
	v := reflect.ValueOf(row)
	for _, c := range w.columns {
		c.add(v.Field(c.field))
	}
	w.rows++
	if w.rows == rowGroup {
		w.flush()
	}
	return w.err
}

// Close writes the rows that are left and the description of the file. It does
// not close the writer below.
func (w *Writer[T]) Close() error {
	w.flush()
	footer := w.describe()
	w.write(footer)
	w.write(binary.LittleEndian.AppendUint32(nil, uint32(len(footer))))
	w.write([]byte(magic))
	return w.err
}

// flush writes the rows of the current row group.
func (w *Writer[T]) flush() {
	if w.rows == 0 {
		return
	}
	g := group{rows: w.rows}
	for _, c := range w.columns {
		page := c.page()
		packed := compress(page)
		if len(page) > math.MaxInt32 || len(packed) > math.MaxInt32 {
			w.fail(errTooLong)
			return
		}
		header := pageHeader(len(page), len(packed), w.rows)
		g.chunks = append(g.chunks, chunk{
			offset: w.offset, size: int64(len(header) + len(page)), compressed: int64(len(header) + len(packed)),
		})
		w.write(header)
		w.write(packed)
		c.values.Reset()
		c.present = c.present[:0]
	}
	w.groups = append(w.groups, g)
	w.total += int64(w.rows)
	w.rows = 0
}

func (w *Writer[T]) write(b []byte) {
	if w.err != nil {
		return
	}
	n, err := w.out.Write(b)
	w.offset += int64(n)
	w.fail(err)
}

func (w *Writer[T]) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// add encodes a value.
func (c *column) add(v reflect.Value) {
	if c.kind.optional {
		c.present = append(c.present, !v.IsNil())
		if v.IsNil() {
			return
		}
		v = v.Elem()
	}
	b := c.values.AvailableBuffer()
	switch x := v.Interface().(type) {
	case string:
		b = binary.LittleEndian.AppendUint32(b, uint32(len(x)))
		b = append(b, x...)
	case int:
		b = binary.LittleEndian.AppendUint64(b, uint64(x))
	case float64:
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
	case time.Time:
		b = binary.LittleEndian.AppendUint64(b, uint64(x.UnixNano()))
	}
	c.values.Write(b)
}

// page returns the data of the column's page: which values are there, if some
// may be missing, and the values.
func (c *column) page() []byte {
	if !c.kind.optional {
		return c.values.Bytes()
	}
	groups := (len(c.present) + 7) / 8
	levels := binary.AppendUvarint(nil, uint64(groups)<<1|1) // a run of bits, eight in a byte
	packed := make([]byte, groups)
	for i, present := range c.present {
		if present {
			packed[i/8] |= 1 << (i % 8)
		}
	}
	levels = append(levels, packed...)
	page := binary.LittleEndian.AppendUint32(nil, uint32(len(levels)))
	page = append(page, levels...)
	return append(page, c.values.Bytes()...)
}

func compress(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, err := z.Write(b)
	if err = errors.Join(err, z.Close()); err != nil {
		panic(err) // a buffer takes everything
	}
	return out.Bytes()
}
