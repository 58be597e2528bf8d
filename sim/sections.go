package sim

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"
)

// section is a labelled part of a prompt, such as <file path="a.go">…</file>.
type section struct{ name, text string }

// sections returns the sections with the given tag. The attribute holds a
// section's name.
func sections(prompt, tag, attribute string) []section {
	var found []section
	open, end := "<"+tag+" "+attribute+`="`, "</"+tag+">"
	for {
		_, rest, ok := strings.Cut(prompt, open)
		if !ok {
			return found
		}
		name, rest, ok := strings.Cut(rest, `">`)
		if !ok {
			return found
		}
		text, after, ok := strings.Cut(rest, end)
		if !ok {
			return found
		}
		found = append(found, section{name, strings.TrimPrefix(text, "\n")})
		prompt = after
	}
}

// stripSections returns the prompt without its labelled sections.
func stripSections(prompt string) string {
	for _, tag := range []string{"file", "step", "item", "system-reminder"} {
		for _, open := range []string{"<" + tag + " ", "<" + tag + ">"} {
			prompt = cutAll(prompt, open, "</"+tag+">")
		}
	}
	return prompt
}

// cutAll removes everything from each open to the next end.
func cutAll(text, open, end string) string {
	var sb strings.Builder
	for {
		before, rest, ok := strings.Cut(text, open)
		if !ok {
			break
		}
		_, after, ok := strings.Cut(rest, end)
		if !ok {
			break
		}
		sb.WriteString(before)
		text = after
	}
	return sb.String() + text
}

// Compiled on first use: most processes that link the simulator never call it.
var (
	functions = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`(?m)^\s*(?:export\s+|pub\s+|async\s+|static\s+)*(?:func|def|fn|function)\s`)
	})
	types = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`(?m)^\s*(?:export\s+|pub\s+)?(?:class|struct|interface|trait|type)\s+\w+`)
	})
	todos       = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?i)\b(?:todo|fixme)\b`) })
	bareExcepts = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?m)^\s*except\s*:`) })
)

// describeFile returns the facts about a file that can be counted.
func describeFile(f section) string {
	lines := strings.Split(strings.TrimSuffix(f.text, "\n"), "\n")
	longest, at, trailing := 0, 0, 0
	firstTodo := 0
	for i, line := range lines {
		if n := utf8.RuneCountInString(line); n > longest {
			longest, at = n, i+1
		}
		if strings.TrimRight(line, " \t") != line {
			trailing++
		}
		if firstTodo == 0 && todos().MatchString(line) {
			firstTodo = i + 1
		}
	}
	facts := []string{fmt.Sprintf("%d lines", len(lines)), fmt.Sprintf("longest is line %d with %d characters", at, longest)}
	if n := len(functions().FindAllString(f.text, -1)); n > 0 {
		facts = append(facts, fmt.Sprintf("%d functions", n))
	}
	if n := len(types().FindAllString(f.text, -1)); n > 0 {
		facts = append(facts, fmt.Sprintf("%d types", n))
	}
	if firstTodo > 0 {
		facts = append(facts, fmt.Sprintf("unfinished work noted on line %d", firstTodo))
	}
	if trailing > 0 {
		facts = append(facts, fmt.Sprintf("%d lines with trailing space", trailing))
	}
	if n := len(bareExcepts().FindAllString(f.text, -1)); n > 0 {
		facts = append(facts, fmt.Sprintf("%d bare except clauses", n))
	}
	return f.name + ": " + strings.Join(facts, ", ")
}
