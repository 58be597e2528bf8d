package task

import (
	"slices"

	"github.com/claude-force/claude-force/llm"
)

// ending is the last request of a task and its answer.
type ending struct {
	req     *llm.Request
	answer  *llm.Response
	instead bool // the request has a summary in place of what came before
}

// KeepAnswer gives the turns that one call adds to the conversation of the task to
// [Task].Keep, if that is set. output is that of the task.
func (t Task) KeepAnswer(req *llm.Request, answer *llm.Response, output string) {
	t.keep(ending{req: req, answer: answer}, output)
}

func (t Task) keep(end ending, output string) {
	if t.Keep == nil {
		return
	}
	said := replayed(end.answer.Content)
	if output != end.answer.Text() { // it was repaired: what comes next is about the output
		said = replayed([]llm.Block{llm.TextBlock(output)})
	}
	turns := end.req.Messages
	if !end.instead {
		turns = turns[len(t.Conversation):]
	}
	turns = slices.Clone(turns)
	if len(said) > 0 {
		turns = append(turns, llm.Message{Role: llm.RoleAssistant, Content: said})
	}
	t.Keep(turns, end.instead)
}
