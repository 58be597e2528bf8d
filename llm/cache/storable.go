package cache

import (
	"strings"
	"unicode"

	"github.com/claude-force/claude-force/llm"
)

// ExcerptRunes is the most runes of a prompt that an [Entry] quotes.
const ExcerptRunes = 120

// renamed reports whether an answer cannot be stored although nothing is wrong with
// it but that it names another model than was asked.
func renamed(req *llm.Request, resp *llm.Response) bool {
	if llm.SameModel(req.Model, resp.Model) {
		return false
	}
	same := *resp
	same.Model = req.Model
	return llm.Cacheable(req, &same)
}

// excerpt returns the beginning of the last turn's text, on one line.
func excerpt(req *llm.Request) string {
	if len(req.Messages) == 0 {
		return ""
	}
	var sb strings.Builder
	runes, space := 0, false
	for _, b := range req.Messages[len(req.Messages)-1].Content {
		for _, r := range b.Text {
			if runes == ExcerptRunes {
				return sb.String()
			}
			if unicode.IsSpace(r) || unicode.IsControl(r) {
				space = true
				continue
			}
			if space && runes > 0 {
				if sb.WriteByte(' '); runes+1 == ExcerptRunes {
					return strings.TrimRight(sb.String(), " ")
				}
				runes++
			}
			space = false
			sb.WriteRune(r)
			runes++
		}
		space = true
	}
	return sb.String()
}
