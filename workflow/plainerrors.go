package workflow

import (
	"regexp"
	"strings"
	"sync"
)

// goTypes has the names that types of Go have in messages of the expression language, and
// those of workflows. Some are names of functions too, so they count only where a message has a type.
var goTypes = sync.OnceValue(func() []struct {
	goName *regexp.Regexp
	name   string
} {
	const before = `(\b(?:types?|got|use|and|from|slice|is|not|expected|concat|:|[<>=!+*/%-]+) |\()`
	list := []struct{ pattern, name string }{
		{`(\[\])+(interface ?\{\}|any|string|bool|u?int\d*|float\d+|map\[string\](interface ?\{\}|any|string))`, "array"},
		{`\bmap\[string\](interface ?\{\}|any|string)`, "object"},
		{`\b\*?workflow\.Object\b`, "object"},
		{`\b(\*?workflow\.number|json\.Number|float\d+)\b`, "number"},
		{`interface ?\{\}`, "any"},
		{before + `u?int\d*\b`, "${1}integer"},
		{before + `bool\b`, "${1}boolean"},
		{`: strconv\.\w+: parsing "[^"]*": (invalid syntax|value out of range)`, ""},
		{`\bnon-bool\b`, "non-boolean"},
	}
	out := make([]struct {
		goName *regexp.Regexp
		name   string
	}, len(list))
	for i, l := range list {
		out[i].goName, out[i].name = regexp.MustCompile(l.pattern), l.name
	}
	return out
})

// plainTypes returns a message of the expression language with the types of workflows in
// the place of those of Go.
func plainTypes(message string) string {
	message = strings.TrimSpace(message)
	for _, t := range goTypes() {
		message = t.goName.ReplaceAllString(message, t.name)
	}
	return message
}
