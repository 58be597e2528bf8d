package skill

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"

	"github.com/claude-force/claude-force/internal/mdscan"
)

// Bounds of a body with its arguments.
const (
	maxExpanded = 1 << 20 // bytes
	maxCommands = 32
	maxFiles    = 32
)

// Host is what the body of a skill may use.
type Host struct {
	// Run runs a command of the body (!`command`) if the permissions allow it. The
	// error says why it was not run. A nil Run runs none.
	Run func(ctx context.Context, command string) (output string, err error)
	// Read reads a file that the body refers to (@path), by its path as written, if
	// the permissions allow it. Not ok leaves it out. A nil Read reads none.
	Read func(ctx context.Context, path string) (text string, ok bool)
	// Session replaces ${CLAUDE_SESSION_ID}, which stays if it is empty.
	Session string
}

// Expanded is the body of a skill with its arguments.
type Expanded struct {
	Text  string
	Files []string // what the body refers to, as the model reads it
	// Skipped are the commands that were not run, with the reason.
	Skipped []string
}

// Expand fills in the arguments and runs the commands of the body. Arguments are
// text: what looks like a command in them is not run, though a command of the body may
// have them in it. The error is for a text that would be too long.
func (s *Skill) Expand(ctx context.Context, args string, host Host) (Expanded, error) {
	e := expansion{skill: s, args: args, list: SplitArgs(args), host: host}
	var x Expanded
	var out, plain strings.Builder // plain is out without the output of commands
	fenced := mdscan.Fenced(s.Body)
	for at := 0; at < len(s.Body); {
		command, start, end := nextCommand(s.Body, at, &fenced)
		text := e.fill(s.Body[at:start])
		out.WriteString(text)
		plain.WriteString(text)
		at = end
		if command != "" {
			e.commands++
			line := e.fill(command)
			output, err := e.run(ctx, line)
			if err != nil {
				x.Skipped = append(x.Skipped, fmt.Sprintf("%s: %v", line, err))
				output = fmt.Sprintf("(the command %s was not run: %v)", line, err)
			}
			out.WriteString(output)
			plain.WriteByte('\n')
		}
		if out.Len() > maxExpanded {
			return Expanded{}, fmt.Errorf("%s with its arguments has more than %d KiB", s.Name, maxExpanded>>10)
		}
	}
	x.Text = out.String()
	if !e.replaced && strings.TrimSpace(args) != "" {
		x.Text += "\n\nARGUMENTS: " + args
		plain.WriteString("\n\n" + args)
	}
	seen := map[string]bool{}
	for _, path := range mdscan.References(plain.String()) {
		if host.Read == nil || seen[path] || len(x.Files) == maxFiles {
			continue
		}
		seen[path] = true
		if text, ok := host.Read(ctx, path); ok {
			x.Files = append(x.Files, fmt.Sprintf("<system-reminder>\nContents of %s:\n\n%s\n</system-reminder>", path, text))
		}
	}
	return x, nil
}

type expansion struct {
	skill    *Skill
	args     string
	list     []string
	host     Host
	replaced bool // the arguments were
	commands int
}

func (e *expansion) run(ctx context.Context, command string) (string, error) {
	switch {
	case e.host.Run == nil:
		return "", fmt.Errorf("commands are not run here")
	case e.commands > maxCommands:
		return "", fmt.Errorf("a skill runs at most %d commands", maxCommands)
	}
	return e.host.Run(ctx, command)
}

// nextCommand returns the next command in a body from an offset, and where it starts
// and ends; without one, the end of the body. One in a fenced block is text; blocks
// that are passed are dropped from fenced.
func nextCommand(body string, from int, fenced *[][2]int) (command string, start, end int) {
	for at := from; ; {
		i := strings.Index(body[at:], "!`")
		if i < 0 {
			return "", len(body), len(body)
		}
		start = at + i
		at = start + 2
		for len(*fenced) > 0 && (*fenced)[0][1] <= start {
			*fenced = (*fenced)[1:]
		}
		if len(*fenced) > 0 && (*fenced)[0][0] <= start {
			at = (*fenced)[0][1]
			continue
		}
		if start > 0 && !unicode.IsSpace(rune(body[start-1])) {
			continue
		}
		length := strings.IndexAny(body[at:], "`\n")
		if length <= 0 || body[at+length] == '\n' || strings.TrimSpace(body[at:at+length]) == "" {
			continue
		}
		return body[at : at+length], start, at + length + 1
	}
}

// fill replaces what stands for arguments and folders in a part of the body. What
// has no value stays.
func (e *expansion) fill(text string) string {
	var out strings.Builder
	for _, p := range pieces(text) {
		if out.Len() > maxExpanded {
			break
		}
		value, ok := e.value(p)
		if !ok {
			value = p.text
		}
		out.WriteString(value)
	}
	return out.String()
}

