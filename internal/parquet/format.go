package parquet

import (
	"encoding/binary"
	"reflect"
	"time"
)

// Numbers of the format's own enumerations.
const (
	typeInt64     = 2
	typeDouble    = 5
	typeByteArray = 6

	required = 0
	optional = 1

	encodingPlain = 0
	encodingRLE   = 3

	codecGzip = 2

	convertedUTF8  = 0
	convertedInt64 = 18
)

// kind is how the values of a Go type are stored.
type kind struct {
	physical  int64
	optional  bool
	converted int64 // what older readers know instead of the logical type; -1: nothing
	logical   func(*thrift)
}

var kinds = map[reflect.Type]kind{
	reflect.TypeFor[string]():    {typeByteArray, false, convertedUTF8, logicalString},
	reflect.TypeFor[int]():       {typeInt64, false, convertedInt64, logicalInt64},
	reflect.TypeFor[time.Time](): {typeInt64, false, -1, logicalTimestamp},
	reflect.TypeFor[float64]():   {typeDouble, false, -1, nil},
	reflect.TypeFor[*float64]():  {typeDouble, true, -1, nil},
}

func logicalString(t *thrift) { t.structure(1, func() {}) }

func logicalInt64(t *thrift) {
	t.structure(10, func() {
		t.int8(1, 64)
		t.boolean(2, true) // signed
	})
}

func logicalTimestamp(t *thrift) {
	t.structure(8, func() {
		t.boolean(1, true)                                   // in UTC
		t.structure(2, func() { t.structure(3, func() {}) }) // nanoseconds
	})
}

// describe returns the description that ends a file, the format's FileMetaData.
func (w *Writer[T]) describe() []byte {
	t := &thrift{}
	t.int32(1, 2) // version
	t.list(2, thriftStruct, 1+len(w.columns))
	t.element(func() {
		t.text(4, "calls")
		t.int32(5, int64(len(w.columns)))
	})
	for _, c := range w.columns {
		t.element(func() { c.describe(t) })
	}
	t.int64(3, w.total)
	t.list(4, thriftStruct, len(w.groups))
	for _, g := range w.groups {
		t.element(func() { w.describeGroup(t, g) })
	}
	t.text(6, "claude-force")
	return append(t.out, 0)
}

// describe writes the column's SchemaElement.
func (c *column) describe(t *thrift) {
	t.int32(1, c.kind.physical)
	repetition := int64(required)
	if c.kind.optional {
		repetition = optional
	}
	t.int32(3, repetition)
	t.text(4, c.name)
	if c.kind.converted >= 0 {
		t.int32(6, c.kind.converted)
	}
	if c.kind.logical != nil {
		t.structure(10, func() { c.kind.logical(t) })
	}
}

// describeGroup writes a RowGroup.
func (w *Writer[T]) describeGroup(t *thrift, g group) {
	t.list(1, thriftStruct, len(g.chunks))
	size := int64(0)
	for i, chunk := range g.chunks {
		size += chunk.size
		t.element(func() {
			t.int64(2, chunk.offset)
			t.structure(3, func() { w.columns[i].describeChunk(t, chunk, g.rows) })
		})
	}
	t.int64(2, size)
	t.int64(3, int64(g.rows))
}

// describeChunk writes a ColumnMetaData.
func (c *column) describeChunk(t *thrift, at chunk, rows int) {
	t.int32(1, c.kind.physical)
	t.list(2, thriftInt32, 2)
	t.varint(encodingPlain)
	t.varint(encodingRLE)
	t.list(3, thriftBinary, 1)
	t.bytes(c.name)
	t.int32(4, codecGzip)
	t.int64(5, int64(rows))
	t.int64(6, at.size)
	t.int64(7, at.compressed)
	t.int64(9, at.offset)
}

// pageHeader returns the PageHeader of a data page.
func pageHeader(size, compressed, rows int) []byte {
	t := &thrift{}
	t.int32(1, 0) // a data page
	t.int32(2, int64(size))
	t.int32(3, int64(compressed))
	t.structure(5, func() {
		t.int32(1, int64(rows))
		t.int32(2, encodingPlain)
		t.int32(3, encodingRLE)
		t.int32(4, encodingRLE)
	})
	return append(t.out, 0)
}

// Types of Thrift's compact protocol, in which Parquet describes itself.
const (
	thriftTrue   = 1
	thriftFalse  = 2
	thriftInt8   = 3
	thriftInt32  = 5
	thriftInt64  = 6
	thriftBinary = 8
	thriftList   = 9
	thriftStruct = 12
)

// thrift encodes one structure. Fields are written in the order of their ids.
type thrift struct {
	out  []byte
	last int // the id of the field before
}

func (t *thrift) field(id int, kind byte) {
	t.out = append(t.out, byte(id-t.last)<<4|kind) // ids are at most 15 apart
	t.last = id
}

// varint appends a number as list elements and fields hold it.
func (t *thrift) varint(v int64) { t.out = binary.AppendVarint(t.out, v) }

// bytes appends a text as list elements and fields hold it.
func (t *thrift) bytes(s string) {
	t.out = binary.AppendUvarint(t.out, uint64(len(s)))
	t.out = append(t.out, s...)
}

func (t *thrift) int8(id int, v byte) {
	t.field(id, thriftInt8)
	t.out = append(t.out, v)
}

func (t *thrift) int32(id int, v int64) {
	t.field(id, thriftInt32)
	t.varint(v)
}

func (t *thrift) int64(id int, v int64) {
	t.field(id, thriftInt64)
	t.varint(v)
}

func (t *thrift) text(id int, s string) {
	t.field(id, thriftBinary)
	t.bytes(s)
}

func (t *thrift) boolean(id int, v bool) {
	if v {
		t.field(id, thriftTrue)
		return
	}
	t.field(id, thriftFalse)
}

// list begins a list of n elements, which follow.
func (t *thrift) list(id int, kind byte, n int) {
	t.field(id, thriftList)
	if n < 15 {
		t.out = append(t.out, byte(n)<<4|kind)
		return
	}
	t.out = append(t.out, 0xF0|kind)
	t.out = binary.AppendUvarint(t.out, uint64(n))
}

// structure writes a field that is a structure itself.
func (t *thrift) structure(id int, fields func()) {
	t.field(id, thriftStruct)
	t.element(fields)
}

// element writes a structure as an element of a list.
func (t *thrift) element(fields func()) {
	outer := t.last
	t.last = 0
	fields()
	t.out = append(t.out, 0)
	t.last = outer
}
