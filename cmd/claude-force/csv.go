package main

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

// csvWriter writes tables as CSV (RFC 4180) that spreadsheets can open safely:
// a text that a spreadsheet would take for a formula gets a leading apostrophe.
// Numbers are written as they are.
type csvWriter struct {
	w   *bufio.Writer
	err error
}

func newCSV(w io.Writer) *csvWriter { return &csvWriter{w: bufio.NewWriter(w)} }

// row writes a row. See [csvCell] for the values it takes.
func (c *csvWriter) row(values ...any) {
	for i, v := range values {
		if i > 0 {
			c.write(",")
		}
		c.write(csvCell(v))
	}
	c.write("\n")
}

func (c *csvWriter) write(s string) {
	if c.err == nil {
		_, c.err = c.w.WriteString(s)
	}
}

// flush writes what is buffered and returns the first error of all writes.
func (c *csvWriter) flush() error {
	if c.err == nil {
		c.err = c.w.Flush()
	}
	if c.err != nil {
		return fmt.Errorf("writing CSV: %w", c.err)
	}
	return nil
}

// csvCell returns a value as a cell of CSV; nil is an empty one.
func csvCell(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return csvText(v)
	case []byte:
		return csvText(fmt.Sprintf("%x", v))
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
		return csvText(v.Format(time.RFC3339Nano))
	}
	return csvText(fmt.Sprint(v))
}

// csvText guards and quotes a text. Semicolons and tabs are quoted too, since
// spreadsheets take them for separators in some languages.
func csvText(s string) string {
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

// writeTableCSV writes the value that --json prints as CSV: a list of objects, or one
// object, with a column for each field. Fields of nested objects have names joined
// by underscores; nested lists are left out.
func writeTableCSV(w io.Writer, data any) error {
	out := newCSV(w)
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
	out.row(csvHead(kind)...)
	for _, row := range rows {
		out.row(csvValues(row, kind)...)
	}
	return out.flush()
}

// csvHead returns the names of the columns for values of type t as a row.
func csvHead(t reflect.Type) (head []any) {
	for _, name := range csvColumns(t, "") {
		head = append(head, name)
	}
	return head
}

var timeType = reflect.TypeFor[time.Time]()

// csvFields yields the fields of a struct that become columns.
func csvFields(t reflect.Type, do func(f reflect.StructField, name string)) {
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

// csvColumns returns the names of the columns for values of type t.
func csvColumns(t reflect.Type, prefix string) (names []string) {
	t = base(t)
	if t.Kind() != reflect.Struct || t == timeType {
		return []string{strings.TrimSuffix(prefix, "_")}
	}
	csvFields(t, func(f reflect.StructField, name string) {
		if name != "" {
			name += "_"
		}
		names = append(names, csvColumns(f.Type, prefix+name)...)
	})
	return names
}

// csvValues returns the cells of a value of type t.
func csvValues(v reflect.Value, t reflect.Type) (cells []any) {
	if v.IsValid() && v.Kind() == reflect.Pointer {
		v = v.Elem() // the zero Value if it is nil
	}
	t = base(t)
	if t.Kind() == reflect.Struct && t != timeType {
		csvFields(t, func(f reflect.StructField, _ string) {
			field := reflect.Value{}
			if v.IsValid() {
				field = v.FieldByIndex(f.Index)
			}
			cells = append(cells, csvValues(field, f.Type)...)
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
