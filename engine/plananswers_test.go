package engine_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/workflow"
)

// chance returns a number below n that belongs to the seed and the words.
func (p *plan) chance(n uint64, words ...any) uint64 {
	h := fnv.New64a()
	fmt.Fprintln(h, append([]any{p.seed}, words...)...)
	sum := sha256.Sum256(h.Sum(nil))
	var v uint64
	for _, b := range sum[:8] {
		v = v<<8 | uint64(b)
	}
	return v % n
}

// fails returns how an attempt fails; nil if it does not.
func (p *plan) fails(path, item string, number int) error {
	switch c := p.chance(100, "fate", path, item); {
	case c < 8:
		return errBad
	case c < 20 && number == 1, c < 26 && number <= 3:
		return errBusy
	}
	return nil
}

func (p *plan) takes(a engine.Attempt) time.Duration {
	return time.Millisecond + time.Duration(p.chance(1e9, "time", a.Path, a.Item, a.Number))
}

// answer returns what an attempt gives. It depends on what was asked, unless that
// depends on time. whose tells the steps' agents apart.
func (p *plan) answer(whose map[string]string) func(engine.Attempt) (string, error) {
	return func(a engine.Attempt) (string, error) {
		if err := p.fails(a.Path, a.Item, a.Number); err != nil {
			return "", err
		}
		s := p.byID[a.Step.ID]
		switch {
		case s.lists():
			return p.listText(s.id), nil
		case s.kind != "agent":
			return "did " + given(a), nil
		case p.joins || p.plain:
			return "out " + unitName(a.Path, a.Item), nil
		}
		sum := sha256.Sum256([]byte(a.Prompt() + "\x00" + whose[a.Step.ID]))
		return "out " + hex.EncodeToString(sum[:8]), nil
	}
}

// given returns the text that a step without a model was to work with.
func given(a engine.Attempt) string {
	switch act := a.Act.(type) {
	case workflow.Command:
		return act.Args[1]
	case workflow.HTTPRequest:
		return act.Body
	case workflow.ReadFiles:
		return act.Files[0]
	case workflow.WriteFile:
		return act.Content
	}
	return ""
}

// saves returns what becomes of a file that is to be written.
func (p *plan) saves(id string) error {
	if p.chance(100, "disk", id) < 15 {
		return errBad
	}
	return nil
}

func (p *plan) listText(id string) string {
	texts := p.listed(id)
	for i, text := range texts {
		texts[i] = quoted(text)
	}
	return "[" + strings.Join(texts, ",") + "]"
}

// quoted returns a text as JSON.
func quoted(text string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(text) // a string
	return strings.TrimSuffix(b.String(), "\n")
}

func (p *plan) listed(id string) []string {
	return [][]string{{}, {"x"}, {"x", "y"}, {"y", "y", "x"}}[p.chance(4, "list", id)]
}

// decide returns what a person says to a question, and when.
func (p *plan) decide(path, item string) (time.Duration, journal.Decision, bool) {
	c := p.chance(100, "person", path, item)
	after := time.Duration(p.chance(1e12, "thinks", path, item))
	d := journal.Decision{Approved: c < 70}
	switch value := p.valueOf(path); {
	case d.Approved && value != "":
		d.Value = []byte(value)
	case !d.Approved && c%2 == 0:
		d.Comment = "no to " + path
	}
	return after, d, c < 85
}

// valueOf returns the value that a person gives with a yes, as JSON; empty for none.
func (p *plan) valueOf(path string) string {
	_, id, _ := cutLast(path, "/")
	return map[string]string{"choices": `"y"`, "form": `{"n":7}`, "text": `"some words"`}[p.byID[id].form]
}

// cutLast cuts as strings.Cut does, at the last separator; without one, all is behind it.
func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return "", s, false
	}
	return s[:i], s[i+len(sep):], true
}

// keysOf returns the keys of items, as the journal knows them.
func keysOf(items []member) []string {
	keys, seen := make([]string, len(items)), map[string]int{}
	for i, item := range items {
		sum := sha256.Sum256([]byte(item.json))
		keys[i] = hex.EncodeToString(sum[:8])
		if seen[item.json]++; seen[item.json] > 1 {
			keys[i] += fmt.Sprint("~", seen[item.json])
		}
	}
	return keys
}

func under(item, key string) string {
	if item == "" {
		return key
	}
	return item + "/" + key
}
