// Package credential finds what looks like a credential in texts, and blots it
// out.
//
// The shapes are ones that little else has: prefixes of tokens, passwords in URLs, and
// values whose name says that they are secret. They are found without regular
// expressions, since a prompt can be megabytes long.
package credential

import (
	"slices"
	"strings"
	"unsafe"
)

// shape is what secrets of one kind look like: a fixed beginning, then at
// least min characters of a set.
type shape struct {
	kind   string // completes "what looks like …"
	prefix string
	anchor int // where in the prefix the byte is by which it is searched for
	min    int
	chars  func(c byte) bool
}

// shapes are searched for by a byte of their prefixes that is rare in texts, so that one
// pass over a text finds all prefixes that share the byte.
var shapes = []struct {
	anchor byte
	shapes []shape
}{
	{'-', []shape{
		{"an Anthropic API key", "sk-ant-", 2, 20, isToken},
		{"an OpenAI API key", "sk-proj-", 2, 20, isToken},
		{"an API key", "sk-", 2, 40, isAlnum},
		{"a GitLab token", "glpat-", 5, 20, isToken},
		{"a Slack token", "xoxb-", 4, 10, isToken},
		{"a Slack token", "xoxp-", 4, 10, isToken},
		{"a Slack token", "xoxa-", 4, 10, isToken},
		{"a Slack token", "xoxr-", 4, 10, isToken},
		{"a Slack token", "xoxs-", 4, 10, isToken},
		{"a PyPI token", "pypi-AgEIcHlwaS", 4, 20, isToken},
	}},
	{'_', []shape{
		{"a GitHub token", "ghp_", 3, 36, isAlnum},
		{"a GitHub token", "gho_", 3, 36, isAlnum},
		{"a GitHub token", "ghu_", 3, 36, isAlnum},
		{"a GitHub token", "ghs_", 3, 36, isAlnum},
		{"a GitHub token", "ghr_", 3, 36, isAlnum},
		{"a GitHub token", "github_pat_", 6, 22, isToken},
		{"a Stripe key", "sk_live_", 2, 16, isAlnum},
		{"a Stripe key", "rk_live_", 2, 16, isAlnum},
		{"an npm token", "npm_", 3, 36, isAlnum},
		{"a Hugging Face token", "hf_", 2, 30, isAlnum},
		{"a DigitalOcean token", "dop_v1_", 3, 64, isAlnum},
	}},
	{'A', []shape{
		{"an AWS access key", "AKIA", 0, 16, isUpperAlnum},
		{"an AWS access key", "ASIA", 0, 16, isUpperAlnum},
		{"a Google API key", "AIza", 0, 35, isToken},
		{"an Azure storage key", "AccountKey=", 0, 80, isBase64},
	}},
	{'G', []shape{{"a SendGrid key", "SG.", 1, 40, isTokenOrDot}}},
}

// The kinds that are more than a prefix.
const (
	kindPrivateKey = "a private key"
	kindJWT        = "a JSON web token"
)

// place is where a credential is in a text.
type place struct {
	begin, end int
	kind       string
}

// Find returns the kind of a credential in text, such as "an Anthropic API key"; it
// is empty if there is none.
func Find(text string) (kind string) {
	for p := range places(text) {
		return p.kind
	}
	return ""
}

// FindBytes returns what [Find] returns, of a text that does not change meanwhile. It makes
// no copy of it.
func FindBytes(text []byte) (kind string) {
	return Find(unsafe.String(unsafe.SliceData(text), len(text))) //nolint:gosec // Find keeps nothing of it
}

// Redact returns text with every credential that [Find] could find replaced by its
// kind in brackets, such as "[an Anthropic API key]". What is left holds none,
// so doing it again changes nothing.
func Redact(text string) string {
	for {
		found := slices.Collect(places(text))
		if len(found) == 0 {
			return text
		}
		// What follows a credential may look like one only once it is gone.
		// Each round leaves less that is not in brackets, so this ends.
		text = without(text, found)
	}
}

// without returns text with the places replaced; where they overlap, the first
// says the kind.
func without(text string, found []place) string {
	slices.SortStableFunc(found, func(a, b place) int { return a.begin - b.begin })
	var sb strings.Builder
	last := 0
	for _, p := range found {
		if p.begin >= last {
			sb.WriteString(text[last:p.begin])
			sb.WriteString("[" + p.kind + "]")
		}
		last = max(last, p.end)
	}
	sb.WriteString(text[last:])
	return sb.String()
}

