package credential

import (
	"math"
	"strings"
)

// The kinds that are known by what stands before them.
const (
	kindPassword    = "a password"
	kindURLPassword = "a password in a URL"
	kindSecret      = "a secret"
)

// Endings of names whose values are secret, in lower case and without - and _.
var (
	passwordNames = []string{"password", "passwd", "passphrase", "pwd", "passwort"}
	secretNames   = []string{"apikey", "secret", "secretkey", "accesskey", "privatekey", "signingkey", "encryptionkey", "authkey", "masterkey", "accountkey", "token", "credential", "credentials", "authorization"}
	// pageNames are of tokens that only say where a list goes on.
	pageNames = []string{"next", "page", "sync", "continuation", "cursor", "stop", "csrf"}
)

const (
	maxName  = 64  // bytes of a name that is looked at
	maxValue = 512 // bytes of a value

	minPassword = 6
	minSecret   = 12
)

// FindPair returns the kind of the credential that value is, given its name, such as
// "a password"; it is empty if it is none. Find finds such pairs within a text.
func FindPair(name, value string) string {
	kind := kindOfName(name)
	if kind == "" || len(value) > maxValue || strings.ContainsAny(value, " \t\r\n") || !isSecret(kind, value) {
		return ""
	}
	return kind
}

// kindOfName returns the kind of what a name like DB_PASSWORD or x-api-key stands
// before, or an empty string.
func kindOfName(name string) string {
	if !endsAsSecret(name) {
		return ""
	}
	plain := make([]byte, 0, maxName)
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'A' && c <= 'Z':
			plain = append(plain, c+'a'-'A')
		case c != '_' && c != '-' && c != '.':
			plain = append(plain, c)
		}
	}
	text := string(plain)
	for _, end := range passwordNames {
		if strings.HasSuffix(text, end) {
			return kindPassword
		}
	}
	for _, end := range secretNames {
		if before, ok := strings.CutSuffix(text, end); ok {
			for _, page := range pageNames {
				if end == "token" && strings.HasSuffix(before, page) {
					return ""
				}
			}
			return kindSecret
		}
	}
	return ""
}

// endsAsSecret reports whether the last two letters of a name are those of one of
// passwordNames or secretNames, which those of most names are not.
func endsAsSecret(name string) bool {
	for len(name) > 0 && isSeparator(name[len(name)-1]) {
		name = name[:len(name)-1]
	}
	if len(name) < 2 {
		return false
	}
	switch [2]byte{name[len(name)-2] | 0x20, name[len(name)-1] | 0x20} {
	case [2]byte{'r', 'd'}, [2]byte{'w', 'd'}, [2]byte{'s', 'e'}, [2]byte{'r', 't'}, [2]byte{'e', 'y'}, [2]byte{'e', 't'}, [2]byte{'e', 'n'}, [2]byte{'a', 'l'}, [2]byte{'l', 's'}, [2]byte{'o', 'n'}:
		return true
	}
	return isSeparator(name[len(name)-2])
}

// lastOfSecret are the bytes that the names can end with of which [endsAsSecret] says so.
var lastOfSecret = func() (set [256]bool) {
	for _, c := range []byte("dDeEtTyYnNlLsS_-.") {
		set[c] = true
	}
	return set
}()

func isSeparator(c byte) bool { return c == '_' || c == '-' || c == '.' }

// isSecret reports whether a value looks like the secret that its name promises, and
// not like a placeholder, a type, or code that gets it from elsewhere.
func isSecret(kind, value string) bool {
	if strings.ContainsAny(value, "()[]{}<>|") || strings.ContainsAny(value[:min(1, len(value))], "$%*.&@/+") || strings.Contains(value, "://") {
		return false
	}
	lower := strings.ToLower(value)
	for _, word := range []string{"your", "example", "placeholder", "xxx", "***", "...", "redacted", "changeme", "dummy", "env."} {
		if strings.Contains(lower, word) {
			return false
		}
	}
	switch strings.Trim(lower, "0123456789_-") {
	case "password", "passwd", "pass", "pwd", "secret", "token", "key", "apikey", "api_key", "api-key", "string", "str", "bytes", "int", "sha", "md":
		return false
	}
	if isReference(value) {
		return false
	}
	letters, digits, symbols := 0, 0, 0
	for i := range len(value) {
		switch c := value[i]; {
		case c >= '0' && c <= '9':
			digits++
		case isAlnum(c) || c >= 0x80:
			letters++
		case c != '_' && c != '-' && c != '.' && c != ':' && c != '/' && c != ',':
			symbols++
		}
	}
	if kind == kindPassword {
		return len(value) >= minPassword && (digits > 0 || symbols > 0)
	}
	return len(value) >= minSecret && digits > 0 && letters > 0 && entropy(value) >= 3
}

