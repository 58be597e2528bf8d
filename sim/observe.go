package sim

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"
)

// element is a labelled section of a prompt, such as <file path="a.go">…</file>.
type element struct{ name, text string }

// elements finds the sections of one kind.
func elements(prompt, tag, attribute string) []element {
	var found []element
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
		found = append(found, element{name, strings.TrimPrefix(text, "\n")})
		prompt = after
	}
}

// unfenced is a prompt without its labelled sections.
func unfenced(prompt string) string {
	for _, tag := range []string{"file", "step", "item", "system-reminder"} {
		for _, open := range []string{"<" + tag + " ", "<" + tag + ">"} {
			prompt = without(prompt, open, "</"+tag+">")
		}
	}
	return prompt
}

// without is text with everything from each open to the next end cut out.
func without(text, open, end string) string {
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

// Compiled with their first use: most processes that link the simulator never ask
// it anything.
var (
	functions = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`(?m)^\s*(?:export\s+|pub\s+|async\s+|static\s+)*(?:func|def|fn|function)\s`)
	})
	classes = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`(?m)^\s*(?:export\s+|pub\s+)?(?:class|struct|interface|trait|type)\s+\w+`)
	})
	remarks = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?i)\b(?:todo|fixme)\b`) })
	bare    = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?m)^\s*except\s*:`) })
)

// observe says what can be counted in a file.
func observe(f element) string {
	lines := strings.Split(strings.TrimSuffix(f.text, "\n"), "\n")
	longest, at, trailing := 0, 0, 0
	firstRemark := 0
	for i, line := range lines {
		if n := utf8.RuneCountInString(line); n > longest {
			longest, at = n, i+1
		}
		if strings.TrimRight(line, " \t") != line {
			trailing++
		}
		if firstRemark == 0 && remarks().MatchString(line) {
			firstRemark = i + 1
		}
	}
	facts := []string{fmt.Sprintf("%d lines", len(lines)), fmt.Sprintf("longest is line %d with %d characters", at, longest)}
	if n := len(functions().FindAllString(f.text, -1)); n > 0 {
		facts = append(facts, fmt.Sprintf("%d functions", n))
	}
	if n := len(classes().FindAllString(f.text, -1)); n > 0 {
		facts = append(facts, fmt.Sprintf("%d types", n))
	}
	if firstRemark > 0 {
		facts = append(facts, fmt.Sprintf("unfinished work noted on line %d", firstRemark))
	}
	if trailing > 0 {
		facts = append(facts, fmt.Sprintf("%d lines with trailing space", trailing))
	}
	if n := len(bare().FindAllString(f.text, -1)); n > 0 {
		facts = append(facts, fmt.Sprintf("%d bare except clauses", n))
	}
	return f.name + ": " + strings.Join(facts, ", ")
}
