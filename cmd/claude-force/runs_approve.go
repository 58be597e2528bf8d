package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/claude-force/claude-force/internal/terminal"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/runs"
)

// approveFlags are the flags of "runs approve" and "runs reject".
type approveFlags struct {
	deny, list, json bool
	comment, reason  string
	answer           answerFlags
}

// check finds flags that do not go together.
func (f *approveFlags) check() error {
	switch {
	case f.reason != "" && !f.deny:
		return badInput("--reason says why not; use it with --deny")
	case f.reason != "" && f.comment != "":
		return badInput("give --reason or --comment, not both")
	case f.deny && f.answer.given():
		return badInput("a no has no value: leave out --choice, --value and --field")
	}
	if f.comment == "" {
		f.comment = f.reason
	}
	return nil
}

func (a *app) runsApprove() *cobra.Command {
	var f approveFlags
	cmd := &cobra.Command{
		Use:   "approve RUN [STEP]",
		Short: "Answer the question of a run that waits for approval",
		Long: `Answer the question of a step, or of a call of a tool that no rule allows. The
answer to a call is for exactly the tool, the arguments and the folder that are
shown; its name, such as review/call:3fa9c01b57de2a44, is made from them. On a
terminal the command shows the call and asks, elsewhere the name must be given.

A question may want a value: one of its choices, a text or number, or a form of
fields. An answer of another type is refused, and the question stays open.`,
		Example: `  claude-force runs approve latest --list
  claude-force runs approve latest
  claude-force runs approve run_3fa9 deploy --comment "checked by hand"
  claude-force runs approve run_3fa9 review/call:3fa9c01b57de2a44
  claude-force runs approve latest release --choice production
  claude-force runs approve latest release --field version=1.2 --field urgent=true
  claude-force runs approve latest --deny --reason "not on Fridays"`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: a.completeRun,
		RunE:              func(cmd *cobra.Command, args []string) error { return a.answerRun(cmd.Context(), &f, args) },
	}
	cmd.Flags().BoolVar(&f.deny, "deny", false, "answer no")
	cmd.Flags().BoolVar(&f.list, "list", false, "show what the run waits for, with all arguments of calls, and answer nothing")
	cmd.Flags().BoolVar(&f.json, "json", false, "print a JSON object; with --list, a list of them")
	cmd.Flags().StringVar(&f.comment, "comment", "", "a remark that is kept with the answer")
	cmd.Flags().StringVar(&f.reason, "reason", "", "with --deny: why not; later steps read it as steps.STEP.reason")
	cmd.Flags().StringVar(&f.answer.choice, "choice", "", "one of the question's choices")
	cmd.Flags().StringVar(&f.answer.value, "value", "", "the value that the question wants, as a text or JSON")
	cmd.Flags().StringArrayVar(&f.answer.fields, "field", nil, "a field of the question's form as NAME=VALUE; may be repeated")
	return cmd
}

func (a *app) runsReject() *cobra.Command {
	f := approveFlags{deny: true}
	cmd := &cobra.Command{
		Use:   "reject RUN [STEP]",
		Short: "Answer no to the question of a run that waits for approval",
		Example: `  claude-force runs reject latest
  claude-force runs reject run_3fa9 review/call:3fa9c01b57de2a44 --comment "not on Fridays"`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: a.completeRun,
		RunE:              func(cmd *cobra.Command, args []string) error { return a.answerRun(cmd.Context(), &f, args) },
	}
	cmd.Flags().BoolVar(&f.json, "json", false, "print a JSON object")
	cmd.Flags().StringVar(&f.comment, "comment", "", "a remark that is kept with the answer; the agent of a call reads it")
	cmd.Flags().StringVar(&f.reason, "reason", "", "why not; later steps read it as steps.STEP.reason")
	return cmd
}

