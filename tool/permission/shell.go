package permission

import (
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

// unknown stands in a text for a part whose value the shell finds out.
const unknown = '\x00'

// word is what a word of a command is known to be.
type word struct {
	text string // without quotes; unknown for each part that is not known
	glob bool   // has a wildcard outside quotes
}

// known reports whether all of the word is known.
func (w word) known() bool { return !w.glob && strings.IndexByte(w.text, unknown) < 0 }

// maxBraces bounds how many words one becomes by its braces.
const maxBraces = 64

// parse reads a command.
func parse(command string) (*syntax.File, error) {
	return syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(command), "")
}

// words returns what a list of words becomes. Values of variables that are known
// are put in; vars may be nil.
func words(list []*syntax.Word, home string, vars map[string][]string) []word {
	var all []word
	for _, w := range list {
		split := *w
		split.Parts = append([]syntax.WordPart(nil), w.Parts...)
		syntax.SplitBraces(&split)
		n := 0
		for _, braced := range expandBraces(&split) {
			if n++; n > maxBraces {
				all = append(all, word{text: string(unknown)})
				break
			}
			all = append(all, values(braced, home, vars)...)
		}
	}
	return all
}

func expandBraces(w *syntax.Word) []*syntax.Word {
	var list []*syntax.Word
	for braced, err := range expand.BracesSeq(nil, w) {
		if err != nil || len(list) > maxBraces {
			break
		}
		list = append(list, braced)
	}
	if len(list) == 0 {
		return []*syntax.Word{w}
	}
	return list
}

// values returns what a word may be: one value for each of those that its variables
// may have.
func values(w *syntax.Word, home string, vars map[string][]string) []word {
	all := []word{{}}
	for i, part := range w.Parts {
		options := []word{}
		switch part := part.(type) {
		case *syntax.Lit:
			options = append(options, literal(part.Value, i == 0, home))
		case *syntax.SglQuoted:
			if part.Dollar && strings.Contains(part.Value, `\`) {
				options = append(options, word{text: string(unknown)})
			} else {
				options = append(options, word{text: part.Value})
			}
		case *syntax.DblQuoted:
			text := word{}
			for _, inner := range part.Parts {
				if lit, ok := inner.(*syntax.Lit); ok {
					text.text += doubleQuoted(lit.Value)
				} else if list := variable(inner, vars); len(list) == 1 {
					text.text += list[0]
				} else {
					text.text += string(unknown)
				}
			}
			options = append(options, text)
		default:
			for _, value := range variable(part, vars) {
				options = append(options, word{text: value})
			}
			if len(options) == 0 {
				options = append(options, word{text: string(unknown)})
			}
		}
		var next []word
		for _, before := range all {
			for _, o := range options {
				next = append(next, word{before.text + o.text, before.glob || o.glob})
			}
		}
		if len(next) > maxBraces {
			return []word{{text: string(unknown)}}
		}
		all = next
	}
	return all
}

// variable returns the values that a plain $NAME is known to have.
func variable(part syntax.WordPart, vars map[string][]string) []string {
	p, ok := part.(*syntax.ParamExp)
	if !ok || p.Param == nil || p.Excl || p.Length || p.Index != nil || p.Slice != nil || p.Repl != nil || p.Exp != nil || len(p.Modifiers) > 0 {
		return nil
	}
	return vars[p.Param.Value]
}

// literal returns the value of text outside quotes.
func literal(text string, first bool, home string) word {
	var b strings.Builder
	w := word{}
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && i+1 < len(text):
			i++
			if text[i] != '\n' {
				b.WriteByte(text[i])
			}
		case c == '~' && i == 0 && first:
			rest := text[1:]
			if home != "" && (rest == "" || rest[0] == '/') {
				b.WriteString(home)
			} else {
				b.WriteByte(unknown)
			}
		case c == '*' || c == '?' || c == '[':
			w.glob = true
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	w.text = b.String()
	return w
}

// doubleQuoted returns the value of text between double quotes.
func doubleQuoted(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+1 < len(text) && strings.IndexByte("$`\"\\\n", text[i+1]) >= 0 {
			i++
			if text[i] == '\n' {
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

// source returns a node as it is written, with runs of spaces as one.
func source(node syntax.Node) string {
	var b strings.Builder
	if err := syntax.NewPrinter(syntax.SingleLine(true)).Print(&b, node); err != nil {
		return ""
	}
	return strings.TrimSpace(b.String())
}

// matchesCommand reports whether the pattern of a rule matches a command, or may
// match one with parts that are not known: x:* and "x *" are x alone or with
// arguments, * elsewhere is any text.
func matchesCommand(spec, text string) bool {
	spec = strings.Join(strings.Fields(spec), " ")
	if spec == ":*" || spec == "" {
		return false
	}
	prefix, star := strings.CutSuffix(spec, ":*")
	if !star {
		prefix, star = strings.CutSuffix(spec, " *")
	}
	if star {
		return couldMatch(prefix, text) || couldMatch(prefix+" *", text)
	}
	return couldMatch(spec, text)
}

// couldMatch reports whether a pattern with * for any text matches a text, for some
// value of the unknown parts of the text.
func couldMatch(pattern, text string) bool {
	// row[j] says whether pattern[:i] could match text[:j].
	row := make([]bool, len(text)+1)
	row[0] = true
	for j := 1; j <= len(text) && text[j-1] == unknown; j++ {
		row[j] = true
	}
	for i := range len(pattern) {
		next := make([]bool, len(text)+1)
		next[0] = row[0] && pattern[i] == '*'
		for j := 1; j <= len(text); j++ {
			switch {
			case pattern[i] == '*':
				next[j] = row[j] || next[j-1]
			case text[j-1] == unknown:
				next[j] = next[j-1] || row[j]
			default:
				next[j] = row[j-1] && pattern[i] == text[j-1]
			}
		}
		// An unknown part may also be the rest of the pattern.
		row = next
	}
	return row[len(text)]
}
