package tablecopy

import (
	"fmt"
	"strings"
)

// Type is how a store keeps a column whose values are int64, float64, or []byte.
type Type string

// The types of columns.
const (
	Int  Type = "int"
	Real Type = "real"
	Text Type = "text"
	Blob Type = "blob"
	Bool Type = "bool" // 0 or 1, where there is such a type
	Time Type = "time" // seconds since 1970, where there is such a type
)

// Column is a column of a table.
type Column struct {
	Name string
	Type Type
}

// Columns returns the columns that text lists, such as "key blob, agent text". It panics
// if one has no known type.
func Columns(text string) (list []Column) {
	for part := range strings.SplitSeq(text, ",") {
		name, typ, _ := strings.Cut(strings.TrimSpace(part), " ")
		switch c := (Column{name, Type(typ)}); c.Type {
		case Int, Real, Text, Blob, Bool, Time:
			list = append(list, c)
		default:
			panic(fmt.Sprintf("column %q has no type", part))
		}
	}
	return list
}

// Names returns the names of columns, separated by commas, each as name returns it.
func Names(columns []Column, name func(Column) string) string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = name(c)
	}
	return strings.Join(names, ", ")
}
