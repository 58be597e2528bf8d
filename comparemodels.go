package claudeforce

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/task"
)

// ModelComparison is what the same tasks gave on several models. Its JSON form
// is stable.
type ModelComparison struct {
	Models []*ModelTrial   `json:"models"` // in the order in which they were given
	Tasks  []*ComparedTask `json:"tasks"`
	Judge  *Judging        `json:"judge,omitempty"` // nil without a judge
}

// ModelTrial sums up one model. Times are those of answers that were live, since
// those of others say nothing of the model.
type ModelTrial struct {
	Model          string    `json:"model"` // as it was given
	Tasks          int       `json:"tasks"`
	Failed         int       `json:"failed"`
	Cached         int       `json:"cached"`                // answered from before
	CostUSD        *float64  `json:"cost_usd"`              // paid now; nil if unknown
	PerThousandUSD *float64  `json:"cost_per_thousand_usd"` // of 1,000 such tasks, none of them answered from before
	P50Seconds     *float64  `json:"p50_seconds"`           // nil if no answer was live
	P95Seconds     *float64  `json:"p95_seconds"`
	Usage          llm.Usage `json:"usage"`           // of all answers, also those from before
	Score          *float64  `json:"score,omitempty"` // mean of the judge's, from 0 to 10
}

// ComparedTask is one task with what each model made of it, in the order of the
// models.
type ComparedTask struct {
	ID      string            `json:"id"`
	Agent   string            `json:"agent"`
	Task    string            `json:"task"`
	Results []*ComparedResult `json:"results"`
}

// ComparedResult is what one model made of one task.
type ComparedResult struct {
	*Result
	Score   *float64 `json:"score,omitempty"`   // the judge's, from 0 to 10
	Verdict string   `json:"verdict,omitempty"` // why
}

// Judging is what judging took.
type Judging struct {
	Model   string   `json:"model"`
	Failed  int      `json:"failed"` // tasks without scores
	CostUSD *float64 `json:"cost_usd"`
}

// CompareModels gives every task to every model, and with a judge's model scores
// the outputs of each task. What a task says of its own model is not heeded. all
// receives every answer when it has come; nil means no callback.
//
// The answers go through the cache as any others do: asked twice, a comparison
// costs once. It ends early with ctx, with what has been answered by then.
func (o *Orchestrator) CompareModels(ctx context.Context, tasks []Task, models []string, judge string, onResult func(*Result)) *ModelComparison {
	c := &ModelComparison{}
	var list []Task
	for i, t := range tasks {
		t.ID = cmp.Or(t.ID, fmt.Sprint(i+1))
		c.Tasks = append(c.Tasks, &ComparedTask{ID: t.ID, Agent: t.Agent, Task: t.Prompt})
		for _, model := range models {
			t.Model = model
			list = append(list, t)
		}
	}
	n := 0
	for res := range o.ExecuteAll(ctx, slices.Values(list), task.AllOptions{}) {
		into := c.Tasks[n/len(models)]
		into.Results = append(into.Results, &ComparedResult{Result: res})
		n++
		if onResult != nil {
			onResult(res)
		}
	}
	c.Tasks = slices.DeleteFunc(c.Tasks, func(t *ComparedTask) bool { return len(t.Results) < len(models) })
	if judge != "" {
		o.judge(ctx, c, tasks, judge)
	}
	for i, model := range models {
		c.Models = append(c.Models, o.trial(c, i, model))
	}
	return c
}

// trial sums up the i-th model.
func (o *Orchestrator) trial(c *ModelComparison, i int, model string) *ModelTrial {
	t := &ModelTrial{Model: model, Tasks: len(c.Tasks), CostUSD: new(0.0)}
	var times, scores []float64
	list, priced := 0.0, true
	for _, compared := range c.Tasks {
		res := compared.Results[i]
		if res.Err != nil {
			t.Failed++
		}
		t.CostUSD = plus(t.CostUSD, res.CostUSD, res.Err != nil)
		if res.Source == "" {
			continue
		}
		if res.Source == llm.SourceLive {
			times = append(times, res.LatencySeconds(res.DurationSeconds))
		} else {
			t.Cached++
		}
		t.Usage = t.Usage.Add(res.Usage)
		usd, ok := o.pipe.Prices().Cost(res.Model, res.Usage)
		list, priced = list+usd, priced && ok
		if res.Score != nil {
			scores = append(scores, *res.Score)
		}
	}
	if answered := t.Tasks - t.Failed; answered > 0 && priced {
		t.PerThousandUSD = new(list / float64(answered) * 1000)
	}
	if len(times) > 0 {
		slices.Sort(times)
		t.P50Seconds, t.P95Seconds = new(rank(times, 0.50)), new(rank(times, 0.95))
	}
	if len(scores) > 0 {
		sum := 0.0
		for _, s := range scores {
			sum += s
		}
		t.Score = new(sum / float64(len(scores)))
	}
	return t
}