// places yields the credentials of text, kind after kind.
func places(text string) func(yield func(place) bool) {
	return func(yield func(place) bool) {
		pem := false // a private key, as the search for dashes shows
		for g := range shapes {
			for i := range indexes(text, shapes[g].anchor) {
				pem = pem || strings.HasPrefix(text[i:], pemBegin)
				for k := range shapes[g].shapes {
					s := &shapes[g].shapes[k]
					begin := i - s.anchor
					if begin >= 0 && text[begin] == s.prefix[0] && s.at(text, begin) && !yield(place{begin, s.end(text, begin), s.kind}) {
						return
					}
				}
			}
		}
		if pem { // else they are not searched for a second time
			for i := range occurrences(text, pemBegin) {
				if isPrivateKey(text[i+len(pemBegin):]) && !yield(place{i, i + endOfPrivateKey(text[i:]), kindPrivateKey}) {
					return
				}
			}
		}
		for j := range indexes(text, 'J') {
			i := j - len("ey")
			if i >= 0 && text[i] == 'e' && text[i+1] == 'y' && begins(text, i) && isJWT(text[i:]) && !yield(place{i, i + endOfJWT(text[i:]), kindJWT}) {
				return
			}
		}
		for p := range urlPasswords(text) {
			if !yield(p) {
				return
			}
		}
		for p := range pairs(text) {
			if !yield(p) {
				return
			}
		}
	}
}

// at reports whether a credential of the shape is at i.
func (s *shape) at(text string, i int) bool {
	if !strings.HasPrefix(text[i:], s.prefix) {
		return false
	}
	rest := text[i+len(s.prefix):]
	n := 0
	for n < len(rest) && n < s.min && s.chars(rest[n]) {
		n++
	}
	return n == s.min && begins(text, i)
}

// end returns where the credential at i ends: with the last character that it, or
// any token, could have.
func (s *shape) end(text string, i int) int {
	end := i + len(s.prefix)
	for end < len(text) && (s.chars(text[end]) || isToken(text[end])) {
		end++
	}
	return end
}

// occurrences returns the places of part in text.
func occurrences(text, part string) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		for at := 0; ; {
			i := strings.Index(text[at:], part)
			if i < 0 || !yield(at+i) {
				return
			}
			at += i + len(part)
		}
	}
}

// indexes returns the places of a byte in text.
func indexes(text string, c byte) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		for at := 0; ; at++ {
			i := strings.IndexByte(text[at:], c)
			if i < 0 || !yield(at+i) {
				return
			}
			at += i
		}
	}
}

// begins reports whether a word begins at i. In JSON the letter of an escape
// such as \n stands before it.
func begins(text string, i int) bool {
	return i == 0 || !isToken(text[i-1]) || i > 1 && text[i-2] == '\\'
}

// isJWT reports whether text begins with three long parts between dots, the
// first two of them JSON objects in base64.
func isJWT(text string) bool {
	for part := range 3 {
		n := 0
		for n < len(text) && isToken(text[n]) {
			n++
		}
		if n < 10 || part < 2 && (!strings.HasPrefix(text, "eyJ") || n == len(text) || text[n] != '.') {
			return false
		}
		text = text[min(n+1, len(text)):]
	}
	return true
}

// endOfJWT returns the length of the token that text begins with. A dot that
// nothing follows ends a sentence.
func endOfJWT(text string) int {
	n := 0
	for n < len(text) && (isToken(text[n]) || text[n] == '.' && n+1 < len(text) && isToken(text[n+1])) {
		n++
	}
	return n
}

func isUpperAlnum(c byte) bool { return c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' }
func isAlnum(c byte) bool      { return isUpperAlnum(c) || c >= 'a' && c <= 'z' }
func isToken(c byte) bool      { return isAlnum(c) || c == '_' || c == '-' }
func isTokenOrDot(c byte) bool { return isToken(c) || c == '.' }
func isBase64(c byte) bool     { return isAlnum(c) || c == '+' || c == '/' || c == '=' }