// isReference reports whether a value is names with dots between, as in code.
func isReference(value string) bool {
	if !strings.Contains(value, ".") {
		return false
	}
	for part := range strings.SplitSeq(value, ".") {
		if part == "" || part[0] >= '0' && part[0] <= '9' || len(part) > 48 {
			return false
		}
		for i := range len(part) {
			if !isAlnum(part[i]) && part[i] != '_' {
				return false
			}
		}
	}
	return true
}

// entropy returns the bits that each byte of a text carries, by how often each occurs.
func entropy(text string) float64 {
	var counts [256]int
	for i := range len(text) {
		counts[text[i]]++
	}
	bits := 0.0
	for _, n := range counts {
		if n > 0 {
			p := float64(n) / float64(len(text))
			bits -= p * math.Log2(p)
		}
	}
	return bits
}

// pairs yields the values of name=value, name: value, "name": "value" and so on.
func pairs(text string) func(yield func(place) bool) {
	return func(yield func(place) bool) {
		equals, colon := -1, -1 // the next of each, from at on
		for at := 0; ; {
			equals, colon = next(text, '=', equals, at), next(text, ':', colon, at)
			i := min(equals, colon)
			if i == len(text) {
				return
			}
			at = i + 1
			end := endOfName(text, i)
			if end == 0 || !lastOfSecret[text[end-1]] || !endsAsSecret(text[max(0, end-maxName):end]) {
				continue // as almost always
			}
			kind := kindOfName(nameBefore(text, end))
			if kind == "" {
				continue
			}
			begin, end := valueAfter(text, at)
			if isSecret(kind, text[begin:end]) && !yield(place{begin, end, kind}) {
				return
			}
		}
	}
}

// next returns where c is in text, from at on, or the length of text if it is not. was is
// what it was from an earlier place on.
func next(text string, c byte, was, at int) int {
	if was >= at {
		return was
	}
	if i := strings.IndexByte(text[at:], c); i >= 0 {
		return at + i
	}
	return len(text)
}

// endOfName returns where a name ends before which and i are only quotes and blanks.
func endOfName(text string, i int) int {
	for i > 0 {
		switch text[i-1] {
		case ' ', '"', '\'', '`', '\\':
			i--
		default:
			return i
		}
	}
	return 0
}

// nameBefore returns the name that ends at end.
func nameBefore(text string, end int) string {
	begin := end
	for begin > 0 && end-begin < maxName && (isToken(text[begin-1]) || text[begin-1] == '.') {
		begin--
	}
	return text[begin:end]
}

// valueAfter returns where the value begins and ends that follows a separator before
// at. The scheme of an Authorization header is not part of it.
func valueAfter(text string, at int) (begin, end int) {
	skip := func(chars string, most int) {
		for n := 0; n < most && at < len(text) && strings.IndexByte(chars, text[at]) >= 0; n++ {
			at++
		}
	}
	skip("=>", 2)
	skip(" \t", 4)
	skip("\\\"'`", 4)
	for _, scheme := range []string{"Bearer ", "Basic ", "bearer ", "basic ", "Token ", "token "} {
		if strings.HasPrefix(text[at:], scheme) {
			at += len(scheme)
		}
	}
	end = at
	for end < len(text) && end-at <= maxValue && strings.IndexByte(" \t\r\n\"'`\\;,", text[end]) < 0 {
		end++
	}
	for end > at && (text[end-1] == '.' || text[end-1] == ':') { // which end a sentence
		end--
	}
	return at, end
}

// urlPasswords yields the passwords of URLs such as https://user:password@host.
func urlPasswords(text string) func(yield func(place) bool) {
	return func(yield func(place) bool) {
		if strings.IndexByte(text, '@') < 0 {
			return
		}
		for i := range occurrences(text, "://") {
			if i == 0 || !isAlnum(text[i-1]) {
				continue
			}
			begin := i + len("://")
			end, at := begin, -1
			for end < len(text) && end-begin < maxValue && text[end] > ' ' && strings.IndexByte("/?#\"'`<>\\", text[end]) < 0 {
				if text[end] == '@' {
					at = end
				}
				end++
			}
			if at < 0 {
				continue
			}
			colon := strings.IndexByte(text[begin:at], ':')
			if colon < 0 {
				continue
			}
			begin += colon + 1
			if begin == at || strings.IndexByte("$%{[*", text[begin]) >= 0 && !isPercentEncoded(text[begin:at]) {
				continue
			}
			if !yield(place{begin, at, kindURLPassword}) {
				return
			}
		}
	}
}

// isPercentEncoded reports whether text begins with an encoded byte such as %40, and
// not with a verb such as %s.
func isPercentEncoded(text string) bool {
	hex := func(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' }
	return len(text) > 2 && text[0] == '%' && hex(text[1]) && hex(text[2])
}
