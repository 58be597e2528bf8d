package bash

import (
	"fmt"
	"strings"
	"unicode/utf16"
)

// trim removes leading lines that are blank, and white space at the end.
func trim(text string) string {
	text = strings.TrimRight(text, " \t\r\n\v\f")
	for {
		line, rest, ok := strings.Cut(text, "\n")
		if !ok || strings.TrimSpace(line) != "" {
			return text
		}
		text = rest
	}
}

// keptChars is how much of each end of a long error the model gets.
const keptChars = 5000

// shorten leaves out the middle of a long text.
func shorten(text string) string {
	chars := utf16.Encode([]rune(text))
	left := len(chars) - 2*keptChars
	if left <= 0 {
		return text
	}
	return fmt.Sprintf("%s\n\n... [%d characters truncated] ...\n\n%s",
		string(utf16.Decode(chars[:keptChars])), left, string(utf16.Decode(chars[len(chars)-keptChars:])))
}

// firstChars returns the first n characters of a text, as the model's clients
// count them.
func firstChars(text string, n int) string {
	if len(text) <= n {
		return text
	}
	chars := utf16.Encode([]rune(text))
	if len(chars) <= n {
		return text
	}
	return string(utf16.Decode(chars[:n]))
}
