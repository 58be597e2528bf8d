// Package mdscan finds what instructions in Markdown say to their reader's program:
// files that they refer to, and comments that the reader does not get. Neither is
// looked for in code.
package mdscan

import (
	"strings"
	"unicode"
)

// References returns the paths that a text refers to, in order: each follows an @ at
// the start of a line or after white space, and lasts until the next white space.
func References(text string) []string {
	_, references := Scan(text)
	return references
}

// Scan returns a text without its HTML comments, and the paths that the rest refers
// to.
func Scan(text string) (kept string, references []string) {
	s := scanner{text: text, blank: true, comments: true}
	for s.at < len(s.text) {
		if s.lineStart() {
			if end := s.fence(); end > s.at {
				s.keep(end)
				continue
			}
		}
		s.inline()
	}
	return s.out.String(), s.references
}

type scanner struct {
	text       string
	at         int
	out        strings.Builder
	references []string
	blank      bool // the last line of out is, so far
	comments   bool // another comment may have an end
}

func (s *scanner) keep(end int) {
	kept := s.text[s.at:end]
	s.out.WriteString(kept)
	s.at = end
	if i := strings.LastIndexByte(kept, '\n'); i >= 0 {
		s.blank, kept = true, kept[i+1:]
	}
	s.blank = s.blank && strings.TrimSpace(kept) == ""
}

func (s *scanner) lineStart() bool { return s.at == 0 || s.text[s.at-1] == '\n' }

// Fenced returns the start and the end of each fenced block of code in a text.
func Fenced(text string) [][2]int {
	var blocks [][2]int
	for at := 0; at < len(text); {
		s := scanner{text: text, at: at}
		if end := s.fence(); end > at {
			blocks = append(blocks, [2]int{at, end})
			at = end
			continue
		}
		_, at = lineAt(text, at)
	}
	return blocks
}

// fence returns the end of a fenced block of code that starts here; the current
// offset if none does. A block without an end lasts until the end of the text.
func (s *scanner) fence() int {
	line, next := lineAt(s.text, s.at)
	mark, length, info := fenceOf(line)
	if length < 3 || mark == '`' && strings.Contains(info, "`") {
		return s.at
	}
	for next < len(s.text) {
		line, next = lineAt(s.text, next)
		if m, n, rest := fenceOf(line); m == mark && n >= length && strings.TrimSpace(rest) == "" {
			return next
		}
	}
	return len(s.text)
}

// fenceOf returns the character of a fence, how often it stands there, and the rest
// of the line.
func fenceOf(line string) (mark byte, length int, rest string) {
	trimmed := strings.TrimLeft(line, " ")
	if len(line)-len(trimmed) > 3 || trimmed == "" || trimmed[0] != '`' && trimmed[0] != '~' {
		return 0, 0, ""
	}
	rest = strings.TrimLeft(trimmed, trimmed[:1])
	return trimmed[0], len(trimmed) - len(rest), rest
}

// lineAt returns the line at an offset, without its end, and the offset of the next.
func lineAt(text string, at int) (line string, next int) {
	if i := strings.IndexByte(text[at:], '\n'); i >= 0 {
		return text[at : at+i], at + i + 1
	}
	return text[at:], len(text)
}

// inline reads up to the end of the line, or of what starts in it.
func (s *scanner) inline() {
	for s.at < len(s.text) {
		rest := s.text[s.at:]
		i := strings.IndexAny(rest, "`<@\n")
		if i < 0 {
			s.keep(len(s.text))
			return
		}
		s.keep(s.at + i)
		switch rest[i] {
		case '\n':
			s.keep(s.at + 1)
			return
		case '`':
			s.code()
		case '<':
			if s.comment() {
				return
			}
		case '@':
			s.reference()
		}
	}
}

// code keeps a span of code, or the backquotes that start none.
func (s *scanner) code() {
	rest := s.text[s.at:]
	marks := len(rest) - len(strings.TrimLeft(rest, "`"))
	for at := marks; ; {
		i := strings.IndexByte(rest[at:], '`')
		if i < 0 || strings.Contains(rest[at:at+i], "\n\n") { // the paragraph ends
			s.keep(s.at + marks)
			return
		}
		at += i
		run := len(rest[at:]) - len(strings.TrimLeft(rest[at:], "`"))
		at += run
		if run == marks {
			s.keep(s.at + at)
			return
		}
	}
}

// comment drops a comment, with its line if nothing else is in it, and reports
// whether that ended a line. A comment without an end is text.
func (s *scanner) comment() (lineEnded bool) {
	rest := s.text[s.at:]
	if s.comments && strings.HasPrefix(rest, "<!--") {
		if end := strings.Index(rest[4:], "-->"); end >= 0 {
			s.at += 4 + end + 3
			after := strings.TrimLeftFunc(s.text[s.at:], func(r rune) bool { return r != '\n' && unicode.IsSpace(r) })
			if !s.blank || after != "" && after[0] != '\n' {
				return false
			}
			s.at = len(s.text) - len(strings.TrimPrefix(after, "\n"))
			return true
		}
		s.comments = false
	}
	s.keep(s.at + 1)
	return false
}

// reference keeps a reference and takes its path.
func (s *scanner) reference() {
	if s.at > 0 && !strings.ContainsRune(" \t\n", rune(s.text[s.at-1])) {
		s.keep(s.at + 1)
		return
	}
	var path strings.Builder
	end := s.at + 1
	for end < len(s.text) && !strings.ContainsRune(" \t\r\n", rune(s.text[end])) {
		if strings.HasPrefix(s.text[end:], `\ `) {
			end++
		}
		path.WriteByte(s.text[end])
		end++
	}
	s.keep(end)
	if path.Len() > 0 {
		s.references = append(s.references, path.String())
	}
}
