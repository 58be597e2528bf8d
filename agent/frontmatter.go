package agent

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/claude-force/claude-force/internal/yamltext"
)

// frontmatter holds the offsets of a file's parts: data[headStart:headEnd] is the YAML
// between the two "---" lines, data[bodyStart:] the body.
type frontmatter struct {
	found, closed                 bool
	headStart, headEnd, bodyStart int
	indented                      bool // a "---" line comes first, but not at the very start
}

const byteOrderMark = "\xef\xbb\xbf"

// headLine is the file's line number of the frontmatter's first line.
const headLine = 2

// split finds the frontmatter. Only whole lines count as its bounds, so a
// "---" inside a value or in the body changes nothing.
func split(data []byte) frontmatter {
	var f frontmatter
	if bytes.HasPrefix(data, []byte(byteOrderMark)) {
		f.bodyStart = len(byteOrderMark)
	}
	line, next := lineAt(data, f.bodyStart)
	if !isFence(line) {
		rest := bytes.TrimLeft(data[f.bodyStart:], " \t\r\n")
		first, _ := lineAt(rest, 0)
		f.indented = isFence(first)
		return f
	}
	f.found = true
	f.headStart = next
	for at := next; at < len(data); at = next {
		line, next = lineAt(data, at)
		if isFence(line) {
			f.closed, f.headEnd, f.bodyStart = true, at, next
			return f
		}
	}
	return f
}

// lineAt returns the line that starts at offset, without its end, and the offset
// of the next line.
func lineAt(data []byte, offset int) (line []byte, next int) {
	i := bytes.IndexByte(data[offset:], '\n')
	if i < 0 {
		return data[offset:], len(data)
	}
	return data[offset : offset+i], offset + i + 1
}

func isFence(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("---"))
	return ok && len(bytes.Trim(rest, " \t\r")) == 0
}

// clean converts data to text: LF line ends, valid UTF-8.
func clean(data []byte) string {
	return strings.ReplaceAll(validUTF8(data), "\r\n", "\n")
}

// validUTF8 converts data to valid UTF-8 and keeps its line ends.
func validUTF8(data []byte) string {
	return strings.ToValidUTF8(string(data), string(utf8.RuneError))
}

// field is one top-level key of the frontmatter.
type field struct {
	key   string
	line  int // in the frontmatter, 1-based
	col   int
	value *yaml.Node
}

// head is frontmatter that could be read.
type head struct {
	fields []field // in the order of the file, duplicates included
	broken error   // why it is not valid YAML; nil if it is
}

// yamlError is an error in frontmatter.
type yamlError struct {
	line    int // in the frontmatter, 1-based; 0 if unknown
	message string
	hint    string // may be empty
}

func (e *yamlError) Error() string { return e.message }

// readHead parses frontmatter as YAML and, if that fails, again with its values
// quoted. The error is a *yamlError.
func readHead(text string) (*head, error) {
	fields, err := loadFields(text)
	if err == nil {
		return &head{fields: fields}, nil
	}
	quoted := strings.Join(quoteLines(strings.Split(text, "\n")), "\n")
	fields, stillBroken := loadFields(quoted)
	if stillBroken != nil {
		return nil, stillBroken
	}
	return &head{fields: fields, broken: err}, nil
}

func loadFields(text string) ([]field, error) {
	if blank(text) {
		return nil, nil
	}
	var doc yaml.Node
	if err := yaml.Load([]byte(text), &doc); err != nil {
		p := yamltext.Explain(text, err)
		e := &yamlError{line: p.Line, message: p.Message, hint: p.Hint}
		if e.line == 0 {
			e.line = controlLine(text)
		}
		return nil, e
	}
	if len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, &yamlError{line: 1, message: "it is not a list of `key: value` lines"}
	}
	content := doc.Content[0].Content
	fields := make([]field, 0, len(content)/2)
	for i := 0; i+1 < len(content); i += 2 {
		key, value := content[i], content[i+1]
		if value.Kind == yaml.AliasNode {
			value = value.Alias
		}
		f := field{line: key.Line, col: key.Column, value: value}
		if key.Kind == yaml.ScalarNode {
			f.key = key.Value
		}
		fields = append(fields, f)
	}
	return fields, nil
}

// blank reports whether text has only comments and white space, which is not a
// YAML document.
func blank(text string) bool {
	for line := range strings.Lines(text) {
		line = strings.Trim(line, " \t\r\n")
		if line != "" && line[0] != '#' {
			return false
		}
	}
	return true
}

// controlLine returns the line of the first character that YAML does not allow.
// The error of the YAML parser has no position for it.
func controlLine(text string) int {
	line := 1
	for _, r := range text {
		switch {
		case r == '\n':
			line++
		case r < ' ' && r != '\t' && r != '\r', r == 0x7f:
			return line
		}
	}
	return 0
}

// quoteLines quotes the values of all top-level lines that may make the YAML
// invalid.
func quoteLines(lines []string) []string {
	quoted := make([]string, len(lines))
	for i, line := range lines {
		quoted[i] = quoteLine(line)
	}
	return quoted
}

func quoteLine(line string) string {
	key, value, ok := keyValue(line)
	if !ok || isQuoted(value) || !needsQuotes(value) {
		return line
	}
	return fmt.Sprintf(`%s: "%s"`, key, quoteReplacer.Replace(value))
}

var quoteReplacer = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// keyValue splits a line "key: value" that starts in the first column and has a
// value.
func keyValue(line string) (key, value string, ok bool) {
	key, rest, ok := strings.Cut(line, ":")
	if !ok || key == "" || strings.ContainsRune(rest, '\r') {
		return "", "", false
	}
	for _, r := range key {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-') {
			return "", "", false
		}
	}
	value = strings.TrimLeft(rest, " \t")
	if value == rest || value == "" {
		return "", "", false
	}
	return key, value, true
}

func isQuoted(value string) bool {
	for _, q := range []string{`"`, `'`} {
		if strings.HasPrefix(value, q) && strings.HasSuffix(value, q) {
			return true
		}
	}
	return false
}

func needsQuotes(value string) bool {
	return strings.ContainsAny(value, "{}[]*&#!|>%@`") || strings.Contains(value, ": ")
}
