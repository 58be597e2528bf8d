package proxy

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestEscapesOfLetters writes JSON strings with escapes: what remains is the same text,
// without an escape of a letter.
func TestEscapesOfLetters(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOf(rapid.SampledFrom([]string{`\u0064`, `\u0044`, `d`, `\\`, `\"`, `\/`, `\n`, `\u0022`, `\u005C`, `\u000a`, `\ud83d\ude00`, `\u00e9`, `u0064`, `\u0130`, `0`})).Draw(t, "parts")
		was := `"` + strings.Join(parts, "") + `"`
		now := withoutEscapes([]byte(was))
		var before, after string
		if err := json.Unmarshal([]byte(was), &before); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(now, &after); err != nil || before != after {
			t.Fatalf("%s has become %s: %v", was, now, err)
		}
		if rest := strings.ReplaceAll(string(now), `\\`, ""); strings.Contains(rest, `\u0064`) || strings.Contains(rest, `\u0044`) || strings.Contains(rest, `\/`) {
			t.Fatalf("%s has become %s", was, now)
		}
	})
}

// TestTextsWithoutThemAreNotCopied reads what has other escapes, and what breaks off.
func TestTextsWithoutThemAreNotCopied(t *testing.T) {
	t.Parallel()
	for _, text := range []string{``, `"a"`, `"\n\u00e9\\u0064"`, `"\`, `"\u`, `"\u006`, `"\u00zz"`, `"\u+064"`} {
		body := []byte(text)
		if got := withoutEscapes(body); !reflect.DeepEqual(got, body) || len(got) > 0 && &got[0] != &body[0] {
			t.Errorf("%s has become %s", text, got)
		}
	}
}
