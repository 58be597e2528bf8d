package proxy

import (
	"bytes"
	"strconv"
)

// withoutEscapes returns a JSON text in which letters, digits and the characters of names
// and media types are written as themselves, and not as escapes. The layers look into what
// is JSON for words such as "document" and "1h" to know what a call may cost, and a word
// that is written with escapes is the same word to the service. A text without such
// escapes is returned as it is.
func withoutEscapes(text []byte) []byte {
	var out []byte
	from := 0 // what is before it is in out
	for at := 0; ; {
		i := bytes.IndexByte(text[at:], '\\')
		if i < 0 || at+i+1 >= len(text) {
			break
		}
		at += i
		c, size := escaped(text[at:])
		if c == 0 {
			at += 2 // also over the second of two backslashes
			continue
		}
		out = append(append(out, text[from:at]...), c)
		at += size
		from = at
	}
	if from == 0 {
		return text
	}
	return append(out, text[from:]...)
}

// escaped returns the character that the escape at the beginning of a text stands for, and
// the length of the escape; 0 if it is to stay as it is.
func escaped(text []byte) (c byte, size int) {
	switch {
	case text[1] == '/':
		return '/', 2
	case text[1] == 'u' && len(text) >= 6:
		n, err := strconv.ParseUint(string(text[2:6]), 16, 16)
		if c := byte(n); err == nil && n < 0x80 && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.' || c == '/') {
			return c, 6
		}
	}
	return 0, 0
}