// value returns what stands for a placeholder; not ok for a text, and for one without a
// value.
func (e *expansion) value(p piece) (value string, ok bool) {
	switch {
	case p.variable != "":
		value = e.skill.variable(p.variable)
		if p.variable == sessionVariable {
			value = e.host.Session
		}
		return value, value != ""
	case p.all:
		e.replaced = true
		return e.args, true
	case p.position > 0 && p.position <= len(e.list):
		e.replaced = true
		return e.list[p.position-1], true
	}
	return "", false
}

// Placeholders that stand for no arguments.
const (
	dirVariable     = "${CLAUDE_SKILL_DIR}"
	rootVariable    = "${CLAUDE_PLUGIN_ROOT}"
	sessionVariable = "${CLAUDE_SESSION_ID}"
)

// variable returns the folder that a placeholder stands for; empty without one.
func (s *Skill) variable(name string) string {
	switch name {
	case dirVariable:
		return filepath.ToSlash(s.Dir)
	case rootVariable:
		return filepath.ToSlash(s.Root)
	}
	return ""
}

// piece is a part of a body: a text or a placeholder.
type piece struct {
	text     string // as it is written; of one behind a backslash without that
	all      bool   // it stands for all arguments
	position int    // of the argument that it stands for, from 1; -1 for one that no list has
	variable string // another placeholder
}

// pieces splits a text at its placeholders.
func pieces(text string) []piece {
	var list []piece
	for from, at := 0, 0; ; {
		i := strings.IndexByte(text[at:], '$')
		if i < 0 {
			if from < len(text) {
				list = append(list, piece{text: text[from:]})
			}
			return list
		}
		i += at
		p := placeholder(text[i:])
		at = i + max(len(p.text), 1)
		switch {
		case p.text == "":
		case i > from && text[i-1] == '\\':
			list = append(list, piece{text: text[from : i-1]}, piece{text: p.text})
			from = at
		default:
			if i > from {
				list = append(list, piece{text: text[from:i]})
			}
			list = append(list, p)
			from = at
		}
	}
}

// placeholder returns the placeholder that a text starts with; the zero value if it
// starts with none.
func placeholder(text string) piece {
	for _, name := range []string{dirVariable, rootVariable, sessionVariable} {
		if strings.HasPrefix(text, name) {
			return piece{text: name, variable: name}
		}
	}
	if rest, found := strings.CutPrefix(text, "$ARGUMENTS"); found {
		if index, n := number(strings.TrimPrefix(rest, "[")); n > 0 && rest[0] == '[' && strings.HasPrefix(rest[1+n:], "]") {
			return piece{text: text[:len("$ARGUMENTS")+n+2], position: position(index)}
		}
		return piece{text: "$ARGUMENTS", all: true}
	}
	index, n := number(text[1:])
	if n == 0 || strings.IndexFunc(text[1+n:], func(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }) == 0 {
		return piece{}
	}
	return piece{text: text[:1+n], position: position(index)}
}

// position returns the position of an argument, from 1, whose index counts from 0.
func position(index int) int {
	if index < 0 {
		return -1
	}
	return index + 1
}

// number returns the number that a text starts with and its length.
func number(text string) (value, length int) {
	for length < len(text) && text[length] >= '0' && text[length] <= '9' {
		length++
	}
	value, err := strconv.Atoi(text[:length])
	if err != nil {
		return -1, length
	}
	return value, length
}

// SplitArgs splits arguments at white space, as a shell does: quotes and backslashes
// keep it. A quote without an end is a character.
func SplitArgs(text string) []string {
	var list []string
	var word strings.Builder
	started := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			if started {
				list = append(list, word.String())
				word.Reset()
				started = false
			}
			continue
		case c == '\\' && i+1 < len(text):
			i++
			word.WriteByte(text[i])
		case c == '\'' && strings.IndexByte(text[i+1:], c) >= 0:
			end := i + 1 + strings.IndexByte(text[i+1:], c)
			word.WriteString(text[i+1 : end])
			i = end
		case c == '"':
			quoted, length, ok := doubleQuoted(text[i+1:])
			if !ok {
				word.WriteByte(c)
				break
			}
			word.WriteString(quoted)
			i += length + 1
		default:
			word.WriteByte(c)
		}
		started = true
	}
	if started {
		list = append(list, word.String())
	}
	return list
}

// doubleQuoted returns what stands before a closing quote, and its length in the
// text.
func doubleQuoted(text string) (value string, length int, ok bool) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return b.String(), i, true
		case c == '\\' && i+1 < len(text) && strings.IndexByte("\"\\$`", text[i+1]) >= 0:
			i++
			b.WriteByte(text[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", 0, false
}
