package agent

import (
	"bytes"
	"strings"
)

// notNamed reports whether the file is certainly not the agent with a name,
// without parsing its YAML. If it returns false, only [Parse] can tell.
//
// It is certain if the file has no frontmatter, so that its own name counts; or
// if the frontmatter's first line is "name: X" with a plain X, the next line
// is a key of its own, and no later line can be a second name. Then X is the
// name under YAML and under YAML with quoted values alike.
func notNamed(file string, data []byte, name string) bool {
	f := split(data)
	if !f.found {
		return fileName(file) != name
	}
	if !f.closed {
		return true
	}
	text := data[f.headStart:f.headEnd]
	line, next := lineAt(text, 0)
	got, ok := bytes.CutPrefix(line, []byte("name: "))
	got = bytes.TrimSuffix(got, []byte("\r"))
	if !ok || !isPlain(got) || string(got) == name {
		return false
	}
	for at, first := next, true; at < len(text); first = false {
		line, next = lineAt(text, at)
		at = next
		switch {
		case bytes.HasPrefix(line, []byte("name")):
			return false
		case bytes.ContainsRune(bytes.TrimSuffix(line, []byte("\r")), '\r'):
			return false // YAML treats it as a line break
		case len(line) > 0 && isLetter(line[0]):
		case first:
			return false // the name may continue here
		case len(line) > 0 && !strings.ContainsRune(" \t\r#-", rune(line[0])):
			return false // a key in quotes, a tag, an anchor or a merge
		}
	}
	return true
}

// isPlain reports whether YAML reads b unchanged as text, as any value.
func isPlain(b []byte) bool {
	if len(b) == 0 || !isLetter(b[0]) || strings.EqualFold(string(b), "null") {
		return false
	}
	for _, c := range b {
		if !isLetter(c) && !(c >= '0' && c <= '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
