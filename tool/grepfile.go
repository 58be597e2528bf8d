package tool

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/claude-force/claude-force/internal/oslimit"
)

// fileMatches is what a search found in one file. Lines begin with the separator
// that stands after the path.
type fileMatches struct {
	file  found
	count int
	lines []string
	err   error
}

// file searches one file.
func (s *search) file(f found) fileMatches {
	content, err := s.env.read(f.path, maxSearched)
	if err != nil {
		if s.single || errors.Is(err, errSwapped) || oslimit.IsTooManyFiles(err) {
			return fileMatches{err: s.env.readError(f.path, err)}
		}
		return fileMatches{} // it is gone, or may not be read
	}
	decoded := decode(content.data)
	text := decoded.text
	if text == "" {
		return fileMatches{}
	}
	binary := decoded.encoding != encodingUTF16LE && decoded.encoding != encodingUTF16BE && strings.IndexByte(text, 0) >= 0
	if binary && !s.single {
		return fileMatches{}
	}
	result := fileMatches{file: f}
	matches, starts := s.matches(text)
	result.count = len(matches)
	switch {
	case result.count == 0 || s.Mode != "content":
	case binary:
		result.lines = []string{":binary file matches"}
	case s.Only:
		result.lines = s.only(text, matches, starts)
	default:
		result.lines = s.lines(text, matches, starts)
	}
	return result
}

// matches returns where a text matches, and where its lines start. Without
// multiline there is one match for each line.
func (s *search) matches(text string) (matches []span, starts []int) {
	expr := s.pattern.expr
	if s.Multiline {
		for _, m := range expr.FindAllStringIndex(text, -1) {
			if m[0] == len(text) && m[0] > 0 && text[m[0]-1] == '\n' {
				continue // after the last line
			}
			matches = append(matches, span{m[0], m[1]})
		}
	} else {
		for at := 0; at < len(text); {
			m := expr.FindStringIndex(text[at:])
			if m == nil {
				break
			}
			from := at
			if i := strings.LastIndexByte(text[at:at+m[0]], '\n'); i >= 0 {
				from = at + i + 1
			}
			to := len(text)
			if i := strings.IndexByte(text[from:], '\n'); i >= 0 {
				to = from + i
			}
			// The match may have crossed lines, which it must not.
			if from < len(text) && expr.MatchString(text[from:to]) {
				matches = append(matches, span{from, to})
				if s.Mode != "content" && s.Mode != "count" {
					return matches, nil
				}
			}
			at = to + 1
		}
	}
	if len(matches) == 0 || s.Mode != "content" {
		return matches, nil
	}
	starts = []int{0}
	for i := range len(text) - 1 {
		if text[i] == '\n' {
			starts = append(starts, i+1)
		}
	}
	return matches, starts
}

// line returns the number, from 0, of the line that holds a position.
func line(starts []int, at int) int {
	i, exact := slices.BinarySearch(starts, at)
	if exact {
		return i
	}
	return i - 1
}

// lineText returns a line with its end.
func lineText(text string, starts []int, i int) string {
	to := len(text)
	if i+1 < len(starts) {
		to = starts[i+1]
	}
	return text[starts[i]:to]
}

// only returns the matching parts, each on a line.
func (s *search) only(text string, matches []span, starts []int) []string {
	var lines []string
	add := func(number int, part string) {
		for i, l := range strings.Split(strings.TrimSuffix(part, "\n"), "\n") {
			lines = append(lines, s.format(':', number+i, l))
		}
	}
	for _, m := range matches {
		number := line(starts, m.from)
		if s.Multiline {
			add(number, text[m.from:m.to])
			continue
		}
		for _, part := range s.pattern.expr.FindAllString(text[m.from:m.to], -1) {
			add(number, part)
		}
	}
	return lines
}

// lines returns the matching lines and those around them.
func (s *search) lines(text string, matches []span, starts []int) []string {
	var lines []string
	next := 0 // the first line that was not shown
	show := func(from, to int, sep byte) {
		from = max(from, next)
		for i := from; i < to; i++ {
			lines = append(lines, s.format(sep, i, lineText(text, starts, i)))
		}
		next = max(next, to)
	}
	after := 0 // the line up to which context follows
	for _, m := range matches {
		first := line(starts, m.from)
		last := line(starts, max(m.from, m.to-1))
		show(next, min(after, first), '-')
		begin := max(0, first-s.before)
		if s.before+s.after > 0 && len(lines) > 0 && begin > next {
			lines = append(lines, "--")
		}
		show(begin, first, '-')
		show(first, last+1, ':')
		after = min(len(starts), last+1+s.after)
	}
	show(next, after, '-')
	return lines
}

// format returns a line of the result, from the separator after the path. The bound
// on its length counts the line end.
func (s *search) format(sep byte, number int, text string) string {
	if len(text) > maxColumns {
		text = "[Omitted long matching line]"
		if sep == '-' {
			text = "[Omitted long context line]"
		}
	}
	text = strings.TrimSuffix(text, "\n")
	if s.Numbers != nil && !*s.Numbers {
		return string(sep) + text
	}
	return string(sep) + strconv.Itoa(number+1) + string(sep) + text
}
