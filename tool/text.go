package tool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// encoding is how the text of a file is stored.
type encoding int

const (
	encodingUTF8 encoding = iota
	encodingUTF8BOM
	encodingUTF16LE
	encodingUTF16BE
)

var (
	bomUTF8    = []byte{0xEF, 0xBB, 0xBF}
	bomUTF16LE = []byte{0xFF, 0xFE}
	bomUTF16BE = []byte{0xFE, 0xFF}
)

// textFile is the decoded text of a file.
type textFile struct {
	text     string // as stored, with its line ends
	encoding encoding
	invalid  bool // bytes were replaced: it is no text in a known encoding
	nul      bool // NUL among the first bytes
}

// sniffed is how much of a file is searched for NUL.
const sniffed = 8 << 10

// decode returns the text of a file.
func decode(data []byte) textFile {
	switch {
	case bytes.HasPrefix(data, bomUTF8):
		t := decode8(data[len(bomUTF8):])
		t.encoding = encodingUTF8BOM
		return t
	case bytes.HasPrefix(data, bomUTF16LE):
		return decode16(data[2:], binary.LittleEndian, encodingUTF16LE)
	case bytes.HasPrefix(data, bomUTF16BE):
		return decode16(data[2:], binary.BigEndian, encodingUTF16BE)
	}
	return decode8(data)
}

func decode8(data []byte) textFile {
	nul := bytes.IndexByte(data[:min(len(data), sniffed)], 0) >= 0
	if utf8.Valid(data) {
		return textFile{text: string(data), nul: nul}
	}
	return textFile{text: toValid(data), invalid: true, nul: nul}
}

func decode16(data []byte, order binary.ByteOrder, e encoding) textFile {
	units := make([]uint16, len(data)/2)
	for i := range units {
		units[i] = order.Uint16(data[2*i:])
	}
	return textFile{text: string(utf16.Decode(units)), encoding: e, invalid: len(data)%2 != 0}
}

// encode returns text as it is stored.
func encode(text string, e encoding) []byte {
	switch e {
	case encodingUTF8BOM:
		return append(bytes.Clone(bomUTF8), text...)
	case encodingUTF16LE, encodingUTF16BE:
		var order binary.ByteOrder = binary.LittleEndian
		data := bytes.Clone(bomUTF16LE)
		if e == encodingUTF16BE {
			order, data = binary.BigEndian, bytes.Clone(bomUTF16BE)
		}
		for _, unit := range utf16.Encode([]rune(text)) {
			var two [2]byte
			order.PutUint16(two[:], unit)
			data = append(data, two[:]...)
		}
		return data
	default:
		return []byte(text)
	}
}

// ValidText returns data as text, in which U+FFFD replaces what is no UTF-8.
func ValidText(data []byte) string { return toValid(data) }

// toValid replaces what is no UTF-8 by U+FFFD, in the way of the Encoding Standard:
// one for each longest start of a character, so that results are the same as in
// other clients.
func toValid(data []byte) string {
	var b strings.Builder
	b.Grow(len(data))
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		if r != utf8.RuneError || size > 1 {
			b.Write(data[:size])
			data = data[size:]
			continue
		}
		b.WriteRune(utf8.RuneError)
		data = data[startLength(data):]
	}
	return b.String()
}

// startLength returns how many bytes at the start of data could begin a character;
// at least one.
func startLength(data []byte) int {
	first, low, high, length := data[0], byte(0x80), byte(0xBF), 0
	switch {
	case first >= 0xC2 && first <= 0xDF:
		length = 2
	case first >= 0xE0 && first <= 0xEF:
		length = 3
		if first == 0xE0 {
			low = 0xA0
		}
		if first == 0xED {
			high = 0x9F
		}
	case first >= 0xF0 && first <= 0xF4:
		length = 4
		if first == 0xF0 {
			low = 0x90
		}
		if first == 0xF4 {
			high = 0x8F
		}
	default:
		return 1
	}
	n := 1
	for n < length && n < len(data) && data[n] >= low && data[n] <= high {
		n, low, high = n+1, 0x80, 0xBF
	}
	return n
}

// Reasons why the text of a file cannot be changed.
var (
	errNotUTF8 = errors.New("it is not valid UTF-8, so changing it would destroy its other bytes; use a command that keeps its encoding")
	errNUL     = errors.New("it has NUL bytes, so it is binary or in an unknown encoding; use a command that keeps its encoding")
)

// editable returns why the text cannot be changed without loss.
func (t textFile) editable() error {
	switch {
	case t.invalid:
		return errNotUTF8
	case t.nul:
		return errNUL
	}
	return nil
}

// units returns the length of a text in UTF-16 code units, which the limits on
// texts count.
func units(text string) int {
	n := 0
	for _, r := range text {
		n += max(1, utf16.RuneLen(r))
	}
	return n
}

// firstUnits returns the start of a text of at most n UTF-16 code units.
func firstUnits(text string, n int) string {
	for i, r := range text {
		n -= max(1, utf16.RuneLen(r))
		if n < 0 {
			return text[:i]
		}
	}
	return text
}
