package claudeforce

import (
	"fmt"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/llm"
)

// The order of the outputs differs from task to task, their names say nothing of
// the models, and each score still reaches the output it is for.
func TestScoresReachTheirOutputs(t *testing.T) {
	orders := map[string]bool{}
	for n := range 3 {
		task := &ComparedTask{ID: "1", Agent: "linter", Task: "Check"}
		for _, model := range []string{"haiku", "sonnet", "opus"} {
			task.Results = append(task.Results, &ComparedResult{Result: &Result{Outcome: llm.Outcome{Model: "claude-" + model, Output: "text of " + fmt.Sprint(len(task.Results))}}})
		}
		j := judgement(task, n, llm.PolicyDefault, "opus")
		asked := strings.Join(j.SharedContext, "\n") + j.Prompt + string(j.Schema)
		for _, model := range []string{"haiku", "sonnet", "opus"} {
			if strings.Contains(asked, model) {
				t.Errorf("the judge is told of %s: %s", model, asked)
			}
		}
		var scores []string
		order := ""
		for _, text := range j.SharedContext[1:] {
			_, name, _ := strings.Cut(text, `name="`)
			name, _, _ = strings.Cut(name, `"`)
			_, which, _ := strings.Cut(text, "text of ")
			order += which[:1]
			scores = append(scores, fmt.Sprintf(`%q: {"reason": "r", "score": %s}`, name, which[:1]))
		}
		orders[order] = true
		if !task.take(n, "{"+strings.Join(scores, ",")+"}") {
			t.Fatalf("no scores in %s", scores)
		}
		for i, res := range task.Results {
			if *res.Score != float64(i) {
				t.Errorf("order %s: output %d has score %v", order, i, *res.Score)
			}
		}
		if task.take(n, "{"+strings.Join(scores[1:], ",")+"}") || task.take(n, "no JSON") {
			t.Error("scores that are missing were taken")
		}
	}
	if len(orders) != 3 {
		t.Errorf("orders: %v", orders)
	}
}
