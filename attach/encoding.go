package attach

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// Errors of files that are not UTF-8 text.
var (
	errBinary   = errors.New("it is not a text file")
	errEncoding = errors.New("it is not UTF-8 text")
)

// foreign returns the error of a text that is not UTF-8, with the encoding that it
// seems to be in.
func foreign(content []byte) error {
	high, windows := 0, false
	for _, c := range content {
		if c >= 0x80 {
			high++
			windows = windows || c < 0xa0
		}
	}
	name, code := "Latin-1", "ISO-8859-1"
	if windows {
		name, code = "Windows-1252", "WINDOWS-1252"
	}
	if high*4 > len(content) { // more than a language of Western Europe has
		return fmt.Errorf("%w; save it as UTF-8, for example with iconv -f ENCODING -t UTF-8 FILE > NEW", errEncoding)
	}
	return fmt.Errorf("%w and looks like %s; save it as UTF-8, for example with iconv -f %s -t UTF-8 FILE > NEW", errEncoding, name, code)
}

// decode returns the text of a file. UTF-8 stays as it is, with its line ends; UTF-16
// is converted if it says so with a byte order mark. converted names what it was
// converted from. Anything else is an error: a guess would change what the file holds.
func decode(content []byte) (text, converted string, err error) {
	order, name := binary.ByteOrder(nil), ""
	switch {
	case bytes.HasPrefix(content, []byte{0xff, 0xfe}):
		order, name = binary.LittleEndian, "UTF-16LE"
	case bytes.HasPrefix(content, []byte{0xfe, 0xff}):
		order, name = binary.BigEndian, "UTF-16BE"
	}
	if order != nil {
		decoded, ok := fromUTF16(content[2:], order)
		if !ok || !plausible(decoded) {
			return "", "", errBinary
		}
		return string(decoded), name, nil
	}
	switch {
	case !plausible(content):
		return "", "", errBinary
	case !utf8.Valid(content):
		return "", "", foreign(content)
	}
	return string(content), "", nil
}

func fromUTF16(content []byte, order binary.ByteOrder) ([]byte, bool) {
	if len(content)%2 != 0 {
		return nil, false
	}
	text := make([]byte, 0, len(content))
	for i := 0; i < len(content); i += 2 {
		r := rune(order.Uint16(content[i:]))
		if utf16.IsSurrogate(r) {
			if i += 2; i >= len(content) {
				return nil, false
			}
			if r = utf16.DecodeRune(r, rune(order.Uint16(content[i:]))); r == utf8.RuneError {
				return nil, false
			}
		}
		text = utf8.AppendRune(text, r)
	}
	return text, true
}

// plausible reports whether bytes may be text in an encoding that has ASCII in it: no
// NUL, and hardly any control character that texts do not use.
func plausible(content []byte) bool {
	controls := 0
	for _, c := range content {
		switch {
		case c == 0:
			return false
		case c < 0x20 && (c < '\a' || c > '\r') && c != 0x1b:
			controls++
		}
	}
	return controls*50 <= len(content)
}
