package task

import (
	"context"
	"fmt"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/structured"
)

// RepairModel is the alias of the model that repairs outputs: the cheapest that
// knows JSON.
const RepairModel = "haiku"

// conform returns an outcome whose output obeys the task's schema: the JSON found
// in it, else that of one more call, which repairs it. An output that cannot be
// repaired is an error of code [llm.CodeOutput]; the outcome keeps it.
func (r *Runner) conform(ctx context.Context, t Task, first llm.Outcome) (llm.Outcome, error) {
	schema, err := structured.Compile(t.Schema)
	if err != nil {
		return first, fault.Input(fmt.Errorf("reading the schema of the task for %s: %w", t.Agent, err))
	}
	output, others, problem := schema.Extract(first.Output)
	if problem == nil {
		if first.Output = output; others > 0 {
			r.notice(ctx, fmt.Sprintf("an answer of %s holds %d different JSON documents that obey its schema; the last one is its output", t.Agent, others+1))
		}
		return first, nil
	}
	if t.NoRetry || first.StopReason == llm.StopMaxTokens {
		return first, llm.NewError(llm.CodeOutput, fmt.Sprintf("the output does not obey the schema: %v", problem), problem)
	}
	repaired, err := r.repair(ctx, t, first.Output, problem)
	total := first.AddCost(repaired)
	if err == nil {
		if output, _, problem = schema.Extract(repaired.Output); problem == nil {
			total.Output = output
			r.notice(ctx, fmt.Sprintf("an output of %s was repaired to obey its schema", t.Agent))
			return total, nil
		}
	} else if llm.CodeOf(err) != llm.CodeOutput {
		return total, fmt.Errorf("repairing an output that does not obey the schema (%w): %w", problem, err)
	}
	return total, llm.NewError(llm.CodeOutput, fmt.Sprintf("the output does not obey the schema, and could not be repaired: %v", problem), problem)
}

// repair makes the call that turns an output into JSON that obeys the task's
// schema. problem is what is wrong with the output.
func (r *Runner) repair(ctx context.Context, t Task, output string, problem error) (llm.Outcome, error) {
	model, _ := r.Prices.Resolve(RepairModel)
	req := &llm.Request{
		Model: model, MaxTokens: r.Defaults.MaxTokens, Agent: t.Agent, Policy: t.Policy, Unseen: true, Sample: t.Sample,
		System: []llm.Block{llm.TextBlock("You turn text into JSON that obeys a schema. You add nothing that the text does not say. You answer with the JSON alone.")},
		Messages: []llm.Message{llm.UserText(fmt.Sprintf("Write this as JSON that obeys the schema below. It did not, since: %v\n\n%s\n\nThe schema:\n\n%s",
			problem, llm.Fence("text", "from", t.Agent, output), t.Schema))},
	}
	if err := configureOutput(req, "", t.Schema); err != nil {
		return llm.Outcome{CostUSD: new(0.0)}, fmt.Errorf("encoding the request that repairs an output: %w", err)
	}
	outcome, _, err := r.call(ctx, req, nil)
	return outcome, err
}
