// Package docexample finds the examples in pages of Markdown, for the tests that run
// them. CONTRIBUTING.md says how an example is written.
package docexample

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Indented is the Kind of a block without a fence: commands.
const Indented = "commands"

// A Block is an example: what stands between two fences, or lines that are indented.
type Block struct {
	Line int    // of the first line of Text, from 1
	Kind string // the word after the fence, or Indented
	Text string

	Flags   string   // of the command that runs it
	Answers []string // to the questions of the run, in order: a step and the flags of runs approve
	Error   string   // what validation says of it; empty if it is valid
	Exit    string   // the exit code of the run; empty for 0
	File    string   // what kind of file it is, if it is no workflow
	NotRun  string   // why it cannot be run; empty if it can
}

// comment matches a line that tells how the block below it is run.
var comment = regexp.MustCompile(`^<!-- ([a-z ]+): (.*\S) -->$`)

// Read returns the examples of a page, in order. A comment that belongs to no block, or
// has a word that is not known, is an error, and so is a fence without an end.
func Read(page string) ([]Block, error) {
	var blocks []Block
	var next Block // what the comments say
	commented := 0 // the line of the last comment, 0 without
	lines := strings.Split(page, "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		fence := strings.TrimLeft(line, " ")
		switch {
		case strings.TrimSpace(line) == "":
			continue
		case comment.MatchString(line):
			if err := next.set(line); err != nil {
				return nil, fmt.Errorf("line %d: %w", i+1, err)
			}
			commented = i + 1
			continue
		case strings.HasPrefix(fence, "```"):
			end := i + 1
			for end < len(lines) && strings.TrimSpace(lines[end]) != "```" {
				end++
			}
			if end == len(lines) {
				return nil, fmt.Errorf("line %d: the block has no end", i+1)
			}
			next.Kind = strings.TrimPrefix(fence, "```")
			next.Line, next.Text = i+2, text(lines[i+1:end], line[:len(line)-len(fence)])
			i = end
		case strings.HasPrefix(line, "    ") && (i == 0 || strings.TrimSpace(lines[i-1]) == ""):
			end := i + 1
			for end < len(lines) && strings.HasPrefix(lines[end], "    ") {
				end++
			}
			next.Kind, next.Line, next.Text = Indented, i+1, text(lines[i:end], "    ")
			i = end - 1
		default:
			if commented != 0 {
				return nil, fmt.Errorf("line %d: the comment stands before no block", commented)
			}
			continue
		}
		blocks = append(blocks, next)
		next, commented = Block{}, 0
	}
	if commented != 0 {
		return nil, fmt.Errorf("line %d: the comment stands before no block", commented)
	}
	return blocks, nil
}

// set sets what a comment says.
func (b *Block) set(line string) error {
	parts := comment.FindStringSubmatch(line)
	fields := map[string]*string{"flags": &b.Flags, "error": &b.Error, "exit": &b.Exit, "file": &b.File, "not run": &b.NotRun, "answer": nil}
	field, known := fields[parts[1]]
	if !known {
		return fmt.Errorf("%q is none of %s", parts[1], strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
	}
	if field == nil {
		b.Answers = append(b.Answers, parts[2])
		return nil
	}
	if *field != "" {
		return fmt.Errorf("%q stands there twice", parts[1])
	}
	*field = parts[2]
	return nil
}

// text joins lines without their indent.
func text(lines []string, indent string) string {
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(strings.TrimPrefix(line, indent))
		b.WriteByte('\n')
	}
	return b.String()
}

// Workflow returns an example in YAML as a whole file. A list is that of the steps, a
// mapping with an id is a step, and a mapping without steps gets one. All others, and
// those that are no workflow or are an example of an error, stay as they are.
func (b *Block) Workflow() (string, error) {
	if b.File != "" || b.Error != "" {
		return b.Text, nil
	}
	var value any
	if err := yaml.Unmarshal([]byte(b.Text), &value); err != nil {
		return "", fmt.Errorf("line %d: %w", b.Line, err)
	}
	switch v := value.(type) {
	case []any:
		return "steps:\n" + b.Text, nil
	case map[string]any:
		if v["id"] != nil {
			data, err := json.Marshal(map[string]any{"steps": []any{v}})
			return string(data), err
		}
		if v["steps"] == nil {
			return b.Text + "steps: [{id: hello, agent: creative-writer, task: Say hello.}]\n", nil
		}
	}
	return b.Text, nil
}
