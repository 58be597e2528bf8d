package llm

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// hint returns the difference between two requests in a part.
func hint(p part, now, was *Request) string {
	switch p.group {
	case groupBetas:
		return values(betasOf(now), betasOf(was))
	case groupModel:
		return now.Model + ", was " + was.Model
	case groupSystem:
		return blocksHint(now.System, was.System)
	case groupMessages:
		a, b := now.Messages[p.index], was.Messages[p.index]
		if a.Role != b.Role {
			return "was of " + b.Role
		}
		return blocksHint(a.Content, b.Content)
	case groupTools:
		return jsonHint(toolJSON(p, now), toolJSON(p, was))
	case groupMaxTokens:
		return fmt.Sprintf("%d, was %d", now.MaxTokens, was.MaxTokens)
	case groupStopSequences:
		return values(fmt.Sprintf("%q", now.StopSequences), fmt.Sprintf("%q", was.StopSequences))
	case groupOpaque:
		return jsonHint(opaque(now)[p.index].value, opaque(was)[p.index].value)
	case groupExtra:
		return jsonHint(now.Extra[p.key], was.Extra[p.key])
	}
	return "differs"
}

// betasOf returns the betas of req, sorted and joined.
func betasOf(req *Request) string {
	return strings.Join(slices.Compact(slices.Sorted(slices.Values(req.Betas))), ",")
}

// toolJSON returns the tool of a part as JSON.
func toolJSON(p part, req *Request) json.RawMessage {
	for _, t := range sortedTools(req) {
		if t.Name != p.key {
			continue
		}
		if p.index--; p.index < 0 {
			raw, _ := json.Marshal(t) // it was hashed before
			return raw
		}
	}
	return nil
}

// blocksHint returns the first difference of two lists of blocks.
func blocksHint(now, was []Block) string {
	for i := range min(len(now), len(was)) {
		a, b := now[i], was[i]
		if sameBlock(a, b) {
			continue
		}
		where := ""
		if max(len(now), len(was)) > 1 {
			where = fmt.Sprintf("block %d, ", i+1)
		}
		switch x, y := blockText(a), blockText(b); {
		case a.Type != b.Type:
			return fmt.Sprintf("block %d is %s, was %s", i+1, a.Type, b.Type)
		case x != y:
			return where + textHint(x, y)
		}
		return fmt.Sprintf("block %d (%s) differs", i+1, a.Type)
	}
	return fmt.Sprintf("%s, was %d", count(len(now), "block"), len(was))
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// sameBlock reports whether two blocks are the same in a key.
func sameBlock(a, b Block) bool {
	digest := func(b Block) []byte {
		h := fieldHash{Hash: sha256.New()}
		_ = h.blocks("", []Block{b}) // it was hashed before
		return h.Sum(nil)
	}
	return bytes.Equal(digest(a), digest(b))
}

// blockText returns what a person would compare of a block.
func blockText(b Block) string {
	switch {
	case b.Raw != nil:
		raw, _ := canonical(b.Raw) // it was hashed before
		return string(raw)
	case b.Type == BlockToolUse:
		if input, err := canonical(b.Input); err == nil {
			return b.Name + " " + string(input)
		}
		return b.Name + " " + string(b.Input)
	}
	return b.Text
}

// textHint quotes the first line in which two texts differ.
func textHint(now, was string) string {
	d := firstDifference(now, was)
	begin := strings.LastIndexByte(now[:d], '\n') + 1
	a, b := strconv.Quote(excerpt(now, begin, d)), strconv.Quote(excerpt(was, begin, d))
	if a == b { // one ends where the other has further lines
		return fmt.Sprintf("%s, was %d", count(strings.Count(now, "\n")+1, "line"), strings.Count(was, "\n")+1)
	}
	return fmt.Sprintf("line %d is %s, was %s", strings.Count(now[:d], "\n")+1, a, b)
}

// jsonHint shows two values if they are short, else where they differ.
func jsonHint(now, was json.RawMessage) string {
	a, _ := canonical(now) // both were hashed before
	b, _ := canonical(was)
	return values(string(a), string(b))
}

// values shows two values if they are short, else where they differ.
func values(now, was string) string {
	if len(now) > quoteRunes || len(was) > quoteRunes {
		d := firstDifference(now, was)
		return excerpt(now, 0, d) + ", was " + excerpt(was, 0, d)
	}
	if now == "" {
		now = "none"
	}
	if was == "" {
		was = "none"
	}
	return now + ", was " + was
}

// firstDifference returns the offset of the first character that differs.
func firstDifference(a, b string) int {
	d := 0
	for d < len(a) && d < len(b) && a[d] == b[d] {
		d++
	}
	for d > 0 && (d < len(a) && !utf8.RuneStart(a[d]) || d < len(b) && !utf8.RuneStart(b[d])) {
		d--
	}
	return d
}

const (
	// quoteRunes is the most characters of one text that a hint quotes: 60
	// for two of them, with the dots on both sides.
	quoteRunes = 28
	// quoteBefore is how many bytes before the difference are shown.
	quoteBefore = 10
)

// excerpt returns the line of text that starts at begin, or the piece of it
// around d.
func excerpt(text string, begin, d int) string {
	from, head := begin, ""
	if d-begin > quoteBefore {
		from, head = d-quoteBefore, "…"
		for from < d && !utf8.RuneStart(text[from]) {
			from++
		}
	}
	line, _, _ := strings.Cut(text[from:], "\n")
	tail := ""
	if utf8.RuneCountInString(line) > quoteRunes {
		runes := []rune(line[:min(len(line), quoteRunes*utf8.UTFMax)])
		line, tail = string(runes[:quoteRunes]), "…"
	}
	return head + line + tail
}