// answerRun answers a question of a run, or lists them.
func (a *app) answerRun(ctx context.Context, f *approveFlags, args []string) error {
	if err := f.check(); err != nil {
		return err
	}
	step := ""
	if len(args) == 2 {
		step = args[1]
	}
	return a.withHistory(ctx, func(store journal.Store) error {
		run, err := runs.Find(ctx, store, args[0]) // "latest" may be another when the user has answered
		if err != nil {
			return err
		}
		open, err := runs.Questions(ctx, store, run.ID)
		if err != nil {
			return err
		}
		if f.list {
			return a.listQuestions(open, f.json)
		}
		var call *journal.AskedCall // that is answered
		for _, u := range open {
			if u.Asked.Call != nil && (u.String() == step || step == "" && len(open) == 1) {
				call = u.Asked.Call
				if step == "" && a.canAsk() && !f.deny {
					a.say("%s", terminal.Clean(questionText(u)))
					yes, err := a.confirm(ctx, "Allow this call?")
					if err != nil {
						return err
					}
					f.deny = !yes
				}
				if step == "" && (f.deny || a.canAsk()) {
					step = u.String() // what was shown, not what may be asked by now
				}
			}
		}
		d := journal.Decision{Approved: !f.deny, By: whoami(), Comment: f.comment}
		for _, u := range open {
			if u.Asked.Call != nil || u.String() != step && (u.Step != step || u.Item != "") && (step != "" || len(open) > 1) {
				continue
			}
			given, err := a.give(ctx, f, u)
			if err != nil {
				return err
			}
			given.By, given.Comment = d.By, cmp.Or(d.Comment, given.Comment)
			d, step = *given, u.String()
			break
		}
		answered, err := runs.Decide(ctx, store, run.ID, step, d)
		if err != nil {
			return err
		}
		text, verb := "step "+answered, "denied"
		if call != nil {
			text = fmt.Sprintf("call of %s with %s in %s", call.Tool, call.Arguments(), call.Cwd)
		}
		if d.Approved {
			verb = "approved"
		}
		if f.json {
			return printJSON(a.stdout, struct {
				Step     string             `json:"step"`
				Approved bool               `json:"approved"`
				Value    json.RawMessage    `json:"value,omitempty"`
				Reason   string             `json:"reason,omitempty"` // of a no
				Call     *journal.AskedCall `json:"call,omitempty"`
			}{answered, d.Approved, d.Value, d.Reason(), call})
		}
		a.say("%s %s", verb, terminal.Clean(text))
		return nil
	})
}

// give returns the answer to a question of a step: what the flags say, or what a person
// types where a value is wanted and none was given.
func (a *app) give(ctx context.Context, f *approveFlags, u *journal.UnitState) (*journal.Decision, error) {
	d := &journal.Decision{Approved: !f.deny, Question: u.Asked.Digest()}
	if f.deny {
		return d, nil
	}
	if u.Asked.WantsValue() && !f.answer.given() && a.canAsk() && !f.json {
		return a.askFor(ctx, u.String(), u.Asked, nil)
	}
	var err error
	if d.Value, err = f.answer.of(u.Asked); err != nil {
		return nil, err
	}
	if err := u.Asked.CheckAnswer(d); err != nil {
		return nil, fmt.Errorf("step %s: %w; answer with %s", u, err, howToAnswer(u.Asked))
	}
	return d, nil
}

// questionText returns a question for people.
func questionText(u *journal.UnitState) string {
	c := u.Asked.Call
	if c == nil {
		if u.Asked.WantsValue() {
			return u.String() + ": " + u.Asked.Message + "\n  wants " + u.Asked.Wants()
		}
		return u.String() + ": " + u.Asked.Message
	}
	return fmt.Sprintf("%s: %s\n  tool       %s\n  folder     %s\n  arguments  %s", u, c.Reason, c.Tool, c.Cwd, c.Arguments())
}

// listQuestions prints what a run waits for.
func (a *app) listQuestions(open []*journal.UnitState, asJSON bool) error {
	type row struct {
		Step     string             `json:"step"`
		Message  string             `json:"message"`
		Deadline *time.Time         `json:"deadline"` // no answer by then means no; null for never
		Call     *journal.AskedCall `json:"call,omitempty"`
		Choices  []string           `json:"choices,omitempty"` // the answer is one of them
		Schema   json.RawMessage    `json:"schema,omitempty"`  // JSON Schema of the answer
	}
	rows := []row{}
	for _, u := range open {
		r := row{Step: u.String(), Message: u.Asked.Message, Call: u.Asked.Call, Choices: u.Asked.Choices, Schema: u.Asked.Schema}
		if !u.Asked.Deadline.IsZero() {
			r.Deadline = &u.Asked.Deadline
		}
		rows = append(rows, r)
	}
	if asJSON {
		return printJSON(a.stdout, rows)
	}
	for _, u := range open {
		if _, err := fmt.Fprintln(a.stdout, terminal.Clean(questionText(u))); err != nil {
			return err
		}
	}
	return nil
}
