package importer

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
)

// piece is a part of a template of Jinja.
type piece struct {
	kind     pieceKind
	text     string // of text: itself; of output: the expression; of a loop: the list
	variable string // of a loop
	branches []branch
	source   string // as it was written
	line     int    // from 0
}

type pieceKind int

const (
	pieceText pieceKind = iota
	pieceOutput
	pieceIf
	pieceFor
)

// branch is what stands under an if, an elif, an else or a for.
type branch struct {
	cond string // empty: else
	body []piece
}

// hasTemplate reports whether a text is a template of Jinja.
func hasTemplate(s string) bool {
	return strings.Contains(s, "{{") || strings.Contains(s, "{%") || strings.Contains(s, "{#")
}

var (
	jinjaTag = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?s)\{\{-?.*?-?\}\}|\{%-?.*?-?%\}|\{#.*?#\}`) })
	forTag   = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*)\s+in\s+(.+)$`) })
	endRaw   = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\{%-?\s*endraw\s*-?%\}`) })
)

// jinjaParser cuts a template into pieces.
type jinjaParser struct {
	source string
	tags   [][]int // those that are left
	at     int     // up to where the source was read
	depth  int
}

func parseJinja(source string) ([]piece, error) {
	p := &jinjaParser{source: source, tags: jinjaTag().FindAllStringIndex(source, -1)}
	pieces, end, err := p.pieces()
	if err == nil && end != "" {
		err = fmt.Errorf("{%% %s %%} has no beginning", oneLine(end))
	}
	return pieces, err
}

// pieces reads up to the end, or to a tag that ends or divides a block, which it returns.
func (p *jinjaParser) pieces() (pieces []piece, end string, err error) {
	if p.depth++; p.depth > 20 {
		return nil, "", errors.New("blocks are nested too deep")
	}
	defer func() { p.depth-- }()
	text := func(s string) {
		if s != "" {
			pieces = append(pieces, piece{kind: pieceText, text: s})
		}
	}
	for len(p.tags) > 0 {
		tag := p.tags[0]
		p.tags = p.tags[1:]
		if tag[0] < p.at {
			continue
		}
		whole := p.source[tag[0]:tag[1]]
		before := p.source[p.at:tag[0]]
		p.at = tag[1]
		inner := strings.TrimSpace(strings.Trim(whole[2:len(whole)-2], "-"))
		line := strings.Count(p.source[:tag[0]], "\n")
		if strings.HasPrefix(whole, "{{") {
			if strings.HasPrefix(whole, "{{-") {
				before = strings.TrimRight(before, " \t\n")
			}
			text(before)
			pieces = append(pieces, piece{kind: pieceOutput, text: inner, source: whole, line: line})
			p.trim(whole)
			continue
		}
		text(p.block(before, whole))
		if strings.HasPrefix(whole, "{#") {
			continue
		}
		word, rest, _ := strings.Cut(inner, " ")
		switch word {
		case "raw":
			loc := endRaw().FindStringIndex(p.source[p.at:])
			if loc == nil {
				return nil, "", errors.New("{% raw %} has no end")
			}
			text(p.source[p.at : p.at+loc[0]])
			p.at += loc[1]
		case "if", "for":
			b, err := p.branches(word, strings.TrimSpace(rest))
			if err != nil {
				return nil, "", err
			}
			b.source, b.line = p.source[tag[0]:p.at], line
			pieces = append(pieces, b)
		case "elif", "else", "endif", "endfor":
			return pieces, inner, nil
		default:
			return nil, "", fmt.Errorf("{%% %s %%} has no counterpart", oneLine(word))
		}
	}
	if p.at < len(p.source) {
		text(p.source[p.at:])
		p.at = len(p.source)
	}
	return pieces, "", nil
}

// block returns what is left of the text before a tag of a block. Of one that stands
// alone in its line the line goes too.
func (p *jinjaParser) block(before, whole string) string {
	after := p.source[p.at:]
	line := before[strings.LastIndexByte(before, '\n')+1:]
	rest, _, more := strings.Cut(after, "\n")
	if !strings.HasPrefix(whole, "{%-") && strings.TrimSpace(line) == "" && strings.TrimSpace(rest) == "" && (more || rest != after) {
		before = before[:len(before)-len(line)]
		p.at += len(rest) + 1
	}
	if strings.HasPrefix(whole, "{%-") {
		before = strings.TrimRight(before, " \t\n")
	}
	p.trim(whole)
	return before
}

// trim skips the blanks after a tag that says so.
func (p *jinjaParser) trim(whole string) {
	if strings.HasSuffix(whole, "-%}") || strings.HasSuffix(whole, "-}}") {
		p.at = len(p.source) - len(strings.TrimLeft(p.source[p.at:], " \t\n"))
	}
}

func (p *jinjaParser) branches(word, head string) (piece, error) {
	b := piece{kind: pieceIf}
	if word == "for" {
		m := forTag().FindStringSubmatch(head)
		if m == nil {
			return b, fmt.Errorf("{%% for %s %%} has no counterpart", oneLine(head))
		}
		b.kind, b.variable, b.text = pieceFor, m[1], m[2]
	}
	if head == "" {
		return b, errors.New("{% if %} has no condition")
	}
	cond := head
	for {
		body, end, err := p.pieces()
		if err != nil {
			return b, err
		}
		b.branches = append(b.branches, branch{cond, body})
		switch next, rest, _ := strings.Cut(end, " "); {
		case end == "end"+word:
			return b, nil
		case word == "if" && next == "elif" && cond != "":
			if cond = strings.TrimSpace(rest); cond == "" {
				return b, errors.New("{% elif %} has no condition")
			}
		case word == "if" && next == "else" && cond != "":
			cond = ""
		default:
			return b, fmt.Errorf("{%% %s %%} has no end", word)
		}
	}
}
