package llm_test

import (
	"fmt"
	"testing"

	"github.com/claude-force/claude-force/llm"
)

func TestWhatIsSharedIsNotSentAndNotInTheKey(t *testing.T) {
	t.Parallel()
	shared := &llm.Request{Model: "m", MaxTokens: 1, Messages: []llm.Message{llm.UserTurn([]string{"the document", ""}, "the task")}}
	plain := &llm.Request{Model: "m", MaxTokens: 1, Messages: []llm.Message{
		{Role: llm.RoleUser, Content: []llm.Block{llm.TextBlock("the document"), llm.TextBlock("the task")}},
	}}
	a, errA := llm.Keyer{}.Key(shared)
	b, errB := llm.Keyer{}.Key(plain)
	if errA != nil || errB != nil || a != b {
		t.Errorf("keys %v (%v), %v (%v); want the same", a, errA, b, errB)
	}
}

func ExampleUserTurn() {
	turn := llm.UserTurn([]string{llm.Fence("file", "path", "law.txt", "Article 1 …")}, "Summarise article 1.")
	for _, b := range turn.Content {
		fmt.Printf("shared %v: %q\n", b.Shared, b.Text)
	}
	// Output:
	// shared true: "<file path=\"law.txt\">\nArticle 1 …\n</file>"
	// shared false: "Summarise article 1."
}
