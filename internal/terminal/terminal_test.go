package terminal_test

import (
	"bytes"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/internal/terminal"
)

func TestClean(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain text\n\twith tabs": "plain text\n\twith tabs",
		"Grüße 你好 👩‍👩‍👧 مرحبا":    "Grüße 你好 👩‍👩‍👧 مرحبا",
		"a\r\nb":                       "a\nb",
		"safe\rRun":                    `safe\rRun`,
		"\x1b[2K\x1b[1GPublish":        `\x1b[2K\x1b[1GPublish`,
		"\x1b]52;c;cm0gLXJm\a":         `\x1b]52;c;cm0gLXJm\a`,
		"\u009b2J":                     `\u009b2J`,
		"\x9b2J":                       `\x9b2J`,
		"user\u202etxt.exe":            `user\u202etxt.exe`,
		"\u2066a\u2069":                `\u2066a\u2069`,
		"a\bb\x7f\x00":                 `a\bb\x7f\x00`,
		"half \xe4\xbd":                `half \xe4\xbd`,
		"\U000e0041 a tag":             `\U000e0041 a tag`,
		"the replacement character: �": "the replacement character: �",
	} {
		if got := terminal.Clean(text); got != want {
			t.Errorf("Clean(%q) = %q; want %q", text, got, want)
		}
	}
	if got := terminal.Line("a\r\nb\tc"); got != "a b c" {
		t.Errorf("a line: %q", got)
	}
}

// TestNothingSteers writes any text in any pieces and looks for what a terminal
// would act on.
func TestNothingSteers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pieces := rapid.SliceOf(rapid.OneOf(rapid.SliceOf(rapid.Byte()), rapid.Map(rapid.String(), func(s string) []byte { return []byte(s) }))).Draw(t, "pieces")
		var screen bytes.Buffer
		w := terminal.NewWriter(&screen)
		for _, p := range pieces {
			if n, err := w.Write(p); n != len(p) || err != nil {
				t.Fatalf("wrote %d of %d bytes: %v", n, len(p), err)
			}
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		whole := string(bytes.Join(pieces, nil))
		if got := screen.String(); got != terminal.Clean(whole) {
			t.Fatalf("in pieces %q; at once %q", got, terminal.Clean(whole))
		}
		if !utf8.ValidString(screen.String()) {
			t.Fatalf("not UTF-8: %q", &screen)
		}
		if i := strings.IndexFunc(screen.String(), func(r rune) bool {
			return unicode.IsControl(r) && r != '\n' && r != '\t' || unicode.Is(unicode.Bidi_Control, r)
		}); i >= 0 {
			t.Fatalf("%q steers at %d", &screen, i)
		}
	})
}
