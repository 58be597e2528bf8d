package cache

import (
	"strings"

	"github.com/claude-force/claude-force/llm"
)

// credential is a shape that secrets of one kind have: a fixed beginning, then
// at least min characters of a set.
type credential struct {
	kind   string // completes "what looks like …"
	prefix string
	min    int
	chars  func(c byte) bool
}

// credentials are shapes that little else has: a false alarm costs the price
// of a call, but again and again. They are literal prefixes and not regular
// expressions, since a prompt can be megabytes long and is searched for each
// of them.
func credentials() []credential {
	return []credential{
		{"an Anthropic API key", "sk-ant-", 20, isToken},
		{"an OpenAI API key", "sk-proj-", 20, isToken},
		{"an API key", "sk-", 40, isAlnum},
		{"a GitHub token", "ghp_", 36, isAlnum},
		{"a GitHub token", "gho_", 36, isAlnum},
		{"a GitHub token", "ghu_", 36, isAlnum},
		{"a GitHub token", "ghs_", 36, isAlnum},
		{"a GitHub token", "ghr_", 36, isAlnum},
		{"a GitHub token", "github_pat_", 22, isToken},
		{"a GitLab token", "glpat-", 20, isToken},
		{"a Slack token", "xoxb-", 10, isToken},
		{"a Slack token", "xoxp-", 10, isToken},
		{"a Slack token", "xoxa-", 10, isToken},
		{"a Slack token", "xoxr-", 10, isToken},
		{"a Slack token", "xoxs-", 10, isToken},
		{"an AWS access key", "AKIA", 16, isUpperAlnum},
		{"an AWS access key", "ASIA", 16, isUpperAlnum},
		{"a Google API key", "AIza", 35, isToken},
		{"a Stripe key", "sk_live_", 16, isAlnum},
		{"a Stripe key", "rk_live_", 16, isAlnum},
		{"an npm token", "npm_", 36, isAlnum},
		{"a PyPI token", "pypi-AgEIcHlwaS", 20, isToken},
		{"a Hugging Face token", "hf_", 30, isAlnum},
		{"a SendGrid key", "SG.", 40, isTokenOrDot},
		{"a DigitalOcean token", "dop_v1_", 64, isAlnum},
		{"an Azure storage key", "AccountKey=", 80, isBase64},
	}
}

// findCredential is the kind of the first credential found in a call or its
// answer, empty if there is none. The answer is searched too, since it may
// hold a secret that the model made or decoded.
func findCredential(req *llm.Request, resp *llm.Response) string {
	shapes := credentials()
	found := ""
	look := func(text string) bool {
		if found == "" && text != "" {
			found = credentialIn(text, shapes)
		}
		return found != ""
	}
	blocks := func(blocks []llm.Block) bool {
		for _, b := range blocks {
			if look(b.Text) || look(string(b.Input)) || look(string(b.Raw)) {
				return true
			}
		}
		return false
	}
	if blocks(req.System) || blocks(resp.Content) {
		return found
	}
	for _, m := range req.Messages {
		if blocks(m.Content) {
			return found
		}
	}
	for _, t := range req.Tools {
		if look(t.Description) || look(string(t.InputSchema)) || look(string(t.Raw)) {
			return found
		}
	}
	for _, raw := range req.Extra {
		if look(string(raw)) {
			return found
		}
	}
	return ""
}

// credentialIn is the kind of a credential in text, empty if there is none.
func credentialIn(text string, shapes []credential) string {
	for _, c := range shapes {
		for i := range occurrences(text, c.prefix) {
			rest := text[i+len(c.prefix):]
			n := 0
			for n < len(rest) && n < c.min && c.chars(rest[n]) {
				n++
			}
			if n == c.min && begins(text, i) {
				return c.kind
			}
		}
	}
	for i := range occurrences(text, "-----BEGIN ") {
		line := text[i+len("-----BEGIN "):]
		if head, _, ok := strings.Cut(line[:min(len(line), 60)], "-----"); ok && strings.HasSuffix(strings.TrimSuffix(head, " BLOCK"), "PRIVATE KEY") {
			return "a private key"
		}
	}
	for i := range occurrences(text, "eyJ") {
		if begins(text, i) && isJWT(text[i:]) {
			return "a JSON web token"
		}
	}
	return ""
}

// occurrences are the places of part in text.
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

func isUpperAlnum(c byte) bool { return c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' }
func isAlnum(c byte) bool      { return isUpperAlnum(c) || c >= 'a' && c <= 'z' }
func isToken(c byte) bool      { return isAlnum(c) || c == '_' || c == '-' }
func isTokenOrDot(c byte) bool { return isToken(c) || c == '.' }
func isBase64(c byte) bool     { return isAlnum(c) || c == '+' || c == '/' || c == '=' }
