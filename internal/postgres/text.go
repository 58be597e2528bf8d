package postgres

import (
	"strings"
	"unicode/utf8"
)

// Storable reports whether a column of texts can hold s.
func Storable(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

// Text returns s without what a column of texts cannot hold.
func Text(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "\ufffd")
}
