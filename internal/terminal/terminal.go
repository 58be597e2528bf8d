// Package terminal shows text that the program did not write on a terminal, such
// as answers, names and questions, without letting it steer the terminal.
//
// Control characters can move the cursor, erase what stands there, rename the
// window or fill the clipboard. Bidirectional overrides show characters in
// another order than they are in. All of them are written as escapes that can be
// read, such as \x1b, \r or \u202e; the escapes are those of JSON where JSON has
// any. Line breaks and tabs stay, and CR LF is a line break.
package terminal

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode/utf8"
)

// Clean returns text as it may be shown on a terminal.
func Clean(text string) string {
	var clean strings.Builder
	write(&clean, text, true)
	return clean.String()
}

// Line returns text as it may be shown within one line of a terminal: as [Clean],
// with line breaks and tabs as spaces.
func Line(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		return r
	}, Clean(text))
}

// Writer is a terminal to which text is written through [Clean]. It is safe for
// concurrent use.
type Writer struct {
	mu   sync.Mutex
	w    io.Writer
	rest string // the start of a character or line break whose end was not written yet
}

// NewWriter returns a writer to the terminal w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Write writes p. What ends within a character is kept until the next call.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var clean strings.Builder
	w.rest = write(&clean, w.rest+string(p), false)
	if clean.Len() > 0 {
		if _, err := io.WriteString(w.w, clean.String()); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// Flush writes what Write has kept.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var clean strings.Builder
	w.rest = write(&clean, w.rest, true)
	_, err := io.WriteString(w.w, clean.String())
	return err
}

// write appends the clean form of text to b. Unless the text is whole, it returns
// the start of a character or line break at the text's end.
func write(b *strings.Builder, text string, whole bool) (rest string) {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			if !whole && !utf8.FullRuneInString(text[i:]) {
				return text[i:]
			}
			fmt.Fprintf(b, `\x%02x`, text[i])
		case r == '\r' && i+1 == len(text) && !whole:
			return text[i:]
		case r == '\r' && strings.HasPrefix(text[i+1:], "\n"): // the line break follows
		case r == '\n' || r == '\t':
			b.WriteRune(r)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\a':
			b.WriteString(`\a`)
		case r == '\b':
			b.WriteString(`\b`)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(b, `\x%02x`, r)
		case steers(r):
			if r > 0xffff {
				fmt.Fprintf(b, `\U%08x`, r)
			} else {
				fmt.Fprintf(b, `\u%04x`, r)
			}
		default:
			b.WriteString(text[i : i+size])
		}
		i += size
	}
	return ""
}

// steers reports whether a character outside ASCII controls how others are shown.
func steers(r rune) bool {
	switch {
	case r >= 0x80 && r <= 0x9f, // C1
		r == 0x061c, r == 0x200e, r == 0x200f, // marks of direction
		r >= 0x2028 && r <= 0x202e,              // separators, embeddings and overrides
		r >= 0x2060 && r <= 0x206f,              // isolates, invisible operators
		r == 0xfeff, r >= 0xfff9 && r <= 0xfffb, // byte order mark, annotations
		r >= 0xe0000 && r <= 0xe007f: // tags
		return true
	}
	return false
}
