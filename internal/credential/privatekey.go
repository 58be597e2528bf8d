package credential

import "strings"

const (
	pemBegin = "-----BEGIN "
	pemEnd   = "-----END "
	dashes   = "-----"

	// maxPEM is how far from its beginning the end of a private key is looked
	// for. A text that only speaks of both lines is not one key.
	maxPEM = 64 << 10
)

// isPrivateKey reports whether a PEM block whose label begins text is a
// private key.
func isPrivateKey(text string) bool {
	label, _, ok := strings.Cut(text[:min(len(text), 60)], dashes)
	return ok && strings.HasSuffix(strings.TrimSuffix(label, " BLOCK"), "PRIVATE KEY")
}

// endOfPrivateKey returns the length of the private key that text begins with: to
// its END line, or, if that was cut off, as far as lines look like a key's.
func endOfPrivateKey(text string) int {
	head := len(pemBegin) + strings.Index(text[len(pemBegin):], dashes) + len(dashes)
	body, _, _ := strings.Cut(text[head:min(len(text), head+maxPEM)], pemBegin)
	if key, rest, ok := strings.Cut(body, pemEnd); ok {
		if label, _, ok := strings.Cut(rest[:min(len(rest), 60)], dashes); ok {
			return head + len(key) + len(pemEnd) + len(label) + len(dashes)
		}
	}
	return head + keyLines(text[head:])
}

// keyLines returns the length of the lines at the beginning of text that a key
// could consist of. In JSON a line ends with \n, written out.
func keyLines(text string) int {
	n := 0
	for n < len(text) {
		skipped := lineEnd(text[n:])
		width := 0
		for n+skipped+width < len(text) && isBase64(text[n+skipped+width]) {
			width++
		}
		if width < 16 {
			return n
		}
		n += skipped + width
	}
	return n
}

// lineEnd returns the length of the white space, and of its escapes, that text
// begins with.
func lineEnd(text string) int {
	n := 0
	for n < len(text) {
		switch {
		case strings.IndexByte(" \t\r\n", text[n]) >= 0:
			n++
		case strings.HasPrefix(text[n:], `\n`), strings.HasPrefix(text[n:], `\r`):
			n += 2
		default:
			return n
		}
	}
	return n
}
