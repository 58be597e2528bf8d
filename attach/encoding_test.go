package attach

import (
	"errors"
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

// TestForeignTextsAreNamed: the advice names the encoding if it can be told.
func TestForeignTextsAreNamed(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a long caf\xe9":           "looks like Latin-1; save it as UTF-8, for example with iconv -f ISO-8859-1 ",
		"a \x93quoted\x94 text":    "looks like Windows-1252; save it as UTF-8, for example with iconv -f WINDOWS-1252 ",
		"\xd0\xd2\xc9\xd7\xc5\xd4": "not UTF-8 text; save it as UTF-8, for example with iconv -f ENCODING ",
	} {
		if _, _, err := decode([]byte(text)); err == nil || !strings.Contains(err.Error(), want) || !errors.Is(err, errEncoding) {
			t.Errorf("%q: %v; want %q", text, err, want)
		}
	}
}
