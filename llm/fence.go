package llm

import (
	"regexp"
	"strings"
	"sync"
)

// Fence returns material from elsewhere (a file, the output of an earlier step)
// wrapped in an XML-like element, so that the model can tell it from its
// instructions:
//
//	<file path="main.go">
//	…
//	</file>
//
// The content cannot close the element early: every "</element" in it, in any
// case and with any blanks or invisible characters within, has its slash written
// as "\/". The same arguments always give the same text, which keeps the call's
// key stable.
func Fence(element, attribute, name, content string) string {
	var sb strings.Builder
	sb.Grow(len(name) + len(content) + len(attribute) + 2*len(element) + len("< =\"\">\n\n</>"))
	WriteFence(&sb, element, attribute, name, content)
	return sb.String()
}

// WriteFence adds to sb what [Fence] returns.
func WriteFence(sb *strings.Builder, element, attribute, name, content string) {
	name = attributeEscaper.Replace(name)
	content = closers(element).ReplaceAllString(content, `$1\/$2`)
	for _, text := range []string{"<", element, " ", attribute, `="`, name, "\">\n", content} {
		sb.WriteString(text)
	}
	if !strings.HasSuffix(content, "\n") {
		sb.WriteByte('\n')
	}
	sb.WriteString("</")
	sb.WriteString(element)
	sb.WriteByte('>')
}

// closers returns the pattern of what a reader may take for the end of an element:
// the part before its slash, and the part after it.
func closers(element string) *regexp.Regexp {
	if known, ok := closerPatterns.Load(element); ok {
		return known.(*regexp.Regexp)
	}
	const blanks = `[\s\pZ\pC]*`
	made := regexp.MustCompile(`(?i)(<` + blanks + `)/(` + blanks + regexp.QuoteMeta(element) + `)`)
	closerPatterns.Store(element, made)
	return made
}

var closerPatterns sync.Map // element -> *regexp.Regexp

var attributeEscaper = strings.NewReplacer(`&`, "&amp;", `"`, "&quot;", `<`, "&lt;", "\n", "&#10;", "\r", "&#13;")
