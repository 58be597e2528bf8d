package anthropic

import (
	"slices"
	"strings"
	"unicode"

	"github.com/claude-force/claude-force/llm"
)

const (
	maxMessage = 500 // bytes of the service's text in an error

	// A quote of a prompt of this length is removed from a message; shorter
	// ones are ordinary words.
	quoteLen = 2*gramLen - 1
	gramLen  = 12
)

// clean makes external text safe for an error message: one line, short, and
// without credentials or long quotes from the prompt. req may be nil.
func (c *Client) clean(text string, req *llm.Request) string {
	text = strings.ToValidUTF8(text, "")
	for _, s := range c.secrets {
		if len(s) >= minSecret {
			text = strings.ReplaceAll(text, s, "[credential]")
		}
	}
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r)
	}), " ")
	if len(text) > maxMessage {
		text = strings.ToValidUTF8(text[:maxMessage], "") + "…"
	}
	if req == nil || text == "" {
		return text
	}
	for _, block := range req.System {
		text = withoutQuotes(text, block)
	}
	for _, m := range req.Messages {
		for _, block := range m.Content {
			text = withoutQuotes(text, block)
		}
	}
	return text
}

// withoutQuotes removes from text what it quotes from block.
func withoutQuotes(text string, block llm.Block) string {
	for _, content := range []string{block.Text, string(block.Input), string(block.Raw)} {
		text = cutQuotes(text, strings.Join(strings.Fields(content), " "))
	}
	return text
}

// cutQuotes replaces every substring of text of at least quoteLen bytes that is
// also in content, and content itself if it is shorter. Any such substring
// contains one of content's blocks of gramLen bytes, so only those are looked
// up: a prompt of a megabyte takes a few milliseconds.
func cutQuotes(text, content string) string {
	const gap = "[…]"
	if len(content) < gramLen {
		return text
	}
	if len(content) <= quoteLen {
		return strings.ReplaceAll(text, content, gap)
	}
	grams := map[string]bool{}
	for i := range max(0, len(text)-gramLen+1) {
		grams[text[i:i+gramLen]] = true
	}
	var cuts [][2]int // ranges of text to remove
	for i := 0; i+gramLen <= len(content); i += gramLen {
		if !grams[content[i:i+gramLen]] {
			continue
		}
		for from := 0; ; {
			at := strings.Index(text[from:], content[i:i+gramLen])
			if at < 0 {
				break
			}
			at += from
			from = at + 1
			begin, end := at, at+gramLen
			for k := i; k > 0 && begin > 0 && content[k-1] == text[begin-1]; k-- {
				begin--
			}
			for k := i + gramLen; k < len(content) && end < len(text) && content[k] == text[end]; k++ {
				end++
			}
			if end-begin >= quoteLen {
				cuts = append(cuts, [2]int{begin, end})
			}
		}
	}
	slices.SortFunc(cuts, func(a, b [2]int) int { return a[0] - b[0] })
	var sb strings.Builder
	last := 0
	for _, cut := range cuts {
		if cut[0] >= last {
			sb.WriteString(text[last:cut[0]] + gap)
		}
		last = max(last, cut[1])
	}
	sb.WriteString(text[last:])
	return strings.ToValidUTF8(sb.String(), "")
}
