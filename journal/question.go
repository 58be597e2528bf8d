package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/internal/outschema"
)

// WantsValue reports whether the answer is a value, and not only yes or no.
func (q *ApprovalRequest) WantsValue() bool { return q.Choices != nil || q.Schema != nil }

// Digest returns what names the question: its text and the answers it takes. Two
// questions with the same digest are the same question.
func (q *ApprovalRequest) Digest() string {
	var call any
	if q.Call != nil {
		call = []string{q.Call.Tool, string(q.Call.Input), q.Call.Cwd}
	}
	data, err := json.Marshal([]any{q.Message, q.Choices, q.Schema, call})
	if err != nil {
		panic("journal: " + err.Error()) // a request has a JSON form
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// CheckAnswer returns a [fault.InputError] unless d answers the question: a yes needs a
// value if the question wants one, and the value must be of its type. A no has none.
func (q *ApprovalRequest) CheckAnswer(d *Decision) error {
	switch {
	case d.Question != "" && d.Question != q.Digest():
		return fault.Input(fmt.Errorf("the question has changed since it was shown: %s", q.Message))
	case !d.Approved && d.Value != nil:
		return fault.Input(fmt.Errorf("a no has no value"))
	case !d.Approved:
		return nil
	case !q.WantsValue() && d.Value != nil:
		return fault.Input(fmt.Errorf("the question takes yes or no, and no value"))
	case !q.WantsValue():
		return nil
	case d.Value == nil:
		return fault.Input(fmt.Errorf("the question wants %s", q.Wants()))
	case len(d.Value) > maxValueBytes:
		return fault.Input(fmt.Errorf("the answer is larger than %d KiB", maxValueBytes>>10))
	}
	if q.Choices != nil {
		var text string
		if json.Unmarshal(d.Value, &text) != nil || !slices.Contains(q.Choices, text) {
			return fault.Input(fmt.Errorf("the answer %s is none of: %s", short(d.Text()), strings.Join(q.Choices, ", ")))
		}
		return nil
	}
	s, err := outschema.Compile(q.Schema)
	if err != nil {
		return fmt.Errorf("reading the schema of the answer: %w", err)
	}
	if err := s.Validate(string(d.Value)); err != nil {
		return fault.Input(fmt.Errorf("the answer %s does not match the schema of the question: %w", short(d.Text()), err))
	}
	return nil
}

// maxValueBytes is how large an answer may be.
const maxValueBytes = 1 << 20

// Wants returns what the question wants, for people.
func (q *ApprovalRequest) Wants() string {
	switch {
	case q.Choices != nil:
		return "one of: " + strings.Join(q.Choices, ", ")
	case q.Schema != nil:
		if names, _ := q.Fields(); names != nil {
			return "the fields " + strings.Join(names, ", ")
		}
		switch typ := TypeOf(q.Schema); typ {
		case "string":
			return "a text"
		case "":
			return "a value"
		default:
			return "a value of type " + typ
		}
	}
	return "yes or no"
}

// TypeOf returns the type that a JSON Schema names; empty if it names none, or several.
func TypeOf(schema json.RawMessage) string {
	var s struct{ Type json.RawMessage }
	var typ string
	if json.Unmarshal(schema, &s) != nil || json.Unmarshal(s.Type, &typ) != nil {
		return ""
	}
	return typ
}

// Fields returns the fields of the form that the question is, in the order of the file,
// with the schema of each; none if it is no form.
func (q *ApprovalRequest) Fields() (names []string, schemas map[string]json.RawMessage) {
	var s struct{ Properties json.RawMessage }
	if q.Schema == nil || json.Unmarshal(q.Schema, &s) != nil || s.Properties == nil {
		return nil, nil
	}
	dec := json.NewDecoder(bytes.NewReader(s.Properties))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, nil
	}
	schemas = map[string]json.RawMessage{}
	for dec.More() {
		key, err := dec.Token()
		name, ok := key.(string)
		var schema json.RawMessage
		if err != nil || !ok || dec.Decode(&schema) != nil {
			return nil, nil
		}
		names, schemas[name] = append(names, name), schema
	}
	return names, schemas
}

// Reason returns what a person gave as the reason for a no; empty for a yes.
func (d *Decision) Reason() string {
	if d == nil || d.Approved {
		return ""
	}
	return d.Comment
}

// Text returns the value as a text: that of a JSON string, else the JSON itself.
func (d *Decision) Text() string {
	var text string
	if json.Unmarshal(d.Value, &text) == nil {
		return text
	}
	return string(d.Value)
}

func short(text string) string {
	if r := []rune(text); len(r) > 80 {
		text = string(r[:79]) + "…"
	}
	data, err := json.Marshal(text)
	if err != nil {
		return text
	}
	return string(data)
}
