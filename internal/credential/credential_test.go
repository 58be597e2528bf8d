package credential_test

import (
	"strings"
	"testing"

	"github.com/claude-force/claude-force/internal/credential"
)

// filler is what secrets of the tests consist of, so that none looks real.
var filler = strings.Repeat("0A", 60)

var (
	anthropicKey = "sk-ant-api03-" + filler[:30]
	githubToken  = "ghp_" + filler[:36]
	jwt          = "eyJhbGciOiJ0ZXN0In0.eyJzdWIiOiJ0ZXN0In0.c2lnbmF0dXJl"
	pemBody      = filler[:64] + "\n" + filler[:20] + "\n"
	privateKey   = "-----BEGIN RSA PRIVATE KEY-----\n" + pemBody + "-----END RSA PRIVATE KEY-----"
)

func TestRedact(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"nothing here, sk-ant-short", "nothing here, sk-ant-short"},
		{"my key is " + anthropicKey + ".", "my key is [an Anthropic API key]."},
		{anthropicKey + " and " + githubToken, "[an Anthropic API key] and [a GitHub token]"},
		{githubToken + "-tail_too", "[a GitHub token]"},
		{"AccountKey=" + filler[:86] + "==;EndpointSuffix", "[an Azure storage key];EndpointSuffix"},
		{`{"key":"a\n` + anthropicKey + `"}`, `{"key":"a\n[an Anthropic API key]"}`},
		{"Bearer " + jwt + ". Then", "Bearer [a JSON web token]. Then"},
		{"five parts " + jwt + ".cGFydGZvdXI.cGFydGZpdmU", "five parts [a JSON web token]"},
		{"a\n" + privateKey + "\nb", "a\n[a private key]\nb"},
		{"a\n" + strings.ReplaceAll(privateKey, "RSA PRIVATE KEY", "PGP PRIVATE KEY BLOCK") + "\nb", "a\n[a private key]\nb"},
		{privateKey + "\n" + privateKey, "[a private key]\n[a private key]"},
		{`{"pem":"` + strings.ReplaceAll(privateKey, "\n", `\n`) + `\n"}`, `{"pem":"[a private key]\n"}`},
		{"cut: -----BEGIN PRIVATE KEY-----\n" + pemBody + "and words after it", "cut: [a private key]\nand words after it"},
		{`{"cut":"-----BEGIN PRIVATE KEY-----\n` + strings.ReplaceAll(pemBody, "\n", `\n`) + `"}`, `{"cut":"[a private key]\n"}`},
		{"look for -----BEGIN PRIVATE KEY----- in files", "look for [a private key] in files"},
		{"-----BEGIN CERTIFICATE-----\n" + pemBody, "-----BEGIN CERTIFICATE-----\n" + pemBody},
		// Only behind the end of the first does the second begin a word.
		{privateKey + anthropicKey, "[a private key][an Anthropic API key]"},
	} {
		if got := credential.Redact(test.text); got != test.want {
			t.Errorf("Redact(%q) = %q, want %q", test.text, got, test.want)
		}
	}
}

func TestFindNamesTheKind(t *testing.T) {
	for text, want := range map[string]string{
		"":                           "",
		"plain":                      "",
		"x" + anthropicKey:           "",
		"x=" + anthropicKey:          "an Anthropic API key",
		"AKIA" + filler[:16]:         "an AWS access key",
		"token " + jwt:               "a JSON web token",
		"-----BEGIN PRIVATE KEY----": "",
		privateKey:                   "a private key",
	} {
		if got := credential.Find(text); got != want {
			t.Errorf("Find(%q) = %q, want %q", text, got, want)
		}
	}
}

func FuzzRedact(f *testing.F) {
	for _, seed := range []string{anthropicKey, githubToken, jwt, privateKey, privateKey + anthropicKey, "-----BEGIN PRIVATE KEY-----" + jwt, "SG." + filler + "." + jwt} {
		f.Add("a " + seed + seed)
		f.Add(seed + "_" + anthropicKey)
	}
	f.Fuzz(func(t *testing.T, text string) {
		once := credential.Redact(text)
		if kind := credential.Find(once); kind != "" {
			t.Errorf("Redact(%q) = %q, which holds %s", text, once, kind)
		}
		if twice := credential.Redact(once); twice != once {
			t.Errorf("Redact(%q) = %q, again: %q", text, once, twice)
		}
		if found := credential.Find(text) != ""; found != (once != text) {
			t.Errorf("Find says %v of %q, Redact gives %q", found, text, once)
		}
	})
}

func BenchmarkFind(b *testing.B) {
	text := strings.Repeat("The quick brown fox asks sk- and ghp_ of a lazy dog.\n", 20_000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if credential.Find(text) != "" {
			b.Fatal("found something")
		}
	}
}

// BenchmarkFindInCode searches the source of a program, which has more separators than
// prose.
func BenchmarkFindInCode(b *testing.B) {
	text := strings.Repeat("\tif err := do_it(ctx, \"path\", 42); err != nil { // one more line of a file\\n", 1500)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if credential.Find(text) != "" {
			b.Fatal("found something")
		}
	}
}
