package attach

import (
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// TestTextsStayAsTheyAre draws texts, with all line ends, and binary files without a
// NUL.
func TestTextsStayAsTheyAre(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.OneOf(rapid.Rune(), rapid.SampledFrom([]rune("\r\n\t\f äé√𝒳\ufeff")))).Draw(t, "text")
		got, converted, err := decode([]byte(text))
		switch {
		case err == nil && (got != text || converted != ""):
			t.Fatalf("%q became %q", text, got)
		case err != nil && plausible([]byte(text)):
			t.Fatalf("%q: %v", text, err)
		}
		if !plausible([]byte(text)) {
			return
		}
		for name, order := range map[string][2]int{"UTF-16LE": {0, 8}, "UTF-16BE": {8, 0}} {
			data := []byte{}
			for _, unit := range append([]uint16{0xfeff}, utf16.Encode([]rune(text))...) {
				data = append(data, byte(unit>>order[0]), byte(unit>>order[1]))
			}
			if got, converted, err := decode(data); got != text || converted != name || err != nil {
				t.Fatalf("%q in %s became %q, %q, %v", text, name, got, converted, err)
			}
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOfN(rapid.ByteRange(1, 255), 0, 300).Draw(t, "data")
		text, converted, err := decode(data)
		if err == nil && converted == "" && (text != string(data) || !utf8.ValidString(text)) {
			t.Fatalf("%q became %q", data, text)
		}
		if strings.ContainsRune(text, utf8.RuneError) && !strings.Contains(string(data), string(utf8.RuneError)) && converted == "" {
			t.Fatalf("%q became %q", data, text)
		}
	})
}

func TestBinaryIsNeverText(t *testing.T) {
	for name, data := range map[string]string{
		"PNG":         "\x89PNG\r\n\x1a\n" + "IHDR\x01\x02\x08\x06",
		"Latin-1":     "caf\xe9",
		"controls":    "\x01\x02\x03\x04",
		"NUL late":    strings.Repeat("a", 9000) + "\x00",
		"gzip":        "\x1f\x8b\x08\x08",
		"odd UTF-16":  "\xff\xfea",
		"half UTF-16": "\xff\xfe\x3d\xd8",
	} {
		if text, _, err := decode([]byte(data)); err == nil {
			t.Errorf("%s was read as %q", name, text)
		}
	}
}
