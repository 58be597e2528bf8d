package agent

import (
	"fmt"
	"slices"
	"strings"
)

// Fix repairs frontmatter that is not valid YAML but can be read (see the package
// comment). The result is valid and has the same meaning: Fix quotes values that
// need quotes, and comments out all but the last of duplicate keys. It keeps all
// other lines, comments included, and the whole body byte for byte. If the file
// needs no repair, changed is false. Fix is idempotent.
//
// The error is a [*NotAgentError] if the frontmatter cannot be repaired without
// a change of meaning; then fixed is data.
func Fix(data []byte) (fixed []byte, changed bool, err error) {
	f := split(data)
	if !f.found {
		return data, false, nil
	}
	if !f.closed {
		return data, false, &NotAgentError{Line: 1, Message: "the frontmatter has no end", Hint: "close it with a line ---"}
	}
	raw := string(data[f.headStart:f.headEnd])
	lines := strings.Split(clean([]byte(raw)), "\n")
	h, err := readHead(strings.Join(lines, "\n"))
	if err != nil {
		return data, false, &NotAgentError{Line: fileLine(1), Message: "the frontmatter cannot be repaired: " + err.Error(), Hint: hintQuote}
	}
	if h.broken == nil && !hasDuplicates(h.fields) {
		return data, false, nil
	}
	want := meaning(h)
	repaired := slices.Clone(lines)
	if h.broken != nil {
		repaired = quoteFewest(lines, want)
	}
	double := duplicateLines(repaired)
	var out, text []string // the new lines as bytes of the file, and as read
	for i, rawLine := range strings.Split(raw, "\n") {
		if double[i] {
			repaired[i] = "# " + repaired[i]
		}
		text = append(text, repaired[i])
		if repaired[i] != lines[i] {
			end := rawLine[len(strings.TrimSuffix(rawLine, "\r")):]
			rawLine = repaired[i] + end
		}
		out = append(out, rawLine)
	}
	got, err := readHead(strings.Join(text, "\n"))
	if err != nil || got.broken != nil || hasDuplicates(got.fields) || meaning(got) != want {
		return data, false, &NotAgentError{Line: fileLine(1), Message: "the frontmatter cannot be repaired without a change of meaning",
			Hint: "quote values that hold special characters, and remove keys given twice"}
	}
	return slices.Concat(data[:f.headStart], []byte(strings.Join(out, "\n")), data[f.headEnd:]), true, nil
}

// meaning returns the content of frontmatter as one comparable text.
func meaning(h *head) string {
	var p parser
	var a Agent
	p.fill(&a, h)
	return fmt.Sprintf("%#v", a)
}

// maxUnquote bounds the work of [quoteFewest], which reads the frontmatter
// once for every quoted line. Files have a handful of them.
const maxUnquote = 100

// quoteFewest quotes as few values as possible, so that the lines are valid YAML
// with the meaning want. For example, a list of tools stays a list.
func quoteFewest(lines []string, want string) []string {
	quoted := quoteLines(lines)
	tries := 0
	for i, line := range lines {
		if quoted[i] == line {
			continue
		}
		if tries++; tries > maxUnquote {
			break
		}
		again := quoted[i]
		quoted[i] = line
		if fields, err := loadFields(strings.Join(quoted, "\n")); err != nil || meaning(&head{fields: fields}) != want {
			quoted[i] = again
		}
	}
	return quoted
}

func hasDuplicates(fields []field) bool {
	seen := make(map[string]bool, len(fields))
	for _, f := range fields {
		if f.key != "" && seen[f.key] {
			return true
		}
		seen[f.key] = true
	}
	return false
}

// duplicateLines returns which lines belong to a key that is repeated below.
// Comments and blank lines before the next key are not marked.
func duplicateLines(lines []string) []bool {
	double := make([]bool, len(lines))
	fields, err := loadFields(strings.Join(lines, "\n"))
	if err != nil {
		return double
	}
	last := make(map[string]int, len(fields))
	for i, f := range fields {
		last[f.key] = i
	}
	for i, f := range fields {
		if f.key == "" || last[f.key] == i || f.col != 1 {
			continue
		}
		// YAML knows more line breaks than \n, so its count may run ahead.
		end := min(fields[i+1].line-1, len(lines))
		for end > f.line && blank(lines[end-1]) {
			end--
		}
		for n := f.line - 1; n < end; n++ {
			double[n] = true
		}
	}
	return double
}