// plus returns a sum of costs with one more; nil if any is unknown. A failed task that
// has no cost was not paid, as far as anybody knows.
func plus(sum, cost *float64, failed bool) *float64 {
	switch {
	case sum == nil, cost == nil && !failed:
		return nil
	case cost == nil:
		return sum
	}
	return new(*sum + *cost)
}

// rank returns the smallest of sorted values that at least a share q does not exceed.
func rank(sorted []float64, q float64) float64 {
	return sorted[max(int(math.Ceil(q*float64(len(sorted))))-1, 0)]
}

// judge has the outputs of every task scored. The judge does not see whose they
// are, and their order changes from task to task, so that neither decides.
func (o *Orchestrator) judge(ctx context.Context, c *ModelComparison, tasks []Task, model string) {
	c.Judge = &Judging{Model: model, CostUSD: new(0.0)}
	var list []Task
	for i, t := range c.Tasks {
		list = append(list, judgement(t, i, tasks[0].Policy, model))
	}
	n := 0
	for res := range o.ExecuteAll(ctx, slices.Values(list), task.AllOptions{}) {
		c.Judge.CostUSD = plus(c.Judge.CostUSD, res.CostUSD, res.Err != nil)
		if res.Err != nil || !c.Tasks[n].take(n, res.Output) {
			c.Judge.Failed++
			o.notice(ctx, fmt.Sprintf("the outputs of task %s were not scored: %s", c.Tasks[n].ID, cmp.Or(res.Degraded, deref(res.Error), "scores are missing")))
		}
		n++
	}
	c.Judge.Failed += len(c.Tasks) - n
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// place returns where the judge of the n-th task finds the output of the i-th model.
func place(n, i, models int) string { return "output_" + string(rune('a'+(i+n)%models)) }

// judgement returns the task of judging one task's outputs.
func judgement(t *ComparedTask, n int, policy llm.Policy, model string) Task {
	outputs := make([]string, len(t.Results))
	properties, required := map[string]any{}, make([]string, len(t.Results))
	for i, res := range t.Results {
		name := place(n, i, len(t.Results))
		at := (i + n) % len(t.Results)
		outputs[at] = llm.Fence("output", "name", name, res.Output)
		required[at] = name
		properties[name] = map[string]any{
			"type": "object", "required": []string{"reason", "score"}, "additionalProperties": false,
			"properties": map[string]any{
				"reason": map[string]any{"type": "string"},
				"score":  map[string]any{"type": "integer", "minimum": 0, "maximum": 10},
			},
		}
	}
	schema, err := json.Marshal(map[string]any{"type": "object", "properties": properties, "required": required, "additionalProperties": false})
	if err != nil {
		schema = nil // texts and maps of texts always have a JSON form
	}
	return Task{
		ID: t.ID, Agent: "judge", Model: model, Schema: schema, Policy: policy,
		SharedContext: append([]string{llm.Fence("task", "of", t.Agent, t.Task)}, outputs...),
		Prompt:        "Score each output from 0 to 10, and say why in one sentence.",
	}
}

// take takes the scores of a judge's answer, and reports whether there are any
// for all outputs.
func (t *ComparedTask) take(n int, answer string) bool {
	var scores map[string]struct {
		Reason string   `json:"reason"`
		Score  *float64 `json:"score"`
	}
	if json.Unmarshal([]byte(answer), &scores) != nil {
		return false
	}
	for i := range t.Results {
		s, ok := scores[place(n, i, len(t.Results))]
		if !ok || s.Score == nil || *s.Score < 0 || *s.Score > 10 {
			return false
		}
	}
	for i, res := range t.Results {
		s := scores[place(n, i, len(t.Results))]
		res.Score, res.Verdict = s.Score, strings.TrimSpace(s.Reason)
	}
	return true
}
