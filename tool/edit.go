package tool

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"unicode"

	"github.com/claude-force/claude-force/llm"
)

// Edit returns the tool that replaces a text in a file.
func Edit() Tool { return editTool{} }

type editTool struct{}

func (editTool) Definition() llm.Tool {
	return llm.Tool{Name: "Edit", Description: `Replaces a text in a file by another.

- old_string must be in the file exactly as given, with its spaces and without the line numbers that Read shows, and only once. Give more of the lines around it until it is unique, or set replace_all.
- An empty old_string creates the file with new_string as its content, if it does not exist or is empty.
- Line ends and the encoding of the file are kept.`, InputSchema: schema(`{
	"type": "object", "additionalProperties": false, "required": ["file_path", "old_string", "new_string"],
	"properties": {
		"file_path": {"type": "string", "description": "the file"},
		"old_string": {"type": "string", "description": "the text to replace"},
		"new_string": {"type": "string", "description": "the text to put in its place"},
		"replace_all": {"type": "boolean", "default": false, "description": "replace every occurrence"}
	}}`)}
}

func (editTool) Concurrent(json.RawMessage) bool { return false }

// Sight says that each call notes what it saw.
func (editTool) Sight(json.RawMessage) Sight { return SightNoted }

type editInput struct {
	FilePath   string `json:"file_path"`
	Old        string `json:"old_string"`
	New        string `json:"new_string"`
	ReplaceAll bool   `json:"replace_all"`
}

func (editTool) Call(_ context.Context, env *Env, input json.RawMessage) (Result, error) {
	in, err := parse[editInput](input)
	if err != nil {
		return Result{}, err
	}
	path := env.Abs(in.FilePath)
	if in.Old == in.New {
		return Failed(invalid("old_string and new_string are the same; there is nothing to change.")), nil
	}
	f, err := env.read(path, maxFile)
	if errors.Is(err, fs.ErrNotExist) && in.Old == "" {
		real := env.real(path)
		env.NoteSeen(Observation{Kind: SawFile, Name: real, Path: other(path, real)}) // that it is not there
		return env.create(path, in)
	}
	if err != nil {
		return Failed(invalid(env.readError(path, err).Error())), nil
	}
	env.noteContent(path, f)
	if in.Old == "" && len(f.data) == 0 {
		return env.create(path, in)
	}
	if in.Old == "" {
		return Failed(invalid(fmt.Sprintf("%s exists and is not empty, so it is not created. Give the text to replace as old_string.", path))), nil
	}
	if err := env.seen(path); err != nil {
		return Failed(invalid(err.Error())), nil
	}
	text := decode(f.data)
	if err := text.editable(); err != nil {
		return Failed(invalid(fmt.Sprintf("Cannot edit %s: %v.", path, err))), nil
	}
	before, known := env.known(f.path)
	changed := known && before.digest != sha256.Sum256(f.data)
	edited, count, problem := replaceText(text.text, in)
	if problem != "" {
		if changed {
			problem += fmt.Sprintf(" %s has changed since it was read; read it again.", path)
		}
		return Failed(invalid(problem)), nil
	}
	data := encode(edited, text.encoding)
	if err := env.write(path, data); err != nil {
		return Result{}, env.writeError(path, err)
	}
	env.noteWritten(path, f.path, data)
	answer := fmt.Sprintf("Edited %s.", in.FilePath)
	if in.ReplaceAll {
		answer = fmt.Sprintf("Edited %s: replaced %d occurrences.", in.FilePath, count)
	}
	if changed {
		answer += " The file had changed since it was read; the edit was applied to its new content."
	}
	return Text(answer), nil
}

// create makes the file of an edit without an old text.
func (e *Env) create(path string, in editInput) (Result, error) {
	if err := e.write(path, []byte(in.New)); err != nil {
		return Result{}, e.writeError(path, err)
	}
	if p, err := e.locate(path, true); err == nil {
		e.noteWritten(path, p.path, []byte(in.New))
	}
	return Text(fmt.Sprintf("Created %s.", in.FilePath)), nil
}

