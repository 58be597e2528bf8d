// Package csvtext writes tables as CSV that spreadsheets can open safely.
package csvtext

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Writer writes tables as CSV (RFC 4180). A text that a spreadsheet would take for a formula gets a leading apostrophe.
// Numbers are written as they are.
type Writer struct {
	w   *bufio.Writer
	err error
}

// New returns a writer of CSV to w. Flush it when done.
func New(w io.Writer) *Writer { return &Writer{w: bufio.NewWriter(w)} }

// Row writes a row. See [cell] for the values it takes.
func (c *Writer) Row(values ...any) {
	for i, v := range values {
		if i > 0 {
			c.write(",")
		}
		c.write(cell(v))
	}
	c.write("\n")
}

// Err returns the first error of all writes.
func (c *Writer) Err() error { return c.err }

func (c *Writer) write(s string) {
	if c.err == nil {
		_, c.err = c.w.WriteString(s)
	}
}

// Flush writes what is buffered and returns the first error of all writes.
func (c *Writer) Flush() error {
	if c.err == nil {
		c.err = c.w.Flush()
	}
	if c.err != nil {
		return fmt.Errorf("writing CSV: %w", c.err)
	}
	return nil
}

// cell returns a value as a cell of CSV; nil is an empty one.
func cell(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return text(v)
	case []byte:
		return text(fmt.Sprintf("%x", v))
	case int:
		return strconv.Itoa(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	case time.Time:
		if v.IsZero() {
			return ""
		}
		return text(v.Format(time.RFC3339Nano))
	}
	return text(fmt.Sprint(v))
}

// text guards and quotes a text. Semicolons and tabs are quoted too, since
// spreadsheets take them for separators in some languages.
func text(s string) string {
	if strings.ContainsRune("=+-@＝＋－＠", first(strings.TrimLeft(s, " \t\r\n\v\f\u00a0\u0000\ufeff"))) || strings.ContainsAny(s[:min(len(s), 1)], "\t\r\n") {
		s = "'" + s
	}
	if strings.ContainsAny(s, "\",;\t\r\n") || strings.HasPrefix(s, " ") || strings.HasSuffix(s, " ") {
		return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
	}
	return s
}

// first returns the first rune of s, and a letter if there is none.
func first(s string) rune {
	for _, r := range s {
		return r
	}
	return 'a'
}

// WriteTable writes the value that --json prints as CSV: a list of objects, or one
// object, with a column for each field. Fields of nested objects have names joined
// by underscores; nested lists are left out.
func WriteTable(w io.Writer, data any) error {
	out := New(w)
	v := reflect.ValueOf(data)
	var rows []reflect.Value
	kind := v.Type()
	if kind.Kind() == reflect.Slice {
		for i := range v.Len() {
			rows = append(rows, v.Index(i))
		}
		kind = kind.Elem()
	} else {
		rows = []reflect.Value{v}
	}
	out.Row(Head(kind)...)
	for _, row := range rows {
		out.Row(Values(row, kind)...)
	}
	return out.Flush()
}

// Head returns the names of the columns for values of type t as a row.
func Head(t reflect.Type) (head []any) {
	for _, name := range columns(t, "") {
		head = append(head, name)
	}
	return head
}

var timeType = reflect.TypeFor[time.Time]()

// fields yields the fields of a struct that become columns.
func fields(t reflect.Type, do func(f reflect.StructField, name string)) {
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || name == "-" || base(f.Type).Kind() == reflect.Slice || base(f.Type).Kind() == reflect.Map {
			continue
		}
		do(f, name)
	}
}

func base(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

// columns returns the names of the columns for values of type t.
func columns(t reflect.Type, prefix string) (names []string) {
	t = base(t)
	if t.Kind() != reflect.Struct || t == timeType {
		return []string{strings.TrimSuffix(prefix, "_")}
	}
	fields(t, func(f reflect.StructField, name string) {
		if name != "" {
			name += "_"
		}
		names = append(names, columns(f.Type, prefix+name)...)
	})
	return names
}

// Values returns the cells of a value of type t.
func Values(v reflect.Value, t reflect.Type) (cells []any) {
	if v.IsValid() && v.Kind() == reflect.Pointer {
		v = v.Elem() // the zero Value if it is nil
	}
	t = base(t)
	if t.Kind() == reflect.Struct && t != timeType {
		fields(t, func(f reflect.StructField, _ string) {
			field := reflect.Value{}
			if v.IsValid() {
				field = v.FieldByIndex(f.Index)
			}
			cells = append(cells, Values(field, f.Type)...)
		})
		return cells
	}
	if !v.IsValid() {
		return []any{nil}
	}
	switch v.Kind() {
	case reflect.String:
		return []any{v.String()}
	case reflect.Int, reflect.Int64, reflect.Int32:
		return []any{v.Int()}
	case reflect.Float64:
		return []any{v.Float()}
	}
	return []any{v.Interface()}
}
