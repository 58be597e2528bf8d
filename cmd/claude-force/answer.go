package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/claude-force/claude-force/internal/terminal"
	"github.com/claude-force/claude-force/journal"
)

// answerFlags give the value of an answer.
type answerFlags struct {
	choice, value string
	fields        []string
}

// given reports whether there is a value.
func (f *answerFlags) given() bool { return f.choice != "" || f.value != "" || len(f.fields) > 0 }

// of returns the value that the flags give for a question.
func (f *answerFlags) of(q *journal.ApprovalRequest) (json.RawMessage, error) {
	n := 0
	for _, given := range []bool{f.choice != "", f.value != "", len(f.fields) > 0} {
		if given {
			n++
		}
	}
	switch {
	case n > 1:
		return nil, badInput("give one of --choice, --value and --field")
	case f.choice != "" && q.Choices == nil:
		return nil, badInput("--choice: the question wants %s", q.Wants())
	case f.choice != "":
		return journal.Detail(f.choice), nil
	case f.value != "":
		return valueOf(f.value, q.Schema, q.Choices != nil), nil
	case n == 0:
		return nil, nil
	}
	_, schemas := q.Fields()
	if schemas == nil {
		return nil, badInput("--field: the question wants %s", q.Wants())
	}
	form := map[string]json.RawMessage{}
	for _, field := range f.fields {
		name, value, ok := strings.Cut(field, "=")
		switch _, twice := form[name]; {
		case !ok || name == "":
			return nil, badInput("--field %q is not NAME=VALUE", field)
		case twice:
			return nil, badInput("--field %s is given twice", name)
		}
		form[name] = valueOf(value, schemas[name], false)
	}
	return journal.Detail(form), nil
}

// valueOf returns what a person typed as JSON: as it is if it is JSON and no text is
// wanted, else as a text.
func valueOf(typed string, schema json.RawMessage, text bool) json.RawMessage {
	if !text && journal.TypeOf(schema) != "string" && json.Valid([]byte(typed)) {
		return json.RawMessage(typed)
	}
	return journal.Detail(typed)
}

// refusal begins a line that says no to a question, with the reason behind it.
const refusal = "/no"

// refused returns the reason of a no to a question that wants a value.
func refused(line string) (reason string, no bool) {
	word, reason, _ := strings.Cut(line, " ")
	return strings.TrimSpace(reason), strings.EqualFold(word, refusal)
}

// lineOf returns a line as an answer to a question, which is no form.
func lineOf(q *journal.ApprovalRequest, line string) *journal.Decision {
	d := &journal.Decision{By: whoami(), Question: q.Digest()}
	if !q.WantsValue() {
		word, reason, _ := strings.Cut(line, " ")
		if d.Approved = isYes(line); !d.Approved && (strings.EqualFold(word, "n") || strings.EqualFold(word, "no")) {
			d.Comment = strings.TrimSpace(reason)
		}
		return d
	}
	if reason, no := refused(line); no {
		d.Comment = reason
		return d
	}
	if i, err := strconv.Atoi(line); err == nil && i >= 1 && i <= len(q.Choices) && q.CheckAnswer(&journal.Decision{Approved: true, Value: journal.Detail(line)}) != nil {
		line = q.Choices[i-1]
	}
	d.Approved, d.Value = true, valueOf(line, q.Schema, q.Choices != nil)
	return d
}

// promptOf returns the text that asks for the answer to a question; name is what asks.
func promptOf(name string, q *journal.ApprovalRequest) string {
	text := name + ": " + q.Message
	switch {
	case !q.WantsValue():
		return text + " [y/N] "
	case q.Choices != nil:
		var b strings.Builder
		for i, c := range q.Choices {
			fmt.Fprintf(&b, "\n  %d  %s", i+1, c)
		}
		return text + b.String() + "\n[a number or " + refusal + " REASON] "
	}
	if names, _ := q.Fields(); names != nil {
		return text + "\n[Enter for " + q.Wants() + " one by one, all of them as JSON, or " + refusal + " REASON] "
	}
	return text + "\n[" + q.Wants() + ", or " + refusal + " REASON] "
}

// askFor asks a person for the answer to a question until it is one. first, if not nil,
// holds its place in the queue. A form is asked field by field.
func (a *app) askFor(ctx context.Context, name string, asked *journal.ApprovalRequest, first *question) (*journal.Decision, error) {
	line := func(text string) (string, error) {
		q := first
		if first = nil; q == nil {
			q = a.prompter().queue(text)
		}
		answer, err := a.answer(ctx, q)
		if errors.Is(err, io.EOF) && !asked.WantsValue() {
			err = nil // no
		}
		return answer, err
	}
	for {
		text, err := line(promptOf(name, asked))
		if err != nil {
			return nil, err
		}
		d := lineOf(asked, text)
		if names, schemas := asked.Fields(); names != nil && text == "" {
			form := map[string]json.RawMessage{}
			for _, field := range names {
				hint := journal.TypeOf(schemas[field])
				if hint == "" {
					hint = "a value"
				}
				text, err := line(fmt.Sprintf("  %s (%s): ", field, hint))
				if err != nil {
					return nil, err
				}
				if text != "" { // else the field is left out
					form[field] = valueOf(text, schemas[field], false)
				}
			}
			d.Approved, d.Value = true, journal.Detail(form)
		}
		wrong := asked.CheckAnswer(d)
		if wrong == nil {
			return d, nil
		}
		a.say("%s", terminal.Clean(wrong.Error()))
	}
}
