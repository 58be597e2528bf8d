package workflow

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	yaml "go.yaml.in/yaml/v4"

	"github.com/claude-force/claude-force/internal/yamltext"
)

// text returns the text of a scalar, or "" for nil and null.
func (p *reader) text(n *yaml.Node, key string) string {
	switch {
	case n == nil || isNull(n):
		return ""
	case n.Kind == yaml.ScalarNode && n.Tag == "!!str":
		return n.Value
	}
	hint := ""
	if n.Kind == yaml.ScalarNode {
		hint = "put it in quotes"
	}
	p.fail(n, nil, hint, "%s must be a text, not %s", key, kindOf(n))
	return ""
}

// whole reports a text without quotes that YAML ends at a # which may belong to it.
// A prompt is refused at any such comment, another text unless a blank follows the #.
func (p *reader) whole(n *yaml.Node, what string) {
	n = follow(n)
	if n.Anchor != "" && n.Style == 0 && !p.aliased[n] {
		p.fail(n, nil, "put the value in quotes", "%s begins with &%s, which YAML takes for a name of the value", what, n.Anchor)
	}
	if n.LineComment == "" {
		return
	}
	rest := p.src.text[p.src.offset(n.Line, n.Column):]
	comment, cut := yamltext.CutComment(n, rest)
	prompt := what == "task" || what == "message" || what == "prompt" || what == "arguments"
	if cut && (prompt || !yamltext.IsAside(comment)) {
		p.fail(n, nil, "put the value in quotes if it goes on, or two blanks before the # if it is a comment",
			"%s ends before %s, where YAML begins a comment", what, quote(comment))
	}
}

// plain returns a text that must not be empty and must hold no expression.
func (p *reader) plain(n *yaml.Node, key string) string {
	before := p.failures
	s := p.text(n, key)
	switch {
	case p.failures > before:
	case strings.TrimSpace(s) == "":
		p.fail(n, nil, "", "%s is empty", key)
	case strings.Contains(s, exprOpen):
		p.fail(n, ErrExpression, "write the value itself", "%s cannot hold an expression", key)
	default:
		return s
	}
	return ""
}

// count returns a whole number of at least low, or 0 for nil and null.
func (p *reader) count(n *yaml.Node, key string, low int) int {
	if n == nil || isNull(n) {
		return 0
	}
	v, err := strconv.ParseInt(n.Value, 0, 64)
	switch {
	case n.Tag == "!!float":
		p.fail(n, nil, "", "%s must be a whole number, not %s", key, n.Value)
	case n.Kind != yaml.ScalarNode || n.Tag != "!!int":
		p.fail(n, nil, "", "%s must be a whole number, not %s", key, kindOf(n))
	case err != nil || v > math.MaxInt32:
		p.fail(n, nil, "", "%s %s is too large", key, n.Value)
	case v < int64(low):
		p.fail(n, nil, "", "%s must be at least %d, not %s", key, low, n.Value)
	default:
		return int(v)
	}
	return 0
}

const durationHint = `write it like "90s", "5m" or "1h30m", or as a number of seconds`

func (p *reader) duration(n *yaml.Node, key string) time.Duration {
	if n.Kind != yaml.ScalarNode {
		p.fail(n, nil, durationHint, "%s must be a duration, not %s", key, kindOf(n))
		return 0
	}
	var d time.Duration
	var err error
	switch n.Tag {
	case "!!int", "!!float":
		var seconds float64
		seconds, err = strconv.ParseFloat(strings.ReplaceAll(n.Value, "_", ""), 64)
		if err == nil && !(math.Abs(seconds) < math.MaxInt64/1e9) {
			err = errors.New("out of range")
		}
		d = time.Duration(seconds * 1e9)
	case "!!str":
		d, err = time.ParseDuration(strings.TrimSpace(n.Value))
	default:
		p.fail(n, nil, durationHint, "%s must be a duration, not %s", key, kindOf(n))
		return 0
	}
	switch {
	case err != nil:
		p.fail(n, nil, durationHint, "%s %s is not a duration", key, quote(n.Value))
	case d <= 0:
		p.fail(n, nil, "leave it out for no limit", "%s must be more than 0, not %s", key, n.Value)
	default:
		return d
	}
	return 0
}

// quote returns a name as messages show it: quoted, short and on one line.
func quote(s string) string {
	if len(s) > 80 {
		s = strings.ToValidUTF8(s[:80], "") + "…"
	}
	return strconv.Quote(s)
}

// list joins at most ten names, and the number of the others.
func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	if len(names) > 10 {
		return strings.Join(names[:10], ", ") + fmt.Sprintf(" and %d more", len(names)-10)
	}
	return strings.Join(names, ", ")
}
