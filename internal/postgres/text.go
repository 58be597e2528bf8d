package postgres

import (
	"strings"
	"unicode/utf8"
)

// Storable reports whether a column of texts can hold s.
func Storable(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

// Text returns s with U+FFFD for what a column of texts cannot hold.
func Text(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\x00", "\ufffd")
}
