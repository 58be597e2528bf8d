package workflow

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text draws the workflow for a terminal: one group of lines per level, the
// steps that can run side by side joined by a bracket, each with its agent and
// what it waits for. It ends with a newline and holds no control characters.
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
	levels := newGraph(w.Steps).levels()
	idWidth, agentWidth, widest := 0, 0, 0
	for _, s := range w.Steps {
		idWidth = max(idWidth, utf8.RuneCountInString(s.ID))
		agentWidth = max(agentWidth, utf8.RuneCountInString(clean(s.Agent)))
	}
	idWidth, agentWidth = min(idWidth, 40), min(agentWidth, 40)
	margin := len(fmt.Sprint(len(levels)))
	for l, level := range levels {
		widest = max(widest, len(level))
		for i, at := range level {
			s := w.Steps[at]
			label := ""
			if i == 0 {
				label = fmt.Sprint(l + 1)
			}
			line := fmt.Sprintf("%*s %s %-*s  %-*s", margin, label, bracket(i, len(level)), idWidth, s.ID, agentWidth, clean(s.Agent))
			if len(s.Dependencies) > 0 {
				line += "  ← " + strings.Join(s.Dependencies, ", ")
			}
			b.WriteString(strings.TrimRight(line, " ") + "\n")
		}
	}
	fmt.Fprintf(&b, "\n%s in %s", plural(len(w.Steps), "step"), plural(len(levels), "level"))
	if widest > 1 {
		fmt.Fprintf(&b, ", %d side by side at most", widest)
	}
	if w.MaxParallel > 0 {
		fmt.Fprintf(&b, ", max_parallel %d", w.MaxParallel)
	}
	b.WriteString("\n")
	return b.String()
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

// clean makes a text from a file fit for one line of a terminal or a drawing:
// no control characters, nothing that changes the direction of writing.
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
	g := newGraph(w.Steps)
	for i, s := range w.Steps {
		// Ids of steps can be words of the language, such as "end".
		fmt.Fprintf(&b, "    s%d[\"%s", i, mermaidEscape(s.ID))
		if s.Agent != "" && s.Agent != s.ID {
			b.WriteString("<br/><small>" + mermaidEscape(s.Agent) + "</small>")
		}
		b.WriteString("\"]\n")
	}
	for i, needs := range g.needs {
		for _, d := range needs {
			fmt.Fprintf(&b, "    s%d --> s%d\n", d, i)
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
