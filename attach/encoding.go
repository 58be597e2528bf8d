package attach

import (
	"bytes"
	"encoding/binary"
	"errors"
	"unicode/utf16"
	"unicode/utf8"
)

// Errors of files that are not UTF-8 text.
var (
	errBinary   = errors.New("it is not a text file")
	errEncoding = errors.New("it is not UTF-8 text; if it is a text in another encoding, such as Latin-1, save it as UTF-8")
)

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
		return "", "", errEncoding
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
