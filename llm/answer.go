package llm

import (
	"fmt"
	"strings"
)

// CheckAnswer returns an error if resp is whole but no answer to req: the model
// refused, filled its context window, wrote nothing, or gave something that the
// request has no use for, such as a call of a tool it was not given. Whoever
// takes an answer's text, or keeps it, must check it first.
//
// The code is [CodeInvalid] for a refusal, [CodeTooLarge] for a full context
// window, which both come again, and [CodeOutput] otherwise: another try may give
// an answer.
func CheckAnswer(req *Request, resp *Response) error {
	tools := len(req.Tools) > 0 || len(req.Extra) > 0 // mcp_servers, say, are tools as well
	switch resp.StopReason {
	case StopRefusal:
		return NewError(CodeInvalid, "the model declined to answer; rephrase the task, or use another model", nil)
	case StopContextWindow:
		return NewError(CodeTooLarge, "the answer was cut: prompt and answer together fill the model's context window; shorten the prompt, or use a model with a larger window", nil)
	case StopPauseTurn, StopCompaction:
		if !tools {
			return NewError(CodeOutput, "the model paused before its answer was done ("+resp.StopReason+")", nil)
		}
	case StopToolUse:
		if len(resp.ToolUses()) == 0 {
			return NewError(CodeOutput, "the model stopped to call a tool, but named none", nil)
		}
	}
	if !tools {
		for _, b := range resp.Content {
			switch b.Type {
			case BlockText, BlockThinking, BlockRedactedThinking:
			case BlockToolUse:
				return NewError(CodeOutput, fmt.Sprintf("the model called the tool %q, but was given no tools", b.Name), nil)
			default:
				return NewError(CodeOutput, fmt.Sprintf("the answer has a part of a kind that is not understood: %q", b.Type), nil)
			}
		}
	}
	goesOn := len(resp.ToolUses()) > 0 || resp.StopReason == StopPauseTurn || resp.StopReason == StopCompaction
	switch {
	case strings.TrimSpace(resp.Text()) != "":
		return nil
	case tools && len(resp.Content) > 0 && (goesOn || calledTools(req)):
		return nil
	case resp.StopReason == StopMaxTokens:
		return NewError(CodeOutput, fmt.Sprintf("the answer was cut at max_tokens (%d), before any text; raise it", req.MaxTokens), nil)
	case resp.StopReason == StopSequence && len(req.StopSequences) > 0:
		return nil // the sequence was all that the model wrote
	}
	return NewError(CodeOutput, "the model ended its turn without writing any text", nil)
}

// calledTools reports whether the request has results of tools. An agent that has worked
// with them may end without words.
func calledTools(req *Request) bool {
	for _, m := range req.Messages {
		for _, b := range m.Content {
			if b.Type == BlockToolResult {
				return true
			}
		}
	}
	return false
}
