package cache

import (
	"strings"
	"unicode"

	"github.com/claude-force/claude-force/llm"
)

// ExcerptRunes is the most runes of a prompt that an [Entry] quotes.
const ExcerptRunes = 120

// storable reports whether resp is an answer that asking req again could have
// given, whole and by the model that was asked.
func storable(req *llm.Request, resp *llm.Response) bool {
	switch resp.Source {
	case llm.SourceLive, "":
	default:
		return false // a copy: whoever made the call stores it
	}
	switch resp.StopReason {
	case llm.StopEndTurn, llm.StopSequence, llm.StopToolUse, llm.StopMaxTokens:
	default:
		return false // a refusal, a pause, or a reason from the future
	}
	if llm.CheckAnswer(req, resp) != nil {
		return false
	}
	if resp.Altered || resp.Usage.WebSearches > 0 || !sameModel(req.Model, resp.Model) {
		return false
	}
	for _, b := range resp.Content {
		switch b.Type {
		case llm.BlockText, llm.BlockThinking, llm.BlockRedactedThinking:
		case llm.BlockToolUse:
			if !b.ValidInput() {
				return false
			}
		default:
			return false // a tool that ran on the provider's side, or a block from the future
		}
	}
	return true
}

// renamed reports whether an answer cannot be stored although nothing is wrong with
// it but that it names another model than was asked.
func renamed(req *llm.Request, resp *llm.Response) bool {
	if sameModel(req.Model, resp.Model) {
		return false
	}
	same := *resp
	same.Model = req.Model
	return storable(req, &same)
}

// sameModel reports whether an answer of model got is one of the model asked.
// Clouds decorate the name (anthropic.NAME-v1:0, NAME@DATE), and an id without
// its date may be answered by the id with it.
func sameModel(asked, got string) bool {
	if asked == got {
		return got != ""
	}
	askedName, askedDate := splitModel(asked)
	gotName, gotDate := splitModel(got)
	return askedName == gotName && askedName != "" && (askedDate == gotDate || askedDate == "" || gotDate == "")
}

// splitModel is a model id's bare name and its date, which may be empty.
func splitModel(id string) (name, date string) {
	if _, after, ok := strings.Cut(id, "anthropic."); ok {
		id = after
	}
	id, _, _ = strings.Cut(id, ":")
	id = strings.ReplaceAll(id, "@", "-")
	id = strings.TrimSuffix(strings.TrimSuffix(id, "-v1"), "-latest")
	if i := strings.LastIndexByte(id, '-'); i >= 0 && len(id)-i == len("-20060102") && strings.Trim(id[i+1:], "0123456789") == "" {
		return id[:i], id[i+1:]
	}
	return id, ""
}

// excerpt is the beginning of the last turn's text, on one line.
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
