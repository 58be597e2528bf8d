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
	for {
		i := strings.IndexByte(text, '$')
		if i < 0 || out.Len() > maxExpanded {
			out.WriteString(text)
			return out.String()
		}
		before := e.replaced
		value, length, ok := e.placeholder(text[i:])
		switch {
		case length > 0 && i > 0 && text[i-1] == '\\':
			e.replaced = before
			out.WriteString(text[:i-1] + text[i:i+length])
		case ok:
			out.WriteString(text[:i] + value)
		default:
			length = max(length, 1)
			out.WriteString(text[:i+length])
		}
		text = text[i+length:]
	}
}

// placeholder returns the value and the length of the placeholder that a text starts
// with. The length is 0 if it starts with none; not ok is one without a value.
func (e *expansion) placeholder(text string) (value string, length int, ok bool) {
	for _, v := range []struct{ name, value string }{
		{"${CLAUDE_SKILL_DIR}", e.skill.Dir}, {"${CLAUDE_PLUGIN_ROOT}", e.skill.Root}, {"${CLAUDE_SESSION_ID}", e.host.Session},
	} {
		if strings.HasPrefix(text, v.name) {
			return filepath.ToSlash(v.value), len(v.name), v.value != ""
		}
	}
	if rest, found := strings.CutPrefix(text, "$ARGUMENTS"); found {
		if index, n := number(strings.TrimPrefix(rest, "[")); n > 0 && rest[0] == '[' && strings.HasPrefix(rest[1+n:], "]") {
			value, ok = e.argument(index)
			return value, len("$ARGUMENTS") + n + 2, ok
		}
		e.replaced = true
		return e.args, len("$ARGUMENTS"), true
	}
	index, n := number(text[1:])
	if n == 0 || strings.IndexFunc(text[1+n:], func(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }) == 0 {
		return "", 0, false
	}
	value, ok = e.argument(index)
	return value, 1 + n, ok
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

func (e *expansion) argument(index int) (string, bool) {
	if index < 0 || index >= len(e.list) {
		return "", false
	}
	e.replaced = true
	return e.list[index], true
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
