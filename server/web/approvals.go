package web

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/runs"
)

// maxAsking is how many runs are looked at for questions.
const maxAsking = 50

// question is what a run asks a person.
type question struct {
	Run      journal.Run
	Step     string // what to name in an answer
	Address  string // of the page of its step
	Digest   string // of what is asked
	Message  string
	Deadline time.Time // zero for never
	Call     *journal.AskedCall
	Choices  []string
	Fields   []field // of a form
	JSON     bool    // it wants a value for which there is no form
	Next     string  // the page that has the question
	Number   int     // among those of the page, for ids
}

// Long reports whether the title of the question is not all of it.
func (q *question) Long() bool { return short(160, q.Message) != strings.TrimSpace(q.Message) }

// field is a field of the form that a question is.
type field struct {
	Name, Label, Hint string
	Kind              string // text, number, boolean, choice or json
	Choices           []string
	Required          bool
}

func (p *Pages) approvals(r *http.Request) (*view, error) {
	ctx := r.Context()
	var list []*question
	filter := journal.Filter{Statuses: []journal.Status{journal.StatusRunning, journal.StatusWaiting, journal.StatusInterrupted}, Limit: maxAsking}
	for run, err := range p.opts.Store.Runs(ctx, filter) {
		if err != nil {
			return nil, err
		}
		asked, err := p.questions(ctx, run, "/approvals")
		if err != nil {
			return nil, err
		}
		list = append(list, asked...)
	}
	for i := range list {
		list[i].Number = i
	}
	return &view{Page: "approvals", Title: "Approvals", Nav: "approvals", Fragments: []string{"approvals"}, Data: list}, nil
}

// questions returns what a run asks.
func (p *Pages) questions(ctx context.Context, run journal.Run, next string) ([]*question, error) {
	asked, err := p.asked.Questions(ctx, run)
	if err != nil {
		return nil, err
	}
	var list []*question
	for i, u := range asked {
		q := &question{
			Run: runs.WithStatus(run), Step: u.String(), Address: stepAddress(run.ID, u.Unit), Digest: u.Asked.Digest(), Message: u.Asked.Message,
			Deadline: u.Asked.Deadline, Call: u.Asked.Call, Choices: u.Asked.Choices, Next: next, Number: i,
		}
		q.Fields, q.JSON = formOf(u.Asked)
		list = append(list, q)
	}
	return list, nil
}

// formOf returns the fields of the form for the value that a question wants, and whether
// it wants one for which there is no form.
func formOf(q *journal.ApprovalRequest) (fields []field, asJSON bool) {
	if q.Schema == nil {
		return nil, false
	}
	names, schemas := q.Fields()
	if names == nil {
		return nil, true
	}
	var whole struct{ Required []string }
	if err := json.Unmarshal(q.Schema, &whole); err != nil {
		return nil, true
	}
	for _, name := range names {
		var s struct {
			Title, Description string
			Enum               []any
		}
		f := field{Name: name, Label: name, Kind: "json", Required: slices.Contains(whole.Required, name)}
		if err := json.Unmarshal(schemas[name], &s); err == nil {
			f.Label, f.Hint = cmp.Or(s.Title, name), s.Description
		}
		switch typ := journal.TypeOf(schemas[name]); {
		case len(s.Enum) > 0 && !slices.ContainsFunc(s.Enum, func(v any) bool { _, ok := v.(string); return !ok }):
			f.Kind = "choice"
			for _, v := range s.Enum {
				f.Choices = append(f.Choices, fmt.Sprint(v))
			}
		case typ == "string":
			f.Kind = "text"
		case typ == "number" || typ == "integer":
			f.Kind = "number"
		case typ == "boolean":
			f.Kind = "boolean"
		}
		fields = append(fields, f)
	}
	return fields, false
}

// owner returns the name of the user whose server it is: who has the key answers for them.
var owner = sync.OnceValue(func() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.Username
})

// answer answers a question, as it was shown: if it has changed since, the answer is
// refused.
func (p *Pages) answer(r *http.Request) (string, error) {
	if err := r.ParseForm(); err != nil {
		return "", fault.Input(fmt.Errorf("reading the form: %w", err))
	}
	id, step := r.PathValue("run"), r.PostForm.Get("step")
	d := journal.Decision{By: owner(), Comment: strings.TrimSpace(r.PostForm.Get("comment")), Question: r.PostForm.Get("question")}
	switch r.PostForm.Get("decision") {
	case "yes":
		d.Approved = true
	case "no":
	default:
		return "", fault.Input(errors.New("the form says neither yes nor no"))
	}
	if d.Question == "" || step == "" {
		return "", fault.Input(errors.New("the form does not say which question it answers"))
	}
	if d.Approved {
		d.Comment = "" // it is the reason of a no
		asked, err := runs.Questions(r.Context(), p.opts.Store, id)
		if err != nil {
			return "", err
		}
		for _, u := range asked {
			if u.String() == step && u.Asked.WantsValue() {
				if d.Value, err = valueOf(u.Asked, r.PostForm); err != nil {
					return "", err
				}
			}
		}
	}
	if err := p.opts.Answer(r.Context(), id, step, d); err != nil {
		return "", err
	}
	return cmp.Or(LocalTarget(r.PostForm.Get("next")), runAddress(id)), nil
}

// valueOf returns the value that a form gives to a question.
func valueOf(q *journal.ApprovalRequest, form map[string][]string) (json.RawMessage, error) {
	get := func(name string) string {
		if values := form[name]; len(values) > 0 {
			return values[0]
		}
		return ""
	}
	if q.Choices != nil {
		return json.Marshal(get("choice"))
	}
	fields, asJSON := formOf(q)
	if asJSON {
		text := get("value")
		if !json.Valid([]byte(text)) && journal.TypeOf(q.Schema) == "string" {
			return json.Marshal(text)
		}
		if !json.Valid([]byte(text)) {
			return nil, fault.Input(errors.New("the value is not JSON"))
		}
		return json.RawMessage(text), nil
	}
	value := map[string]json.RawMessage{}
	for _, f := range fields {
		text := get("field." + f.Name)
		switch {
		case f.Kind == "boolean":
			value[f.Name] = strconv.AppendBool(nil, text != "")
		case text == "" && !f.Required:
		case f.Kind == "text" || f.Kind == "choice":
			quoted, err := json.Marshal(text)
			if err != nil {
				return nil, err
			}
			value[f.Name] = quoted
		case !json.Valid([]byte(text)):
			return nil, fault.Input(fmt.Errorf("%s is not %s", f.Name, map[string]string{"number": "a number", "json": "JSON"}[f.Kind]))
		default:
			value[f.Name] = json.RawMessage(text)
		}
	}
	return json.Marshal(value)
}
