package structured

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Extract returns the JSON in an output that obeys the schema: the whole of it, else
// the last document within it, in a code fence or in the text. others is how many
// different documents before it obey the schema too. The error says what is wrong with
// the output.
func (s *Schema) Extract(output string) (document string, others int, err error) {
	problem := errNotJSON
	var found []string
	for _, candidate := range candidates(strings.TrimSpace(output)) {
		if err := s.schema.Validate(candidate); err != nil {
			problem = err // of the last one, which is most likely the answer
			continue
		}
		key := compact(candidate)
		if i := slices.IndexFunc(found, func(f string) bool { return compact(f) == key }); i >= 0 {
			found = slices.Delete(found, i, i+1)
		}
		found = append(found, candidate)
	}
	if len(found) == 0 {
		return "", 0, problem
	}
	return found[len(found)-1], len(found) - 1, nil
}

var errNotJSON = errors.New("it is not JSON")

func compact(document string) string {
	var b bytes.Buffer
	if json.Compact(&b, []byte(document)) != nil {
		return document
	}
	return b.String()
}

// fence is a code block. It may hold a document that is no object or array.
var fence = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile("(?ms)^[ \t]*(?:```|~~~)[^`\n]*\n(.*?)^[ \t]*(?:```|~~~)")
})

// maxScan bounds the bytes that the search for documents reads in all, since text with
// many brackets that are none makes it read the rest again and again.
const maxScan = 64 << 20

// candidates returns the JSON documents in a text, in order: the text itself if it is
// one; else every object and array that is not within another, and what code blocks
// hold.
func candidates(text string) []string {
	if json.Valid([]byte(text)) {
		return []string{text}
	}
	blocks := fence().FindAllStringSubmatchIndex(text, -1)
	var list []string
	left := maxScan
	for at := 0; at < len(text) && left > 0; {
		if len(blocks) > 0 && at >= blocks[0][2] {
			begin, end := blocks[0][2], blocks[0][3]
			blocks = blocks[1:]
			if block := strings.TrimSpace(text[begin:end]); at <= end && json.Valid([]byte(block)) {
				list, at = append(list, block), end
				continue
			}
		}
		next := len(text)
		if i := strings.IndexAny(text[at:], "{["); i >= 0 {
			next = at + i
		}
		if len(blocks) > 0 && blocks[0][2] <= next {
			at = blocks[0][2]
			continue
		}
		if next == len(text) {
			break
		}
		dec := json.NewDecoder(strings.NewReader(text[next:]))
		var raw json.RawMessage
		if dec.Decode(&raw) == nil {
			list, at = append(list, string(raw)), next+int(dec.InputOffset())
		} else {
			left -= len(text) - next
			at = next + 1
		}
	}
	return list
}
