package workflow

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text draws the workflow for a terminal: one group of lines per level, the
// steps that can run side by side joined by a bracket, each with its agent and
// what it waits for. Nested steps are indented below their step. The text ends with a
// newline and holds no control characters.
func (w *Workflow) Text() string {
	var b strings.Builder
	for _, head := range []string{w.Name, w.Description} {
		if head != "" {
			b.WriteString(clean(head) + "\n")
		}
	}
	if b.Len() > 0 {
		b.WriteString("\n")
	}
	levels := newDrawing(w.Steps).levels()
	margin := len(fmt.Sprint(len(levels)))
	widest := w.textLevels(&b, levels, "", margin)
	fmt.Fprintf(&b, "\n%s in %s", plural(len(w.Steps), "step"), plural(len(levels), "level"))
	if widest > 1 {
		fmt.Fprintf(&b, ", %d side by side at most", widest)
	}
	if w.MaxParallel > 0 {
		fmt.Fprintf(&b, ", max_parallel %d", w.MaxParallel)
	}
	b.WriteString("\n")
	for _, line := range w.frameLines() {
		b.WriteString(line + "\n")
	}
	return b.String()
}

// textLevels writes the steps, with nested steps indented. It returns the size of
// the largest level.
func (w *Workflow) textLevels(b *strings.Builder, levels [][]int, indent string, margin int) int {
	idWidth, doesWidth, widest := 0, 0, 0
	for _, s := range w.Steps {
		idWidth = max(idWidth, utf8.RuneCountInString(s.label()))
		doesWidth = max(doesWidth, utf8.RuneCountInString(s.does()))
	}
	idWidth, doesWidth = min(idWidth, 40), min(doesWidth, 40)
	for l, level := range levels {
		widest = max(widest, len(level))
		for i, at := range level {
			s := w.Steps[at]
			number := ""
			if i == 0 {
				number = fmt.Sprint(l + 1)
			}
			line := fmt.Sprintf("%s%*s %s %-*s  %-*s", indent, margin, number, bracket(i, len(level)), idWidth, s.label(), doesWidth, s.does())
			if len(s.Dependencies) > 0 {
				line += "  ← " + strings.Join(s.Dependencies, ", ")
			}
			if notes := s.notes(); notes != "" {
				line += "  (" + notes + ")"
			}
			b.WriteString(strings.TrimRight(line, " ") + "\n")
			if s.Body != nil && s.Workflow == "" {
				beside := " "
				if i < len(level)-1 {
					beside = "│"
				}
				inner := newDrawing(s.Body.Steps).levels()
				s.Body.textLevels(b, inner, indent+strings.Repeat(" ", margin+1)+beside+"  ", len(fmt.Sprint(len(inner))))
			}
		}
	}
	return widest
}

func bracket(i, n int) string {
	switch {
	case n == 1:
		return "──"
	case i == 0:
		return "┬─"
	case i == n-1:
		return "└─"
	}
	return "├─"
}

func plural(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// clean returns a text from a file for one line of a terminal or a drawing:
// without control characters or marks that change the direction of writing.
func clean(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || r == utf8.RuneError || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s))
}

// Mermaid draws the workflow as a Mermaid flowchart, which GitHub and many
// editors show inside Markdown.
func (w *Workflow) Mermaid() string {
	var b strings.Builder
	if title := clean(w.Name); title != "" {
		b.WriteString("---\ntitle: " + yamlQuote(title) + "\n---\n")
	}
	b.WriteString("flowchart LR\n")
	g := newDrawing(w.Steps)
	for i, s := range w.Steps {
		// Ids of steps can be words of the language, such as "end".
		begin, end := "[", "]"
		switch {
		case s.Approval != nil:
			begin, end = "([", "])"
		case s.Body != nil:
			begin, end = "[[", "]]"
		}
		fmt.Fprintf(&b, "    s%d%s\"%s", i, begin, mermaidEscape(s.label()))
		if does := s.does(); does != "" && does != s.ID {
			b.WriteString("<br/><small>" + mermaidEscape(does) + "</small>")
		}
		b.WriteString("\"" + end + "\n")
	}
	for i, needs := range g.needs {
		for _, d := range needs {
			arrow := "-->"
			if g.instead[[2]int{d, i}] {
				arrow = "-.->"
			}
			fmt.Fprintf(&b, "    s%d %s s%d\n", d, arrow, i)
		}
	}
	return b.String()
}

// yamlQuote writes a clean text as a YAML scalar.
func yamlQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// mermaidEscape writes what could mean something to Mermaid or to HTML as its
// character code.
func mermaidEscape(s string) string {
	var b strings.Builder
	for _, r := range clean(s) {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune(" -_.,:/", r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "#%d;", r)
		}
	}
	return b.String()
}