// replaceText returns the text of a file with the edit applied and how many
// occurrences were replaced; problem says why the edit cannot be applied.
func replaceText(text string, in editInput) (edited string, count int, problem string) {
	crlf := strings.Contains(text, "\r\n")
	text = strings.ReplaceAll(text, "\r\n", "\n")
	old := strings.ReplaceAll(in.Old, "\r\n", "\n")
	replacement := strings.ReplaceAll(in.New, "\r\n", "\n")
	spans := occurrences(text, old)
	curly := false
	if len(spans) == 0 {
		spans = occurrencesCurly(text, old)
		curly = len(spans) > 0
	}
	switch {
	case len(spans) == 0:
		return "", 0, fmt.Sprintf("old_string was not found in the file. It must match exactly, with its spaces and line breaks.\nold_string: %s", in.Old)
	case len(spans) > 1 && !in.ReplaceAll:
		return "", 0, fmt.Sprintf("old_string was found %d times in the file. Give more of the text around the one you mean, or set replace_all.\nold_string: %s", len(spans), in.Old)
	}
	var b strings.Builder
	last := 0
	for _, s := range spans {
		b.WriteString(text[last:s.from])
		with := replacement
		if curly {
			with = curlyLike(text[s.from:s.to], with)
		}
		b.WriteString(with)
		last = s.to
		// A line that is removed takes its line end with it.
		if replacement == "" && !strings.HasSuffix(old, "\n") && strings.HasPrefix(text[last:], "\n") && (s.from == 0 || text[s.from-1] == '\n') {
			last++
		}
	}
	b.WriteString(text[last:])
	edited = b.String()
	if crlf {
		edited = strings.ReplaceAll(edited, "\n", "\r\n")
	}
	return edited, len(spans), ""
}

type span struct{ from, to int }

func occurrences(text, old string) []span {
	var spans []span
	for at := 0; ; {
		i := strings.Index(text[at:], old)
		if i < 0 {
			return spans
		}
		spans = append(spans, span{at + i, at + i + len(old)})
		at += i + len(old)
	}
}

var straight = strings.NewReplacer("‘", "'", "’", "'", "“", `"`, "”", `"`)

// occurrencesCurly finds old where the file has typographic quotes.
func occurrencesCurly(text, old string) []span {
	old = straight.Replace(old)
	if !strings.ContainsAny(old, `'"`) {
		return nil
	}
	plain := straight.Replace(text)
	if plain == text {
		return nil
	}
	// Each quote is three bytes longer in the file than in plain.
	at := make([]int, len(plain)+1)
	i := 0
	for j, r := range text {
		at[i] = j
		if strings.ContainsRune("‘’“”", r) {
			i++
		} else {
			for k := range len(string(r)) {
				at[i+k] = j + k
			}
			i += len(string(r))
		}
	}
	at[len(plain)] = len(text)
	spans := occurrences(plain, old)
	for i, s := range spans {
		spans[i] = span{at[s.from], at[s.to]}
	}
	return spans
}

// curlyLike gives the straight quotes of a text the form that those of the old text
// have in the file.
func curlyLike(found, text string) string {
	double := strings.ContainsAny(found, "“”")
	single := strings.ContainsAny(found, "‘’")
	runes := []rune(text)
	for i, r := range runes {
		opens := i == 0 || unicode.IsSpace(runes[i-1]) || strings.ContainsRune("([{—–", runes[i-1])
		switch {
		case r == '"' && double && opens:
			runes[i] = '“'
		case r == '"' && double:
			runes[i] = '”'
		case r == '\'' && single && opens:
			runes[i] = '‘'
		case r == '\'' && single:
			runes[i] = '’'
		}
	}
	return string(runes)
}
