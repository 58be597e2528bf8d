package llm

import "strings"

// Fence returns material from elsewhere (a file, the output of an earlier step)
// wrapped in an XML-like element, so that the model can tell it from its
// instructions:
//
//	<file path="main.go">
//	…
//	</file>
//
// The content cannot close the element early: every "</element" in it is
// written as "<\/element". The same arguments always give the same text,
// which keeps the call's key stable.
func Fence(element, attribute, name, content string) string {
	var sb strings.Builder
	sb.WriteString("<" + element + " " + attribute + `="` + attributeEscaper.Replace(name) + "\">\n")
	sb.WriteString(strings.ReplaceAll(content, "</"+element, `<\/`+element))
	if !strings.HasSuffix(content, "\n") {
		sb.WriteByte('\n')
	}
	sb.WriteString("</" + element + ">")
	return sb.String()
}

var attributeEscaper = strings.NewReplacer(`&`, "&amp;", `"`, "&quot;", `<`, "&lt;", "\n", "&#10;")
