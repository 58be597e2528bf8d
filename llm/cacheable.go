package llm

import "strings"

// Cacheable reports whether resp may answer requests like req that come later: it is an answer
// that asking again could have given, whole and by the model that was asked.
func Cacheable(req *Request, resp *Response) bool {
	switch resp.Source {
	case SourceLive, "":
	case SourceCoalesced:
		if !resp.Elsewhere {
			return false // a copy: whoever made the call stores it
		}
	default:
		return false // it is stored, or was not paid for
	}
	switch resp.StopReason {
	case StopEndTurn, StopSequence, StopToolUse, StopMaxTokens:
	default:
		return false // a refusal, a pause, or a reason from the future
	}
	if CheckAnswer(req, resp) != nil {
		return false
	}
	if resp.Altered || resp.Usage.WebSearches > 0 || !SameModel(req.Model, resp.Model) {
		return false
	}
	for _, b := range resp.Content {
		switch b.Type {
		case BlockText, BlockThinking, BlockRedactedThinking:
		case BlockToolUse:
			if !b.ValidInput() {
				return false
			}
		default:
			return false // a tool that ran on the provider's side, or a block from the future
		}
	}
	return true
}

// SameModel reports whether an answer of model got is one of the model asked.
// Clouds decorate the name (anthropic.NAME-v1:0, NAME@DATE), and an id without
// its date may be answered by the id with it.
func SameModel(asked, got string) bool {
	if asked == got {
		return got != ""
	}
	askedName, askedDate := splitModel(asked)
	gotName, gotDate := splitModel(got)
	return askedName == gotName && askedName != "" && (askedDate == gotDate || askedDate == "" || gotDate == "")
}

// splitModel returns the bare name of a model id and its date, which may be empty.
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
